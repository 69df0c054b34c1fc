"""scikit-learn's MLPClassifier, whose layers are full; it has no dropout."""

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.peers.tasks import MOMENTUM


class Program:
    # Its threads are those of the BLAS library, which the caller limits.
    def __init__(self, task, n_threads=1):
        self.classes = np.arange(task.sizes[-1])
        self.model = MLPClassifier(
            hidden_layer_sizes=task.sizes[1:-1],
            activation="relu",
            alpha=0.0,
            solver="sgd",
            momentum=MOMENTUM,
            nesterovs_momentum=False,
            learning_rate_init=task.learning_rate,
            batch_size=task.batch_size,
            random_state=0,
        )

    def train(self, X, y, n_epochs):
        # `fit` would warn that it did not converge.
        for _ in range(n_epochs):
            self.model.partial_fit(X, y, classes=self.classes)
        return self.model.loss_curve_[-n_epochs:]
