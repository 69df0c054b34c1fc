"""What prediction gains by skipping hidden outputs that are exactly zero.

``python -m benchmarks.sparse_outputs`` compares, in one process and on one thread,
predictions that never skip zeros, that always do and that choose by themselves, and the
two ways through a single layer. It writes ``benchmarks/literature/results``.
"""

import argparse
import json
from functools import partial
from itertools import product
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from benchmarks.peers.report import machine
from benchmarks.peers.timing import interleave, many, spread
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import CST, CReLU
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.network import aligned, padded

FOLDER = Path(__file__).parent / "literature" / "results"
N_FEATURES, HIDDEN, N_CLASSES = 784, (1000, 1000), 10
EPSILON = {"full": 1e9, "sparse": 20}
ZEROS = (0.7, 0.8, 0.9)
SHARES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
BATCHES = (1, 16, 256)
CHOICE = SparseLayer.prefers_skipping
WAYS = {"never": lambda *_: False, "always": lambda *_: True, "automatic": CHOICE}


def activations(zeros):
    """Thresholds that leave this share of outputs zero, at the edge of chaos."""
    yield CReLU(threshold=float(ndtri(zeros)))
    yield CST(threshold=float(ndtri((1 + zeros) / 2)))


def inputs(n_samples):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n_samples, N_FEATURES)).astype(np.float32)


def untrained(activation, layers):
    """A network as it is initialised: its only step is too small to change a weight."""
    model = SparseMLPClassifier(
        HIDDEN, activation, epsilon=EPSILON[layers], init="edge_of_chaos", zeta=0.0,
        solver="sgd", learning_rate_init=1e-30, max_iter=1, random_state=0,
    )  # fmt: skip
    return model.fit(inputs(2 * N_CLASSES), np.arange(2 * N_CLASSES) % N_CLASSES)


def share_of_zeros(model, X):
    a, zeros = X.T, []
    for coef, intercept in zip(model.coefs_[:-1], model.intercepts_, strict=False):
        a = coef.T @ a + intercept[:, np.newaxis]
        model.activation.forward(a, a, np.empty((0, 1), a.dtype), 0, a.shape[0])
        zeros.append(np.mean(a == 0))
    return float(np.mean(zeros))


def predicting(model, X, way):
    """A prediction whose layers skip zeros as ``way`` says."""

    def predict():
        with patch.object(SparseLayer, "prefers_skipping", WAYS[way]):
            return model.decision_function(X)

    return predict


def compare_predictions(model, X, repeats):
    """Ratios of times and the largest difference between results."""
    predictions = {way: predicting(model, X, way) for way in WAYS}
    outputs = {way: predict() for way, predict in predictions.items()}
    difference = np.abs(outputs["automatic"] - outputs["never"]).max()
    relative = float(difference / np.abs(outputs["never"]).max())
    comparison = interleave({w: many(p) for w, p in predictions.items()}, repeats)
    return comparison, relative


def prediction_rows(repeats):
    """Whole predictions by layers, activation, share of zeros and batch."""
    X = inputs(max(BATCHES))
    for layers in EPSILON:
        for zeros in ZEROS:
            for activation in activations(zeros):
                model = untrained(activation, layers)
                for batch in BATCHES:
                    comparison, difference = compare_predictions(model, X[:batch], repeats)
                    yield {
                        "layers": layers,
                        "activation": type(activation).__name__,
                        "zeros (%)": 100 * share_of_zeros(model, X[:batch]),
                        "batch": batch,
                        "never (ms)": 1e3 * comparison.median("never"),
                        "automatic (ms)": 1e3 * comparison.median("automatic"),
                        "never / automatic": spread(
                            comparison.ratios("never", "automatic")
                        ),
                        "always / automatic": spread(
                            comparison.ratios("always", "automatic")
                        ),
                        "difference": f"{difference:.0e}",
                    }


def layer_rows(repeats):
    """The two ways through one layer of 1000 x 1000 neurons, and which is chosen."""
    rng = np.random.default_rng(0)
    for layers, epsilon in EPSILON.items():
        layer = SparseLayer.random(1000, 1000, epsilon, rng, np.float32)
        layer.weights[:] = rng.standard_normal(layer.n_connections)
        skipping = layer.skipping_forward()
        for batch, zeros in product(BATCHES, SHARES):
            x = aligned((1000, padded(batch, np.float32)), np.float32)
            x[:] = rng.standard_normal(x.shape)
            x[rng.random(x.shape) < zeros] = 0
            z = np.empty_like(x)
            ways = {
                "plain": many(partial(layer.forward, x, z, 0, 1000)),
                "skipping": many(partial(skipping, x, z, 0, batch)),
            }
            comparison = interleave(ways, repeats)
            yield {
                "layers": layers,
                "batch": batch,
                "zeros (%)": 100 * zeros,
                "plain (us)": 1e6 * comparison.median("plain"),
                "plain / skipping": spread(comparison.ratios("plain", "skipping")),
                "chosen": "skipping" if layer.prefers_skipping(x, batch) else "plain",
            }


TEXT = """\
Networks 784-1000-1000-10 as initialised at the edge of chaos, on standard normal inputs,
float32, one thread; thresholds give the shares of exactly zero hidden outputs. Times are
medians of {repeats} interleaved repeats, ratios medians within a repeat (smallest-largest);
above 1 the automatic choice is the faster. A call of `decision_function` checks the input
and rebuilds the network from its public attributes, whichever way is taken. *Difference* is
the largest one between the outputs of the automatic choice and of never skipping, relative
to the largest output."""


def summary(calls):
    """What the automatic choice gains, and what it costs at worst."""
    frame = pd.DataFrame(calls)
    ratios = {
        way: frame[f"{way} / automatic"].str.split().str[0].astype(float)
        for way in ("never", "always")
    }
    gain = frame.assign(gain=ratios["never"]).groupby(["layers", "batch"])["gain"]
    worst = min(ratio.min() for ratio in ratios.values())
    return (
        f"The automatic choice takes at worst {1 / worst:.2f} times the time of the better "
        f"way (medians). Median speed-up against never skipping:\n\n"
        + markdown(gain.median().reset_index())
    )


def write(calls, layers, repeats):
    context = {"command": f"python -m benchmarks.sparse_outputs --repeats {repeats}"}
    context |= machine()
    content = {"context": context, "predictions": calls, "layers": layers}
    (FOLDER / "sparse_outputs.json").write_text(json.dumps(content, indent=1) + "\n")
    parts = [
        "# Predictions that skip outputs that are exactly zero",
        f"Made by `{context['command']}` ({context['CPU']}; {context['versions']}).",
        TEXT.format(repeats=repeats),
        "## Whole predictions",
        summary(calls),
        markdown(pd.DataFrame(calls)),
        "## One layer, and the way that is chosen for it",
        markdown(pd.DataFrame(layers)),
    ]
    (FOLDER / "sparse_outputs.md").write_text("\n\n".join(parts) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    with threadpool_limits(1):
        write(list(prediction_rows(repeats)), list(layer_rows(repeats)), repeats)


if __name__ == "__main__":
    main()
