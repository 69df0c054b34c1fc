"""Networks that train side by side, each without a part of the samples."""

import math
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from sksparse_mlp.core.network import Network
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.training import Patience
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.estimators._judging import Verdict


class Member:
    """A network in training, and the samples that it does not see.

    Parameters
    ----------
    estimator : SparseMLPClassifier or SparseMLPRegressor
        Unfitted, with the attributes that describe features and targets.
    samples : Samples
        Of all of which the rows of the training are a part.
    train, left_out : ndarray of intp
        Rows to learn from and rows to predict.
    workers : Workers
    """

    def __init__(
        self,
        estimator: Any,
        samples: Samples,
        train: np.ndarray,
        left_out: np.ndarray,
        workers: Workers,
    ):
        self.estimator = estimator
        self.left_out = left_out
        self._X, self._workers = samples.X, workers
        run = estimator._prepare_fit(
            replace(samples, rows=train), continued=False, is_judged=True
        )
        self._n_rows, self._training = run.samples.rows.size, run.training
        # Training ends with what all members lose together, and not with this one's loss.
        self._training.patience = Patience(math.inf, 0)
        self._epochs = self._training.run(run.samples, None, workers, estimator.max_iter)
        self._kept: tuple[Network, int] = self._training.network, 0

    @property
    def n_epochs(self) -> int:
        """Most that it trains."""
        return int(self.estimator.max_iter)

    @property
    def updates_per_epoch(self) -> int:
        n_updates: int = math.ceil(self._n_rows / self._training.batch_size)
        return n_updates

    @property
    def finished(self) -> bool:
        """Whether the last epoch was trained, or training diverged."""
        finished: bool = self._training.finished
        return finished

    @property
    def is_selecting(self) -> bool:
        """Whether input neurons are still to leave in epochs to come."""
        return self._training.evolution.is_selecting and not self.finished

    def note(self, loss: float) -> None:
        """Take note of how good all members are with as many inputs as now."""
        if self._training.evolution.note(loss):
            self._training.best = self._training.network.copy()

    def advance(self, n_epochs: int) -> np.ndarray:
        """Train for up to so many epochs; return predictions for the rows left out."""
        for record in islice(self._epochs, n_epochs):
            self.estimator._record(record)
        network = self._training.network
        logits = network.logits(self._X, self.left_out, self._workers)
        predictions: np.ndarray = network.loss.predictions(logits)
        return predictions

    def keep(self) -> None:
        """Remember the network as it is."""
        # Where the last epoch is trained before the inputs are chosen, it chooses.
        self.note(-math.inf)
        self._kept = self._training.network.copy(), self.estimator.n_iter_

    def publish(self) -> Any:
        """The estimator, fitted to what was remembered last."""
        self._epochs.close()
        training, estimator = self._training, self.estimator
        training.network, estimator.n_iter_ = self._kept
        training.diverged = False
        estimator.history_ = estimator.history_[: estimator.n_iter_]
        estimator._take(training)
        return estimator


@dataclass
class Team:
    """The members of one configuration, on one clock of epochs.

    Attributes
    ----------
    parameters : dict
        Those that the configuration sets.
    members : list of Member
    epoch : int
        Epochs trained.
    curve : list of dict
        ``epoch``, ``score`` and ``share`` of each verdict.
    best : Verdict
    best_epoch : int
    latest : Verdict
    predictions : ndarray of shape (n_samples, n_outputs)
        What that verdict is about, the networks' alone.
    """

    parameters: dict[str, Any]
    members: list[Member]
    epoch: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    best: Verdict = field(default_factory=lambda: Verdict(-math.inf, -math.inf, 1.0))
    best_epoch: int = 0
    latest: Verdict = field(default_factory=lambda: Verdict(-math.inf, -math.inf, 1.0))
    predictions: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def updates_per_epoch(self) -> int:
        return min(member.updates_per_epoch for member in self.members)

    @property
    def finished(self) -> bool:
        """Whether its members are done; if one diverges, all are."""
        return any(member.finished for member in self.members)

    @property
    def is_selecting(self) -> bool:
        """Whether input neurons of its members are still to leave."""
        return any(member.is_selecting for member in self.members)

    @property
    def standing(self) -> Verdict:
        """What it is compared with others by: its best verdict, if there is one."""
        return self.best if self.best_epoch else self.latest

    def take(self, predictions: np.ndarray, verdict: Verdict, n_epochs: int) -> None:
        """Take note of predictions after so many more epochs and the verdict on them."""
        self.epoch += n_epochs
        self.curve.append(
            {"epoch": self.epoch, "score": verdict.score, "share": verdict.share}
        )
        self.latest = verdict
        if self.is_selecting:
            # Neither the best epoch nor a plateau is known while inputs leave.
            for member in self.members:
                member.note(-verdict.alone)
            return
        if (verdict.score, verdict.alone) > (self.best.score, self.best.alone):
            self.best, self.best_epoch = verdict, self.epoch
            self.predictions = predictions
            for member in self.members:
                member.keep()
