"""The report: ``docs/reliability.md`` of all that is in ``docs/reliability``."""

import json
from pathlib import Path

import pandas as pd

from benchmarks.reliability import results
from benchmarks.tables import markdown

REPORT = Path("docs/reliability.md")
INTRODUCTION = """\
# How far the package can be trusted

Written by `python -m benchmarks.reliability` from the figures in `docs/reliability`, each
of which is made by the command above its table. `make test` holds the same on fewer cases;
it also runs the kernels uncompiled, and with every index compared to its array's bounds.
`make test-oldest` runs the tests with the oldest versions of the dependencies that are
allowed, all but one, which measures SciPy's memory. `make nightly` runs thousands of random
cases, and every scenario of threads and processes several times; `make audit` looks for
known vulnerabilities in what is installed.\
"""
# Title and explanation of each file, in the order of the report.
SECTIONS = {
    "fuzz": (
        "Anything may be passed in",
        "Random parameters, allowed and not quite, with random data: from one sample on, "
        "constant and duplicate columns, numbers from 1e-307 to 1e307, many dtypes "
        "and containers, unequal classes, weights of zero. Of every fitted network the "
        "pattern, the numbers of connections, the history and all predictions are checked.",
    ),
    "attacks": (
        "Attacks",
        "Programs that are meant to break it, each in a process of its own: how many ended "
        "as they should (sound), failed or answered otherwise (wrong), ended the process, "
        "or did not end. Before: version 0.1.0.",
    ),
    "kills": (
        "Kills survived",
        "Training that writes checkpoints is killed at random moments and resumed until it "
        "ends.",
    ),
    "hostile": (
        "Corrupted files refused",
        "Exported arrays and checkpoints are damaged and read.",
    ),
    "determinism": (
        "The seed decides every bit",
        "Small fits of every kind, trained in each of these ways, have the same bits as "
        "trained plainly.",
    ),
    "concurrency": (
        "Threads, processes and interrupts",
        "Every run has a process of its own, which must end by itself, as it should, in "
        "time, and leave no thread and no process behind.",
    ),
    "numerics": (
        "Numbers",
        "Worst errors against references of 50 digits, for logits from 1e-30 to 1e30. One "
        "rounding is the difference between 1 and the next number of the dtype.",
    ),
}
MORE = {"processors": "Machine code for other processors, against the kept results:"}


def table(rows: list[dict]) -> str:
    """A Markdown table with a column for each key, of any kind of value."""
    return markdown(pd.DataFrame(rows).map(shown))


def shown(value) -> object:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def section(name: str) -> list[str]:
    """Title, explanation, command and tables of one file."""
    content = json.loads((results.FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    title, explanation = SECTIONS[name]
    context = content["context"]
    made = "; ".join(f"{k}: {v}" for k, v in context.items() if k != "command")
    blocks = [f"## {title}", explanation, f"`{context['command']}`"]
    blocks.append(table(content["figures"]))
    for key, text in MORE.items():
        if key in content:
            blocks += [text, table(content[key])]
    return [*blocks, f"{made}."]


def main():
    blocks = [INTRODUCTION]
    for name in SECTIONS:
        if (results.FOLDER / f"{name}.json").exists():
            blocks += section(name)
    REPORT.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    print(REPORT)


if __name__ == "__main__":
    main()
