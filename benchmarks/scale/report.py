"""What a run has found, as Markdown and plots."""

import json
from statistics import median

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.peers.timing import Comparison, spread
from benchmarks.scale import ZETA
from benchmarks.tables import markdown

MIB = 2**20
# Bytes per connection that training with momentum should need at most.
TARGET = 24
# Fewer connections fit into caches, and fixed costs show.
LINEAR_FROM = 90_000
# Parts of a fit in which the buffers of a batch exist.
BUFFERED = ("first epoch", "evolution and epoch", "between epochs")
PHASES = ("initialisation", *BUFFERED, "end of fit", "fitted")
WHEN = ("before", "after")
INTRODUCTION = """\
Made by `{command}` in {duration} ({CPU}; {versions}; load {load}).

Momentum SGD in float32, ReLU, no dropout and no penalty, random CSR data of density 0.01,
{classes} classes; evolution replaces {zeta:.0%} of the connections after every epoch. Every
row is measured in a process of its own. *Update* is the time of an epoch (gathering the
batch, forward, backward, step, and once per epoch a check that all is finite) over its
updates, the median over the repeats and over epochs but the first. *ns* are per connection
and sample. Fits with one and two threads alternate; *two threads* is one thread's time over
that of two, the median of the repeats with the smallest and the largest. *Evolution* does
not include the new transposed pattern, which the next update makes.

Bytes are the most that `tracemalloc` sees in a fit with two updates per epoch: everything
that NumPy allocates from the call of `fit` on. *B/c* are bytes per connection beyond the
buffers of a batch (inputs, pre-activations, activations and gradients of every neuron,
column *buffers*): all that belongs to connections and neurons, and all temporary arrays.
*Training* is the peak of epochs, with the evolution between them. *Peak RSS* is that of the
whole process, with interpreter, libraries and data."""
EXPONENTS = """\
Exponents of the number of connections, fitted to logarithms from {start:,} connections on
(1 is linear); *ns* or *B* are per connection at the smallest and the largest of them."""


