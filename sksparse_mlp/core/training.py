"""The epoch loop: batches, optimizer steps, evolution, stopping; one record per epoch."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from sksparse_mlp.core import kernels
from sksparse_mlp.core.evolution import Evolution
from sksparse_mlp.core.learning_rates import LearningRate
from sksparse_mlp.core.network import Batch, Dropout, Network
from sksparse_mlp.core.optimizers import SGD, Adam, flush_limit
from sksparse_mlp.core.samples import Samples, gather
from sksparse_mlp.core.skips import Skips
from sksparse_mlp.core.workers import Workers


@dataclass
class Patience:
    """Notice when a quantity that should grow no longer does.

    As in scikit-learn: a plateau is reached when it failed to exceed its best value by
    ``tol`` in more than ``limit`` updates in a row.
    """

    limit: float
    tol: float
    best: float = -math.inf
    count: int = 0

    def update(self, value: float) -> bool:
        """Take a new value; return whether none before was better."""
        self.count = self.count + 1 if value < self.best + self.tol else 0
        is_best = value >= self.best
        self.best = max(self.best, value)
        return is_best

    def is_exhausted(self) -> bool:
        """Whether a plateau is reached; counting starts again if so."""
        exhausted = self.count > self.limit
        if exhausted:
            self.count = 0
        return exhausted


@dataclass
class Training:
    """A network in training, with all that continues from one call to the next.

    Attributes
    ----------
    network : Network
    optimizer, learning_rate : members of their families in this package
    evolution : Evolution
    alpha : float
        Strength of the L2 penalty.
    dropout : float
        Share of hidden outputs set to zero.
    batch_size, n_epochs : int
    shuffle : bool
    patience : Patience
    data_rng : numpy.random.Generator
        Stream for shuffling and dropout.
    records_train_score : bool
        Whether the records have the accuracy on the training samples.
    """

    network: Network
    optimizer: SGD | Adam
    learning_rate: LearningRate
    evolution: Evolution
    alpha: float
    dropout: float
    batch_size: int
    n_epochs: int
    shuffle: bool
    patience: Patience
    data_rng: np.random.Generator
    records_train_score: bool = False
    epoch: int = 0
    n_updates: int = 0
    n_seen: int = 0
    diverged: bool = False
    finished: bool = False
    _skips: Skips | None = None
    _last: Network | None = field(default=None, repr=False)

    def resume(self, previous: "Training") -> None:
        """Continue the optimizer, random streams and counters of another training."""
        if type(self.optimizer) is type(previous.optimizer):
            self.network.take_slots(previous.network)
            self._skips = previous._skips
        self.learning_rate.factor = previous.learning_rate.factor
        self.patience.best, self.patience.count = (
            previous.patience.best,
            previous.patience.count,
        )
        self.evolution.resume(previous.evolution)
        self.data_rng = previous.data_rng
        self.epoch, self.n_updates = previous.epoch, previous.n_updates
        self.n_seen = previous.n_seen

    def run(
        self, samples: Samples, validation: Samples | None, workers: Workers, n_epochs: int
    ) -> Iterator[dict]:
        """Train for up to ``n_epochs`` epochs and yield the record of each.

        Evolution between epochs happens when the next record is asked for, and is
        entered in the last one: a consumer that stops leaves the network as trained.

        When a loss or a weight is no longer finite, the network is set back to the end
        of the last epoch and ``diverged`` is set. With ``validation``, the network ends
        as it was at its best validation score.
        """
        best = None
        self.diverged = self.finished = False
        buffers = self.network.buffers(
            min(self.batch_size, samples.rows.size), training=True
        )
        self.evolution.attach(self.network)
        evolve = partial(self._evolve, samples, buffers, workers)
        self._last = self.network.copy()
        self.network.add_slots(self.optimizer.n_slots)
        try:
            for remaining in reversed(range(n_epochs)):
                self._begin_epoch(is_last=remaining == 0)
                record = self._train_epoch(samples, buffers, workers, evolve)
                if self.diverged:
                    self.network, self._skips = self._last, None
                    self.finished = True
                    return
                progress = self._judge(record, samples, validation, workers)
                # While inputs leave, neither the best network nor a plateau is known.
                settled = not self.evolution.is_selecting
                is_best = settled and self.patience.update(progress)
                self._last = self.network.copy()
                if is_best and validation is not None:
                    best = self._last
                plateau = self.patience.is_exhausted() and self.learning_rate.on_plateau()
                self.finished = plateau or remaining == 0
                yield record
                if self.finished:
                    return
                if self.evolution.every is None:
                    evolve(record)
        except KeyboardInterrupt:
            self.network = self._last
            raise
        finally:
            self._last = None
            if best is not None:
                self.network = best

    def _begin_epoch(self, *, is_last):
        """Set the epoch's zeta; have skips if they are wanted and evolution follows."""
        self.evolution.begin_epoch(self.epoch)
        growth, every = self.evolution.growth, self.evolution.every
        evolves = self.evolution.zeta > 0 and (every is not None or not is_last)
        if growth.signal != "skips" or not evolves:
            self._skips = None
        elif self._skips is None:
            self._skips = Skips(self.network, self.optimizer.n_slots)

    def _judge(self, record, samples, validation, workers):
        """Enter the scores in the record; return what training should raise."""
        if self.records_train_score:
            record["train_score"] = self._score(samples, workers)
        if validation is None:
            return -record["loss"]
        record["validation_score"] = self._score(validation, workers)
        return record["validation_score"]

    def _train_epoch(self, samples, buffers, workers, evolve):
        started = time.perf_counter()
        rate = self.learning_rate(self.epoch, self.n_epochs, self.n_seen)
        record = {"epoch": self.epoch, "loss": math.nan, "zeta": self.evolution.zeta}
        record |= {"n_pruned": 0, "n_grown": 0, "turnover": 0.0, "evolution_seconds": 0.0}
        rows = self.data_rng.permutation(samples.rows) if self.shuffle else samples.rows
        mean_weight = samples.mean_weight()
        loss = 0.0
        for first in range(0, rows.size, self.batch_size):
            if self.evolution.is_due(self.n_updates):
                evolve(record)
            chunk = rows[first : first + self.batch_size]
            batch = buffers if chunk.size == buffers.size else buffers.first(chunk.size)
            gather(samples.X, chunk, batch.x)
            scale = 1 / (chunk.size * mean_weight)
            loss += chunk.size * self._update(samples, chunk, batch, rate, scale, workers)
            if not math.isfinite(loss):
                break
        self.epoch += 1
        for unit in self.network.hidden:
            unit.end_epoch(self.optimizer, rate, self.epoch)
        self.diverged = not (math.isfinite(loss) and self._is_sound(batch, workers))
        self.n_seen += rows.size
        record["loss"] = loss / rows.size
        record |= {"learning_rate": rate, "slopes": self.network.slopes()}
        record |= {"n_connections": self.network.n_connections}
        record |= {"n_inputs": int(np.count_nonzero(self.network.layers[0].fan_out))}
        record["seconds"] = time.perf_counter() - started
        return record

    def _update(self, samples, rows, batch: Batch, rate, scale, workers) -> float:
        """One optimizer step; return the batch's mean loss before it."""
        network = self.network
        mask = self._draw_mask()
        network.forward(batch, workers, training=True, mask=mask)
        if self._skips is not None:
            self._skips.forward(batch, self.evolution.growth.skip_dropout, self.data_rng)
        tiny = flush_limit(network.dtype)
        total = network.loss.value_and_gradient(
            batch.z[-1], samples.y, samples.weights, rows, batch.dz[-1], tiny
        )
        if self.alpha > 0:
            squares = sum(kernels.sum_of_squares(layer.weights) for layer in network.layers)
            total += 0.5 * self.alpha * squares
        if not math.isfinite(total):
            return math.nan
        self.n_updates += 1

        def step(layer, x, dz):
            update = self.optimizer.step(
                layer, x, dz, rate, self.n_updates, self.alpha, scale
            )
            work = layer.n_connections * batch.size
            workers.run(update, layer.shares(workers.n_threads), work)

        network.backward(batch, workers, step, mask, self._skips)
        if self._skips is not None:
            factor = self.evolution.growth.learning_rate_factor
            self._skips.step(batch, self.optimizer, factor * rate, scale)
        for unit in network.hidden:
            unit.step(self.optimizer, rate, self.n_updates, scale)
        return total * scale

    def _is_sound(self, batch, workers):
        """Whether the weights are finite and give finite outputs."""
        if not self.network.is_finite():
            return False
        self.network.forward(batch, workers)
        return bool(np.isfinite(batch.z[-1]).all())

    def _draw_mask(self):
        """Dropout for one batch: a function of (depth, activations, start, stop)."""
        if self.dropout == 0:
            return None
        dropout = Dropout(self.dropout)
        keys = self.data_rng.integers(2**32, size=len(self.network.hidden)).tolist()
        return lambda depth, a, start, stop: dropout(a, keys[depth], start, stop)

    def _evolve(self, samples, buffers, workers, record):
        """Evolve the topology and enter the turnover in the record."""
        started = time.perf_counter()
        signal = self._signal(samples, buffers, workers)
        n_pruned, n_grown = self.evolution.evolve(self.network, signal)
        if self._skips is not None:
            self._skips = Skips(self.network, self.optimizer.n_slots)
        record["n_pruned"] += n_pruned
        record["n_grown"] += n_grown
        record["turnover"] += n_grown / self.network.n_connections
        record["evolution_seconds"] += time.perf_counter() - started

    def _signal(self, samples, buffers, workers):
        """What the growth rule wants to know, as a function of the layer's depth."""
        if self._skips is not None:
            return self._skips.strengths
        if self.evolution.growth.signal != "gradient" or self.evolution.zeta == 0:
            return lambda depth: None
        rows = self.evolution.rng.choice(samples.rows, buffers.size, replace=False)
        gather(samples.X, rows, buffers.x)
        # Copies of the hidden units spare the moving averages of their moments.
        hidden = [unit.copy() for unit in self.network.hidden]
        network = Network(self.network.layers, hidden, self.network.loss)
        network.forward(buffers, workers, training=True)
        network.loss.value_and_gradient(
            buffers.z[-1], samples.y, samples.weights, rows, buffers.dz[-1], 0.0
        )
        network.backward(buffers, workers)
        return lambda depth: (buffers.inputs(depth), buffers.dz[depth])

    def _score(self, validation, workers):
        logits = self.network.logits(validation.X, validation.rows, workers)
        return validation.accuracy(self.network.loss.predict(logits))
