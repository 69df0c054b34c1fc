"""How the values of nodes are distributed, for each class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import Interval, _fit_context, check_pandas_support
from sksparse_mlp.analysis._activity import NETWORK, grouped_data, nodes_frame
from sksparse_mlp.analysis._layers import Analyser
from sksparse_mlp.core import kernels
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.passes import passes

STAGES = ("pre", "post")
# No bin is wider than this part of the range of its node.
RESOLUTION = 1024


@dataclass
class Ends:
    """Smallest and largest value of each node of a layer, (n_nodes,) in float64."""

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def empty(cls, n_nodes: int) -> "Ends":
        return cls(np.full(n_nodes, np.inf), np.full(n_nodes, -np.inf))

    def widen(self, values: np.ndarray) -> None:
        """Include values of shape (n_nodes, n_samples)."""
        # NaN stays visible in both.
        np.minimum(self.low, values.min(axis=1), out=self.low)
        np.maximum(self.high, values.max(axis=1), out=self.high)

    def is_finite(self) -> bool:
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(self.high - self.low).all())

    def edges(self, n_bins: int) -> np.ndarray:
        """Edges of equal bins, (n_nodes, n_bins + 1)."""
        return np.linspace(self.low, self.high, n_bins + 1, axis=-1)


class Cells:
    """Counts of the values of a layer's nodes in cells that keep frequent values apart.

    Of zero (the end next to it, where all values are on one side of it), the smallest
    and the largest value, repetitions are counted exactly, each in a cell of its own.
    Between them are bins, those below zero of one width, those above of another.
    """

    def __init__(self, ends: Ends, n_classes: int, n_samples: int) -> None:
        low, high = ends.low, ends.high
        self.low, self.high = low, high
        self.middle = np.clip(0.0, low, high)
        width = np.where(low < high, high - low, 1.0)
        share_below = (self.middle - low) / width
        # With one bin more than RESOLUTION neither side has too few.
        self.n_below = np.ceil(RESOLUTION * share_below).astype(np.intp)
        # Counts of a node are at most the samples.
        dtype = np.result_type(np.uint32, np.min_scalar_type(n_samples))
        self.counts = np.zeros((low.size, n_classes, RESOLUTION + 4), dtype)

    def add(self, values: np.ndarray, codes: np.ndarray) -> None:
        """Count values of shape (n_nodes, n_samples)."""
        kernels.count_cells(
            values, codes, self.low, self.middle, self.high, self.n_below, self.counts
        )

    def quantiles(self, shares: np.ndarray) -> np.ndarray:
        """Quantiles of all nodes and classes, (n_shares, n_nodes, n_classes) in float64.

        Interpolates between the two values next to each quantile, as NumPy does; these
        are off by less than a cell's width, and exact in cells without width.
        """
        np.cumsum(self.counts, axis=-1, out=self.counts)
        places = np.multiply.outer(shares, self.counts[0, :, -1].astype(float) - 1)
        ranks = np.floor(places)  # (n_shares, n_classes)
        bounds = self._bounds()
        values = np.stack([self._values(rank, bounds) for rank in ranks])
        following = np.stack([self._values(rank, bounds) for rank in np.ceil(places)])
        steps = (places - ranks)[:, np.newaxis]
        quantiles: np.ndarray = values + steps * (following - values)
        return quantiles

    def _values(self, ranks: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """About the values of the given ranks, counted from 0, one rank per class.

        Needs the sums of the counts. Values are taken to lie evenly in their cells.
        """
        ranks = ranks.astype(self.counts.dtype)[:, np.newaxis]
        cells = np.argmax(self.counts > ranks, axis=-1, keepdims=True)
        ends = np.take_along_axis(self.counts, cells, -1)
        starts = np.take_along_axis(self.counts, np.maximum(cells - 1, 0), -1)
        starts[cells == 0] = 0
        shares = (ranks - starts + 0.5) / (ends - starts)
        left, right = (
            np.take_along_axis(bounds[:, np.newaxis], cells + k, -1) for k in (0, 1)
        )
        values: np.ndarray = left + shares * (right - left)
        return values[..., 0]

    def _bounds(self) -> np.ndarray:
        """Where cells begin and end, (n_nodes, n_cells + 1)."""
        below = self.n_below[:, np.newaxis]
        above = RESOLUTION + 1 - below
        low, middle, high = (
            end[:, np.newaxis] for end in (self.low, self.middle, self.high)
        )
        k = np.arange(self.counts.shape[2] + 1)
        # The cells of the ends and the middle have two bounds at the same place.
        steps_below = np.clip(k - 1, 0, below) / np.maximum(below, 1)
        steps_above = np.clip(k - below - 2, 0, above) / above
        bounds: np.ndarray = np.where(
            k <= below,
            low + steps_below * (middle - low),
            middle + steps_above * (high - middle),
        )
        bounds[:, -2:] = high
        return bounds


class ActivationDistributions(Analyser):
    """Medians, quantiles and histograms of nodes' values, for each class.

    The values of one node over the samples of one class are its activation distribution
    for that class, which the median summarises [1]_. "pre" is before, "post" after the
    activation; batch normalisation is before both.

    The samples pass twice, batch by batch: first for the range of each node, then for
    counts in its 1025 bins, from which quantiles follow. Memory is 4 * 1028 bytes per
    node, class and stage while fitting, whatever the number of samples, and 8 * n_bins
    bytes after it.

    Parameters
    ----------
    estimator : SparseMLPClassifier or SparseMLPRegressor
        Fitted; a `FrozenEstimator` around it is allowed.

    n_bins : int, default=32
        Number of bins of the histograms that are kept.

    quantiles : array-like of float, default=(0.05, 0.25, 0.5, 0.75, 0.95)
        Which quantiles, in [0, 1].

    Attributes
    ----------
    medians_ : dict of list of ndarray of shape (n_nodes, n_classes), dtype float64
        ``medians_[stage][k]`` are the medians in hidden layer k, from 0, with `stage`
        "pre" or "post". See `quantiles_` for how exact they are.
    quantiles_ : dict of list of ndarray of shape (n_quantiles, n_nodes, n_classes)
        Quantiles, of dtype float64, in the order of the parameter. They differ from
        ``numpy.quantile`` of the values by at most 1/1024 of the node's range over all
        classes. They are exact where the values next to the quantile are exactly zero,
        or are the node's smallest or largest value. So the median of a relu node that is
        off for most samples is 0.
    histograms_ : dict of list of ndarray of shape (n_nodes, n_classes, n_bins)
        Numbers of samples in equal bins, of dtype int64.
    bin_edges_ : dict of list of ndarray of shape (n_nodes, n_bins + 1), dtype float64
        Edges of these bins, from the smallest to the largest value of each node over all
        classes. A node without range has edges that are all the same, and all its
        samples in the first bin.
    classes_ : ndarray of shape (n_classes,)
        The estimator's classes. For a regressor, or with any number of labels per sample,
        the one group "all", to which all samples belong.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are strings.

    References
    ----------
    .. [1] Pretorius, *Activation functions in deep neural networks*, 2020, chapter 4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import ActivationDistributions
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=5).fit(X, y)
    >>> distributions = ActivationDistributions(clf, n_bins=8).fit(X, y)
    >>> distributions.medians_["post"][1].shape
    (10, 3)
    >>> distributions.histograms_["pre"][0].shape
    (20, 3, 8)
    """

    _parameter_constraints: dict[str, Any] = {
        "estimator": NETWORK,
        "n_bins": [Interval(Integral, 1, None, closed="left")],
        "quantiles": ["array-like"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        n_bins: int = 32,
        quantiles: Sequence[float] | np.ndarray = (0.05, 0.25, 0.5, 0.75, 0.95),
    ) -> None:
        self.estimator = estimator
        self.n_bins = n_bins
        self.quantiles = quantiles

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Find the distributions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples as the estimator takes them; they pass batch by batch.
        y : array-like of shape (n_samples,)
            Their labels, with every class of the estimator; not looked at where
            `classes_` is "all".

        Returns
        -------
        self : ActivationDistributions

        Raises
        ------
        ValueError
            If a quantile is not in [0, 1], the data do not suit the estimator, y has
            other labels than its classes, a class has no samples, or a value overflows.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        shares = self._shares()
        estimator = self._fitted()
        X, self.classes_, codes = grouped_data(self, X, y)
        network = estimator._fitted_network()
        ends = _ranges(network, X)
        cells, self.histograms_ = self._count(network, X, codes, ends)
        self.bin_edges_ = {
            stage: [layer.edges(self.n_bins) for layer in ends[stage]] for stage in STAGES
        }
        found = {
            stage: [layer.quantiles(shares) for layer in cells[stage]] for stage in STAGES
        }
        self.medians_ = {k: [layer[0] for layer in found[k]] for k in STAGES}
        self.quantiles_ = {k: [layer[1:] for layer in found[k]] for k in STAGES}
        return self

    def to_pandas(self) -> Any:
        """Make a data frame of `medians_`.

        Returns
        -------
        pandas.DataFrame
            One row per node, indexed by "layer" (from 1) and "node" (from 0), and one
            column per stage ("pre", "post") and class.

        Raises
        ------
        ImportError
            If pandas is not installed.
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        pandas = check_pandas_support("ActivationDistributions.to_pandas")
        pairs = zip(*(self.medians_[stage] for stage in STAGES), strict=True)
        columns = pandas.MultiIndex.from_product(
            [STAGES, self.classes_], names=["stage", "class"]
        )
        return nodes_frame(pandas, [np.hstack(pair) for pair in pairs], columns)

    def _shares(self) -> np.ndarray:
        """The median, and the quantiles that are asked for."""
        given: list[float] = list(self.quantiles)
        for share in given:
            if not (isinstance(share, Real) and 0 <= share <= 1):
                raise ValueError(
                    f"quantiles={self.quantiles!r} has {share!r}; every quantile must be a "
                    "number in [0, 1]."
                )
        return np.array([0.5, *given], dtype=float)

    def _count(
        self, network: Network, X: Any, codes: np.ndarray, ends: dict[str, list[Ends]]
    ) -> tuple[dict[str, list[Cells]], dict[str, list[np.ndarray]]]:
        """Cells and histograms by stage and layer."""
        n_classes = self.classes_.size
        cells = {
            stage: [Cells(layer, n_classes, codes.size) for layer in ends[stage]]
            for stage in STAGES
        }
        histograms = {
            stage: [
                np.zeros((layer.low.size, n_classes, self.n_bins), np.int64)
                for layer in ends[stage]
            ]
            for stage in STAGES
        }
        for start, stage, k, values in _layers(network, X):
            labels = codes[start : start + values.shape[1]]
            layer = ends[stage][k]
            cells[stage][k].add(values, labels)
            kernels.count_bins(values, labels, layer.low, layer.high, histograms[stage][k])
        return cells, histograms


def _layers(network: Network, X: Any) -> Iterator[tuple[int, str, int, np.ndarray]]:
    """(first sample, stage, hidden layer, values) of all batches; see `passes`."""
    for start, batch in passes(network, X):
        for k in range(len(network.hidden)):
            yield start, "pre", k, batch.z[k]
            yield start, "post", k, batch.a[k]


def _ranges(network: Network, X: Any) -> dict[str, list[Ends]]:
    """Ends of the values of all nodes by stage and layer."""
    ends = {
        stage: [Ends.empty(unit.n_neurons) for unit in network.hidden] for stage in STAGES
    }
    for _, stage, k, values in _layers(network, X):
        ends[stage][k].widen(values)
    for stage in STAGES:
        for k, layer in enumerate(ends[stage], 1):
            if not layer.is_finite():
                raise ValueError(
                    f"Values in hidden layer {k} ({stage!r}) are not finite or too far "
                    "apart: the data or the weights are too large. Scale the data as those "
                    "that the estimator was fitted with."
                )
    return ends
