"""Time and memory of one evolution of large layers, by growth rule.

``python -m benchmarks.evolution`` writes ``docs/evolution.md``. It takes about 3 GB.
"""

import time
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from benchmarks.peers.report import machine
from benchmarks.tables import markdown
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.initializers import HeNormal
from sksparse_mlp.topology import (
    CannistraciHebbGrowth,
    CosineGrowth,
    GradientGrowth,
    Growth,
    LiSET,
    RandomGrowth,
)

REPORT = Path("docs/evolution.md")
BATCH = 64
REPEATS = 3
TEXT = """\
# Evolution of large layers

Made by `python -m benchmarks.evolution` ({machine}): one evolution at zeta 0.3 in one
thread, float32, weights of normal size, one optimizer slot (momentum). *Time* is the
processor's, the median of {repeats} evolutions, and includes the new transposed pattern.
*Own* are the bytes that the layer holds (weights, momentum, pattern, transposed pattern);
*extra* is the most that the process holds beside them while it evolves, as `tracemalloc`
sees it: the transposed pattern, 8 bytes per connection, gives way to what rules need.
Gradients and activations are of {batch} samples, and exact gradient growth takes those of
a million positions at a time.

{table}
"""


@dataclass(frozen=True)
class Task:
    """A square layer, and a rule that evolves it."""

    n: int
    epsilon: float
    growth: Growth

    def layer(self, rng):
        layer = SparseLayer.random(self.n, self.n, self.epsilon, rng, np.float32)
        HeNormal()(layer, rng)
        layer.add_slots(1)
        return layer

    def signal(self, rng):
        if self.growth.signal == "skips":
            return rng.random(self.n).astype(np.float32)
        if self.growth.signal is not None:
            shape = (self.n, BATCH)
            return tuple(rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
        return None


TASKS = [
    Task(100_000, 50, CannistraciHebbGrowth()),
    Task(100_000, 50, CosineGrowth()),
    Task(100_000, 50, RandomGrowth()),
    Task(1_000_000, 5, CannistraciHebbGrowth()),
    Task(1_000_000, 5, CosineGrowth()),
    Task(1_000_000, 5, RandomGrowth()),
    Task(1_000, 20, RandomGrowth()),
    Task(1_000, 20, LiSET()),
    Task(1_000, 20, GradientGrowth()),
    Task(1_000, 20, CosineGrowth()),
    Task(1_000, 20, CannistraciHebbGrowth()),
    Task(1_000, 20, CannistraciHebbGrowth(n_candidates=3)),
    Task(100_000, 50, LiSET()),
    Task(100_000, 50, GradientGrowth(n_candidates=3)),
    Task(1_000_000, 5, LiSET()),
    Task(1_000_000, 5, GradientGrowth(n_candidates=3)),
]


def renew(layer, rng):
    """Weights as trained ones: new ones are zero."""
    layer.weights[:] = rng.standard_normal(layer.n_connections, dtype=np.float32)
    layer.transposed  # noqa: B018, it is computed when asked for


def evolve(task, layer, signal, rng):
    """Seconds of the processor for one evolution with its new transposed pattern."""
    started = time.process_time()
    task.growth.evolve(layer, 0.3, rng, signal)
    layer.transposed  # noqa: B018, it is computed when asked for
    return time.process_time() - started


def seconds_of(task, layer, signal, rng):
    renew(layer, rng)
    return evolve(task, layer, signal, rng)


def traced(task, rng):
    """A layer, its signal, and the most bytes that an evolution holds beyond its own."""
    tracemalloc.start()
    layer, signal = task.layer(rng), task.signal(rng)
    renew(layer, rng)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    evolve(task, layer, signal, rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return layer, signal, peak - before


def own_bytes(layer):
    arrays = layer.indptr, layer.indices, layer.weights, *layer.slots[0], *layer.transposed
    return sum(array.nbytes for array in arrays)


def row(task):
    rng = np.random.default_rng(0)
    layer, signal, extra = traced(task, rng)
    seconds = [seconds_of(task, layer, signal, rng) for _ in range(REPEATS)]
    own, n_connections = own_bytes(layer), layer.n_connections
    return {
        "layer": f"{task.n:,} x {task.n:,}",
        "connections": f"{n_connections:,}",
        "growth": repr(task.growth),
        "time (s)": f"{median(seconds):.4f}",
        "own (MiB)": own / 2**20,
        "extra (MiB)": extra / 2**20,
        "extra (B per connection)": extra / n_connections,
    }


def main():
    # What is compiled first is neither time nor memory of an evolution.
    for task in TASKS:
        row(replace(task, n=200, epsilon=5))
    rows, context = [], machine()
    for task in TASKS:
        rows.append(row(task))
        print(rows[-1], flush=True)
        text = TEXT.format(
            machine=f"{context['CPU']}; {context['versions']}",
            repeats=REPEATS,
            batch=BATCH,
            table=markdown(pd.DataFrame(rows)),
        )
        REPORT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
