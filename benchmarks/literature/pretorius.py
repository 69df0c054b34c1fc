"""Pretorius' protocol: what the tables of his chapters 3, 5 and 6 share."""

from contextlib import ExitStack
from unittest import mock

import numpy as np

from benchmarks.accuracy import TestAccuracy
from benchmarks.data import load
from benchmarks.literature.nodes import FULL, best_epoch
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.core.network import Network

KINDS = {
    "relu": {"activation": "relu"},
    "relu, batch norm": {"activation": "relu", "batch_norm": True},
    "logistic": {"activation": "logistic"},
    "logistic, batch norm": {"activation": "logistic", "batch_norm": True},
}
# The document's initial learning rates, of which the best on validation samples is taken.
RATES = (1e-2, 1e-3, 1e-4)
VALIDATION_SHARE = 0.1
N_TEST = 5_000


def samples(data: str, n_samples: int):
    """Training pixels and labels, and some of the test, from 0 to 1 in float32."""
    X_train, y_train, X_test, y_test = load(data)
    scale = np.float32(1 / 255)
    few = slice(n_samples), slice(N_TEST)
    return X_train[few[0]] * scale, y_train[few[0]], X_test[few[1]] * scale, y_test[few[1]]


def biases_in_the_first_layer(stack: ExitStack) -> None:
    """Let the biases of all layers but the first stay at zero.

    Adam does not move what has an infinite second moment.
    """
    add_slots = Network.add_slots

    def add_slots_that_hold(network, n_slots):
        add_slots(network, n_slots)
        for layer in network.layers[1:]:
            _, (_, second_moment_of_biases) = layer.slots
            second_moment_of_biases[:] = np.inf

    stack.enter_context(mock.patch.object(Network, "add_slots", add_slots_that_hold))


def network(hidden, kind, rate, seed, n_epochs, **more):
    """A network that keeps the weights of its best epoch on validation samples."""
    return SparseMLPClassifier(
        tuple(hidden),
        max_iter=n_epochs,
        n_iter_no_change=max(n_epochs, 1),
        early_stopping=True,
        validation_fraction=VALIDATION_SHARE,
        learning_rate_init=rate,
        random_state=seed,
        **FULL | kind | more,
    )


def fitted(model, X, y, first_biases=True, callbacks=()):
    """The model trained with biases in its first layer only, as in the document, or all."""
    with ExitStack() as stack:
        if first_biases:
            biases_in_the_first_layer(stack)
        return model.set_callbacks(*callbacks).fit(X, y)


def choose_rate(data, hidden, kind, n_samples, n_epochs):
    """The best validation accuracy with each rate, and the best rate."""
    X, y, *_ = samples(data, n_samples)
    scores = {}
    for rate in RATES:
        model = fitted(network(hidden, kind, rate, 0, n_epochs), X, y)
        scores[rate] = round(float(max(model.validation_scores_)), 5)
    return {"scores": list(scores.values()), "rate": max(scores, key=scores.get)}


def curves(data, hidden, kind, rate, seed, n_samples, n_epochs):
    """Test accuracy in % by epoch, and in the epoch that is best on validation samples."""
    X, y, X_test, y_test = samples(data, n_samples)
    accuracy = TestAccuracy(X_test, y_test)
    model = network(hidden, kind, rate, seed, n_epochs)
    fitted(model, X, y, callbacks=[accuracy])
    best = best_epoch(model.validation_scores_)
    return {
        "accuracy": [round(100 * score, 2) for score in accuracy.scores],
        "best": round(100 * accuracy.scores[best], 2),
    }


def rates(runs, cells, n_samples, n_epochs):
    """The chosen rate of each cell's data set, layers and kind; the middle one for now."""
    grid = {
        cell: [own | {"n_samples": n_samples, "n_epochs": n_epochs}]
        for cell, own in cells.items()
    }
    found = runs.cells(choose_rate, grid)
    return {cell: found[cell][0]["rate"] if cell in found else RATES[1] for cell in cells}


def protocol_deviations(runs, n_samples, n_epochs, n_seeds):
    """Let the report say what all these tables do otherwise than the document."""
    runs.deviates("validation samples", document=5_000, here=int(n_samples / 10))
    runs.deviates("test samples", document=10_000, here=N_TEST)
    n_samples = runs.reduced(
        "training and validation samples", document=60_000, here=n_samples
    )
    return (
        n_samples // 20 if runs.quick else n_samples,
        runs.epochs(runs.reduced("epochs", document=300, here=n_epochs)),
        range(runs.reduced("seeds", document=3, here=n_seeds)),
    )


PROTOCOL = """\
All connections, no evolution; He initialisation for relu, Xavier for logistic; Adam,
batches of 64, the learning rate multiplied by 0.99 after each epoch; the weights of the
best epoch on validation samples (a tenth of the samples) are kept; biases in the first
layer only; no dropout, no penalty; pixels from 0 to 1, float32."""
