"""This package, used as its users do: `fit`, with its topology as it began."""

import numpy as np

from benchmarks.peers.tasks import DROPOUT, MOMENTUM
from sksparse_mlp import SparseMLPClassifier


class Program:
    def __init__(self, task, n_threads=1):
        self.model = SparseMLPClassifier(
            hidden_layer_sizes=task.sizes[1:-1],
            epsilon=task.epsilon,
            activation="relu",
            dropout=DROPOUT,
            alpha=0.0,
            solver="sgd",
            momentum=MOMENTUM,
            nesterovs_momentum=False,
            learning_rate="constant",
            learning_rate_init=task.learning_rate,
            batch_size=task.batch_size,
            zeta=0.0,
            tol=0.0,
            n_iter_no_change=np.inf,
            n_jobs=n_threads,
            random_state=0,
        )

    def train(self, X, y, n_epochs):
        return self.model.set_params(max_iter=n_epochs).fit(X, y).loss_curve_
