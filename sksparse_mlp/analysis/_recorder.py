"""Analysis of the hidden layers after every epoch of a fit."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np

from sksparse_mlp._sklearn import check_pandas_support
from sksparse_mlp.analysis._layer_classifier import _check_combined
from sksparse_mlp.analysis._layers import check_single_labels, fitted, groups
from sksparse_mlp.analysis._measures import MEASURES, Observation
from sksparse_mlp.core.network import Network
from sksparse_mlp.estimators._input import validated
from sksparse_mlp.estimators._mlp import BaseSparseMLP


@dataclass
class _Fit:
    """A fit that is under way: its samples, and which nodes were dead before."""

    X: Any
    codes: np.ndarray
    results: list[dict[str, Any]]
    dead: list[np.ndarray] = field(default_factory=list)


class AnalysisRecorder:
    """Look at the hidden layers after every epoch: dead nodes, sparsity, accuracies.

    ``clf.set_callbacks(AnalysisRecorder(X_some, y_some)).fit(X, y)``. What is measured is
    that of these samples, which may be any that the network accepts; the classes of layers
    are learned from them and judged on them, as by
    ``LayerClassifier(clf, layer=k).fit(X_some, y_some).score(X_some, y_some)``. The network
    is as it was trained in this epoch, before connections move.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples. With a tenth as many as the network learns from, the default measures cost
        less than a fifth of the training; the other systems cost more than it
        (``docs/recorder.md``).
    y : array-like of shape (n_samples,)
        Their labels, with every class of the estimator. Not looked at where the estimator
        has no single label per sample.
    measures : sequence of str, default=("dead_nodes", "sparsity", "layer_accuracy")
        What to measure in each hidden layer:

        - "dead_nodes": nodes that are on for no sample; beside it "recovered_nodes", those
          that were dead in the record before and are on again;
        - "sparsity": mean share of samples for which nodes that are not dead are off;
        - "layer_accuracy", "layer_accuracy_continuous", "layer_accuracy_combined": share
          of the samples that the layer classifies rightly, by the systems "discrete",
          "continuous" and "combined" of a `LayerClassifier`;
        - "layer_agreement", "layer_agreement_continuous", "layer_agreement_combined":
          share of the samples for which it predicts what the network does.
    every : int, default=1
        Epochs from one record to the next, at least 1.

    Attributes
    ----------
    results_ : list of dict
        A record per epoch looked at: "epoch" as in `history_`, and for each measure a list
        of one number per hidden layer, from the first to the last; the sparsity of a layer
        whose nodes are all dead is NaN.

    Raises
    ------
    ValueError
        If `measures` or `every` are none of these. From `fit`, before it trains: if the
        samples have other features or classes than the training samples, a class has none,
        or an activation does not allow a measure ("combined" needs an output that is zero
        where a node is off); if accuracies are wanted and the targets are not one label
        per sample.
    TypeError
        From `fit`, if the estimator is none of this package's networks.

    See Also
    --------
    sksparse_mlp.analysis.NodeActivity : The same of a fitted network, node by node.
    sksparse_mlp.analysis.layer_accuracies : Accuracies on other samples, all systems.

    Notes
    -----
    Each fit begins `results_` anew. Clones, such as those of a search, share their
    callbacks: the results of the fit that began last are there, and those of fits in
    other processes are lost. The ensembles with cross-fitting train their members without
    callbacks. `partial_fit` takes no notice of callbacks either: call `record` after it,
    or with a member, which adds a record to `results_`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.callbacks import AnalysisRecorder
    >>> X, y = load_iris(return_X_y=True)
    >>> recorder = AnalysisRecorder(X, y, every=2)
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=6, random_state=0)
    >>> clf = clf.set_callbacks(recorder).fit(X, y)
    >>> [record["epoch"] for record in recorder.results_]
    [1, 3, 5]
    >>> len(recorder.results_[-1]["layer_accuracy"])
    2
    >>> recorder.to_pandas().columns.tolist()
    ['dead_nodes', 'recovered_nodes', 'sparsity', 'layer_accuracy']
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        *,
        measures: Sequence[str] = ("dead_nodes", "sparsity", "layer_accuracy"),
        every: int = 1,
    ):
        self.X = X
        self.y = y
        self.measures = _checked_measures(measures)
        self.every = _checked_every(every)
        self.results_: list[dict[str, Any]] = []
        self._dead: list[np.ndarray] = []
        self._fits: dict[Any, _Fit] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Fits belong to the process in which they run.
        return {**vars(self), "_fits": {}}

    @property
    def _systems(self) -> tuple[str, ...]:
        needed = (MEASURES[name].system for name in self.measures)
        return tuple(dict.fromkeys(system for system in needed if system))

    def setup(self, estimator: Any, context: Any) -> None:
        """Refuse what is no network."""
        if not isinstance(estimator, BaseSparseMLP):
            raise TypeError(
                "AnalysisRecorder is a callback of the networks of this package and not of "
                f"{type(estimator).__name__}; set it on the network inside, or call its "
                "record() with fitted networks."
            )

    def teardown(self, estimator: Any, context: Any) -> None:
        """Forget the fit."""
        self._fits.pop(estimator, None)

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Before training: see whether samples and measures suit the network."""
        if context.task_name != "fit":
            return
        trainee = estimator._trainee
        X, codes = self._samples(trainee, trainee._run.training.network)
        self.results_ = []
        self._fits[estimator] = _Fit(X, codes, self.results_)

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """After an epoch: look at the layers, if it is time."""
        trainee = estimator._trainee
        training = trainee._run.training
        # An epoch that diverged is undone.
        if context.task_name != "epoch" or training.diverged:
            return
        if trainee.n_iter_ % self.every == 0:
            fit = self._fits[estimator]
            self._add(fit, training.network, len(trainee.history_) - 1)

    def record(self, estimator: Any) -> None:
        """Add a record of a fitted network to `results_`.

        Parameters
        ----------
        estimator : SparseMLPClassifier or SparseMLPRegressor
            Fitted, by `fit` or `partial_fit`.

        Raises
        ------
        TypeError
            If it is none of this package's networks.
        ValueError
            As from `fit`.
        sklearn.exceptions.NotFittedError
            If it is not fitted.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sksparse_mlp import SparseMLPClassifier
        >>> from sksparse_mlp.callbacks import AnalysisRecorder
        >>> X, y = load_iris(return_X_y=True)
        >>> recorder, clf = AnalysisRecorder(X, y), SparseMLPClassifier()
        >>> for _ in range(3):
        ...     recorder.record(clf.partial_fit(X, y, classes=[0, 1, 2]))
        >>> [record["epoch"] for record in recorder.results_]
        [0, 1, 2]
        """
        estimator = fitted(estimator)
        network = estimator._fitted_network()
        fit = _Fit(*self._samples(estimator, network), self.results_, self._dead)
        self._add(fit, network, len(estimator.history_) - 1)

    def to_pandas(self) -> Any:
        """The records as a table.

        Returns
        -------
        pandas.DataFrame
            One row per record and hidden layer, indexed by "epoch" (from 0) and "layer"
            (from 1); one column per measure.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pd = check_pandas_support("AnalysisRecorder.to_pandas")
        names = self._columns()
        rows, index = [], []
        for record in self.results_:
            by_layer = zip(*(record[name] for name in names), strict=True)
            for layer, values in enumerate(by_layer, 1):
                rows.append(values)
                index.append((record["epoch"], layer))
        index = pd.MultiIndex.from_tuples(index, names=["epoch", "layer"])
        return pd.DataFrame(rows, index=index, columns=names)

    def _columns(self) -> list[str]:
        return [
            column
            for name in self.measures
            for column in (name, *["recovered_nodes"] * (name == "dead_nodes"))
        ]

    def _samples(self, estimator: Any, network: Network) -> tuple[Any, np.ndarray]:
        """Samples and class indices for the network, once they suit it."""
        with _about(f"measures={list(self.measures)}"):
            if self._systems:
                check_single_labels(estimator)
            if "combined" in self._systems:
                _check_combined(network, range(1, len(network.hidden) + 1))
        with _about("X, y"):
            X = validated(estimator, self.X, reset=False).astype(network.dtype, copy=False)
            return X, groups(estimator, X, self.y)[1]

    def _add(self, fit: _Fit, network: Network, epoch: int) -> None:
        seen = Observation(network, fit.X, fit.codes, self._systems)
        record: dict[str, Any] = {"epoch": epoch}
        for name in self.measures:
            record[name] = MEASURES[name].of(seen)
            if name == "dead_nodes":
                record["recovered_nodes"] = _n_recovered(fit.dead, seen.dead)
        fit.dead = self._dead = seen.dead
        fit.results.append(record)


@contextmanager
def _about(arguments: str) -> Iterator[None]:
    """Let errors say that they are about the recorder's arguments, and not `fit`'s."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"AnalysisRecorder({arguments}): {error}") from error


def _n_recovered(before: list[np.ndarray], now: list[np.ndarray]) -> list[int]:
    """Per layer, how many nodes were dead and are not; none in the first record."""
    if [dead.shape for dead in before] != [dead.shape for dead in now]:
        return [0] * len(now)
    return [int(np.sum(b & ~n)) for b, n in zip(before, now, strict=True)]


def _checked_measures(measures: Any) -> tuple[str, ...]:
    several = isinstance(measures, Iterable) and not isinstance(measures, str)
    names = tuple(map(str, measures)) if several else ()
    unknown = [name for name in names if name not in MEASURES]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            f"measures={measures!r} must be a sequence of different names from "
            f"{list(MEASURES)}."
        )
    return names


def _checked_every(every: Any) -> int:
    is_whole = isinstance(every, Integral) and not isinstance(every, bool)
    if not is_whole or every < 1:
        raise ValueError(f"every={every!r} must be a positive number of epochs.")
    return int(every)
