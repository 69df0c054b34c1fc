"""Networks that train side by side, each without a part of the samples."""

import math
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from sksparse_mlp.core.network import Network
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.training import Patience, Training
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.estimators._ground import Ground
from sksparse_mlp.estimators._judging import Verdict


@dataclass
class Lesson:
    """What a network learns from, and what it is asked as it does.

    Attributes
    ----------
    samples : Samples
    left_out : ndarray of intp
        Rows to predict, of the same data.
    """

    samples: Samples
    left_out: np.ndarray


@dataclass
class Course:
    """The lessons of all members: one object, so that what they share is sent once."""

    lessons: list[Lesson] = field(default_factory=list)

    def add(self, lesson: Lesson) -> int:
        """Have one more lesson; return its number."""
        self.lessons.append(lesson)
        return len(self.lessons) - 1


class Trainee:
    """A network in training, which may go on elsewhere after any stretch of epochs.

    Parameters
    ----------
    training : Training
    n_epochs : int
        Most that it trains.
    workers : Workers
    """

    def __init__(self, training: Training, n_epochs: int, workers: Workers):
        self.training = training
        self._n_left, self._workers = n_epochs, workers
        self._last: dict[str, Any] | None = None
        self._epochs: Generator[dict[str, Any], None, None] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Where it arrives, the epochs go on after the record of the last one.
        return vars(self) | {"_epochs": None}

    def advance(
        self, lesson: Lesson, n_epochs: int
    ) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Train for up to so many epochs.

        Return the record of the last epoch before, if there was one, as evolution then
        enters it, with those of the new ones; and predictions for the rows left out.
        """
        if self._epochs is None:
            self._epochs = self.training.run(
                lesson.samples, None, self._workers, self._n_left, self._last
            )
        before = [] if self._last is None else [self._last]
        records = before + list(islice(self._epochs, n_epochs))
        self._n_left -= len(records) - len(before)
        self._last = records[-1] if records else None
        network = self.training.network
        logits = network.logits(lesson.samples.X, lesson.left_out, self._workers)
        return records, network.loss.predictions(logits)

    def close(self) -> None:
        """Train no more."""
        if self._epochs is not None:
            self._epochs.close()


def advanced(
    course: Course, number: int, trainee: Trainee, n_epochs: int
) -> tuple[Trainee, list[dict[str, Any]], np.ndarray]:
    """The trainee after so many more epochs of its lesson, and what `advance` returns."""
    return trainee, *trainee.advance(course.lessons[number], n_epochs)


class Member:
    """A network of an ensemble, of which what trains may be elsewhere.

    Parameters
    ----------
    estimator : SparseMLPClassifier or SparseMLPRegressor
        Unfitted, with the attributes that describe features and targets.
    lesson : Lesson
    course : Course
        That the lesson becomes a part of.
    workers : Workers
    """

    def __init__(self, estimator: Any, lesson: Lesson, course: Course, workers: Workers):
        self.estimator = estimator
        run = estimator._prepare_fit(lesson.samples, continued=False, is_judged=True)
        self._n_rows = run.samples.rows.size
        # Some samples may have come to be repeated.
        self._number = course.add(replace(lesson, samples=run.samples))
        # Training ends with what all members lose together, and not with this one's loss.
        run.training.patience = Patience(math.inf, 0)
        self._trainee = Trainee(run.training, estimator.max_iter, workers)
        self._kept: tuple[Network, int] = run.training.network, 0

    @property
    def _training(self) -> Training:
        return self._trainee.training

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

    def call(self, n_epochs: int) -> tuple[int, Trainee, int]:
        """The arguments of `advanced` for so many epochs."""
        return self._number, self._trainee, n_epochs

    def take(self, trainee: Trainee, records: list[dict[str, Any]]) -> None:
        """Go on with what has advanced, and what it has to tell."""
        self._trainee, history = trainee, self.estimator.history_
        if history:
            history[-1], *records = records
        for record in records:
            self.estimator._record(record)

    def keep(self) -> None:
        """Remember the network as it is."""
        # Where the last epoch is trained before the inputs are chosen, it chooses.
        self.note(-math.inf)
        self._kept = self._training.network.copy(), self.estimator.n_iter_

    def publish(self) -> Any:
        """The estimator, fitted to what was remembered last."""
        self._trainee.close()
        training, estimator = self._training, self.estimator
        training.network, estimator.n_iter_ = self._kept
        training.diverged = False
        estimator.history_ = estimator.history_[: estimator.n_iter_]
        estimator._take(training)
        return estimator


def advance(ground: Ground, members: list[Member], n_epochs: int) -> list[np.ndarray]:
    """Train members for up to so many epochs; return their predictions."""
    with ground.unbroken():
        done = ground.map(advanced, (member.call(n_epochs) for member in members))
    for member, (trainee, records, _) in zip(members, done, strict=True):
        member.take(trainee, records)
    return [predictions for *_, predictions in done]


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
