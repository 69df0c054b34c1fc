"""What the PyTorch programs share: the training loop and the network around the layers."""

import torch
from torch import nn

from benchmarks.peers.tasks import DROPOUT, MOMENTUM


class TorchProgram:
    """Trains ``network(task)``, which subclasses define."""

    def __init__(self, task, n_threads=1):
        torch.manual_seed(0)
        self.batch_size, self.n_threads = task.batch_size, n_threads
        self.model = self.network(task)
        # The fused step is the fastest of PyTorch's three.
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=task.learning_rate, momentum=MOMENTUM, fused=True
        )

    def train(self, X, y, n_epochs):
        X, y = torch.from_numpy(X), torch.from_numpy(y)
        torch.set_num_threads(self.n_threads)
        # Subnormal gradients would slow it down, as they would this package, which
        # flushes them itself. The setting belongs to the thread: others run in it too.
        torch.set_flush_denormal(True)
        try:
            return [self._epoch(X, y) for _ in range(n_epochs)]
        finally:
            torch.set_flush_denormal(False)

    def _epoch(self, X, y):
        batches = torch.randperm(len(X)).split(self.batch_size)
        return sum(self._update(X[rows], y[rows]) for rows in batches) / len(X)

    def _update(self, X, y):
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(X), y)
        loss.backward()
        self.optimizer.step()
        self.after_step()
        return loss.item() * len(X)

    def after_step(self):
        """What follows every optimizer step."""


def stacked(layers) -> nn.Sequential:
    """The layers with relu and dropout after each but the last."""
    modules = [layers[0]]
    for layer in layers[1:]:
        modules += [nn.ReLU(), nn.Dropout(DROPOUT), layer]
    return nn.Sequential(*modules)
