"""Gradients of a network's mean loss with their norms, and of its outputs."""

from dataclasses import replace
from typing import Any

import numpy as np

from sksparse_mlp.core import kernels
from sksparse_mlp.core.hidden import NORM_EPSILON, Hidden
from sksparse_mlp.core.network import Batch, Network
from sksparse_mlp.core.optimizers import flush_limit
from sksparse_mlp.core.samples import Samples, gather
from sksparse_mlp.core.workers import ALONE, Member, Workers

# Samples of which no two threads should write to one cache line.
LINE = 16
# While a network trains, the gradient flow of one sample in so many is looked at.
ONE_IN = 20
# Points that pass the layers together.
POINTS = 256


def gradient_flow(
    network: Network, samples: Samples, buffers: Batch, workers: Workers, norm: float = 1
) -> np.ndarray:
    """The norm of each layer's `mean_gradients`, of shape (n_layers,), dtype float64."""
    gradients = mean_gradients(network, samples, buffers, workers)
    return np.array([_norm(gradient, norm) for gradient in gradients])


def observed(samples: Samples, batch_size: int) -> Samples:
    """One in twenty of the samples, but at least a batch, the same ones at every call.

    Drawn, because every twentieth might all be of one class.
    """
    rows = samples.rows[samples.weights[samples.rows] > 0]
    size = min(max(batch_size, rows.size // ONE_IN), rows.size)
    chosen = np.random.default_rng(0).choice(rows.size, size, replace=False)
    return replace(samples, rows=rows[np.sort(chosen)])


def mean_gradients(
    network: Network, samples: Samples, buffers: Batch, workers: Workers
) -> list[np.ndarray]:
    """Gradients of the mean loss for the connections of each layer.

    The network is as it predicts: without dropout, with the moving averages of batch
    normalisation, which stay as they are; the loss is weighted and has no penalty.

    Parameters
    ----------
    network : Network
    samples : Samples
    buffers : Batch
        The network's, for training; as many samples pass the layers together.
    workers : Workers

    Returns
    -------
    list of ndarray of shape (n_connections,)
        In the order and of the dtype of the weights.
    """
    gradients = [np.zeros_like(layer.weights) for layer in network.layers]
    network.prepare()
    for first in range(0, samples.rows.size, buffers.size):
        rows = samples.rows[first : first + buffers.size]
        batch = buffers if rows.size == buffers.size else buffers.first(rows.size)
        _add_gradients(gradients, network, samples, rows, batch, workers)
    for gradient in gradients:
        gradient /= samples.rows.size * samples.mean_weight()
    return gradients


def _add_gradients(
    gradients: list[np.ndarray],
    network: Network,
    samples: Samples,
    rows: np.ndarray,
    batch: Batch,
    workers: Workers,
) -> None:
    """Add the gradients of one batch."""

    def add(member: Member) -> None:
        fill_inputs(samples, rows, batch, member)
        network.forward(batch, member)
        differentiate_loss(network, samples, rows, batch, member)
        _backward(network, batch, member)
        for depth, layer in enumerate(network.layers):
            kernels.add_weight_gradient(
                layer.indptr, layer.indices, batch.inputs(depth), batch.dz[depth],
                gradients[depth], *member.part(layer.shares(member.n_threads)),
            )  # fmt: skip

    workers.run(add, 3 * network.work(batch.size))


def path_gradients(
    network: Network,
    X: Any,
    starts: Any,
    n_steps: int,
    outputs: np.ndarray,
    workers: Workers,
) -> np.ndarray:
    """What each input adds to an output on straight ways to a sample, on average over ways.

    The mean over the starts s of ``(x - s) * g``, where g is the mean gradient of the
    output at the middles of ``n_steps`` equal parts of the way from s to x.

    Parameters
    ----------
    network : Network
        As it predicts.
    X, starts : C-contiguous ndarray or CSR matrix of shape (n, n_features)
        Samples, and where the ways to each of them begin.
    n_steps : int
    outputs : ndarray of shape (n_samples,), dtype intp
        The output, before its link, that counts for each sample.
    workers : Workers
        They share the samples.

    Returns
    -------
    ndarray of shape (n_samples, n_features), dtype float64
    """
    n_points = starts.shape[0] * n_steps
    attributions = np.zeros(X.shape)
    network.prepare()

    def attribute(member: Member) -> None:
        buffers = network.buffers(min(POINTS, n_points), training=True)
        for sample in range(member.rank, X.shape[0], member.n_threads):
            for first in range(0, n_points, POINTS):
                points = np.arange(first, min(first + POINTS, n_points))
                batch = (
                    buffers if points.size == buffers.size else buffers.first(points.size)
                )
                gather(X, np.full(points.size, sample), batch.x, 0, batch.x.shape[1])
                way = batch.x.copy()
                gather(starts, points // n_steps, batch.x, 0, batch.x.shape[1])
                way -= batch.x
                share = ((points % n_steps + 0.5) / n_steps).astype(network.dtype)
                batch.x[:, : points.size] += share * way[:, : points.size]
                gradient = _input_gradient(network, batch, outputs[sample])
                way *= gradient
                attributions[sample] += way[:, : points.size].sum(axis=1, dtype=np.float64)

    workers.run(attribute, 2 * network.work(X.shape[0] * n_points))
    attributions /= n_points
    return attributions


def _input_gradient(network: Network, batch: Batch, output: int) -> np.ndarray:
    """Gradient of one output at each of the batch's inputs, (n_features, batch)."""
    network.forward(batch, ALONE)
    batch.dz[-1][:] = 0
    batch.dz[-1][output, : batch.size] = 1
    _backward(network, batch, ALONE)
    first, gradient = network.layers[0], np.empty_like(batch.x)
    first.backward_input(batch.dz[0], gradient, 0, first.n_in)
    return gradient


def _backward(network: Network, batch: Batch, member: Member) -> None:
    """`Network.backward` for moments that do not depend on the batch."""
    for depth in reversed(range(1, len(network.layers))):
        layer, dx = network.layers[depth], batch.dz[depth - 1]
        share = member.part(layer.input_shares(member.n_threads))
        layer.backward_input(batch.dz[depth], dx, *share)
        _differentiate_hidden(network.hidden[depth - 1], batch.z[depth - 1], dx, *share)
        member.wait()


def fill_inputs(samples: Samples, rows: np.ndarray, batch: Batch, member: Member) -> None:
    """Fill the inputs of a batch with some rows."""
    gather(samples.X, rows, batch.x, *member.share(batch.x.shape[1], LINE))
    member.wait()


def differentiate_loss(
    network: Network, samples: Samples, rows: np.ndarray, batch: Batch, member: Member
) -> None:
    """Losses of a batch's samples, whose gradient goes to the last layer."""
    dz, share = batch.dz[-1], member.share(batch.size, LINE)
    network.loss.value_and_gradient(
        batch.z[-1], samples.y, samples.weights, rows, dz, batch.losses,
        flush_limit(network.dtype), *share,
    )  # fmt: skip
    if share[1] == batch.size:
        dz[:, batch.size :] = 0
    member.wait()


def _differentiate_hidden(
    unit: Hidden, z: np.ndarray, da: np.ndarray, start: int, stop: int
) -> None:
    """`Hidden.backward` for moments that do not depend on the batch."""
    unit.activation.backward(z, da, unit.parameters, unit.gradient, start, stop)
    if unit.norm is not None:
        deviation = np.sqrt(unit.norm.variance[start:stop] + NORM_EPSILON)
        da[start:stop] *= (unit.norm.gain[start:stop] / deviation)[:, np.newaxis]


def _norm(values: np.ndarray, norm: float) -> float:
    """A p-norm, whose powers neither overflow nor vanish."""
    sizes = np.abs(values, dtype=np.float64)
    largest: float = sizes.max(initial=0.0)
    if not 0 < largest < np.inf:
        return largest
    sizes /= largest
    return float(largest * np.linalg.norm(sizes, norm))
