"""What cross-fitted ensembles share: folds, search, members, linear models beside them."""

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import ParameterGrid
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import (
    BaseEstimator,
    CallbackSupportMixin,
    HasMethods,
    Interval,
    Options,
    StrOptions,
    _fit_context,
)
from sksparse_mlp.estimators._cross_fitting import Task, description
from sksparse_mlp.estimators._input import validated
from sksparse_mlp.estimators._judging import blend, within
from sksparse_mlp.estimators._members import Team
from sksparse_mlp.estimators._search import results, searched, winner_of
from sksparse_mlp.estimators._summary import Summarised
from sksparse_mlp.estimators._transaction import Transactional
from sksparse_mlp.serialization._ensembles import exported_ensemble, imported_ensemble


class BaseSparseMLPCV(Summarised, Transactional, CallbackSupportMixin, BaseEstimator):
    """What cross-fitted ensembles share, whatever their targets are.

    Parameters
    ----------
    param_grid : dict of str to sequence, or list of these, default=None
        Values of the network's parameters to choose among, as in
        :class:`~sklearn.model_selection.GridSearchCV`. None searches nothing.

    cv : int, cross-validation splitter or iterable, default=5
        The folds. A number shuffles the samples; where each has one label the folds are
        stratified. Splits may also overlap or leave samples out.

    scoring : str or callable, default=None
        What chooses configuration and epoch, by the predictions of the samples left out:
        None or "loss" takes the loss of the training, negated and without penalty; else
        a scorer's name, or a function of (estimator, X, y).

    linear : bool, default=True
        Whether a linear model of the same folds takes part in the predictions, as far as
        that is good for the score.

    n_iter_no_change : int or numpy.inf, default=10
        Epochs without a better score after which training stops ..

    min_updates : int, default=100
        .. if they are at least so many updates.

    refit : bool, default=False
        Whether to train one more network, on all samples for the epochs chosen, as
        `best_estimator_`: for deployment where several are too many.

    n_jobs : int or None, default=None
        Threads that train members side by side; None means 1 and -1 all cores. Within
        :func:`joblib.parallel_config` with another backend, such as "dask", these are
        its processes or workers. The result does not depend on any of that.

    random_state : int, RandomState instance or None, default=None
        Seeds folds and members; None leaves that to the network's own `random_state`.

    verbose : bool, default=False
        Whether to print a line per verdict.

    Attributes
    ----------
    linear_estimators_ : list or None
        The linear model of each fold; None without.
    network_share_ : float
        The part of the networks in the predictions, from 0 to 1; the rest is that of the
        linear models.
    best_params_ : dict
        The configuration chosen.
    best_index_ : int
        Its place in `cv_results_`.
    best_score_ : float
        Score of `oof_predictions_` by `scoring`; more is better.
    n_epochs_ : int
        The epoch chosen, counted from 1.
    best_estimator_ : object
        One network trained on everything; only with ``refit=True``.
    cv_results_ : dict of arrays
        As GridSearchCV's, one entry per configuration: ``params``, ``param_*``,
        ``mean_test_score`` (over all samples left out, at the configuration's best
        epoch; minus infinity if it had to leave while input neurons still left its
        networks, or diverged), ``rank_test_score``, ``n_epochs``, and beside these
        ``n_epochs_trained`` and ``network_share``.
    history_ : list of dict
        After each verdict on the configuration chosen: ``epoch`` (counted from 1),
        ``score`` and ``share``.
    density_ : float
        Share of the possible connections of all members together that exist.
    selection_frequencies_ : ndarray of shape (n_features_in_,)
        Share of the members that kept each feature; only with `n_features_to_select`.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are strings.

    Notes
    -----
    Each member trains without one fold and predicts it after every epoch. Every sample so
    has a prediction of a network that never saw it, and their score says how well the
    ensemble does as it trains. The epoch of the best score is taken for all members,
    which are averaged [1]_. Training ends when the score no longer improves.

    With a grid, all configurations train on one clock. At the rungs, the last of which is
    a quarter of the epochs and each a quarter of the next, the best quarter of the
    configurations goes on (successive halving [2]_), until one is left.

    References
    ----------
    .. [1] van der Laan, Polley and Hubbard, *Super learner*, Statistical Applications in
       Genetics and Molecular Biology 6, 2007.
    .. [2] Jamieson and Talwalkar, *Non-stochastic best arm identification and
       hyperparameter optimization*, AISTATS 2016.
    """

    estimators_: list[Any]
    linear_estimators_: list[Any] | None
    network_share_: float
    _parameter_constraints: dict[str, Any] = {
        "estimator": [None, HasMethods(["fit", "set_params"])],
        "param_grid": [None, dict, list],
        "cv": ["cv_object"],
        "scoring": [None, StrOptions({"loss", *get_scorer_names()}), callable],
        "linear": ["boolean"],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "min_updates": [Interval(Integral, 0, None, closed="left")],
        "refit": ["boolean"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Any = None,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Any] | None = None,
        *,
        cv: Any = 5,
        scoring: Any = None,
        linear: bool = True,
        n_iter_no_change: float = 10,
        min_updates: int = 100,
        refit: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.estimator = estimator
        self.param_grid = param_grid
        self.cv = cv
        self.scoring = scoring
        self.linear = linear
        self.n_iter_no_change = n_iter_no_change
        self.min_updates = min_updates
        self.refit = refit
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # What a subclass says of its targets.

    @abstractmethod
    def _default_estimator(self) -> Any:
        """The network that None stands for."""

    _network_class: type[Any]

    @abstractmethod
    def _splitter(self, n_folds: int, y: np.ndarray, seed: int) -> Any:
        """What makes so many folds of shuffled samples."""

    @abstractmethod
    def _check_part(self, y: np.ndarray, network: Any, k: int) -> None:
        """Refuse targets that member k cannot learn from."""

    @classmethod
    def _limits(cls, network: Any) -> np.ndarray | None:
        """Lowest and highest predictions of each of its outputs, None without limits."""
        return None

    @classmethod
    @abstractmethod
    def _linear_model(cls, network: Any) -> Any:
        """An unfitted linear model."""

    @classmethod
    def _fit_linear(cls, network: Any, X: Any, y: np.ndarray, weights: np.ndarray) -> Any:
        """A linear model of these samples."""
        return cls._linear_model(network).fit(X, y, sample_weight=weights)

    @classmethod
    @abstractmethod
    def _linear_arrays(cls, model: Any) -> tuple[np.ndarray, np.ndarray]:
        """What a linear model has learned.

        Coefficients of shape (n_outputs, n_features) and intercepts of shape
        (n_outputs,), which give what a network's last layer does.
        """

    @classmethod
    @abstractmethod
    def _linear_restored(cls, network: Any, coef: np.ndarray, intercept: np.ndarray) -> Any:
        """The linear model that has learned this."""

    @classmethod
    @abstractmethod
    def _linear_predictions(cls, model: Any, X: Any) -> np.ndarray:
        """The same of a linear model."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> Self:
        """Train the ensemble.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. float32 is computed in float32, anything else in float64.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, as the network takes them.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, in the training and in the scores. A sample of weight
            zero is left out of both.
        groups : array-like of shape (n_samples,), default=None
            Passed to the splitter.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, the grid, the folds or the data are unsuitable; the message
            names what to change. All of these are checked before training begins.
        """
        with self._transaction() as trainee:
            task = Task(trainee, X, y, sample_weight, groups)
            metadata = None if sample_weight is None else {"sample_weight": sample_weight}
            hook = {"estimator": self, "X": task.X, "y": task.y, "metadata": metadata}
            context = self._init_callback_context(max_subtasks=task.search.n_verdicts)
            context.call_on_fit_task_begin(**hook)
            with task.verdicts() as verdicts:
                for running in verdicts:
                    self._say(running)
                    step = context.subcontext(task_name="verdict")
                    step.call_on_fit_task_begin(**hook)
                    if step.call_on_fit_task_end(**hook):
                        break
            trainee._renew(attributes := task.attributes())
            context.call_on_fit_task_end(**hook, reconstruction_attributes=attributes)
        return self

    def _renew(self, attributes: dict[str, Any]) -> None:
        """Have these fitted attributes, and no others."""
        for name in [name for name in self.__dict__ if name.endswith("_")]:
            del self.__dict__[name]
        self.__dict__.update(attributes)

    def _say(self, running: list[Team]) -> None:
        if self.verbose:
            team = winner_of(running)
            print(
                f"Epoch {team.epoch}, {len(running)} configurations, best score = "
                f"{team.best.score:.6f} after epoch {team.best_epoch}"
            )

    def _network(self) -> Any:
        """An unfitted network with the parameters that all configurations share."""
        network: Any = self.estimator
        network = self._default_estimator() if network is None else clone(network)
        if not isinstance(network, self._network_class):
            raise ValueError(
                f"estimator must be a {self._network_class.__name__}, got {network!r}."
            )
        # What is left out validates, and every fit starts anew.
        return network.set_params(early_stopping=False, warm_start=False)

    def _configurations(self) -> list[dict[str, Any]]:
        """The parameters that each configuration sets."""
        if self.param_grid is None:
            return [{}]
        configurations = list(ParameterGrid(self.param_grid))
        known = self._network().get_params()
        unknown = sorted({name for c in configurations for name in c} - set(known))
        if unknown:
            raise ValueError(
                f"param_grid has {unknown}, which are no parameters of "
                f"{self._network_class.__name__}; allowed are {sorted(known)}."
            )
        return configurations

    def _networks(self) -> list[Any]:
        return self.estimators_

    @property
    def selection_frequencies_(self) -> np.ndarray:
        """Share of the members that kept each feature, of shape (n_features,).

        Only of networks with `n_features_to_select`; how far members that saw other samples
        agree says how much the choice is worth.
        """
        check_is_fitted(self)
        members = self.estimators_
        if not all(hasattr(network, "support_") for network in members):
            raise AttributeError(
                "There are selection_frequencies_ only of networks that select features: "
                "give an estimator with n_features_to_select."
            )
        frequencies: np.ndarray = np.mean([each.support_ for each in members], axis=0)
        return frequencies

    def member_predictions(self, X: Any) -> np.ndarray:
        """Predict by each member alone; their spread says how sure the ensemble is.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_members, n_samples) or (n_members, n_samples, n_outputs)
            Class probabilities, or targets; each member's network blended with the linear
            model of its fold, so that their mean is what the ensemble predicts.
        """
        fitted = self._published()
        shown = fitted.estimators_[0]._shown
        return np.stack([shown(p) for p in fitted._member_predictions(X)])

    def export_arrays(self) -> dict[str, np.ndarray]:
        """Put all that was fitted into plain NumPy arrays, to be kept without pickle.

        The format is that of ``docs/arrays.md``. Save the arrays, uncompressed, by
        ``np.savez(path, **clf.export_arrays())``. Callbacks, metadata requests and
        output configuration are not among them.

        Returns
        -------
        dict of str to ndarray
            They share no memory with the estimator.

        Raises
        ------
        ValueError
            If a parameter is neither made of numbers, strings, None, lists, tuples,
            dicts, arrays and random states, nor an instance of a class of this package,
            or if a weight is not finite. A splitter is such: set `cv` to a number first.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        from_arrays : The way back.
        """
        return exported_ensemble(self._published())

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray] | str | os.PathLike[str]) -> Self:
        """Make the fitted estimator that arrays or a file describe.

        Everything is checked before it is used; nothing is unpickled.

        Parameters
        ----------
        arrays : mapping of str to ndarray, str or path-like
            What `export_arrays` returned, or the path of an npz file of it. Give the path
            of a file from elsewhere, and not what ``np.load`` makes of it: the file's own
            structure is then checked too.

        Returns
        -------
        object of this class
            With the same parameters, fitted attributes and, to the last bit,
            predictions.

        Raises
        ------
        ValueError
            If the arrays or the file are damaged, do not make up a fitted estimator of
            this class, or are of a newer version of the format.
        FileNotFoundError
            If there is no such file.
        """
        return imported_ensemble(cls, arrays)

    def _description(self, network: Any) -> dict[str, Any]:
        """What a network knows of features and targets."""
        return description(network)

    def _restored_attributes(
        self,
        *,
        estimators: list[Any],
        linear: list[Any] | None,
        columns: dict[str, list[Any]],
        best: int,
        history: list[dict[str, Any]],
        oof_predictions: np.ndarray,
        oof_score: float,
    ) -> dict[str, Any]:
        """All that is fitted, of what was kept of it; columns are of `cv_results_`."""
        return {
            "target_range_": None,
            **description(estimators[0]),
            **searched(results(**columns), best),
            "estimators_": estimators,
            "linear_estimators_": linear,
            "history_": history,
            "oof_predictions_": oof_predictions,
            "oof_score_": oof_score,
        }

    def _member_predictions(self, X: Any) -> list[np.ndarray]:
        X = validated(self, X, reset=False)

        def own(network: Any) -> np.ndarray:
            predictions: np.ndarray = network._loss().predictions(network._outputs(X))
            return predictions

        def linear(model: Any) -> np.ndarray:
            return self._linear_predictions(model, X)

        dtype = self.estimators_[0]._fitted_network().dtype
        return [member.astype(dtype, copy=False) for member in self._members(own, linear)]

    def _members(
        self, own: Callable[[Any], Any], linear: Callable[[Any], Any]
    ) -> list[Any]:
        """What each member predicts, of what its network and its linear model do.

        These are arrays, or stand for them.
        """
        share, models = self.network_share_, self.linear_estimators_
        if models is None:
            return [own(network) for network in self.estimators_]
        return [
            blend(share, own(network), within(self._limits(network), linear(model)))
            for network, model in zip(self.estimators_, models, strict=True)
        ]

    def _mean_prediction(self, X: Any) -> np.ndarray:
        mean: np.ndarray = np.mean(self._member_predictions(X), axis=0)
        return mean
