"""Gradients of a network's mean loss, over any number of samples, and their norms."""

from dataclasses import replace

import numpy as np

from sksparse_mlp.core import kernels
from sksparse_mlp.core.hidden import NORM_EPSILON, Hidden
from sksparse_mlp.core.network import Batch, Network
from sksparse_mlp.core.optimizers import flush_limit
from sksparse_mlp.core.samples import Samples, gather
from sksparse_mlp.core.workers import Member, Workers

# Samples of which no two threads should write to one cache line.
LINE = 16
# While a network trains, the gradient flow of one sample in so many is looked at.
ONE_IN = 20


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
