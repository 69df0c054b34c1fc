"""From which sparsity on sparse layers train faster than full ones."""

from statistics import median

import numpy as np
from matplotlib.figure import Figure

from benchmarks.peers.epochs import contestants_of
from benchmarks.peers.programs import PEERS
from benchmarks.peers.report import Section
from benchmarks.peers.tasks import Task
from benchmarks.peers.timing import interleave, spread

WIDTH, N_CLASSES, BATCH, N_SAMPLES = 1000, 10, 128, 1280
SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
WANTED = 0.8
TEXT = f"""Epochs of {WIDTH}-{WIDTH}-{WIDTH}-{N_CLASSES} on {N_SAMPLES:,} random samples,
batch {BATCH}, one thread, otherwise as above, with sparse layers of several sparsities
(that of the square layers) beside PyTorch's full ones. {{verdict}}"""


def measure(options) -> Section:
    section = Section("Break-even sparsity")
    why = PEERS["torch"].why_missing()
    if why:
        section.add_text(f"Not measured: {why}.")
        return section
    contestants = _contestants()
    result = interleave(contestants, options.repeats)
    section.measured["epochs"] = result.seconds
    labels = [_label(sparsity) for sparsity in SPARSITIES]
    ratios = {label: result.ratios("dense", label) for label in labels}
    found = _crossing([median(values) for values in ratios.values()])
    section.add_text(
        TEXT.format(verdict=f"They are equally fast at a sparsity {found[1]}.")
    )
    section.add_table([_row(label, result, values) for label, values in ratios.items()])
    section.add_figure("break_even", _plot(ratios), "Times faster over sparsity")
    title = "sparsity from which an epoch is faster than PyTorch dense"
    section.add_target(title, "at most 80 %", found[1], met=found[0] <= WANTED)
    return section


def _contestants():
    contestants = {}
    for sparsity in SPARSITIES:
        epsilon = (1 - sparsity) * WIDTH / 2
        task = Task("random", (WIDTH, WIDTH, WIDTH, N_CLASSES), epsilon, BATCH, N_SAMPLES)
        X, y = task.samples()
        names = ("ours",) if contestants else ("ours", "torch")
        found, _ = contestants_of(task, X, y, names)
        contestants[_label(sparsity)] = found["ours 1"]
        if "torch 1" in found:
            contestants["dense"] = found["torch 1"]
    return contestants


def _label(sparsity):
    return f"{sparsity:.0%}"


def _row(label, result, ratios):
    return {
        "sparsity": label,
        "this package, ms": f"{1e3 * result.median(label):.1f}",
        "PyTorch dense, ms": f"{1e3 * result.median('dense'):.1f}",
        "times faster": spread(ratios),
    }


def _crossing(ratios):
    """The sparsity at which the ratio is one, as a number and in words."""
    if ratios[0] >= 1:
        return SPARSITIES[0], f"below {SPARSITIES[0]:.0%}"
    if max(ratios) < 1:
        return np.inf, f"above {SPARSITIES[-1]:.0%}"
    last = next(k for k, ratio in enumerate(ratios) if ratio >= 1)
    ends = slice(last - 1, last + 1)
    found = float(np.interp(0, np.log(ratios[ends]), SPARSITIES[ends]))
    return found, f"of {found:.0%}"


def _plot(ratios):
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    middle, least, most = (
        np.array([f(values) for values in ratios.values()]) for f in (median, min, max)
    )
    percent = [100 * sparsity for sparsity in SPARSITIES]
    axes.errorbar(percent, middle, [middle - least, most - middle], fmt="ko-", capsize=3)
    axes.axhline(1, color="black", ls="--", lw=1)
    axes.set(yscale="log", xlabel="sparsity of the square layers (%)")
    axes.set_ylabel("epoch of PyTorch dense\nover this package's (times)")
    return figure