def write(folder):
    """Write scale.md and its plots beside scale.json."""
    results = json.loads((folder / "scale.json").read_text(encoding="utf-8"))
    context = results.pop("context")
    curve, batches, sparse = (results[k] for k in ("connections", "batch", "sparsity"))
    _plot_connections(curve, folder / "scale_connections.png")
    _plot_updates(batches, lambda r: r["fit"]["batch"], "samples per batch",
                  folder / "scale_batch.png")  # fmt: skip
    _plot_updates(sparse, lambda r: 1 - r["sparsity"], "share of connections present",
                  folder / "scale_sparsity.png")  # fmt: skip
    _plot_topology(_all_layers(results), folder / "scale_topology.png")
    introduction = INTRODUCTION.format(
        **context,
        load=" and ".join(f"{context[f'load {when} the run']} {when}" for when in WHEN),
        zeta=ZETA,
        classes=curve[0]["fit"]["sizes"][-1],
    )
    parts = [
        "# Time and memory at scale",
        introduction,
        "## Growth with the connections",
        EXPONENTS.format(start=LINEAR_FROM),
        markdown(pd.DataFrame(_exponents(results))),
        "## Training, by connections",
        f"Three square layers and the outputs, epsilon {curve[0]['fit']['epsilon']}, "
        f"{curve[0]['fit']['batch']} samples per batch.",
        markdown(pd.DataFrame(map(_curve_row, curve))),
        "![Time and memory by connections](scale_connections.png)",
        "## Training, by batch size",
        f"Network {_network(batches[0])}, epsilon {batches[0]['fit']['epsilon']}.",
        markdown(pd.DataFrame(map(_curve_row, batches))),
        "![Time by batch size](scale_batch.png)",
        "## Training, by sparsity",
        f"Network {_network(sparse[0])}, {sparse[0]['fit']['batch']} samples per batch.",
        markdown(pd.DataFrame(map(_curve_row, sparse))),
        "![Time by sparsity](scale_sparsity.png)",
        "## Making and evolving layers",
        "Medians in one thread; *B/c* are the most bytes per connection that are held "
        "during this step, the layers themselves included.",
        markdown(pd.DataFrame(map(_layer_row, _all_layers(results)))),
        "![Time by connections](scale_topology.png)",
        *_large("A million neurons", *results["million"], *results["million layers"]),
        *_large(
            "A hundred million connections", *results["largest"], *results["largest layers"]
        ),
    ]
    (folder / "scale.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


# --- figures of one result ------------------------------------------------------------


def _network(result):
    return "-".join(map(str, result["fit"]["sizes"]))


def _seconds(result, part, n_jobs="1"):
    return median(run[part] for run in result["seconds"][n_jobs])


def _speed_up(result):
    """How much faster two threads are, in each repeat."""
    seconds = {n: [run["update"] for run in runs] for n, runs in result["seconds"].items()}
    return Comparison(seconds).ratios("1", "2")


def _nanoseconds(result, n_jobs="1"):
    work = result["connections"] * result["fit"]["batch"]
    return 1e9 * _seconds(result, "update", n_jobs) / work


def _per_connection(result, phase):
    """Bytes beyond the buffers of a batch."""
    buffers = result["activations"] if phase in BUFFERED else 0
    return (result["bytes"][phase] - buffers) / result["connections"]


def _training_bytes(result):
    return max(_per_connection(result, phase) for phase in BUFFERED)


def _all_layers(results):
    return [*results["square layers"], *results["largest layers"]]


# --- tables ---------------------------------------------------------------------------


def _curve_row(result):
    return {
        "width": f"{result['fit']['sizes'][0]:,}",
        "connections": f"{result['connections']:,}",
        "sparsity (%)": 100 * result["sparsity"],
        "batch": result["fit"]["batch"],
        "update (ms)": f"{1e3 * _seconds(result, 'update'):.3f}",
        "ns": _nanoseconds(result),
        "two threads": spread(_speed_up(result)),
        "evolution (ms)": f"{1e3 * _seconds(result, 'evolution'):.2f}",
        "buffers (MiB)": result["activations"] / MIB,
        "between epochs (B/c)": _per_connection(result, "between epochs"),
        "training (B/c)": _training_bytes(result),
        "peak RSS (MiB)": f"{result['peak_rss'] / MIB:.0f}",
    }


def _layer_row(result):
    row = {
        "layers": "-".join(map(str, result["layers"]["sizes"])),
        "connections": f"{result['connections']:,}",
    }
    for step, seconds in result["seconds"].items():
        row[f"{step} (s)"] = f"{median(seconds):.5f}"
        row[f"{step} (B/c)"] = result["peaks"][step] / result["connections"]
    return row


def _exponents(results):
    curve, layers = results["connections"], _all_layers(results)
    quantities = {
        "update": (curve, lambda r: _seconds(r, "update")),
        "update, two threads": (curve, lambda r: _seconds(r, "update", "2")),
        "bytes between epochs": (
            curve, lambda r: _per_connection(r, "between epochs") * r["connections"]
        ),
        "bytes in training": (curve, lambda r: _training_bytes(r) * r["connections"]),
    }  # fmt: skip
    for step in layers[0]["seconds"]:
        quantities[step] = layers, lambda r, step=step: median(r["seconds"][step])
    for name, (measured, quantity) in quantities.items():
        large = [r for r in measured if r["connections"] >= LINEAR_FROM]
        counts = np.array([r["connections"] for r in large])
        values = np.array([quantity(r) for r in large])
        slope, _ = np.polyfit(np.log(counts), np.log(values), 1)
        each = values / counts * (1 if "bytes" in name else 1e9)
        yield {
            "quantity": name,
            "connections": f"{counts[0]:,}-{counts[-1]:,}",
            "exponent": float(slope),
            "unit": "B" if "bytes" in name else "ns",
            "each at the smallest": float(each[0]),
            "each at the largest": float(each[-1]),
        }


def _large(title, result, layers):
    """The section of one large network."""
    fit = result["fit"]
    return [
        f"## {title}",
        f"Network {_network(result)}, epsilon {fit['epsilon']:.2f}: {result['neurons']:,} "
        f"neurons, {result['connections']:,} connections, sparsity "
        f"{100 * result['sparsity']:.4f} %; {fit['batch'] * fit['updates']} samples in "
        f"batches of {fit['batch']}. Peak RSS: {result['peak_rss'] / 2**30:.2f} GiB; "
        f"buffers of a batch: {result['activations'] / 2**30:.2f} GiB. "
        f"{_repeats(result)} *Start* is validation, "
        "initialisation and all else before the first update, *end* the making of the "
        "public attributes.",
        markdown(pd.DataFrame([_time_row(result, n_jobs) for n_jobs in result["seconds"]])),
        "Most bytes per connection in each part of the fit, beyond the buffers of a batch, "
        f"and what is held between epochs and afterwards ({_verdict(result)}):",
        markdown(pd.DataFrame([{k: _per_connection(result, k) for k in PHASES}])),
        "What is held between epochs, in bytes per connection:",
        markdown(pd.DataFrame(_part_rows(result, layers))),
    ]


def _repeats(result):
    n_repeats = result["fit"]["repeats"]
    return (
        f"Times are medians of {n_repeats} fits; one thread takes "
        f"{spread(_speed_up(result))} times the time of two for an update."
    )


def _time_row(result, n_jobs):
    row = {"threads": n_jobs}
    for part in ("start", "update", "epoch", "evolution", "end"):
        row[f"{part} (s)"] = f"{_seconds(result, part, n_jobs):.3f}"
    return row | {"ns": _nanoseconds(result, n_jobs)}


def _verdict(result):
    measured = _training_bytes(result)
    relation = "within" if measured <= TARGET else "above"
    return f"at most {measured:.1f} while training, {relation} the {TARGET} aimed at"


def _part_rows(result, layers):
    """Bytes per connection by what they are; the rest is what the layers do not hold."""
    size = layers["connections"]
    rows = [{"what": k, "B/c": n / size} for k, n in layers["parts"].items()]
    listed = sum(row["B/c"] for row in rows)
    total = _per_connection(result, "between epochs")
    rest = "copy of the last finished epoch, and all else"
    rows.append({"what": rest, "B/c": total - listed})
    return [*rows, {"what": "together", "B/c": total}]


# --- plots ----------------------------------------------------------------------------


def _plot_connections(results, path):
    figure, (times, memory) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    counts = np.array([r["connections"] for r in results])
    for n_jobs, style in (("1", "ko-"), ("2", "ks--")):
        seconds = [_seconds(r, "update", n_jobs) for r in results]
        times.loglog(counts, seconds, style, label=f"update, {n_jobs} thread(s)")
    evolution = [_seconds(r, "evolution") for r in results]
    times.loglog(counts, evolution, "^:", color="0.5", label="evolution")
    for quantity, style in (("training", "ko-"), ("between epochs", "ks--")):
        sizes = [
            _training_bytes(r) if quantity == "training" else _per_connection(r, quantity)
            for r in results
        ]
        memory.loglog(counts, sizes * counts / MIB, style, label=quantity)
    buffers = [r["activations"] / MIB for r in results]
    memory.loglog(counts, buffers, "^:", color="0.5", label="buffers of a batch")
    memory.loglog(counts, TARGET * counts / MIB, "-", color="0.8", label=f"{TARGET} B/c")
    times.set(xlabel="connections", ylabel="seconds")
    memory.set(xlabel="connections", ylabel="MiB")
    _finish(figure, path)


def _plot_updates(results, abscissa, name, path):
    """Time of an update, and per connection and sample."""
    figure, (times, each) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    x = [abscissa(r) for r in results]
    for n_jobs, style in (("1", "ko-"), ("2", "ks--")):
        label = f"{n_jobs} thread(s)"
        seconds = [1e3 * _seconds(r, "update", n_jobs) for r in results]
        times.loglog(x, seconds, style, label=label)
        each.loglog(x, [_nanoseconds(r, n_jobs) for r in results], style, label=label)
    times.set(xlabel=name, ylabel="update (ms)")
    each.set(xlabel=name, ylabel="ns per connection and sample")
    _finish(figure, path)


def _plot_topology(results, path):
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    counts = np.array([r["connections"] for r in results])
    steps = list(results[0]["seconds"])
    for step, style in zip(steps, ("ko-", "ks--", "k^:"), strict=True):
        seconds = [median(r["seconds"][step]) for r in results]
        ax.loglog(counts, seconds, style, label=step)
    linear = median(results[-1]["seconds"][steps[0]]) / counts[-1] * counts
    ax.loglog(counts, linear, "-", color="0.8", label="linear")
    ax.set(xlabel="connections", ylabel="seconds")
    _finish(figure, path)


def _finish(figure, path):
    for ax in figure.axes:
        ax.grid(color="0.9")
        ax.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
