"""What a run has found, as Markdown, plots and JSON."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import joblib
from matplotlib.figure import Figure
from threadpoolctl import threadpool_info

RESULTS = Path(__file__).with_name("results.json")
# Of a section that is under way.
PARTS = Path(__file__).with_name("parts")
DOCS = Path("docs")
PACKAGES = ("sksparse-mlp", "scikit-learn", "numpy", "scipy", "numba")
PEER_PACKAGES = ("torch", "sparseprop")


@dataclass
class Section:
    """Text, tables and plots, the targets they answer, and the measurements behind them."""

    title: str
    blocks: list[str] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    targets: list[dict[str, str]] = field(default_factory=list)
    measured: dict[str, dict] = field(default_factory=dict)

    def add_text(self, text: str) -> None:
        self.blocks.append(text)

    def add_table(self, rows: list[dict[str, str]]) -> None:
        self.blocks.append(table(rows))

    def add_figure(self, name: str, figure: Figure, alt: str) -> None:
        """Show a plot, which `write` saves as ``docs/speed_<name>.png``."""
        self.figures[name] = figure
        self.blocks.append(f"![{alt}](speed_{name}.png)")

    def add_target(self, name: str, wanted: str, measured: str, *, met: bool) -> None:
        row = {"target": name, "wanted": wanted, "measured": measured}
        self.targets.append(row | {"met": "yes" if met else "no"})

    def to_markdown(self) -> str:
        return "\n\n".join([f"## {self.title}", *self.blocks])


def machine() -> dict[str, str]:
    """What the figures depend on besides the code."""
    load: tuple = getattr(os, "getloadavg", tuple)()
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    blas = {f"{pool['internal_api']} {pool['version']}" for pool in pools}
    return {
        "date": time.strftime("%Y-%m-%d"),
        "CPU": f"{_cpu_model()}, {joblib.cpu_count()} cores available",
        "load before the run": ", ".join(f"{value:.2f}" for value in load),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, {versions(PACKAGES)}",
        "BLAS": ", ".join(sorted(blas)),
    }


def versions(packages) -> str:
    """The installed versions of some packages; those that are missing are left out."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def kept(name: str, measure: Callable[[], Any]) -> Any:
    """What ``measure`` returns, plain values, or returned in a run that was broken off."""
    path = PARTS / f"{name}.json"
    if not path.is_file():
        values = measure()
        PARTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(values))
    return json.loads(path.read_text())


def keep(name: str, section: Section, run: dict[str, str]) -> None:
    """Save a section and its plots; ``run`` says how it came about."""
    for figure_name, figure in section.figures.items():
        figure.savefig(DOCS / f"speed_{figure_name}.png", dpi=120)
    values = vars(section) | {"run": run}
    del values["figures"]
    results = _results() | {name: values}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    for path in PARTS.glob(f"{name}*.json"):
        path.unlink()


def write(names: Iterable[str]) -> None:
    """Write the report of those sections that are kept, in the order of their names."""
    results = _results()
    found = [name for name in names if name in results]
    sections = [Section(**_without_run(results[name])) for name in found]
    runs = [{"section": name} | results[name]["run"] for name in found]
    shared = {key for key in runs[0] if len({run[key] for run in runs}) == 1}
    parts = [
        "# Speed beside other programs",
        "Written by the command below, with `SKSPARSE_MLP_DATA` naming the folder of data "
        "sets. Ratios are medians, over the repeats, of the ratio within one repeat, with "
        "the smallest and the largest in brackets. All measurements of a section are "
        "interleaved.",
        table([{"run": key, "": value} for key, value in runs[0].items() if key in shared]),
        table([{k: v for k, v in run.items() if k not in shared} for run in runs]),
        table([target for section in sections for target in section.targets]),
        *(section.to_markdown() for section in sections),
    ]
    (DOCS / "speed.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def is_complete(names: Iterable[str]) -> bool:
    """Whether all of these sections are kept."""
    return set(names) <= set(_results())


def _without_run(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "run"}


def _results() -> dict[str, dict[str, Any]]:
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def table(rows: list[dict[str, str]]) -> str:
    """A Markdown table."""
    if not rows:
        return ""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cpu_model():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
