"""Sparse evolutionary training with SciPy, as a NumPy programmer would write it.

After the description of SET (Mocanu et al. 2018): CSR products, gradients taken from the
dense product of a layer's inputs and errors at the connections, evolution in coordinates.
"""

import numpy as np
from scipy import sparse

from benchmarks.peers.tasks import DROPOUT, MOMENTUM


class Layer:
    """Weights as a CSR matrix of shape (n_out, n_in), with their rows and momentum."""

    def __init__(self, matrix):
        self.bias = np.zeros((matrix.shape[0], 1), matrix.dtype)
        self.bias_velocity = np.zeros_like(self.bias)
        self._set(matrix, np.zeros_like(matrix.data))

    def _set(self, weights, velocity):
        self.weights, self.velocity = weights, velocity
        self.rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))

    def step(self, x, dz, rate):
        gradient = (dz @ x.T)[self.rows, self.weights.indices]
        self.velocity *= MOMENTUM
        self.velocity -= rate * gradient
        self.weights.data += self.velocity
        self.bias_velocity *= MOMENTUM
        self.bias_velocity -= rate * dz.sum(axis=1, keepdims=True)
        self.bias += self.bias_velocity

    def evolve(self, zeta, rng):
        """Replace the smallest positive and the largest negative weights."""
        values, n_in = self.weights.data, self.weights.shape[1]
        n_positions = n_in * self.weights.shape[0]
        if values.size == n_positions:
            return
        keep = ~(_weakest(values, values >= 0, zeta) | _weakest(values, values < 0, zeta))
        taken = (self.rows * n_in + self.weights.indices)[keep]
        grown = _free_positions(taken, values.size - taken.size, n_positions, rng)
        positions = np.concatenate([taken, grown])
        zeros = np.zeros(grown.size, values.dtype)
        order = np.argsort(positions)
        rows, columns = np.divmod(positions[order], n_in)
        weights = np.concatenate([values[keep], zeros])[order]
        matrix = sparse.coo_array((weights, (rows, columns)), self.weights.shape).tocsr()
        self._set(matrix, np.concatenate([self.velocity[keep], zeros])[order])


def _weakest(values, group, zeta):
    """Mask of the share ``zeta`` of a group's values that is closest to zero."""
    members = np.flatnonzero(group)
    n = int(zeta * members.size)
    mask = np.zeros(values.size, bool)
    if n:
        mask[members[np.argpartition(np.abs(values[members]), n - 1)[:n]]] = True
    return mask


def _free_positions(taken, n, n_positions, rng):
    """``n`` distinct positions that are not taken."""
    grown = np.empty(0, np.int64)
    while grown.size < n:
        drawn = rng.integers(n_positions, size=2 * (n - grown.size))
        drawn = drawn[~np.isin(drawn, taken)]
        grown = np.unique(np.concatenate([grown, drawn]))
    return rng.permutation(grown)[:n]


class Program:
    def __init__(self, task, n_threads=1):
        self.batch_size, self.rate = task.batch_size, task.learning_rate
        self.rng = np.random.default_rng(0)
        self.layers = [Layer(matrix) for matrix in task.matrices()]

    def train(self, X, y, n_epochs):
        return [self._epoch(X, y) for _ in range(n_epochs)]

    def _epoch(self, X, y):
        order = self.rng.permutation(len(X))
        starts = range(0, len(order), self.batch_size)
        batches = (order[k : k + self.batch_size] for k in starts)
        return sum(self._update(X[rows], y[rows]) for rows in batches) / len(X)

    def evolve(self, zeta=0.3):
        for layer in self.layers:
            layer.evolve(zeta, self.rng)

    def _update(self, X, y):
        inputs, masks = [np.ascontiguousarray(X.T)], []
        for layer in self.layers:
            z = layer.weights @ inputs[-1] + layer.bias
            # Dropout and the derivative of relu are one factor.
            kept = self.rng.random(z.shape, z.dtype) >= DROPOUT
            masks.append((kept & (z > 0)) * z.dtype.type(1 / (1 - DROPOUT)))
            inputs.append(z * masks[-1])
        loss, dz = _softmax_loss(z, y)
        for depth in reversed(range(len(self.layers))):
            layer, x = self.layers[depth], inputs[depth]
            dx = (layer.weights.T @ dz) * masks[depth - 1] if depth else None
            layer.step(x, dz, self.rate)
            dz = dx
        return loss


def _softmax_loss(z, y):
    """Summed cross-entropy, and its mean's gradient for the logits."""
    columns = np.arange(y.size)
    p = np.exp(z - z.max(axis=0))
    p /= p.sum(axis=0)
    loss = -np.log(np.maximum(p[y, columns], np.finfo(p.dtype).tiny)).sum()
    p[y, columns] -= 1
    return float(loss), p / z.dtype.type(y.size)
