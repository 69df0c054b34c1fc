"""Classification on a cluster."""

import math
from typing import Any, NamedTuple, Self

import numpy as np
from dask.base import is_dask_collection
from numpy.typing import DTypeLike
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import _fit_context, compute_class_weight
from sksparse_mlp.distributed._base import BaseDaskSparseMLP
from sksparse_mlp.distributed._partitions import Partitions
from sksparse_mlp.distributed._rounds import Rounds
from sksparse_mlp.estimators._classifier import SparseMLPClassifier
from sksparse_mlp.estimators._input import in_reach
from sksparse_mlp.serialization._arrays import plain_labels


class ClassTotals(NamedTuple):
    """Labels of a partition, and the sum of the sample weights of each."""

    classes: np.ndarray
    weights: np.ndarray


def class_totals(
    estimator: SparseMLPClassifier, y: np.ndarray, weights: np.ndarray
) -> ClassTotals | None:
    """Of single labels, with weights as parts of the largest."""
    if y.ndim > 1:
        return None
    classes, codes = np.unique(y, return_inverse=True)
    return ClassTotals(classes, np.bincount(codes, weights / weights.max()))


class DaskSparseMLPClassifier(ClassifierMixin, BaseDaskSparseMLP):
    """One sparse network, trained on a Dask cluster that holds the data.

    In every round each partition of the data trains a copy of the network where it is,
    and no partition leaves the workers. In its copy the topology evolves between the
    epochs of the round, so that copies come back with patterns of their own. The workers
    average them in pairs, weighted by the partitions' samples, on the union of the
    patterns; of that each layer keeps as many connections as it should have, those of the
    largest averaged weights (after Curci et al. [1]_, who do it once at the end). The
    network goes by the change of the average and by momentum over such changes (DiLoCo
    [2]_), its topology evolves, and the next round begins.

    Parameters
    ----------
    estimator : SparseMLPClassifier, default=None
        The network; it is cloned. None takes one with default parameters. Its `max_iter`
        is replaced by ``n_rounds * epochs_per_round``, over which its schedules of zeta
        and of the learning rate are planned. ``batch_size="auto"`` becomes its value over
        the number of partitions, but at least 8, so that the updates are as many as in
        one process, and `alpha` is divided by as much. Its callbacks are not called.

    n_rounds : int, default=20
        How often copies are sent out and averaged.

    epochs_per_round : int, default=1
        Epochs of each copy between two averages. More move fewer bytes and let the copies
        drift apart.

    outer_momentum : float, default=0.6
        Of Nesterov's momentum over the changes of the rounds, in [0, 1). Each partition
        makes only its share of the updates; the momentum carries on what they agree in.
        Zero averages plainly.

    optimizer_state : {"restarted", "averaged"}, default="restarted"
        Whether the optimizer's state (momentum, Adam's moments) starts from zero in every
        round or is averaged with the weights, which moves up to three times the bytes with
        "adam" and gains no accuracy that could be measured (``docs/distributed.md``).

    n_partitions : int, default=4
        Equal parts into which data in memory are cut. Dask collections keep theirs.

    client : distributed.Client, str or None, default=None
        The cluster, or the address of its scheduler. None takes the current client. Not
        pickled with the estimator, and shared by its clones.

    checkpoint : str, path-like or None, default=None
        File to which the state is written after every round. `fit` with the same
        parameters and data goes on from it, and ends as if it had never been
        interrupted. To start anew, delete the file and the one before it, which has
        ``.previous`` added to its name.

    random_state : int, RandomState instance or None, default=None
        Seeds the network; None leaves that to its own `random_state`.

    Attributes
    ----------
    estimator_ : SparseMLPClassifier
        The fitted network. Its `history_` has one record per epoch: means over the
        partitions of losses, scores and turnover, sums of connections removed and grown,
        and the seconds of the slowest partition.
    classes_ : ndarray of shape (n_classes,)
        The class labels, for an indicator matrix 0, 1, ..
    history_ : list of dict
        One per round: ``round``; ``epoch`` (its last one), with the mean ``loss``, the
        ``zeta`` and the ``learning_rate`` there; ``n_connections``; ``turnover``, the
        share of connections that the round before did not have; ``bytes_sent`` and
        ``bytes_received`` by the coordinator, and ``bytes_merged``, those of all networks
        that workers merged; ``train_seconds`` of the partition and ``merge_seconds`` of
        the chain of merges that took longest, ``coordinator_seconds`` of what is done
        here, and ``seconds`` in all.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are strings.

    Notes
    -----
    The result depends on `random_state` and on the partitions, and not on the number of
    workers, on which worker trains what, or on what ends first. A partition whose worker
    is lost is loaded and trained again on another one by Dask, with the same bits, if it
    can be computed again; data that were put on the workers by ``Client.scatter`` cannot.

    The cluster must hold the data; Dask lets workers write to disk what does not fit.
    Each partition should have many batches: with Dask, ``rechunk`` or ``repartition``
    make fewer, larger ones. Shuffle data that are sorted by class first. Partitions
    without samples are skipped, and a partition may lack classes.

    Growth by "liset" uses mean input strengths of all partitions between rounds, and
    "gradient" a batch of each partition in turn. Neurons leave (`n_features_to_select`,
    `pruning`) between rounds only. Early stopping, which needs a common validation set,
    is not available; `n_iter_no_change` and `tol` act on the mean loss after each round.

    References
    ----------
    .. [1] Curci, Mocanu and Pechenizkiy, *Truly sparse neural networks at scale*, 2021.
    .. [2] Douillard et al., *DiLoCo: Distributed low-communication training of
       language models*, 2023.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import load_digits
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.distributed import DaskSparseMLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y = da.from_array(X / 16, chunks=(600, 64)), da.from_array(y, chunks=600)
    >>> network = SparseMLPClassifier(batch_size=32, random_state=0)
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     clf = DaskSparseMLPClassifier(network, n_rounds=15).fit(X, y)
    ...     accuracy = clf.score(X, y)
    >>> accuracy > 0.95
    True
    >>> clf.estimator_.predict(X[:3].compute())
    array([0, 1, 2])
    """

    _network_class = SparseMLPClassifier
    _describe = staticmethod(class_totals)
    _parameter_constraints: dict[str, Any] = {
        "estimator": [None, SparseMLPClassifier],
        **BaseDaskSparseMLP._parameter_constraints,
    }

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, classes: Any = None
    ) -> Self:
        """Train the network on the cluster.

        Everything is checked before training starts: the cluster, the parameters, and on
        the workers every partition.

        Parameters
        ----------
        X : Dask array or dataframe, array-like or sparse matrix of shape \
                (n_samples, n_features)
            Training data. The blocks of an array may be CSR matrices. float32 is computed
            in float32, anything else in float64.
        y : Dask array, series or dataframe, or array-like, of shape (n_samples,) or \
                (n_samples, n_classes)
            Labels, or an indicator matrix of labels. In other partitions than X only where
            the sizes of both are known.
        sample_weight : Dask array or series, or array-like, of shape (n_samples,), \
                default=None
            Non-negative weights. A sample of weight zero is left out.
        classes : array-like of shape (n_classes,), default=None
            All labels, if some do not occur in the data; None takes those that do.

        Returns
        -------
        self : DaskSparseMLPClassifier

        Raises
        ------
        ValueError
            If a parameter or the data are unsuitable; the message names the partition.
            If `checkpoint` is the file of another fit, or damaged.
        ConnectionError
            If there is no cluster, or none with workers.
        ImportError
            If workers have not this version of the package.
        OSError
            If `checkpoint` cannot be written.
        """
        return self._fit(X, y, sample_weight, classes=classes)

    def _take_targets(
        self, estimator: Any, partitions: Partitions, **known: Any
    ) -> np.ndarray:
        shape = partitions.summaries[0].target_shape
        if shape:
            none = np.empty((0, *shape), np.int8)
            estimator._take_known_classes(none, None, known["classes"])
            # Refuses weights of classes, of which a sample may have several.
            estimator._weighted(none, np.empty(0))
            return partitions.weights()
        totals = _in_parts_of_the_largest(partitions)
        _check_same_kind(partitions.numbers, totals)
        labels = np.concatenate([total.classes for total in totals])
        found, codes = np.unique(labels, return_inverse=True)
        classes = found if known["classes"] is None else np.unique(known["classes"])
        if found.size < 2:
            raise ValueError(
                "DaskSparseMLPClassifier needs samples of at least 2 classes with positive "
                f"sample_weight; all partitions together have {found.tolist()}."
            )
        estimator._take_known_classes(found, totals, classes)
        if estimator.class_weight is None:
            return partitions.weights()
        sums = np.bincount(codes, np.concatenate([total.weights for total in totals]))
        weights = compute_class_weight(
            estimator.class_weight, classes=found, y=found, sample_weight=sums
        )
        # No partition knows how frequent classes are in the others.
        estimator.class_weight = dict(zip(found.tolist(), weights.tolist(), strict=True))
        weights = in_reach(weights)
        of_partitions = np.array(
            [
                total.weights @ weights[np.searchsorted(found, total.classes)]
                for total in totals
            ]
        )
        if not of_partitions.any():
            raise ValueError("No sample has any weight: class_weight is zero for all.")
        return of_partitions

    def _described(self, estimator: Any) -> dict[str, Any]:
        return {"classes": plain_labels(estimator.classes_, "classes_").tolist()}

    def _publish(self, rounds: Rounds) -> None:
        super()._publish(rounds)
        given = self.estimator
        self.estimator_.class_weight = None if given is None else given.class_weight
        self.classes_ = self.estimator_.classes_

    # --- prediction -------------------------------------------------------------------

    def predict_proba(self, X: Any) -> Any:
        """Predict class probabilities.

        Parameters
        ----------
        X : Dask array or dataframe, array-like or sparse matrix of shape \
                (n_samples, n_features)

        Returns
        -------
        ndarray or lazy Dask array of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._predicted("predict_proba", X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the share of right predictions, block by block for Dask collections.

        Parameters
        ----------
        X : Dask array or dataframe, array-like or sparse matrix of shape \
                (n_samples, n_features)
        y : Dask array, series or dataframe, or array-like, of shape (n_samples,) or \
                (n_samples, n_classes)
        sample_weight : Dask array or series, or array-like, of shape (n_samples,), \
                default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        if not is_dask_collection(X):
            accuracy: float = self.estimator_.score(X, y, sample_weight)
            return accuracy
        counts = self._block_wise(_n_right, X, y, sample_weight)
        right, total = (math.fsum(values) for values in zip(*counts, strict=True))
        return right / total

    def _kind_of(self, method: str) -> tuple[DTypeLike, tuple[int, ...]]:
        if method == "predict_proba":
            return self.estimator_.coefs_[0].dtype, self.classes_.shape
        if self.estimator_.multilabel_:
            return np.int64, self.classes_.shape
        return self.classes_.dtype, ()


def _in_parts_of_the_largest(partitions: Partitions) -> list[ClassTotals]:
    """Labels of the partitions, with weights as parts of the largest of all."""
    return [
        ClassTotals(summary.targets.classes, summary.targets.weights * scale)
        for summary, scale in zip(partitions.summaries, partitions.scales(), strict=True)
    ]


def _check_same_kind(numbers: list[int], totals: list[ClassTotals]) -> None:
    """Refuse labels that are strings in some partitions and numbers in others."""
    pairs = zip(numbers, totals, strict=True)
    texts = [
        number for number, total in pairs if isinstance(total.classes.tolist()[0], str)
    ]
    if texts and len(texts) < len(numbers):
        raise ValueError(
            f"Labels are strings in the partitions {texts} and numbers in the others."
        )


def _n_right(
    estimator: SparseMLPClassifier, X: Any, y: Any, sample_weight: Any
) -> tuple[float, float]:
    """Weights of the samples that are predicted rightly, and of all."""
    if X.shape[0] == 0:
        return 0.0, 0.0
    right = estimator.predict(X) == np.asarray(y)
    right = right.reshape(len(right), -1).all(axis=1)
    weights = np.ones(right.size) if sample_weight is None else np.asarray(sample_weight)
    return float(weights @ right), float(weights.sum())
