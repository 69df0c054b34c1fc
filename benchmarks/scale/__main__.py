"""The command line of the measurements.

``python -m benchmarks.scale`` writes ``docs/scale.md``, its plots and ``docs/scale.json``
in about a quarter of an hour, with up to 10 GB of memory. Linux only, for the peak memory
of a process. With ``--quick`` everything is 20 times smaller and goes elsewhere.
"""

import argparse
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import sksparse_mlp
from benchmarks.peers.report import machine
from benchmarks.scale import report, topology, training
from benchmarks.scale.topology import Layers
from benchmarks.scale.training import Fit

N_CLASSES = 10
EPSILON = 10
BATCH = 32
# Narrower layers would be full.
NARROWEST = 4 * EPSILON
CONNECTIONS = [round(10 ** (k / 2)) for k in range(8, 15)]
BATCHES = [2**k for k in range(1, 10)]
SHARES = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)


def square_sizes(width):
    """Three square layers and the outputs."""
    return (width,) * 4 + (N_CLASSES,)


def width_of(connections):
    """Width at which three square layers and a full output layer have so many."""
    return max(round(connections / (6 * EPSILON + N_CLASSES)), NARROWEST)


def updates_of(connections, batch):
    """Updates per epoch: fewer where one takes long."""
    return min(max(round(5e8 / (connections * batch)), 8), 32)


def fits(shrink):
    """The networks to train, by section."""

    def at(connections, batch):
        sizes = square_sizes(width_of(connections // shrink))
        return Fit(sizes, EPSILON, batch, updates_of(connections // shrink, batch))

    def sparse(share):
        width = 1000 // shrink
        epsilon = (1 - share) * width / 2
        return Fit(square_sizes(width), epsilon, BATCH, 16)

    million = (65_536 // shrink, *(350_000 // shrink,) * 3, N_CLASSES)
    return {
        "connections": [at(n, BATCH) for n in CONNECTIONS],
        "batch": [at(300_000, batch) for batch in BATCHES],
        "sparsity": [sparse(share) for share in SHARES],
        "million": [Fit(million, 5, BATCH, 16, epochs=2, repeats=1)],
        "largest": [Fit(*largest(shrink), 8, 4, epochs=2, repeats=1)],
    }


def largest(shrink):
    """Sizes and epsilon of 100 million connections, most of them in one layer."""
    n_in, n_hidden = 100_000 // shrink, 500_000 // shrink
    connections = 100_000_000 // shrink
    return (n_in, n_hidden, N_CLASSES), (connections - N_CLASSES * n_hidden) / (
        n_in + n_hidden
    )


def layers(shrink):
    """The layers to make and to evolve, by section."""
    squares = [
        Layers((max(connections // shrink // (2 * EPSILON), NARROWEST),) * 2, EPSILON)
        for connections in CONNECTIONS
    ]
    million = (65_536 // shrink, *(350_000 // shrink,) * 3, N_CLASSES)
    return {
        "square layers": squares,
        "million layers": [Layers(million, 5)],
        "largest layers": [Layers(*largest(shrink), repeats=3)],
    }


def measured(measure, sections):
    """Results by section; every measurement has a process of its own."""
    results = {}
    fresh = ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)
    with fresh:
        for name, tasks in sections.items():
            results[name] = []
            for task in tasks:
                started = time.perf_counter()
                results[name].append(fresh.submit(measure, task).result())
                print(name, task, f"{time.perf_counter() - started:.1f} s", flush=True)
    return results


def code_state():
    """When each file of the package was written."""
    files = sorted(Path(sksparse_mlp.__file__).parent.rglob("*.py"))
    return [(path, path.stat().st_mtime_ns) for path in files]


def measure_all(shrink):
    """The content of scale.json."""
    started, context = time.perf_counter(), machine()
    results = measured(topology.measure, layers(shrink))
    results |= measured(training.measure, fits(shrink))
    context["load after the run"] = machine()["load before the run"]
    context["duration"] = f"{time.perf_counter() - started:.0f} s"
    return {"context": {"command": "python -m benchmarks.scale", **context}, **results}


def main():
    parser = argparse.ArgumentParser(
        "python -m benchmarks.scale", description=__doc__.split("\n\n")[0]
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="for checking: 20 times smaller")
    add("--report-only", action="store_true", help="write the report of docs/scale.json")
    options = parser.parse_args()
    folder = Path("docs")
    if not options.report_only:
        code, content = code_state(), measure_all(20 if options.quick else 1)
        is_mixed = code_state() != code
        if is_mixed:
            print("The package changed during the run: its report goes elsewhere.")
        if is_mixed or options.quick:
            folder = Path(tempfile.mkdtemp())
        text = json.dumps(content, indent=1)
        (folder / "scale.json").write_text(text + "\n", encoding="utf-8")
    report.write(folder)
    print(folder / "scale.md")


if __name__ == "__main__":
    main()
