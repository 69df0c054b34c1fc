"""Time and memory of making and evolving layers, without training."""

import time
import tracemalloc
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from benchmarks.scale import ZETA
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.initializers import HeUniform
from sksparse_mlp.topology import RandomGrowth


@dataclass(frozen=True)
class Layers:
    """Layers to make and to evolve."""

    sizes: tuple[int, ...]
    epsilon: float
    repeats: int = 5


def measure(task: Layers) -> dict:
    """Seconds and most traced bytes of each step, and what the layers hold."""
    _run(Layers((50, 50, 50), 5))
    runs = [_run(task) for _ in range(task.repeats)]
    tracemalloc.start()
    traced = _run(task)
    tracemalloc.stop()
    return {
        "layers": asdict(task),
        "connections": traced["connections"],
        "seconds": {step: [run["seconds"][step] for run in runs] for step in STEPS},
        "peaks": traced["peaks"],
        "parts": traced["parts"],
    }


def _initialise(task, rng):
    layers = [
        SparseLayer.random(n_in, n_out, task.epsilon, rng, np.float32)
        for n_in, n_out in pairwise(task.sizes)
    ]
    for layer in layers:
        HeUniform()(layer, rng)
        layer.add_slots(1)
    return layers


def _transpose(layers):
    for layer in layers:
        layer.transposed  # noqa: B018, it is computed when asked for


def _evolve(layers, rng):
    for layer in layers:
        if not layer.is_full:
            RandomGrowth().evolve(layer, ZETA, rng)


STEPS = ("initialisation", "transposed pattern", "evolution")


def _run(task):
    """One pass through all steps."""
    rng = np.random.default_rng(0)
    seconds, peaks = {}, {}

    def step(name, function, *arguments):
        tracemalloc.reset_peak()
        started = time.perf_counter()
        result = function(*arguments)
        seconds[name] = time.perf_counter() - started
        peaks[name] = tracemalloc.get_traced_memory()[1]
        return result

    layers = step("initialisation", _initialise, task, rng)
    step("transposed pattern", _transpose, layers)
    parts = _parts(layers)
    step("evolution", _evolve, layers, rng)
    return {
        "connections": sum(layer.n_connections for layer in layers),
        "seconds": seconds,
        "peaks": peaks,
        "parts": parts,
    }


def _parts(layers):
    """Bytes by what they are."""
    totals: dict[str, int] = {}
    for layer in layers:
        ((velocity, bias_velocity),) = layer.slots
        ends, rows, positions = layer.transposed
        for name, *arrays in (
            ("weights", layer.weights),
            ("momentum", velocity),
            ("inputs of each output neuron", layer.indices),
            ("outputs of each input neuron", rows),
            ("places of their weights", positions),
            ("where each neuron's connections begin, both ways", layer.indptr, ends),
            ("biases and their momentum", layer.bias, bias_velocity),
        ):
            totals[name] = totals.get(name, 0) + sum(array.nbytes for array in arrays)
    return totals
