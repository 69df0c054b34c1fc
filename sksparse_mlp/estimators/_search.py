"""The clock on which configurations train until the better ones are left.

Successive halving (Jamieson and Talwalkar, *Non-stochastic best arm identification and
hyperparameter optimization*, AISTATS 2016) on predictions of samples left out: they are
at hand after every epoch, so that a configuration that leaves has cost no more than the
epochs it was given.
"""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sksparse_mlp.estimators._ground import Ground
from sksparse_mlp.estimators._judging import LeftOut, Verdict
from sksparse_mlp.estimators._members import Team, advance

# At each rung the best one in so many goes on, for as many times the epochs.
FACTOR = 4
# Updates between two verdicts, at least.
UPDATES_PER_VERDICT = 10
# Updates that a team makes before it can leave, if it has so many epochs.
UPDATES_PER_RUNG = 30


@dataclass(frozen=True)
class Patience:
    """When a team no longer gets better.

    Attributes
    ----------
    n_epochs : float
        It may go so many epochs without a better score ..
    n_updates : int
        .. and must go so many updates.
    """

    n_epochs: float
    n_updates: int

    def is_exhausted(self, team: Team) -> bool:
        if team.is_selecting:
            return False
        n_epochs = team.epoch - team.best_epoch
        n_updates = n_epochs * team.updates_per_epoch
        return n_epochs > self.n_epochs and n_updates >= self.n_updates


class Search:
    """Trains teams side by side, and lets those go that are behind.

    Parameters
    ----------
    teams : list of Team
        Not trained yet.
    n_epochs : int
        Most that any has.
    left_out : LeftOut
    judge : callable
        Gives the verdict on predictions of all samples left out.
    patience : Patience
    """

    def __init__(
        self,
        teams: list[Team],
        n_epochs: int,
        left_out: LeftOut,
        judge: Callable[[np.ndarray], Verdict],
        patience: Patience,
    ):
        self._running = list(teams)
        self._left_out = left_out
        self._judge, self._patience = judge, patience
        slowest = min(team.updates_per_epoch for team in teams)
        self._tick = math.ceil(UPDATES_PER_VERDICT / slowest)
        first = math.ceil(UPDATES_PER_RUNG / slowest)
        self._n_epochs, self._rungs = n_epochs, rungs(len(teams), n_epochs, first)

    @property
    def n_verdicts(self) -> int:
        """Most that there can be on a team."""
        return math.ceil(self._n_epochs / self._tick)

    def run(self, ground: Ground) -> Generator[list[Team], None, None]:
        """Train; yield those that still run after every verdict.

        Who leaves ends as it was after its best verdict.
        """
        epoch = 0
        while self._running:
            n_epochs = min(self._tick, self._n_epochs - epoch)
            self._advance(n_epochs, ground)
            epoch += n_epochs
            yield list(self._running)
            self._dismiss(epoch)

    def _advance(self, n_epochs: int, ground: Ground) -> None:
        members = [member for team in self._running for member in team.members]
        predictions = iter(advance(ground, members, n_epochs))
        for team in self._running:
            parts = [next(predictions) for _ in team.members]
            together = self._left_out.together(parts)
            team.take(together, self._judge(together), n_epochs)

    def _dismiss(self, epoch: int) -> None:
        """Let those go that are done, or behind as a rung is reached."""
        going_on = [team for team in self._running if not self._is_done(team)]
        while self._rungs and epoch >= self._rungs[0]:
            self._rungs.pop(0)
            n_best = math.ceil(len(going_on) / FACTOR)
            going_on = sorted(going_on, key=lambda team: team.standing, reverse=True)[
                :n_best
            ]
        self._running = [team for team in self._running if team in going_on]

    def _is_done(self, team: Team) -> bool:
        return team.finished or self._patience.is_exhausted(team)


def rungs(n_teams: int, n_epochs: int, first: int) -> list[int]:
    """Epochs after which teams leave until one is left, none before ``first``."""
    n_rungs = math.ceil(math.log(n_teams, FACTOR) - 1e-9)
    return [
        min(max(n_epochs // FACTOR ** (n_rungs - k), first), n_epochs)
        for k in range(n_rungs)
    ]


def winner_of(teams: list[Team]) -> Team:
    """The team of the best verdict, the first of equally good ones."""
    return max(teams, key=lambda team: team.best)


def results_of(teams: list[Team]) -> dict[str, Any]:
    """What GridSearchCV has in ``cv_results_``, as far as it has a meaning here."""
    return results(
        params=[team.parameters for team in teams],
        mean_test_score=[team.best.score for team in teams],
        n_epochs=[team.best_epoch or team.epoch for team in teams],
        n_epochs_trained=[team.epoch for team in teams],
        network_share=[team.best.share for team in teams],
    )


def results(
    params: list[dict[str, Any]],
    mean_test_score: list[float],
    n_epochs: list[int],
    n_epochs_trained: list[int],
    network_share: list[float],
) -> dict[str, Any]:
    """The same of lists with a value for each configuration."""
    scores = np.array(mean_test_score)
    columns = {}
    for name in dict.fromkeys(name for each in params for name in each):
        values = np.ma.MaskedArray(np.empty(len(params), object), mask=True)
        for k, each in enumerate(params):
            if name in each:
                values[k] = each[name]
        columns[f"param_{name}"] = values
    return {
        **columns,
        "params": params,
        "mean_test_score": scores,
        "rank_test_score": 1 + (scores > scores[:, np.newaxis]).sum(axis=1),
        "n_epochs": np.array(n_epochs),
        "n_epochs_trained": np.array(n_epochs_trained),
        "network_share": np.array(network_share),
    }


def searched(results: dict[str, Any], best: int) -> dict[str, Any]:
    """The attributes that follow from the results and the place of the best in them."""
    return {
        "cv_results_": results,
        "best_index_": best,
        "best_params_": results["params"][best],
        "best_score_": float(results["mean_test_score"][best]),
        "n_epochs_": int(results["n_epochs"][best]),
        "network_share_": float(results["network_share"][best]),
    }
