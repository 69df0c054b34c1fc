"""One round of training: sent to the workers, trained there, averaged here."""

import copy
import math
import time
from concurrent.futures import CancelledError
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import distributed
import numpy as np

from sksparse_mlp.core.averaging import NetworkAverage, turnover
from sksparse_mlp.core.hidden import Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.training import Patience, Training
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.distributed._cluster import large_graphs_allowed, n_bytes
from sksparse_mlp.distributed._partitions import Partition, Partitions
from sksparse_mlp.estimators._classifier import SparseMLPClassifier

# How the numbers in the records of several partitions become one.
MEANS = ("loss", "turnover", "train_score", "effective_gradient_flow")
SUMS = ("n_pruned", "n_grown", "evolution_seconds")


@dataclass
class Start:
    """What the partitions are trained from in one round.

    Attributes
    ----------
    estimator : SparseMLPClassifier
        Not fitted, but with `classes_`.
    training : Training
        Is copied before it trains.
    seed : int
        Of the random streams of all partitions.
    n_epochs : int
    is_last : bool
        Whether no other round follows.
    averages_state : bool
        Whether the optimizer's state goes on from round to round.
    signallers : list of int
        Numbers of the partitions that find out what the growth rule wants to know.
    """

    estimator: SparseMLPClassifier
    training: Training
    seed: int
    n_epochs: int
    is_last: bool
    averages_state: bool
    signallers: list[int]


@dataclass
class Trained:
    """What comes back from a partition.

    Attributes
    ----------
    network : Network
        Layers whose pattern is still that of the start come without it.
    records : list of dict
        One per epoch; fewer if training diverged.
    diverged : bool
    signals : list or None
        What the growth rule wants to know, by layer.
    n_bytes : int
    """

    network: Network
    records: list[dict[str, Any]]
    diverged: bool
    signals: list[Any] | None
    n_bytes: int = 0


def itself(start: Start) -> Start:
    """A task that Dask can repeat where its result was lost."""
    return start


# --- on the workers -------------------------------------------------------------------


def train(start: Start, partition: Partition, number: int) -> Trained:
    """Train a copy of the network on one partition."""
    estimator = start.estimator
    X = partition.X.astype(start.training.network.dtype, copy=False)
    samples = estimator._samples(X, partition.y, partition.weights.copy())
    training = _local_training(start, number, samples.rows.size)
    patterns = [(layer.indptr, layer.indices) for layer in training.network.layers]
    # Training that would go on keeps what evolution wants to know after its last epoch.
    n_epochs = start.n_epochs + (not start.is_last)
    signals = None
    with Workers(estimator.n_jobs) as workers:
        with closing(training.run(samples, None, workers, n_epochs)) as epochs:
            records = list(islice(epochs, start.n_epochs))
        if number in start.signallers and not training.diverged:
            signals = _signals(training, samples, workers)
    network = _stripped(training.network, patterns, keep_slots=start.averages_state)
    trained = Trained(network, records, training.diverged, signals)
    trained.n_bytes = n_bytes(trained)
    return trained


def _local_training(start: Start, number: int, n_samples: int) -> Training:
    """The training of one partition: it neither stops nor lets neurons leave."""
    training = copy.deepcopy(start.training)
    training.data_rng, rng = np.random.default_rng([start.seed, number]).spawn(2)
    training.evolution = replace(training.evolution, n_inputs=None, pruning=None, rng=rng)
    training.patience = Patience(math.inf, 0.0)
    if start.averages_state:
        training.n_updates = training.epoch * math.ceil(n_samples / training.batch_size)
    return training


def _signals(training: Training, samples: Samples, workers: Workers) -> list[Any]:
    size = min(training.batch_size, samples.rows.size)
    buffers = training.network.buffers(size, training=True)
    signal = training._signal(samples, buffers, workers)
    layers = enumerate(training.network.layers)
    return [None if layer.is_full else signal(depth) for depth, layer in layers]


def _stripped(
    network: Network, patterns: list[tuple[np.ndarray, np.ndarray]], *, keep_slots: bool
) -> Network:
    """The network without what the coordinator does not need or has itself."""
    layer: Any  # A SparseLayer, whose pattern may be None only on the way.
    for layer, (indptr, indices) in zip(network.layers, patterns, strict=True):
        layer.drop_transposed()
        if layer.indices is indices and layer.indptr is indptr:
            layer.indptr = layer.indices = None
    if not keep_slots:
        parts: list[SparseLayer | Hidden] = [*network.layers, *network.hidden]
        for part in parts:
            part.slots = []
    return network


