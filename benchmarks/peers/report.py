"""What a run has found, as Markdown and as JSON."""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import joblib
from threadpoolctl import threadpool_info

FOLDER = Path(__file__).parent
PACKAGES = ("sksparse-mlp", "scikit-learn", "numpy", "scipy", "numba")


@dataclass
class Section:
    """One table, the targets it answers, and the seconds of every repeat behind it."""

    title: str
    text: str
    table: list[dict[str, str]] = field(default_factory=list)
    targets: list[dict[str, str]] = field(default_factory=list)
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add_target(self, name: str, wanted: str, measured: str, *, met: bool) -> None:
        row = {"target": name, "wanted": wanted, "measured": measured}
        self.targets.append(row | {"met": "yes" if met else "no"})

    def to_markdown(self) -> str:
        return "\n\n".join([f"## {self.title}", self.text, _table(self.table)])


def machine() -> dict[str, str]:
    """What the figures depend on besides the code."""
    load: tuple = getattr(os, "getloadavg", tuple)()
    versions = [
        f"Python {platform.python_version()}",
        *(f"{p} {version(p)}" for p in PACKAGES),
    ]
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    blas = {f"{pool['internal_api']} {pool['version']}" for pool in pools}
    return {
        "date": time.strftime("%Y-%m-%d"),
        "CPU": f"{_cpu_model()}, {joblib.cpu_count()} cores available",
        "load before the run": ", ".join(f"{value:.2f}" for value in load),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": ", ".join(versions),
        "BLAS": ", ".join(sorted(blas)),
    }


def write(sections: dict[str, Section], context: dict[str, str]) -> None:
    """Write results.md and results.json; ``context`` says how the figures came about."""
    parts = [
        "# Speed beside scikit-learn and SciPy",
        "Written by the command below. Ratios are medians, over the repeats, of the ratio "
        "within one repeat, with the smallest and the largest in brackets.",
        _table([{"run": key, "": value} for key, value in context.items()]),
        _table([target for section in sections.values() for target in section.targets]),
        *(section.to_markdown() for section in sections.values()),
    ]
    (FOLDER / "results.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    content = {"context": context, **{k: asdict(s) for k, s in sections.items()}}
    (FOLDER / "results.json").write_text(json.dumps(content, indent=1) + "\n")


def _table(rows):
    if not rows:
        return ""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cpu_model():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
