"""One fit of a cross-fitted ensemble, from what the user gave to what is fitted."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state

from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.estimators._ground import Ground, ground_for
from sksparse_mlp.estimators._judging import (
    Judge,
    LeftOut,
    LossJudge,
    ScorerJudge,
    blend,
    within,
)
from sksparse_mlp.estimators._members import Course, Lesson, Member, Team, advance
from sksparse_mlp.estimators._search import (
    Patience,
    Search,
    results_of,
    searched,
    winner_of,
)

# What a network knows of features and targets before it is trained.
DESCRIPTION = (
    *("n_features_in_", "feature_names_in_"),
    *("classes_", "multilabel_", "_target_shape"),
    *("target_mean_", "target_scale_", "target_range_"),
)
# On average, that weights can mean.
MOST_REPETITIONS = 10
Folds: TypeAlias = list[tuple[np.ndarray, np.ndarray]]


class Task:
    """One fit of an ensemble: checked data, folds, teams and the judge of these.

    Parameters are those of the fit, as the user gave them.
    """

    def __init__(self, ensemble: Any, X: Any, y: Any, sample_weight: Any, groups: Any):
        self._ensemble = ensemble
        self._network = network = ensemble._network()
        self._configurations = ensemble._configurations()
        self.X, self.y, self._weights = network._validate(X, y, sample_weight, reset=True)
        network._take_targets(self.y, self._weights, continued=False)
        self._samples = self._samples_of(network)
        state = ensemble.random_state
        random_state = check_random_state(network.random_state if state is None else state)
        limit = np.iinfo(np.int32).max
        self._folds = self._split(random_state.randint(limit), groups)
        # The same for all configurations, so that these differ by themselves alone.
        n_members = len(self._folds)
        self._seeds = random_state.randint(limit, size=n_members + 1).tolist()
        self._left_out = LeftOut(len(self.y), [test for _, test in self._folds])
        self._workers = Workers(1)
        self._course = Course()
        self._teams = [self._team(parameters) for parameters in self._configurations]
        counting = np.intersect1d(self._left_out.known, self._samples.rows)
        self._counting = counting
        self._judge = self._new_judge(None if sample_weight is None else self._weights)
        self._linear: list[Any] | None = None
        self._linear_oof = np.empty(0)
        self.search = self._new_search()

    def _new_search(self) -> Search:
        ensemble = self._ensemble
        return Search(
            self._teams,
            max(member.n_epochs for team in self._teams for member in team.members),
            self._left_out,
            self._judge,
            Patience(ensemble.n_iter_no_change, ensemble.min_updates),
        )

    @contextmanager
    def verdicts(self) -> Iterator[Iterator[list[Team]]]:
        """Train; gives the teams that still run after each verdict."""
        linear = self._linear_calls() if self._ensemble.linear else []
        with self._ground() as ground:
            if linear:
                self._fit_linear(ground, linear)
            with closing(self.search.run(ground)) as verdicts:
                yield verdicts

    def _ground(self) -> AbstractContextManager[Ground]:
        return ground_for(self._course, self._ensemble.n_jobs, self._workers)

    def attributes(self) -> dict[str, Any]:
        """All that is fitted."""
        winner = winner_of(self._teams)
        if winner.best.score == -np.inf:
            raise ValueError(
                "No epoch of any configuration gave finite scores: training diverged, or "
                f"scoring={self._ensemble.scoring!r} cannot judge these samples. Lower "
                "learning_rate_init, or scale the features (StandardScaler)."
            )
        return {
            "estimators_": [member.publish() for member in winner.members],
            **searched(results_of(self._teams), self._teams.index(winner)),
            "history_": winner.curve,
            "target_range_": None,
            **description(self._network),
            **self._blended(winner),
            **self._refitted(winner),
        }

    def _blended(self, winner: Team) -> dict[str, Any]:
        """The predictions of samples left out, and what they consist of."""
        predictions, share = winner.predictions, winner.best.share
        if share < 1:
            predictions = blend(share, predictions, self._linear_oof)
        predictions = predictions.astype(self.X.dtype, copy=False)
        rows = self._counting
        fitted = self._network._stand_in(predictions[rows])
        score = fitted.score(self.X[rows], self.y[rows], self._weights[rows])
        return {
            "linear_estimators_": self._linear if share < 1 else None,
            "oof_predictions_": self._network._shown(predictions),
            "oof_score_": score,
        }

    def _refitted(self, winner: Team) -> dict[str, Any]:
        if not self._ensemble.refit:
            return {}
        nothing = np.empty(0, np.intp)
        fold = self._samples.rows, nothing
        parameters, first = winner.parameters, winner.members[0].estimator
        if first.n_features_to_select == "auto":
            n_selected = int(np.count_nonzero(first.support_))
            parameters = parameters | {"n_features_to_select": n_selected}
        self._course = Course()
        member = self._member(parameters, fold, self._seeds[-1])
        with self._ground() as ground:
            advance(ground, [member], winner.best_epoch)
        member.keep()
        return {"best_estimator_": member.publish()}

    # --- samples and folds ------------------------------------------------------------

    def _samples_of(self, network: Any) -> Samples:
        samples: Samples = network._samples(self.X, self.y, self._weights.copy())
        return samples

    def _split(self, seed: int, groups: Any) -> Folds:
        """The rows that each member learns from, and those that it leaves out."""
        rows, cv = self._samples.rows, self._ensemble.cv
        if isinstance(cv, Integral):
            return self._numbered_folds(rows, int(cv), seed)
        y = self.y
        splitter = check_cv(cv, y, classifier=y.ndim == 1)
        folds = []
        for train, test in splitter.split(self.X, y, groups):
            train, test = (np.arange(len(y))[part] for part in (train, test))
            folds.append((np.intersect1d(train, rows), np.unique(test)))
        return self._checked(folds)

    def _numbered_folds(self, rows: np.ndarray, n_folds: int, seed: int) -> Folds:
        if not 2 <= n_folds <= rows.size:
            raise ValueError(
                f"cv={n_folds} folds need 2 or more of them and at least as many samples "
                f"with positive sample_weight, of which there are n_samples = {rows.size}. "
                "Change cv or give more samples."
            )
        # No member sees samples without weight, so that all of them predict these.
        others = np.setdiff1d(np.arange(len(self.y)), rows)
        splitter = self._ensemble._splitter(n_folds, self.y[rows], seed)
        with warnings.catch_warnings():
            # That a class has fewer samples than there are folds does no harm here.
            warnings.filterwarnings("ignore", "The least populated class")
            parts = list(splitter.split(rows, self.y[rows]))
        return self._checked(
            [(rows[a], np.concatenate([rows[b], others])) for a, b in parts]
        )

    def _checked(self, folds: Folds) -> Folds:
        for k, (train, test) in enumerate(folds):
            if not train.size or not test.size:
                raise ValueError(
                    f"Split {k} of cv={self._ensemble.cv!r} has {train.size} samples with "
                    f"positive sample_weight to train on and {test.size} to predict; both "
                    "parts need some."
                )
            if np.intersect1d(train, test).size:
                raise ValueError(
                    f"Split {k} of cv={self._ensemble.cv!r} predicts samples that it "
                    "trains on; give splits whose parts share nothing."
                )
            self._ensemble._check_part(self.y[train], self._network, k)
        if len(folds) < 2:
            raise ValueError(
                f"cv={self._ensemble.cv!r} makes {len(folds)} splits; give 2 or more."
            )
        return folds

    # --- members ----------------------------------------------------------------------

    def _team(self, parameters: dict[str, Any]) -> Team:
        pairs = zip(self._folds, self._seeds[:-1], strict=True)
        return Team(parameters, [self._member(parameters, *pair) for pair in pairs])

    def _member(
        self, parameters: dict[str, Any], fold: tuple[np.ndarray, np.ndarray], seed: int
    ) -> Member:
        network = clone(self._network).set_params(**parameters, random_state=seed)
        network._validate_params()
        if network.max_iter == 0:
            raise ValueError(
                "max_iter=0 leaves no epoch to choose among; give a max_iter of 1 or more, "
                "or fit a single network to have it untrained."
            )
        vars(network).update(description(self._network))
        # Class weights may be what is searched.
        samples = (
            self._samples_of(network) if "class_weight" in parameters else self._samples
        )
        train, left_out = fold
        lesson = Lesson(replace(samples, rows=train), left_out)
        return Member(network, lesson, self._course, self._workers)

    def _new_judge(self, sample_weight: np.ndarray | None) -> Judge:
        ensemble, samples, rows = self._ensemble, self._samples, self._counting
        if ensemble.scoring in (None, "loss"):
            return LossJudge(self._network._loss(), samples.y, samples.weights, rows)
        self._network._check_scorable(samples.y[rows], ensemble.scoring)
        stand_in = self._network._stand_in
        return ScorerJudge(ensemble.scoring, stand_in, self.X, self.y, sample_weight, rows)

    def _linear_calls(self) -> list[tuple[Any, ...]]:
        """The arguments of `linear_model` for each fold."""
        samples = replace(self._samples, weights=weights_of(self._samples))
        cls, add = type(self._ensemble), self._course.add
        return [
            (add(Lesson(replace(samples, rows=train), test)), cls, self._network)
            for train, test in self._folds
        ]

    def _fit_linear(self, ground: Ground, calls: list[tuple[Any, ...]]) -> None:
        """Fit the linear models of the folds, and let them be judged."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = ground.map(linear_model, calls)
        self._linear = [model for model, _ in fitted]
        self._linear_oof = self._left_out.together([part for _, part in fitted])
        self._judge.take_linear(self._linear_oof)