# --- on the coordinator ---------------------------------------------------------------


class Merged:
    """What the partitions of a round have trained, taken in one by one.

    Parameters
    ----------
    start : Network
        From which all of them have trained.

    Attributes
    ----------
    records : list of dict
        One per epoch.
    signals : list
        What the growth rule wants to know, by layer: the mean of arrays, or what one
        partition has found out.
    train_seconds : float
        Of the partition that took longest.
    merge_seconds : float
    n_bytes : int
    """

    def __init__(self, start: Network) -> None:
        self._start = start
        self._average = NetworkAverage(start)
        self._records: list[list[dict[str, Any]]] = []
        self._shares: list[float] = []
        self.signals: list[Any] = [None] * len(start.layers)
        self.train_seconds = self.merge_seconds = 0.0
        self.n_bytes = 0

    def add(self, trained: Trained, share: float) -> None:
        """Take in what makes up this share of the mean."""
        begun = time.perf_counter()
        for layer, before in zip(trained.network.layers, self._start.layers, strict=True):
            if layer.indices is None:
                layer.indptr, layer.indices = before.indptr, before.indices
        self._average.add(trained.network, share)
        self._add_signals(trained.signals, share)
        self._records.append(trained.records)
        self._shares.append(share)
        self.n_bytes += trained.n_bytes
        seconds = sum(record["seconds"] for record in trained.records)
        self.train_seconds = max(self.train_seconds, seconds)
        self.merge_seconds += time.perf_counter() - begun

    def _add_signals(self, signals: list[Any] | None, share: float) -> None:
        for depth, signal in enumerate(signals or []):
            if isinstance(signal, np.ndarray):
                known = self.signals[depth]
                term = share * signal.astype(np.float64)
                self.signals[depth] = term if known is None else known + term
            else:
                self.signals[depth] = signal

    def network(self, n_connections: list[int]) -> Network:
        """The mean network, cut back to so many connections per layer."""
        begun = time.perf_counter()
        network = self._average.network(n_connections)
        self.merge_seconds += time.perf_counter() - begun
        return network

    @property
    def records(self) -> list[dict[str, Any]]:
        return [self._record(records) for records in zip(*self._records, strict=True)]

    def _record(self, records: tuple[dict[str, Any], ...]) -> dict[str, Any]:
        """One epoch: weighted means, sums, the longest time, else as the first has it."""
        record = dict(records[0])
        for name in set(MEANS) & set(record):
            values = [other[name] for other in records]
            record[name] = math.fsum(map(math.prod, zip(self._shares, values, strict=True)))
        for name in SUMS:
            record[name] = sum(other[name] for other in records)
        record["seconds"] = max(other["seconds"] for other in records)
        return record


