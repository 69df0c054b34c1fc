"""What a round does on the workers: training on partitions, and merging in pairs."""

import copy
import math
import time
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from sksparse_mlp.core.averaging import NetworkAverage
from sksparse_mlp.core.hidden import Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.training import Patience, Training
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.distributed._cluster import n_bytes
from sksparse_mlp.distributed._partitions import Partition
from sksparse_mlp.estimators._mlp import BaseSparseMLP

# How the numbers in the records of two parts become one.
MEANS = ("loss", "data_loss", "turnover", "train_score", "effective_gradient_flow")
SUMS = ("n_pruned", "n_grown", "evolution_seconds")


@dataclass
class Start:
    """What the partitions are trained from in one round.

    Attributes
    ----------
    estimator : BaseSparseMLP
        Not fitted, but it knows its targets.
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

    estimator: BaseSparseMLP
    training: Training
    seed: int
    n_epochs: int
    is_last: bool
    averages_state: bool
    signallers: list[int]


@dataclass
class Trained:
    """What one partition has trained, or several together.

    Attributes
    ----------
    network : Network
        Layers whose pattern is still that of the start come without it.
    share : float
        In the mean of all partitions.
    records : list of dict
        One per epoch; fewer if training diverged.
    diverged : bool
    signals : list
        What the growth rule wants to know, by layer, None where nothing is known.
    train_seconds : float
        Of the partition that took longest.
    merge_seconds : float
        Along the path that took longest.
    merged_bytes : int
        What was merged, all in all.
    """

    network: Network
    share: float
    records: list[dict[str, Any]]
    diverged: bool
    signals: list[Any]
    train_seconds: float
    merge_seconds: float = 0.0
    merged_bytes: int = 0


# --- one partition --------------------------------------------------------------------


def train(start: Start, partition: Partition, number: int, share: float) -> Trained:
    """Train a copy of the network on one partition."""
    try:
        return _trained(start, partition, number, share)
    except Exception as error:
        error.add_note(f"While training on partition {number}.")
        raise


def _trained(start: Start, partition: Partition, number: int, share: float) -> Trained:
    estimator = start.estimator
    X = partition.X.astype(start.training.network.dtype, copy=False)
    samples = estimator._samples(X, partition.y, partition.weights.copy())
    training = _local_training(start, number, samples.rows.size)
    before = start.training.network
    # Training that would go on keeps what evolution wants to know after its last epoch.
    n_epochs = start.n_epochs + (not start.is_last)
    signals = [None] * len(before.layers)
    with Workers(estimator.n_jobs) as workers:
        with closing(training.run(samples, None, workers, n_epochs)) as epochs:
            records = list(islice(epochs, start.n_epochs))
        if number in start.signallers and not training.diverged:
            signals = _signals(training, samples, workers)
    if not start.averages_state:
        parts: list[SparseLayer | Hidden] = training.network._parts()
        for part in parts:
            part.slots = []
    _strip(training.network, before)
    seconds = sum(record["seconds"] for record in records)
    return Trained(training.network, share, records, training.diverged, signals, seconds)


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


# --- patterns that both sides have ----------------------------------------------------


def _strip(network: Network, start: Network) -> None:
    """Take the patterns from the layers that have those of the start."""
    layer: Any  # A SparseLayer, whose pattern may be None only on the way.
    for layer, before in zip(network.layers, start.layers, strict=True):
        pairs = (layer.indptr, before.indptr), (layer.indices, before.indices)
        if all(np.array_equal(*pair) for pair in pairs):
            layer.indptr = layer.indices = None


def complete(network: Network, start: Network) -> Network:
    """The network, in which layers without a pattern have that of the start."""
    layers = []
    for layer, before in zip(network.layers, start.layers, strict=True):
        pattern = layer if layer.indices is not None else before
        whole = SparseLayer(
            pattern.indptr, pattern.indices, layer.weights, layer.bias, layer.n_in
        )
        whole.slots = layer.slots
        layers.append(whole)
    return Network(layers, network.hidden, network.loss)


# --- two parts ------------------------------------------------------------------------


def merge(start: Start, first: Trained, second: Trained) -> Trained:
    """The mean of both on the union of their patterns, cut back to the connections wanted.

    Where what was trained diverged, there is no mean.
    """
    begun = time.perf_counter()
    pair, share = (first, second), first.share + second.share
    shares = [part.share / share for part in pair]
    network = first.network
    diverged = first.diverged or second.diverged
    if not diverged:
        network = _mean(start.training, [part.network for part in pair], shares)
    return Trained(
        network=network,
        share=share,
        records=_mean_records(pair, shares),
        diverged=diverged,
        signals=_mean_signals(pair, shares),
        train_seconds=max(part.train_seconds for part in pair),
        merge_seconds=max(part.merge_seconds for part in pair)
        + (time.perf_counter() - begun),
        merged_bytes=sum(n_bytes(part) + part.merged_bytes for part in pair),
    )


def _mean(training: Training, networks: list[Network], shares: list[float]) -> Network:
    average = NetworkAverage(training.network)
    for network, share in zip(networks, shares, strict=True):
        average.add(complete(network, training.network), share)
    mean = average.network(training.evolution.n_connections)
    _strip(mean, training.network)
    return mean


def _mean_signals(pair: tuple[Trained, Trained], shares: list[float]) -> list[Any]:
    """Means of arrays; else what one of them has found out."""
    return [
        signals[0] * shares[0] + signals[1] * shares[1]
        if all(isinstance(signal, np.ndarray) for signal in signals)
        else next((signal for signal in signals if signal is not None), None)
        for signals in zip(*(part.signals for part in pair), strict=True)
    ]


def _mean_records(
    pair: tuple[Trained, Trained], shares: list[float]
) -> list[dict[str, Any]]:
    """Per epoch weighted means, sums, the longest time, else as the first has it."""
    merged = []
    for records in zip(*(part.records for part in pair), strict=False):
        record = dict(records[0])
        for name in set(MEANS) & set(record):
            values = [other[name] for other in records]
            record[name] = math.fsum(map(math.prod, zip(shares, values, strict=True)))
        for name in SUMS:
            record[name] = sum(other[name] for other in records)
        record["seconds"] = max(other["seconds"] for other in records)
        merged.append(record)
    return merged
