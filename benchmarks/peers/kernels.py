"""Kernels of a sparse layer beside SciPy's product of a CSR matrix and a dense one."""

from itertools import product
from statistics import median

import numpy as np
from scipy import sparse

from benchmarks.peers.passes import Passes, random_layer
from benchmarks.peers.report import Section
from benchmarks.peers.timing import interleave, many, spread

# Inputs, outputs, epsilon.
LAYERS = [(1000, 1000, 20), (784, 1000, 20), (617, 512, 21), (4000, 4000, 20)]
BATCHES = (128, 32)
DTYPES = (np.float32, np.float64)
# What each pass stands beside.
PEERS = {"forward": "SciPy", "backward": "SciPy transposed", "gradient": "SciPy"}
TEXT = """GFLOP/s (two operations per connection and sample) of this package / of SciPy =
the ratio. SciPy computes `csr_array @ ndarray` with the same pattern, dtype and layout
(neurons, batch), for the backward pass with the transposed matrix in CSR form; the weight
gradient, a product that SciPy lacks, stands beside the forward one. SciPy allocates its
result in every call, as the weight gradient does; forward and backward fill a buffer.
Dense product 1000x1000 at batch 128 on this machine: {rates} GFLOP/s."""


def measure(options) -> Section:
    rates = ", ".join(f"{d.__name__} {_dense_rate(d, options.repeats):.0f}" for d in DTYPES)
    section = Section("Kernels", [TEXT.format(rates=rates)])
    rows = []
    at_128: dict[str, dict] = {name: {} for name in PEERS}
    for shape, batch, dtype in product(LAYERS, BATCHES, DTYPES):
        layer = random_layer(*shape, dtype)
        result = interleave(_contestants(layer, batch), options.repeats)
        row = _label(layer, batch)
        section.measured[" ".join(row.values())] = result.seconds
        rows.append(row | _cells(result, layer.n_connections * batch))
        for name, peer in PEERS.items() if batch == 128 else ():
            at_128[name][f"{row['layer']} {row['dtype']}"] = result.ratios(peer, name)
    section.add_table(rows)
    for name, ratios in at_128.items():
        slowest, values = min(ratios.items(), key=lambda item: median(item[1]))
        title = f"{name} kernel at batch 128, times SciPy's speed; slowest: {slowest}"
        section.add_target(title, "at least 1.8", spread(values), met=median(values) >= 1.8)
    return section


def _contestants(layer, batch):
    passes = Passes(layer, batch)
    x, dz = passes.arrays()
    shape = (layer.n_out, layer.n_in)
    w = sparse.csr_array((layer.weights, layer.indices, layer.indptr), shape)
    w_t = w.T.tocsr()
    functions = passes.functions(x, dz)
    # A fast wrong product would be no achievement.
    neurons = np.repeat(np.arange(layer.n_out), layer.fan_in)[:1000]
    slopes = np.sum(dz[neurons] * x[layer.indices[:1000]], axis=1)
    expected = {"forward": w @ x, "backward": w_t @ dz, "gradient": slopes}
    for name, values in expected.items():
        ours = functions[name]()[: len(values)]
        np.testing.assert_allclose(ours, values, rtol=1e-3, atol=1e-3)
    ours = {name: functions[name] for name in PEERS}
    theirs = {"SciPy": lambda: w @ x, "SciPy transposed": lambda: w_t @ dz}
    return {name: many(function) for name, function in (ours | theirs).items()}


def _label(layer, batch):
    shape, count = f"{layer.n_in}x{layer.n_out}", f"{layer.n_connections:,}"
    dtype = str(layer.weights.dtype)
    return {"layer": shape, "connections": count, "batch": str(batch), "dtype": dtype}


def _cells(result, work):
    cells = {}
    for name, peer in PEERS.items():
        ours, theirs = (2e-9 * work / result.median(who) for who in (name, peer))
        cells[name] = f"{ours:.1f} / {theirs:.1f} = {spread(result.ratios(peer, name))}"
    return cells


def _dense_rate(dtype, repeats):
    a, b = np.ones((1000, 1000), dtype), np.ones((1000, 128), dtype)
    result = interleave({"dense": many(lambda: a @ b)}, repeats)
    return 2e-9 * 1000 * 1000 * 128 / result.median("dense")