class Rounds:
    """Training in rounds, as the coordinator sees it.

    Parameters
    ----------
    client : distributed.Client
    estimator : SparseMLPClassifier
        Not fitted, but with `classes_`; its `max_iter` are the epochs of all rounds.
    training : Training
        Between the rounds; its network is replaced after each.
    partitions : Partitions
    shares : list of float
        Of each partition in the mean.
    epochs_per_round : int
    averages_state : bool

    Attributes
    ----------
    history, epochs : list of dict
        Records of the rounds and of their epochs.
    """

    def __init__(
        self,
        client: distributed.Client,
        estimator: SparseMLPClassifier,
        training: Training,
        partitions: Partitions,
        shares: list[float],
        *,
        epochs_per_round: int,
        averages_state: bool,
    ) -> None:
        self._client = client
        self._estimator = estimator
        self.training = training
        self._partitions = partitions
        self._shares = shares
        self._epochs_per_round = epochs_per_round
        self._averages_state = averages_state
        self.history: list[dict[str, Any]] = []
        self.epochs: list[dict[str, Any]] = []

    def train_one(self) -> None:
        """Train one round; if it diverges, the network stays as it began."""
        begun = time.perf_counter()
        start = self._start()
        n_sent, merged = self._merged(start)
        if merged is None:
            self.training.diverged = self.training.finished = True
            return
        record = {"round": len(self.history), **self._go_on(start, merged)}
        record |= {
            "bytes_sent": n_sent,
            "bytes_received": merged.n_bytes,
            "train_seconds": merged.train_seconds,
            "merge_seconds": merged.merge_seconds,
            "seconds": time.perf_counter() - begun,
        }
        self.history.append(record)

    def as_it_is(self) -> SparseMLPClassifier:
        """The estimator as if training had stopped now."""
        twin = copy.copy(self._estimator)
        twin.history_, twin.n_iter_ = self.epochs, len(self.epochs)
        twin.__dict__.update(twin._attributes(self.training))
        return twin

    def _start(self) -> Start:
        training = self.training
        for layer in training.network.layers:
            layer.drop_transposed()
        return Start(
            estimator=self._estimator,
            training=training,
            seed=int(training.data_rng.integers(2**63)),
            n_epochs=self._epochs_per_round,
            is_last=training.epoch + self._epochs_per_round >= training.n_epochs,
            averages_state=self._averages_state,
            signallers=self._signallers(),
        )

    def _signallers(self) -> list[int]:
        """All for the mean of strengths, each in turn for a batch's values."""
        evolution, numbers = self.training.evolution, self._partitions.numbers
        kinds = evolution.signals - {None}
        if evolution.every is not None:
            kinds = kinds - {"skips"}
        if not kinds or "skips" in kinds:
            return numbers if kinds else []
        return [numbers[len(self.history) % len(numbers)]]

    def _merged(self, start: Start) -> tuple[int, Merged | None]:
        """Bytes that went to the workers, and what came back, None if it diverged."""
        partitions = self._partitions
        with large_graphs_allowed():
            shared = self._client.submit(itself, start, pure=False)
        tasks = zip(partitions.futures, partitions.numbers, strict=True)
        futures = [self._client.submit(train, shared, *task, pure=False) for task in tasks]
        merged = Merged(start.training.network)
        try:
            for place, share in enumerate(self._shares):
                # In the order of the partitions; what is done early waits on its worker.
                trained = self._result(futures[place], partitions.numbers[place])
                if trained.diverged:
                    return 0, None
                merged.add(trained, share)
                futures[place].release()
            n_holders = len(self._client.who_has([shared])[shared.key])
            return n_holders * n_bytes(start), merged
        finally:
            self._client.cancel(futures)

    def _result(self, future: "distributed.Future[Trained]", number: int) -> Trained:
        try:
            return future.result()
        except CancelledError as error:
            raise RuntimeError(
                f"Partition {number} was lost with its worker and cannot be computed "
                "again, as data from Client.scatter cannot. Train on what Dask can "
                "compute, such as arrays and dataframes read from files."
            ) from error
        except Exception as error:
            error.add_note(f"In round {len(self.history)}, training on partition {number}.")
            raise

    def _go_on(self, start: Start, merged: Merged) -> dict[str, Any]:
        """Go on from the mean; return what is to be said of its training."""
        training, records = self.training, merged.records
        before = training.network
        network = training.network = merged.network(training.evolution.n_connections)
        training.epoch += start.n_epochs
        training.n_seen += start.n_epochs * self._partitions.n_samples
        training.finished = start.is_last or self._is_plateau(records)
        if not training.finished:
            self._evolve(merged.signals, records[-1])
        records[-1]["slopes"] = network.slopes()
        self.epochs += records
        said = {k: records[-1][k] for k in ("epoch", "loss", "zeta", "learning_rate")}
        said["n_connections"] = network.n_connections
        said["turnover"] = turnover(before, network)
        return said

    def _is_plateau(self, records: list[dict[str, Any]]) -> bool:
        """Whether the loss no longer falls, and the learning rate does not either."""
        training = self.training
        for record in records:
            if not training.evolution.is_selecting:
                training.patience.update(-record["loss"])
        return training.patience.is_exhausted() and training.learning_rate.on_plateau()

    def _evolve(self, signals: list[Any], record: dict[str, Any]) -> None:
        """Let the topology evolve as it does between epochs, and enter that."""
        begun = time.perf_counter()
        training, evolution = self.training, self.training.evolution
        evolution.resume_epoch(training.epoch - 1, record)
        if evolution.every is not None:
            # Connections move within the rounds; here only neurons leave.
            evolution.zeta = 0.0
        before = training.network.n_connections
        n_pruned, n_grown = evolution.evolve(training.network, signals.__getitem__)
        record["n_pruned"] += n_pruned
        record["n_grown"] += n_grown
        record["turnover"] += n_grown / max(before, 1)
        record["evolution_seconds"] += time.perf_counter() - begun
