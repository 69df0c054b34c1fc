"""Regression on a cluster."""

import math
from typing import Any, NamedTuple, Self

import numpy as np
from dask.base import is_dask_collection
from numpy.typing import DTypeLike
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import _fit_context
from sksparse_mlp.distributed._base import BaseDaskSparseMLP
from sksparse_mlp.distributed._partitions import Partitions
from sksparse_mlp.estimators._regressor import SparseMLPRegressor

# Of each partition, for the scale of the targets.
N_OBSERVED = 10_000


class Observed(NamedTuple):
    """Some targets of a partition and their weights, and the range of all of them."""

    targets: np.ndarray
    weights: np.ndarray
    extremes: np.ndarray


def observed(estimator: SparseMLPRegressor, y: np.ndarray, weights: np.ndarray) -> Observed:
    """Targets at even distances, with weights as parts of the largest.

    Raises ValueError if the loss cannot take some of all targets.
    """
    columns = y.reshape(len(y), -1).astype(np.float64)
    estimator._member().check(columns)
    n_observed = min(len(y), N_OBSERVED)
    rows = np.arange(n_observed) * len(y) // n_observed
    # They stand for all of the partition.
    some = weights[rows] / weights.max() * (weights.sum() / weights[rows].sum())
    bounds = [bound.reduce(columns, axis=0) for bound in (np.fmin, np.fmax)]
    return Observed(y[rows], some, np.array(bounds))


class DaskSparseMLPRegressor(MultiOutputMixin, RegressorMixin, BaseDaskSparseMLP):
    """One sparse regression network, trained on a Dask cluster that holds the data.

    In rounds, as :class:`DaskSparseMLPClassifier`, whose parameters these are.

    Parameters
    ----------
    estimator : SparseMLPRegressor, default=None
        The network; it is cloned. None takes one with default parameters. What is
        replaced of it, and that its callbacks are not called, is as for the classifier.

    n_rounds : int, default=20
        How often copies are sent out and averaged.

    epochs_per_round : int, default=1
        Epochs of each copy between two averages.

    outer_momentum : float, default=0.6
        Of Nesterov's momentum over the changes of the rounds, in [0, 1). Zero averages
        plainly.

    optimizer_state : {"restarted", "averaged"}, default="restarted"
        Whether the optimizer's state starts from zero in every round or is averaged.

    n_partitions : int, default=4
        Equal parts into which data in memory are cut. Dask collections keep theirs.

    client : distributed.Client, str or None, default=None
        The cluster, or the address of its scheduler. None takes the current client.

    checkpoint : str, path-like or None, default=None
        File to which the state is written after every round, and from which `fit` goes on.

    random_state : int, RandomState instance or None, default=None
        Seeds the network; None leaves that to its own `random_state`.

    Attributes
    ----------
    estimator_ : SparseMLPRegressor
        The fitted network.
    history_ : list of dict
        One per round, as the classifier's.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are strings.

    See Also
    --------
    DaskSparseMLPClassifier : What is said there of partitions and faults holds here.

    Notes
    -----
    The scale of the targets is that of up to 10,000 targets of each partition, at even
    distances; their range is that of all.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import make_regression
    >>> from sksparse_mlp import SparseMLPRegressor
    >>> from sksparse_mlp.distributed import DaskSparseMLPRegressor
    >>> X, y = make_regression(1200, 20, n_informative=5, random_state=0)
    >>> X, y = da.from_array(X, chunks=(400, 20)), da.from_array(y, chunks=400)
    >>> network = SparseMLPRegressor(batch_size=32, random_state=0)
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     reg = DaskSparseMLPRegressor(network, n_rounds=15).fit(X, y)
    ...     r2 = reg.score(X, y)
    >>> r2 > 0.9
    True
    """

    _network_class = SparseMLPRegressor
    _describe = staticmethod(observed)
    _parameter_constraints: dict[str, Any] = {
        "estimator": [None, SparseMLPRegressor],
        **BaseDaskSparseMLP._parameter_constraints,
    }

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network on the cluster.

        Everything is checked before training starts: the cluster, the parameters, and on
        the workers every partition.

        Parameters
        ----------
        X : Dask array or dataframe, array-like or sparse matrix of shape \
                (n_samples, n_features)
            Training data. The blocks of an array may be CSR matrices.
        y : Dask array, series or dataframe, or array-like, of shape (n_samples,) or \
                (n_samples, n_outputs)
            Targets. In other partitions than X only where the sizes of both are known.
        sample_weight : Dask array or series, or array-like, of shape (n_samples,), \
                default=None
            Non-negative weights. A sample of weight zero is left out.

        Returns
        -------
        self : DaskSparseMLPRegressor

        Raises
        ------
        ValueError, ConnectionError, ImportError, OSError
            As :meth:`DaskSparseMLPClassifier.fit`.
        """
        return self._fit(X, y, sample_weight)

    def _take_targets(
        self, estimator: Any, partitions: Partitions, **known: Any
    ) -> np.ndarray:
        parts = [summary.targets for summary in partitions.summaries]
        pairs = zip(parts, partitions.scales(), strict=True)
        weights = np.concatenate([part.weights * scale for part, scale in pairs])
        targets = np.concatenate([part.targets for part in parts])
        estimator._take_targets(targets, weights, continued=False)
        lowest = np.fmin.reduce([part.extremes[0] for part in parts])
        highest = np.fmax.reduce([part.extremes[1] for part in parts])
        estimator.target_range_ = np.array([lowest, highest])
        return partitions.weights()

    # --- prediction -------------------------------------------------------------------

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute R2, the mean over the targets, block by block for Dask collections.

        Parameters
        ----------
        X : Dask array or dataframe, array-like or sparse matrix of shape \
                (n_samples, n_features)
        y : Dask array, series or dataframe, or array-like, of shape (n_samples,) or \
                (n_samples, n_outputs)
        sample_weight : Dask array or series, or array-like, of shape (n_samples,), \
                default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        if not is_dask_collection(X):
            r2: float = self.estimator_.score(X, y, sample_weight)
            return r2
        sums = np.array(self._block_wise(_sums, X, y, sample_weight))
        weights, targets, squares, residuals = sums.sum(axis=0)
        if not weights.all():
            return math.nan
        spreads = squares - targets**2 / weights
        constant = spreads <= np.finfo(np.float64).eps * squares
        scores = 1 - residuals / np.where(constant, 1, spreads)
        return float(np.where(constant, residuals == 0, scores).mean())

    def _kind_of(self, method: str) -> tuple[DTypeLike, tuple[int, ...]]:
        return self.estimator_.coefs_[0].dtype, self.estimator_._target_shape


def _sums(estimator: SparseMLPRegressor, X: Any, y: Any, sample_weight: Any) -> np.ndarray:
    """Per target: of weights, targets less their centre, their squares, and residuals'."""
    y = np.asarray(y, dtype=np.float64).reshape(X.shape[0], -1)
    if X.shape[0] == 0:
        return np.zeros((4, estimator.n_outputs_))
    residuals = y - estimator.predict(X).reshape(y.shape)
    known = ~np.isnan(y)
    weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
    weights = weights[:, np.newaxis] * known
    # Centred, so that the spread is no difference of large numbers.
    y = np.where(known, y - estimator.target_mean_, 0)
    terms = (
        weights,
        weights * y,
        weights * y**2,
        weights * np.where(known, residuals, 0) ** 2,
    )
    return np.array([term.sum(axis=0) for term in terms])
