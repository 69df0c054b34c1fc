"""Passes of samples over the layers of a network, batch by batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from sksparse_mlp.core.network import Batch, Network
from sksparse_mlp.core.samples import gather
from sksparse_mlp.core.workers import ALONE

# Samples that pass the layers together.
BATCH = 256


def passes(network: Network, X: Any) -> Iterator[tuple[int, Batch]]:
    """Pass X over the layers; yield where each batch of samples begins, and the batch.

    ``batch.z[k]`` and ``batch.a[k]`` are the pre-activations and activations of hidden
    layer k, of shape (n_nodes, n_samples); ``batch.z[-1]`` are the logits. They are valid
    until the next batch is asked for.
    """
    n_samples = X.shape[0]
    buffers = network.buffers(min(BATCH, n_samples), training=True)
    for start in range(0, n_samples, BATCH):
        rows = np.arange(start, min(start + BATCH, n_samples))
        batch = buffers if rows.size == buffers.size else buffers.first(rows.size)
        gather(X, rows, batch.x, 0, batch.x.shape[1])
        network.forward(batch, ALONE)
        yield start, batch.without_padding()


def nodes_on(network: Network, X: Any) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Where each batch begins, and per hidden layer which nodes are on in it.

    The latter are masks of shape (n_nodes, n_samples).
    """
    for start, batch in passes(network, X):
        yield (
            start,
            [
                unit.activation.is_on(z, a)
                for unit, z, a in zip(network.hidden, batch.z, batch.a, strict=False)
            ],
        )
