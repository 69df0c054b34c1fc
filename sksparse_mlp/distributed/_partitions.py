"""Data in partitions: aligned, loaded where they live, and checked before training."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeAlias

import dask.array as da
import distributed
import numpy as np
from dask.base import is_dask_collection
from dask.delayed import Delayed, delayed
from dask.utils import is_dataframe_like, is_series_like
from scipy import sparse
from sklearn.utils.validation import check_consistent_length

from sksparse_mlp._sklearn import _safe_indexing
from sksparse_mlp.distributed._cluster import clear_errors, large_graphs_allowed, result_of
from sksparse_mlp.estimators._input import sound
from sksparse_mlp.estimators._mlp import BaseSparseMLP
from sksparse_mlp.serialization import _npz
from sksparse_mlp.serialization._arrays import plain_labels

# Makes what the coordinator should know of the targets of a partition, given an estimator
# without them, those that weigh anything, and their weights.
Describe: TypeAlias = Callable[[BaseSparseMLP, np.ndarray, np.ndarray], Any]


@dataclass
class Summary:
    """What the coordinator knows of a partition.

    Attributes
    ----------
    fault : str or None
        What is wrong with it; nothing else is known then.
    n_samples : int
        Samples of positive weight.
    weight : float
        The sum of the sample weights, as parts of the largest.
    largest : float
        The largest sample weight.
    targets : object
        What there is to know of them, by kind of estimator.
    target_shape : tuple of int
        Of the targets of a sample.
    dtype : dtype or None
        None for a partition without samples, of which nothing else is known.
    feature_names : list of str or None
    digest : str
        Empty unless it was asked for.
    """

    fault: str | None = None
    n_samples: int = 0
    weight: float = 0.0
    largest: float = 1.0
    targets: Any = None
    target_shape: tuple[int, ...] = ()
    dtype: Any = None
    n_features: int = 0
    feature_names: list[str] | None = None
    digest: str = ""


@dataclass
class Partition:
    """Rows of the data, valid or empty, with their summary."""

    X: Any
    y: Any
    weights: Any
    summary: Summary


# --- alignment ------------------------------------------------------------------------


def split(X: Any, y: Any, sample_weight: Any, n_partitions: int) -> list[tuple[Any, ...]]:
    """One (X, y, sample_weight) per partition, lazy where they were.

    Raises ValueError or TypeError where their partitions do not fit each other.
    """
    if not is_dask_collection(X):
        return _cut(X, y, sample_weight, n_partitions)
    X_blocks = blocks(X, "X")
    parts: list[Sequence[Delayed | None]] = [X_blocks]
    for name, data in (("y", y), ("sample_weight", sample_weight)):
        if data is None:
            parts.append([None] * len(X_blocks))
            continue
        parts.append(blocks(_as_partitioned(X, data, name), name))
        if len(parts[-1]) != len(X_blocks):
            raise ValueError(
                f"X has {len(X_blocks)} partitions and {name} has {len(parts[-1])}, whose "
                "sizes are not known. Make both from the same partitions, or call "
                "compute_chunk_sizes() on both as arrays."
            )
    return list(zip(*parts, strict=True))


def blocks(data: Any, name: str) -> list[Delayed]:
    """The partitions of a Dask collection, as delayed objects."""
    if isinstance(data, da.Array):
        if data.ndim > 1 and data.numblocks[1] > 1:
            data = data.rechunk({1: -1})
        return list(data.to_delayed().ravel())
    if is_dataframe_like(data) or is_series_like(data):
        return list(data.to_delayed())
    raise TypeError(
        f"{name} must be a Dask array or dataframe, or be in memory like NumPy arrays; got "
        f"a {type(data).__name__}."
    )


def rows_of(data: Any) -> tuple[int, ...] | None:
    """Numbers of rows of the partitions, None where they are not known."""
    known = isinstance(data, da.Array) and not np.isnan(data.chunks[0]).any()
    return data.chunks[0] if known else None


def _as_partitioned(X: Any, data: Any, name: str) -> Any:
    """The data in partitions like those of X, as far as can be known."""
    sizes = rows_of(X)
    if not is_dask_collection(data):
        if sizes is None:
            raise ValueError(
                f"{name} is in memory, but the sizes of the partitions of X are not known. "
                f"Make {name} a Dask collection with the same partitions, or call "
                "compute_chunk_sizes() on X as an array."
            )
        data = da.from_array(np.asarray(data), chunks=-1)
    own = rows_of(data)
    if sizes is None or own is None or own == sizes:
        return data
    if sum(own) != sum(sizes):
        raise ValueError(f"X has {sum(sizes)} rows and {name} has {sum(own)}.")
    return data.rechunk({0: sizes})


def _cut(X: Any, y: Any, sample_weight: Any, n_partitions: int) -> list[tuple[Any, ...]]:
    """Equal parts of data in memory."""
    for name, data in (("y", y), ("sample_weight", sample_weight)):
        if is_dask_collection(data):
            raise TypeError(
                f"X is in memory, but {name} is a Dask collection; give both as Dask "
                "collections."
            )
    check_consistent_length(X, y, sample_weight)
    X = sound(X).tocsr() if sparse.issparse(X) else X
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    ends = np.linspace(0, n_rows, n_partitions + 1).astype(int)

    def part(data: Any, first: int, last: int) -> Any:
        return None if data is None else _safe_indexing(data, slice(first, last))

    return [
        tuple(part(data, first, last) for data in (X, y, sample_weight))
        for first, last in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]


# --- on the workers -------------------------------------------------------------------


def load(
    estimator: BaseSparseMLP,
    describe: Describe,
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    with_digest: bool,
) -> Partition:
    """Rows as they are trained on, with what is wrong with them if anything is."""
    n_rows = [part.shape[0] for part in (X, y, sample_weight) if hasattr(part, "shape")]
    if len(set(n_rows)) > 1:
        counts = " and ".join(map(str, n_rows))
        return Partition(None, None, None, Summary(f"X and y have {counts} rows"))
    if n_rows[0] == 0 or (sample_weight is not None and not np.any(sample_weight)):
        return Partition(None, None, None, Summary())
    try:
        X, y, weights = estimator._validate(X, y, sample_weight, reset=True)
        kept = weights > 0
        targets = describe(estimator, y[kept], weights[kept]) if kept.any() else None
    except (TypeError, ValueError) as error:
        return Partition(None, None, None, Summary(str(error).splitlines()[0]))
    if not kept.any():
        return Partition(None, None, None, Summary())
    names = getattr(estimator, "feature_names_in_", None)
    summary = Summary(
        n_samples=int(kept.sum()),
        weight=float((weights / weights.max()).sum()),
        largest=float(weights.max()),
        targets=targets,
        target_shape=y.shape[1:],
        dtype=X.dtype,
        n_features=X.shape[1],
        feature_names=None if names is None else list(names),
        digest=_digest(X, y, weights) if with_digest else "",
    )
    return Partition(X, y, weights, summary)


def _digest(X: Any, y: np.ndarray, weights: np.ndarray) -> str:
    parts = {"X": X}
    if sparse.issparse(X):
        parts = {name: getattr(X, name) for name in ("data", "indices", "indptr")}
    arrays = parts | {"y": plain_labels(y, "y"), "weights": weights}
    return _npz.checksum(arrays).tobytes().hex()


# --- on the coordinator ---------------------------------------------------------------


@dataclass
class Partitions:
    """All partitions with samples: where they are, and what they have in common.

    Attributes
    ----------
    numbers : list of int
        Which of the data's partitions they are, from 0.
    futures : list of distributed.Future
        Of each a `Partition`, held by a worker.
    summaries : list of Summary
    """

    numbers: list[int]
    futures: "list[distributed.Future[Partition]]"
    summaries: list[Summary]

    @property
    def dtype(self) -> np.dtype:
        return np.result_type(*(summary.dtype for summary in self.summaries))

    @property
    def n_samples(self) -> int:
        return sum(summary.n_samples for summary in self.summaries)

    def digests(self) -> list[list[int | str]]:
        """Number and digest of each."""
        return [
            [number, summary.digest]
            for number, summary in zip(self.numbers, self.summaries, strict=True)
        ]

    def scales(self) -> list[float]:
        """What makes weights as parts of a partition's largest parts of the largest."""
        largest = max(summary.largest for summary in self.summaries)
        return [summary.largest / largest for summary in self.summaries]

    def weights(self) -> np.ndarray:
        """The sum of the sample weights of each, as parts of the largest weight."""
        sums = [summary.weight for summary in self.summaries]
        return np.multiply(sums, self.scales())

    def of_weight(self, weights: np.ndarray) -> tuple["Partitions", list[float]]:
        """The partitions whose weight is positive, and the share of each in all weight."""
        kept = np.flatnonzero(weights > 0).tolist()
        partitions = Partitions(
            [self.numbers[k] for k in kept],
            [self.futures[k] for k in kept],
            [self.summaries[k] for k in kept],
        )
        return partitions, (weights[kept] / weights.sum()).tolist()

    def lost(self) -> list[int]:
        """Numbers of those that are no longer anywhere."""
        return _lost(self.numbers, self.futures)


