"""What predictions of samples left out are worth, alone and with linear models'."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer

from sksparse_mlp.core.losses import Loss

# The parts that the networks may have in a prediction where they do not make all of it.
SHARES = tuple(k / 10 for k in range(10))


class LeftOut:
    """Puts the predictions that members make of the rows they left out together.

    Parameters
    ----------
    n_samples : int
    rows : list of ndarray of intp
        What each member leaves out; a row may be left out by none or by several.
    """

    def __init__(self, n_samples: int, rows: list[np.ndarray]):
        self.rows = rows
        self._counts = np.zeros(n_samples)
        for part in rows:
            self._counts[part] += 1

    @property
    def known(self) -> np.ndarray:
        """The rows that at least one member leaves out."""
        return np.flatnonzero(self._counts)

    def together(self, parts: list[np.ndarray]) -> np.ndarray:
        """The mean prediction of each row, NaN where there is none."""
        shape = self._counts.size, *parts[0].shape[1:]
        totals = np.zeros(shape, parts[0].dtype)
        for rows, part in zip(self.rows, parts, strict=True):
            totals[rows] += part
        with np.errstate(invalid="ignore"):
            counts = self._counts.astype(parts[0].dtype)
            means: np.ndarray = totals / counts.reshape(-1, *[1] * (totals.ndim - 1))
        return means


@dataclass(frozen=True, order=True)
class Verdict:
    """Of the predictions after some epoch; the greater the better.

    Attributes
    ----------
    score : float
        Minus infinity where predictions are not finite.
    alone : float
        Score of the networks without linear models, which decides between equal ones.
    share : float
        The part of the networks in the predictions; the rest are the linear models'.
    """

    score: float
    alone: float
    share: float


def blend(share: float, networks: Any, linear: Any) -> Any:
    """Predictions of which the networks have a part and linear models the rest."""
    return share * networks + (1 - share) * linear


def within(limits: np.ndarray | None, predictions: Any) -> Any:
    """Predictions, none of them beyond the limits of its output, if there are any."""
    if limits is None:
        return predictions
    return predictions.clip(*limits.astype(predictions.dtype))


class Judge(ABC):
    """Scores predictions, with as much of linear models' as is best for the score.

    Parameters
    ----------
    rows : ndarray of intp
        The samples that count.
    """

    def __init__(self, rows: np.ndarray):
        self._rows = rows
        self._linear: np.ndarray | None = None

    def take_linear(self, predictions: np.ndarray) -> None:
        """Let these predictions of linear models be blended in."""
        self._linear = self._seen(predictions)

    def __call__(self, predictions: np.ndarray) -> Verdict:
        """Judge the networks' predictions of all samples."""
        seen, linear = self._seen(predictions), self._linear
        if not np.isfinite(seen).all():
            return Verdict(-np.inf, -np.inf, 1.0)
        alone = self._score(seen)
        verdicts = [Verdict(alone, alone, 1.0)]
        if linear is not None:
            verdicts += [
                Verdict(self._score(blend(share, seen, linear)), alone, share)
                for share in SHARES
            ]
        return max(verdicts)

    @abstractmethod
    def _seen(self, predictions: np.ndarray) -> np.ndarray:
        """What the score depends on, which is linear in the predictions."""

    @abstractmethod
    def _score(self, seen: np.ndarray) -> float:
        """The score of this; more is better."""


class LossJudge(Judge):
    """Takes the mean loss, negated.

    Parameters
    ----------
    loss : class of :mod:`sksparse_mlp.core.losses`
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Targets as the loss takes them.
    weights : ndarray of shape (n_samples,)
    rows : ndarray of intp
        Those that count.
    """

    def __init__(self, loss: Loss, y: np.ndarray, weights: np.ndarray, rows: np.ndarray):
        super().__init__(rows)
        self._loss, self._y = loss, y[rows]
        self._shares = weights[rows] / weights[rows].sum(dtype=np.float64)

    def _seen(self, predictions: np.ndarray) -> np.ndarray:
        seen: np.ndarray = self._loss.seen_of(self._y, predictions[self._rows])
        return seen

    def _score(self, seen: np.ndarray) -> float:
        return -self._loss.unit * float(self._shares @ self._loss.losses_of(self._y, seen))


class ScorerJudge(Judge):
    """Takes the score of a scorer of scikit-learn, or of any function like these.

    Parameters
    ----------
    scoring : str or callable
        A scorer's name, or a function of (estimator, X, y), and of ``sample_weight``
        where there are weights.
    stand_in : callable
        Makes of predictions an estimator that has no others.
    X, y, sample_weight : array-like
        As fit got them.
    rows : ndarray of intp
        Those that count.
    """

    def __init__(
        self,
        scoring: str | Callable[..., float],
        stand_in: Callable[[np.ndarray], Any],
        X: Any,
        y: Any,
        sample_weight: np.ndarray | None,
        rows: np.ndarray,
    ):
        super().__init__(rows)
        self._scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
        self._stand_in = stand_in
        self._data = X[rows], y[rows]
        self._weights = {}
        if sample_weight is not None:
            self._weights["sample_weight"] = sample_weight[rows]

    def _seen(self, predictions: np.ndarray) -> np.ndarray:
        seen: np.ndarray = predictions[self._rows]
        return seen

    def _score(self, seen: np.ndarray) -> float:
        return float(self._scorer(self._stand_in(seen), *self._data, **self._weights))