def linear_model(
    course: Course, number: int, ensemble: Any, network: Any
) -> tuple[Any, np.ndarray]:
    """The linear model that an ensemble's class fits, and its predictions."""
    lesson = course.lessons[number]
    samples, left_out = lesson.samples, lesson.left_out
    X, rows = samples.X, samples.rows
    # Routing lets weights through OneVsRestClassifier.
    with config_context(enable_metadata_routing=True):
        model = ensemble._fit_linear(
            network, X[rows], samples.y[rows], samples.weights[rows]
        )
    arrays = map(np.ascontiguousarray, ensemble._linear_arrays(model))
    model = ensemble._linear_restored(network, *arrays)
    predictions = ensemble._linear_predictions(model, X[left_out])
    return model, within(ensemble._limits(network), predictions)


def description(network: Any) -> dict[str, Any]:
    """What a network knows of features and targets before it is trained."""
    return {name: vars(network)[name] for name in DESCRIPTION if name in vars(network)}


def weights_of(samples: Samples) -> np.ndarray:
    """The weights of all samples as linear models take them.

    As numbers of repetitions if they can be such, else of mean 1: their scale changes
    nothing, although the penalty of a linear model stands beside a sum of losses.
    """
    weights = samples.weights.astype(np.float64)
    counts = samples.as_counts(MOST_REPETITIONS * samples.rows.size)
    if counts is not None:
        weights[samples.rows] = counts
    return weights
