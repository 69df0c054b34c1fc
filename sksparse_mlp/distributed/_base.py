"""What the estimators that train on a cluster share."""

import copy
import math
import warnings
from abc import ABCMeta, abstractmethod
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self

import dask.array as da
import distributed
import numpy as np
from dask.base import compute, is_dask_collection
from dask.delayed import Delayed, delayed
from numpy.typing import DTypeLike
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import BaseEstimator, Interval, StrOptions
from sksparse_mlp.callbacks import check_writable, checked_place
from sksparse_mlp.distributed._checkpoint import RoundsFile
from sksparse_mlp.distributed._cluster import (
    check_workers,
    connected,
    large_graphs_allowed,
)
from sksparse_mlp.distributed._partitions import (
    Partitions,
    blocks,
    loaded,
    rows_of,
    split,
)
from sksparse_mlp.distributed._rounds import Rounds
from sksparse_mlp.estimators._mlp import BaseSparseMLP

# Smaller ones fill no vector.
SMALLEST_BATCH = 8


class BaseDaskSparseMLP(BaseEstimator, metaclass=ABCMeta):
    """One sparse network in rounds on a cluster, whatever its targets are."""

    _network_class: ClassVar[type[BaseSparseMLP]]
    _describe: Any
    _parameter_constraints: dict[str, Any] = {
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "epochs_per_round": [Interval(Integral, 1, None, closed="left")],
        "outer_momentum": [Interval(Real, 0, 1, closed="left")],
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
        outer_momentum: float = 0.6,
        optimizer_state: str = "restarted",
        n_partitions: int = 4,
        client: Any = None,
        checkpoint: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_rounds = n_rounds
        self.epochs_per_round = epochs_per_round
        self.outer_momentum = outer_momentum
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
        twin: Self = super(BaseDaskSparseMLP, without).__sklearn_clone__()
        twin.set_params(client=self.client)
        return twin

    @abstractmethod
    def _take_targets(
        self, estimator: BaseSparseMLP, partitions: Partitions, **known: Any
    ) -> np.ndarray:
        """Tell the network what its targets are; return the weights of the partitions."""

    @abstractmethod
    def _kind_of(self, method: str) -> tuple[DTypeLike, tuple[int, ...]]:
        """Dtype of what a method of the network returns, and its shape per sample."""

    # --- training ---------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, **known: Any) -> Self:
        with connected(self.client) as client:
            n_workers = check_workers(client)
            estimator = self._network()
            parts = split(X, y, sample_weight, self.n_partitions)
            with_digest = self.checkpoint is not None
            partitions = loaded(
                client, estimator, self._describe, parts, with_digest=with_digest
            )
            first = partitions.summaries[0]
            estimator.n_features_in_ = first.n_features
            if first.feature_names is not None:
                estimator.feature_names_in_ = np.array(first.feature_names, dtype=object)
            weights = self._take_targets(estimator, partitions, **known)
            partitions, shares = partitions.of_weight(weights)
            self._adapt(estimator, partitions, n_workers)
            rounds = self._rounds(client, estimator, partitions, shares)
            self._run(rounds, self._file(estimator, partitions))
        self._publish(rounds)
        return self

    def _network(self) -> BaseSparseMLP:
        """The network to train, with its parameters as they are for all rounds."""
        given = self._network_class() if self.estimator is None else self.estimator
        estimator: BaseSparseMLP = clone(given)
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
        if estimator.n_features_to_select == "auto":
            raise ValueError(
                "n_features_to_select='auto' is not available on a cluster, where no "
                "validation set is common to all partitions. Give a number of features."
            )
        if self.checkpoint is not None:
            check_writable(checked_place(Path(self.checkpoint).absolute()))
        return estimator

    def _adapt(self, estimator: Any, partitions: Partitions, n_workers: int) -> None:
        """Set the batch size that was left to us; say what makes the partitions unwise."""
        n_partitions = len(partitions.numbers)
        if estimator.batch_size == "auto":
            whole = estimator._batch_size()
            size = max(round(whole / n_partitions), SMALLEST_BATCH)
            # The penalty is one per batch: as many updates more have as much less of it.
            alpha = estimator.alpha * size / whole
            estimator.set_params(batch_size=size, alpha=alpha)
        if n_partitions < n_workers:
            warnings.warn(
                f"{n_partitions} partitions leave {n_workers - n_partitions} of the "
                f"{n_workers} workers idle. Make more partitions, by rechunk or "
                "repartition, or by n_partitions for data in memory.",
                stacklevel=4,
            )
        smallest = min(summary.n_samples for summary in partitions.summaries)
        if smallest < estimator.batch_size:
            warnings.warn(
                f"The smallest partition has {smallest} samples and batch_size is "
                f"{estimator.batch_size}: there a round has one update per epoch. Make "
                "fewer partitions, or lower batch_size.",
                stacklevel=4,
            )

    def _rounds(
        self,
        client: distributed.Client,
        estimator: BaseSparseMLP,
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
            outer_momentum=self.outer_momentum,
        )

    def _file(self, estimator: BaseSparseMLP, partitions: Partitions) -> RoundsFile | None:
        """The checkpoint of this fit, None if none is wanted."""
        if self.checkpoint is None:
            return None
        described = {
            "n_rounds": int(self.n_rounds),
            "epochs_per_round": int(self.epochs_per_round),
            "outer_momentum": float(self.outer_momentum),
            "optimizer_state": self.optimizer_state,
            "partitions": partitions.digests(),
        }
        return RoundsFile(
            self.checkpoint, estimator, described | self._described(estimator)
        )

    def _described(self, estimator: BaseSparseMLP) -> dict[str, Any]:
        """What else makes a fit what it is."""
        return {}

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
        self.estimator_, self.history_ = fitted, rounds.history
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
                stacklevel=4,
            )

    # --- prediction -------------------------------------------------------------------

    def predict(self, X: Any) -> Any:
        """Predict targets.

        Parameters
        ----------
        X : Dask array or dataframe, array-like or sparse matrix of shape \
                (n_samples, n_features)

        Returns
        -------
        ndarray or lazy Dask array of shape (n_samples,) or (n_samples, n_outputs)
        """
        return self._predicted("predict", X)

    def _predicted(self, method: str, X: Any) -> Any:
        """What a method of the network returns, block by block for Dask collections."""
        check_is_fitted(self)
        if not is_dask_collection(X):
            return getattr(self.estimator_, method)(X)
        known = rows_of(X)
        sizes = known or [math.nan] * X.npartitions
        dtype, shape = self._kind_of(method)
        predict = delayed(_block_of_predictions, pure=False)
        fitted = delayed(self.estimator_, pure=False)
        lazy = [
            da.from_delayed(
                predict(fitted, method, block, dtype, shape), (size, *shape), dtype
            )
            for block, size in zip(blocks(X, "X"), sizes, strict=True)
        ]
        return da.concatenate(lazy, allow_unknown_chunksizes=True)

    def _block_wise(self, function: Any, X: Any, y: Any, sample_weight: Any) -> list[Any]:
        """What a function of the network returns for each partition."""
        lazily = delayed(function, pure=False)
        fitted = delayed(self.estimator_, pure=False)
        parts = split(X, y, sample_weight, 1)
        return list(self._computed([lazily(fitted, *part) for part in parts]))

    def _computed(self, lazy: list[Delayed]) -> Any:
        """Values of delayed objects, computed by the given client or as Dask is set."""
        with large_graphs_allowed():
            if self.client is None:
                return compute(*lazy)
            with connected(self.client) as client:
                return client.gather(client.compute(lazy))


def _block_of_predictions(
    estimator: BaseSparseMLP, method: str, X: Any, dtype: DTypeLike, shape: tuple[int, ...]
) -> np.ndarray:
    if X.shape[0] == 0:
        return np.empty((0, *shape), dtype)
    predictions: np.ndarray = getattr(estimator, method)(X)
    return predictions
