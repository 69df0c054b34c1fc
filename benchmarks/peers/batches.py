"""The kernels' rates over the size of the batch."""

from statistics import median

import numpy as np
from matplotlib.figure import Figure

from benchmarks.peers.passes import CONNECTION, Passes, random_layer
from benchmarks.peers.report import Section
from benchmarks.peers.timing import interleave, many, spread

WIDTH, EPSILON = 1000, 20
SIZES = (2, 4, 8, 16, 32, 64, 128, 256)
STYLES = ("o-", "s--", "v:", "^-.")
TEXT = f"""GFLOP/s of the passes over a layer {WIDTH}x{WIDTH} (epsilon {EPSILON}, float32,
one thread). The vectors of the inner loops are samples, so that small batches leave parts
of them empty and spend more on each connection's indices and weights. Arrays begin at
cache lines, as those of the package do."""


def measure(options) -> Section:
    section = Section("Small batches", [TEXT])
    layer = random_layer(WIDTH, WIDTH, EPSILON, np.float32)
    passes = {size: Passes(layer, size) for size in SIZES}
    contestants = {}
    for size in SIZES:
        functions = passes[size].functions(*passes[size].arrays())
        for name in CONNECTION:
            contestants[f"{name}, batch {size}"] = many(functions[name])
    result = interleave(contestants, options.repeats)
    section.measured["passes"] = result.seconds
    rates = {
        (name, size): _rates(passes[size], result.seconds[f"{name}, batch {size}"])
        for name in CONNECTION
        for size in SIZES
    }
    section.add_table([_row(size, rates) for size in SIZES])
    section.add_figure("batches", _plot(rates), "Rates over the batch size")
    return section


def _rates(passes, seconds):
    return [1e-9 * passes.flops / value for value in seconds]


def _row(size, rates):
    return {"batch": str(size)} | {k: spread(rates[k, size]) for k in CONNECTION}


def _plot(rates):
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, style in zip(CONNECTION, STYLES, strict=True):
        axes.plot(SIZES, [median(rates[name, size]) for size in SIZES], style, label=name)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="samples per batch", ylabel="GFLOP/s", ylim=(0, None))
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.legend()
    return figure
