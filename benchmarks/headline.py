"""``python -m benchmarks.headline``: what one gains, in three figures and a picture.

Reads the committed results of ``benchmarks.tabular`` and ``benchmarks.peers``, and writes
``docs/headline.md`` and its pictures, which the front page shows, and the same
lines into ``README.md``.
"""

import json
import statistics
from pathlib import Path
from textwrap import fill

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.peers.tasks import TASKS
from benchmarks.tabular.report import common

ROOT = Path(__file__).parents[1]
TABULAR = ROOT / "benchmarks" / "tabular" / "results.jsonl"
PEERS = ROOT / "benchmarks" / "peers" / "results.json"
OURS = "SparseMLPClassifierCV"
RIVALS = ["RandomForest", "HistGradientBoosting", "LogisticRegression", "MLPClassifier"]
PROGRAMS = {"ours": "this package", "torch": "PyTorch, dense", "sklearn": "MLPClassifier"}
NETWORK = "wide"
LAYERS = "-".join(map(str, TASKS[NETWORK].sizes))
BEGIN, END = "<!-- headline -->", "<!-- end of headline -->"
COLOURS = {True: "tab:blue", False: "0.75"}
POINTS = [
    "**Good without tuning.** `{ours}()` reaches a log-loss of {log_loss:.3f} and an "
    "accuracy of {accuracy:.1%} on the mean of {n_sets} tables; of the others, "
    "{best_loss_name} has the lowest log-loss, {best_loss:.3f}, and {best_accuracy_name} "
    "the highest accuracy, {best_accuracy:.1%} ([all of them]({out_of_the_box})).",
    "**Fast where layers are wide.** An epoch of {layers} with {density:.1%} of the "
    "connections takes {seconds:.2f} s; with dense PyTorch {torch_seconds:.2f} s, "
    "{faster:.0f} times as long, in one thread each ([speed]({speed})).",
    "**Small.** Training that network takes {megabytes:.0f} MB; with dense PyTorch "
    "{torch_megabytes:.0f} MB, {smaller:.0f} times as much.",
]
BARS = "Log-loss of five classifiers; seconds per epoch and memory of three programs"
# Beside each other, and for phones one below the other.
PICTURES = {"headline.png": (1, 3), "headline_narrow.png": (3, 1)}
SHOWN = """\
```{{image}} {}
:alt: {}
:class: {}
```
"""
PAGES = {
    "README.md": {
        "out_of_the_box": "docs/out_of_the_box.md",
        "speed": "docs/speed.md",
        "pictures": f"![{BARS}](docs/headline.png)\n",
    },
    "docs/headline.md": {
        "out_of_the_box": "out_of_the_box.md",
        "speed": "speed.md",
        "pictures": "\n".join(
            SHOWN.format(name, BARS, kind)
            for name, kind in zip(PICTURES, ("only-wide", "only-narrow"), strict=True)
        ),
    },
}


def tables():
    """Means of the classifiers over sets and splits, and the number of sets."""
    cells = pd.DataFrame(map(json.loads, TABULAR.read_text("utf-8").splitlines()))
    cells = common(cells[cells["task"] == "classification"])
    means = cells.groupby("model")[["accuracy", "log_loss"]].mean()
    return means.loc[[OURS, *RIVALS]], cells["data"].nunique()


def programs():
    """Seconds per epoch in one thread, and bytes of training, of each program."""
    measured = json.loads(PEERS.read_text("utf-8"))["epochs"]["measured"]
    seconds = [statistics.median(measured[NETWORK][f"{name} 1"]) for name in PROGRAMS]
    memory = [measured[f"{NETWORK}, bytes"][name] for name in PROGRAMS]
    return pd.DataFrame({"seconds": seconds, "bytes": memory}, index=list(PROGRAMS))


def faster():
    """How many times as long an epoch of PyTorch takes: the median of the repeats."""
    measured = json.loads(PEERS.read_text("utf-8"))["epochs"]["measured"][NETWORK]
    pairs = zip(measured["torch 1"], measured["ours 1"], strict=True)
    return statistics.median(torch / ours for torch, ours in pairs)


def text(links):
    """The lines of a page, with its links."""
    means, n_sets = tables()
    others, peers = means.drop(OURS), programs()
    ours, torch = peers.loc["ours"], peers.loc["torch"]
    figures = dict(
        links,
        ours=OURS,
        **means.loc[OURS],
        n_sets=n_sets,
        best_loss_name=f"`{others['log_loss'].idxmin()}`",
        best_loss=others["log_loss"].min(),
        best_accuracy_name=f"`{others['accuracy'].idxmax()}`",
        best_accuracy=others["accuracy"].max(),
        layers=LAYERS,
        density=TASKS[NETWORK].density,
        seconds=ours["seconds"],
        torch_seconds=torch["seconds"],
        faster=faster(),
        megabytes=ours["bytes"] / 1e6,
        torch_megabytes=torch["bytes"] / 1e6,
        smaller=torch["bytes"] / ours["bytes"],
    )
    points = [
        fill(point.format(**figures), 98, initial_indent="- ", subsequent_indent="  ")
        for point in POINTS
    ]
    return "\n".join(points) + "\n\n" + links["pictures"]


def drawn(rows=1, columns=3):
    """The picture: three panels of bars, the shorter the better."""
    means, n_sets = tables()
    peers = programs()
    panels = {
        f"log-loss, {n_sets} tables": means["log_loss"].rename({OURS: f"{OURS}()"}),
        f"seconds per epoch\n{LAYERS}": peers["seconds"].rename(PROGRAMS),
        f"MB to train it\n{LAYERS}": (peers["bytes"] / 1e6).rename(PROGRAMS),
    }
    size = (3.7 * columns, 2.5 * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns)
    for ax, (title, values) in zip(axes, panels.items(), strict=True):
        colours = [COLOURS[k == 0] for k in range(values.size)]
        bars = ax.barh(values.index, values, color=colours)
        ax.bar_label(bars, [f"{value:.3g}" for value in values], padding=3)
        ax.invert_yaxis()
        ax.set_title(title, fontsize=10)
        ax.set_xticks([])
        ax.margins(x=0.18)
        ax.spines[["top", "right", "bottom"]].set_visible(False)
    return figure


def with_lines(page, lines):
    """A page with the lines between its marks."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{lines}{END}{after}"


def pages():
    """What each page is, by its path."""
    made = {}
    for name, links in PAGES.items():
        lines = text(links)
        readme = name == "README.md"
        page = (ROOT / name).read_text("utf-8") if readme else f"{BEGIN}\n{END}\n"
        made[name] = with_lines(page, lines)
    return made


def main():
    for name, page in pages().items():
        (ROOT / name).write_text(page, encoding="utf-8")
    for name, shape in PICTURES.items():
        drawn(*shape).savefig(ROOT / "docs" / name, dpi=130)


if __name__ == "__main__":
    main()