def loaded(
    client: distributed.Client,
    estimator: BaseSparseMLP,
    describe: Describe,
    parts: list[tuple[Any, ...]],
    *,
    with_digest: bool,
) -> Partitions:
    """Load partitions on the workers, and raise if there is anything wrong with them."""
    load_lazily = delayed(load, pure=False)
    template = delayed(estimator, pure=False)
    lazy = [
        load_lazily(template, describe, *part, with_digest=with_digest) for part in parts
    ]
    with large_graphs_allowed():
        futures = client.compute(lazy)
    asked = client.map(attrgetter("summary"), futures, pure=False)
    with clear_errors(client, lambda: _lost(range(len(parts)), futures)):
        summaries = [result_of(client, future) for future in asked]
    _check_faults(summaries)
    numbers = [k for k, summary in enumerate(summaries) if summary.n_samples]
    if not numbers:
        raise ValueError(
            f"None of the {len(summaries)} partitions has a sample with positive weight."
        )
    _check_same(numbers, [summaries[k] for k in numbers])
    return Partitions(
        numbers, [futures[k] for k in numbers], [summaries[k] for k in numbers]
    )


def _lost(numbers: Iterable[int], futures: "list[distributed.Future[Any]]") -> list[int]:
    pairs = zip(numbers, futures, strict=True)
    return [number for number, future in pairs if future.status in ("cancelled", "lost")]


def _check_faults(summaries: list[Summary]) -> None:
    faults = {k: summary.fault for k, summary in enumerate(summaries) if summary.fault}
    if faults:
        first = min(faults)
        raise ValueError(
            f"Partition {first} of {len(summaries)} (counted from 0) cannot be trained on: "
            f"{faults[first].rstrip('.')}. Partitions with faults: {list(faults)}."
        )


def _check_same(numbers: list[int], summaries: list[Summary]) -> None:
    """Refuse partitions that differ in their features or in the form of their targets."""
    first = summaries[0]
    for number, summary in zip(numbers, summaries, strict=True):
        for what in ("n_features", "feature_names", "target_shape"):
            here, there = getattr(summary, what), getattr(first, what)
            if here != there:
                raise ValueError(
                    f"Partitions {numbers[0]} and {number} (counted from 0) differ in "
                    f"{what}: {there} and {here}."
                )
