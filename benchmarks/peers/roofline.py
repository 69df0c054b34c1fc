"""What the kernels reach of the machine's arithmetic and of its memory's bandwidth."""

from statistics import median

import numpy as np
from matplotlib.figure import Figure

from benchmarks.peers.passes import CONNECTION, Passes, random_layer
from benchmarks.peers.report import Section
from benchmarks.peers.timing import interleave, many

WIDTHS, EPSILON, BATCH = (1000, 4000, 100_000), 20, 128
# Bytes of two arrays that lie in a core's second cache, in the third, in neither.
CACHES = {"L2": 384 << 10, "L3": 12 << 20, "memory": 384 << 20}
# Shares of the full product's rate, of the smallest layer.
WANTED = {"forward": 0.65, "gradient + SGD": 0.55}
# Width of the full product that stands for the machine's arithmetic.
GEMM = 1000
# Bytes of a neuron's activations, and operations of a connection.
ROW, OPERATIONS = 4 * BATCH, 2 * BATCH
MARKERS, LINES = "osv", ("-", "--", ":")
TEXT = f"""Rates of the passes of a training step over square layers (epsilon {EPSILON},
batch {BATCH}, float32, one thread), two operations per connection and sample. *GEMM* is
the share of the rate of a full product {GEMM}x{GEMM} by {GEMM}x{BATCH}, {{gemm:.0f}}
GFLOP/s here. A connection reads {ROW} bytes of activations for {OPERATIONS} operations,
half an operation per byte: *reads* are these bytes per second. Beside them stand the
rates at which BLAS reads two arrays in each cache for a dot product:
{{bandwidths}} GB/s.

A full product reuses a row that it has read for many outputs; random connections forbid
that, so that not arithmetic but the delivery of rows limits the passes. The activations
of 1000 neurons take {{small:.1f}} MiB, those of 4000 {{middle:.1f}} MiB and those of
100,000 {{large:.0f}} MiB. In the plot a layer's intensity counts every array once, as if
the caches held all: the lines are what each level could deliver then; the vertical line
is the intensity without reuse."""


def measure(options) -> Section:
    section = Section("Roofline")
    bandwidths = _bandwidths(options.repeats)
    results, points, rows = {}, {}, []
    for width in WIDTHS:
        passes = Passes(random_layer(width, width, EPSILON, np.float32), BATCH)
        results[width] = interleave(_contestants(passes), options.repeats)
        points[width] = {name: _point(passes, name, results[width]) for name in CONNECTION}
        rows += [_row(passes, name, results[width]) for name in CONNECTION]
    gemm = _gemm_rate(results[WIDTHS[0]])
    section.add_text(_text(gemm, bandwidths))
    section.add_table(rows)
    section.add_figure(
        "roofline", _plot(points, gemm, bandwidths), "Roofline of the passes"
    )
    section.measured = {str(width): result.seconds for width, result in results.items()}
    section.measured["bandwidths, GB/s"] = bandwidths
    _add_targets(section, points[WIDTHS[0]], gemm, bandwidths)
    return section


def _contestants(passes):
    functions = passes.functions(*passes.arrays())
    a, b = np.ones((GEMM, GEMM), np.float32), np.ones((GEMM, BATCH), np.float32)
    contestants = {name: many(functions[name]) for name in CONNECTION}
    return contestants | {"GEMM": many(lambda: a @ b)}


def _gemm_rate(result):
    """GFLOP/s of a full product."""
    return 2e-9 * GEMM**2 * BATCH / result.median("GEMM")


def _point(passes, name, result):
    """Operations per byte and GFLOP/s of a pass."""
    intensity = passes.flops / passes.bytes_moved(name)
    return intensity, 1e-9 * passes.flops / result.median(name)


def _text(gemm, bandwidths):
    small, middle, large = (width * ROW / 2**20 for width in WIDTHS)
    listed = ", ".join(f"{name} {rate:.0f}" for name, rate in bandwidths.items())
    return TEXT.format(
        gemm=gemm, bandwidths=listed, small=small, middle=middle, large=large
    )


def _add_targets(section, rates, gemm, bandwidths):
    for name, wanted in WANTED.items():
        rate = rates[name][1]
        reads, limit = rate * ROW / OPERATIONS, bandwidths["L2"]
        section.add_target(
            f"share of the full product's rate, {WIDTHS[0]}x{WIDTHS[0]}, {name}",
            f"at least {wanted:.0%}",
            f"{rate / gemm:.0%}; reads {reads:.0f} GB/s, BLAS {limit:.0f} from L2",
            met=rate / gemm >= wanted,
        )


def _bandwidths(repeats):
    """GB/s that a dot product of two arrays reads, at several sizes."""
    contestants, n_bytes = {}, {}
    for name, size in CACHES.items():
        a, b = np.ones((2, size // (2 * 4)), np.float32)
        contestants[name] = many(lambda a=a, b=b: a @ b)
        n_bytes[name] = 2 * a.nbytes
    result = interleave(contestants, repeats)
    return {name: 1e-9 * n_bytes[name] / median(result.seconds[name]) for name in CACHES}


def _row(passes, name, result):
    layer, (intensity, rate) = passes.layer, _point(passes, name, result)
    return {
        "layer": f"{layer.n_in}x{layer.n_out}",
        "connections": f"{layer.n_connections:,}",
        "pass": name,
        "GFLOP/s": f"{rate:.1f}",
        "GEMM": f"{rate / _gemm_rate(result):.0%}",
        "reads, GB/s": f"{1e-9 * layer.n_connections * ROW / result.median(name):.1f}",
        "operations per byte": f"{intensity:.1f}",
    }


def _plot(points, gemm, bandwidths):
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    intensity = np.geomspace(0.2, 100, 50)
    for (name, rate), line in zip(bandwidths.items(), LINES, strict=True):
        reached = np.minimum(gemm, rate * intensity)
        axes.plot(intensity, reached, "k" + line, lw=1, label=f"{name}, {rate:.0f} GB/s")
    axes.axvline(0.5, color="grey", lw=1)
    shades = np.linspace(0, 0.75, len(CONNECTION))
    for (width, rates), marker in zip(points.items(), MARKERS, strict=True):
        for (name, (x, y)), shade in zip(rates.items(), shades, strict=True):
            label = f"{width}x{width} {name}"
            axes.plot(x, y, marker, color=str(shade), mec="black", label=label)
    axes.set(xscale="log", yscale="log", ylabel="GFLOP/s")
    axes.set_xlabel("operations per byte, every array counted once")
    figure.legend(fontsize="x-small", loc="outside right upper")
    return figure
