"""Training in rounds, as the coordinator sees it."""

import copy
import time
from typing import Any

import distributed
from dask.delayed import delayed

from sksparse_mlp.core.averaging import NetworkAverage, turnover
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.training import Training
from sksparse_mlp.distributed._cluster import (
    clear_errors,
    large_graphs_allowed,
    n_bytes,
    result_of,
)
from sksparse_mlp.distributed._local import Start, Trained, complete, merge, train
from sksparse_mlp.distributed._outer import OuterNesterov
from sksparse_mlp.distributed._partitions import Partitions
from sksparse_mlp.estimators._mlp import BaseSparseMLP


class Rounds:
    """Training in rounds.

    What partitions have trained is merged in pairs on the workers, so that one network
    comes back whatever their number.

    Parameters
    ----------
    client : distributed.Client
    estimator : BaseSparseMLP
        Not fitted, but it knows its targets; its `max_iter` are the epochs of all rounds.
    training : Training
        Between the rounds; its network is replaced after each.
    partitions : Partitions
    shares : list of float
        Of each partition in the mean.
    epochs_per_round : int
    averages_state : bool
    outer_momentum : float

    Attributes
    ----------
    history, epochs : list of dict
        Records of the rounds and of their epochs.
    outer : OuterNesterov
    """

    def __init__(
        self,
        client: distributed.Client,
        estimator: BaseSparseMLP,
        training: Training,
        partitions: Partitions,
        shares: list[float],
        *,
        epochs_per_round: int,
        averages_state: bool,
        outer_momentum: float,
    ) -> None:
        self._client = client
        self._estimator = estimator
        self.training = training
        self._partitions = partitions
        self._shares = shares
        self._epochs_per_round = epochs_per_round
        self._averages_state = averages_state
        self.outer = OuterNesterov(outer_momentum, training.network)
        self.history: list[dict[str, Any]] = []
        self.epochs: list[dict[str, Any]] = []

    def train_one(self) -> None:
        """Train one round; if it diverges, the network stays as it began."""
        begun = time.perf_counter()
        start = self._start()
        said: dict[str, Any] = {"round": len(self.history), "bytes_sent": n_bytes(start)}
        before = self.training.network
        merged, waited = self._merged(start)
        network = None if merged.diverged else self._moved_on(before, merged)
        if network is None or not network.is_finite():
            self.training.diverged = self.training.finished = True
            return
        self.training.network = network
        said |= {
            "bytes_received": n_bytes(merged),
            "bytes_merged": merged.merged_bytes,
            "train_seconds": merged.train_seconds,
            "merge_seconds": merged.merge_seconds,
        }
        said |= self._go_on(start, merged)
        said["turnover"] = turnover(before, network)
        seconds = time.perf_counter() - begun
        said |= {"coordinator_seconds": seconds - waited, "seconds": seconds}
        self.history.append(said)

    def as_it_is(self) -> BaseSparseMLP:
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

    def _merged(self, start: Start) -> tuple[Trained, float]:
        """What all partitions have trained, and for how many seconds it was waited."""
        partitions = self._partitions
        shared = delayed(start, pure=False, traverse=False)
        train_lazily, merge_lazily = (delayed(f, pure=False) for f in (train, merge))
        tasks = zip(partitions.futures, partitions.numbers, self._shares, strict=True)
        parts = [train_lazily(shared, *task) for task in tasks]
        while len(parts) > 1:
            # Neighbours, so that the order of all sums is that of the partitions.
            n_paired = len(parts) - len(parts) % 2
            pairs = zip(parts[:n_paired:2], parts[1:n_paired:2], strict=True)
            last = parts[n_paired:]
            parts = [merge_lazily(shared, *pair) for pair in pairs] + last
        with large_graphs_allowed():
            future = self._client.compute(parts[0])
        begun = time.perf_counter()
        try:
            with clear_errors(self._client, partitions.lost):
                trained: Trained = result_of(self._client, future)
        except BaseException as error:
            error.add_note(f"In round {len(self.history)}.")
            if self._client.status == "running":
                future.cancel()
            raise
        return trained, time.perf_counter() - begun

    def _moved_on(self, before: Network, merged: Trained) -> Network:
        """The mean, with arrays of its own, after the step of the outer optimizer."""
        average = NetworkAverage(before)
        average.add(complete(merged.network, before), 1.0)
        network = average.network(self.training.evolution.n_connections)
        self.outer.step(before, network)
        return network

    def _go_on(self, start: Start, merged: Trained) -> dict[str, Any]:
        """Enter the round and let the topology evolve; return what is to be said of it."""
        training, records = self.training, merged.records
        network = training.network
        training.epoch += start.n_epochs
        training.n_seen += start.n_epochs * self._partitions.n_samples
        training.finished = start.is_last or self._is_plateau(records)
        if not training.finished:
            self._evolve(merged.signals, records[-1])
            self.outer.follow(network)
        records[-1]["slopes"] = network.slopes()
        self.epochs += records
        said = {k: records[-1][k] for k in ("epoch", "loss", "zeta", "learning_rate")}
        return said | {"n_connections": network.n_connections}

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
