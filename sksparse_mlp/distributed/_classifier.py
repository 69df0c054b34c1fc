"""The estimator that trains one network on the partitions of a cluster."""

import copy
import math
import warnings
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import dask.array as da
import distributed
import numpy as np
from dask.base import compute, is_dask_collection
from dask.delayed import Delayed, delayed
from sklearn.base import ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import (
    BaseEstimator,
    Interval,
    StrOptions,
    _fit_context,
    compute_class_weight,
)
from sksparse_mlp.callbacks import check_writable, checked_place
from sksparse_mlp.distributed._checkpoint import RoundsFile
from sksparse_mlp.distributed._cluster import (
    check_workers,
    connected,
    large_graphs_allowed,
)
from sksparse_mlp.distributed._partitions import (
    Partitions,
    Summary,
    blocks,
    loaded,
    rows_of,
    split,
)
from sksparse_mlp.distributed._rounds import Rounds
from sksparse_mlp.estimators._classifier import SparseMLPClassifier
from sksparse_mlp.serialization._arrays import plain_labels


class DaskSparseMLPClassifier(ClassifierMixin, BaseEstimator):
    """One sparse network, trained on a Dask cluster that holds the data.

    In every round each partition of the data trains a copy of the network where it is,
    and no partition leaves the workers. In its copy the topology evolves between the
    epochs of the round, so that copies come back with patterns of their own. They are
    averaged, weighted by the partitions' samples, on the union of the patterns; of that
    each layer keeps as many connections as it should have, those of the largest averaged
    weights (after Curci et al. [1]_, who do it once at the end). Then the topology of the
    average evolves, and the next round begins.

    Parameters
    ----------
    estimator : SparseMLPClassifier, default=None
        The network; it is cloned. None takes one with default parameters. Its `max_iter`
        is replaced by ``n_rounds * epochs_per_round``, over which its schedules of zeta
        and of the learning rate are planned. Its callbacks are not called.

    n_rounds : int, default=20
        How often copies are sent out and averaged.

    epochs_per_round : int, default=1
        Epochs of each copy between two averages. More move fewer bytes and let the copies
        drift apart.

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
        The class labels.
    history_ : list of dict
        One per round: ``round``; ``epoch`` (its last one), with the mean ``loss``, the
        ``zeta`` and the ``learning_rate`` there; ``n_connections``; ``turnover``, the
        share of connections that the round before did not have; ``bytes_sent`` to
        workers and ``bytes_received`` from them; ``train_seconds`` of the partition that
        took longest, ``merge_seconds`` and ``seconds`` in all.
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

    _parameter_constraints: dict[str, Any] = {
        "estimator": [None, SparseMLPClassifier],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "epochs_per_round": [Interval(Integral, 1, None, closed="left")],
        "optimizer_state": [StrOptions({"averaged", "restarted"})],
        "n_partitions": [Interval(Integral, 1, None, closed="left")],
        "client": "no_validation",
        "checkpoint": "no_validation",
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_rounds: int = 20,
        epochs_per_round: int = 1,
        optimizer_state: str = "restarted",
        n_partitions: int = 4,
        client: Any = None,
        checkpoint: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_rounds = n_rounds
        self.epochs_per_round = epochs_per_round
        self.optimizer_state = optimizer_state
        self.n_partitions = n_partitions
        self.client = client
        self.checkpoint = checkpoint
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "client": None}

    def __sklearn_clone__(self) -> Self:
        # A client can be neither copied nor pickled.
        without = copy.copy(self)
        twin: Self = super(DaskSparseMLPClassifier, without).__sklearn_clone__()
        twin.set_params(client=self.client)
        return twin

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
        y : Dask array or series, or array-like, of shape (n_samples,)
            Labels. In other partitions than X only where the sizes of both are known.
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
        with connected(self.client) as client:
            check_workers(client)
            estimator = self._network()
            parts = split(X, y, sample_weight, self.n_partitions)
            with_digest = self.checkpoint is not None
            partitions = loaded(client, estimator, parts, with_digest=with_digest)
            _take_features(estimator, partitions.summaries[0])
            partitions, shares = self._weigh(estimator, partitions, classes)
            rounds = self._rounds(client, estimator, partitions, shares)
            self._run(rounds, self._file(estimator, partitions))
        self._publish(rounds)
        return self

    def _network(self) -> SparseMLPClassifier:
        """The network to train, with its parameters as they are for all rounds."""
        given = SparseMLPClassifier() if self.estimator is None else self.estimator
        estimator: SparseMLPClassifier = clone(given)
        estimator.set_params(max_iter=self.n_rounds * self.epochs_per_round)
        if self.random_state is not None:
            seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
            estimator.set_params(random_state=seed)
        estimator._validate_params()
        if estimator.early_stopping:
            raise ValueError(
                "early_stopping=True is not available on a cluster, where no validation "
                "set is common to all partitions. Set early_stopping=False; "
                "n_iter_no_change and tol act on the mean loss."
            )
        if self.checkpoint is not None:
            check_writable(checked_place(Path(self.checkpoint).absolute()))
        return estimator

    def _weigh(
        self, estimator: SparseMLPClassifier, partitions: Partitions, classes: Any
    ) -> tuple[Partitions, list[float]]:
        """Set the network's classes and their weights; return partitions and shares."""
        found, totals = partitions.class_totals()
        known = found if classes is None else np.unique(classes)
        if found.size < 2:
            raise ValueError(
                "DaskSparseMLPClassifier needs samples of at least 2 classes with positive "
                f"sample_weight; all partitions together have {found.tolist()}."
            )
        estimator._take_known_classes(found, totals, known)
        if estimator.class_weight is None:
            return partitions.shares(np.ones(found.size))
        weights = compute_class_weight(
            estimator.class_weight, classes=found, y=found, sample_weight=totals
        )
        # No partition knows how frequent classes are in the others.
        estimator.class_weight = dict(zip(found.tolist(), weights.tolist(), strict=True))
        return partitions.shares(weights)

    def _rounds(
        self,
        client: distributed.Client,
        estimator: SparseMLPClassifier,
        partitions: Partitions,
        shares: list[float],
    ) -> Rounds:
        training = estimator._new_training(
            partitions.dtype, continued=False, n_samples=partitions.n_samples
        )
        training.evolution.attach(training.network)
        return Rounds(
            client,
            estimator,
            training,
            partitions,
            shares,
            epochs_per_round=self.epochs_per_round,
            averages_state=self.optimizer_state == "averaged",
        )

    def _file(
        self, estimator: SparseMLPClassifier, partitions: Partitions
    ) -> RoundsFile | None:
        """The checkpoint of this fit, None if none is wanted."""
        if self.checkpoint is None:
            return None
        described = {
            "n_rounds": int(self.n_rounds),
            "epochs_per_round": int(self.epochs_per_round),
            "optimizer_state": self.optimizer_state,
            "classes": plain_labels(estimator.classes_, "classes_").tolist(),
            "partitions": partitions.digests(),
        }
        return RoundsFile(self.checkpoint, estimator, described)

    def _run(self, rounds: Rounds, file: RoundsFile | None) -> None:
        if file is not None:
            file.resume(rounds)
        while not rounds.training.finished:
            rounds.train_one()
            if file is not None:
                file.write(rounds)

    def _publish(self, rounds: Rounds) -> None:
        """Set the fitted attributes; warn if training had to stop."""
        fitted = rounds.as_it_is()
        given = self.estimator
        fitted.class_weight = None if given is None else given.class_weight
        self.estimator_, self.history_ = fitted, rounds.history
        self.classes_ = fitted.classes_
        self.n_features_in_ = fitted.n_features_in_
        self.__dict__.pop("feature_names_in_", None)
        if hasattr(fitted, "feature_names_in_"):
            self.feature_names_in_ = fitted.feature_names_in_
        if rounds.training.diverged:
            warnings.warn(
                f"Training stopped after {len(self.history_)} rounds: on some partition "
                "the loss or a weight is no longer finite; the network is as that round "
                f"began. Lower learning_rate_init (now {fitted.learning_rate_init}), scale "
                "the features, or use solver='adam'.",
                ConvergenceWarning,
                stacklevel=3,
            )

    # --- prediction -------------------------------------------------------------------

    def predict(self, X: Any) -> Any:
        """Predict labels.

        Parameters
        ----------
        X : Dask array or dataframe, array-like or sparse matrix of shape \
                (n_samples, n_features)

        Returns
        -------
        ndarray or lazy Dask array of shape (n_samples,)
        """
        return self._predicted("predict", X, ())

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
        check_is_fitted(self)
        return self._predicted("predict_proba", X, self.classes_.shape)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the share of right predictions, block by block for Dask collections.

        Parameters
        ----------
        X : Dask array or dataframe, array-like or sparse matrix of shape \
                (n_samples, n_features)
        y : Dask array or series, or array-like, of shape (n_samples,)
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
        count = delayed(_n_right, pure=False)
        fitted = delayed(self.estimator_, pure=False)
        parts = split(X, y, sample_weight, 1)
        counts = self._computed([count(fitted, *part) for part in parts])
        right, total = (math.fsum(values) for values in zip(*counts, strict=True))
        return right / total

    def _computed(self, lazy: list[Delayed]) -> Any:
        """Values of delayed objects, computed by the given client or as Dask is set."""
        with large_graphs_allowed():
            if self.client is None:
                return compute(*lazy)
            with connected(self.client) as client:
                return client.gather(client.compute(lazy))

    def _predicted(self, method: str, X: Any, columns: tuple[int, ...]) -> Any:
        """What a method of the network returns, block by block for Dask collections."""
        check_is_fitted(self)
        if not is_dask_collection(X):
            return getattr(self.estimator_, method)(X)
        known = rows_of(X)
        sizes = known or [math.nan] * X.npartitions
        dtype = self.classes_.dtype if not columns else self.estimator_.coefs_[0].dtype
        predict = delayed(_block_of_predictions, pure=False)
        fitted = delayed(self.estimator_, pure=False)
        lazy = [
            da.from_delayed(
                predict(fitted, method, block, columns), (size, *columns), dtype
            )
            for block, size in zip(blocks(X, "X"), sizes, strict=True)
        ]
        return da.concatenate(lazy, allow_unknown_chunksizes=True)


def _take_features(estimator: SparseMLPClassifier, summary: Summary) -> None:
    estimator.n_features_in_ = summary.n_features
    if summary.feature_names is not None:
        estimator.feature_names_in_ = np.array(summary.feature_names, dtype=object)


def _block_of_predictions(
    estimator: SparseMLPClassifier, method: str, X: Any, columns: tuple[int, ...]
) -> np.ndarray:
    if X.shape[0] == 0:
        dtype = estimator.coefs_[0].dtype if columns else estimator.classes_.dtype
        return np.empty((0, *columns), dtype)
    predictions: np.ndarray = getattr(estimator, method)(X)
    return predictions


def _n_right(
    estimator: SparseMLPClassifier, X: Any, y: Any, sample_weight: Any
) -> tuple[float, float]:
    """Weights of the samples that are predicted rightly, and of all."""
    if X.shape[0] == 0:
        return 0.0, 0.0
    right = estimator.predict(X) == np.asarray(y)
    weights = np.ones(right.size) if sample_weight is None else np.asarray(sample_weight)
    return float(weights @ right), float(weights.sum())
