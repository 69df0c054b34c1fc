"""Linear shortcuts from the inputs of sparse layers to the outputs, for LiSET."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from sksparse_mlp.core import kernels
from sksparse_mlp.core.network import Batch, Network
from sksparse_mlp.core.optimizers import Optimizer


class Skips:
    """One full matrix without biases per sparse layer, starting from zero.

    Their products are added to the network's outputs while it trains, so that they learn
    which inputs of a layer carry what the network does not yet use. They take part in no
    prediction and in no penalty.

    Parameters
    ----------
    network : Network
    n_slots : int
        Slots of the optimizer per weight.
    depths : collection of int, default=None
        Layers that have one unless they are full; all by default.
    """

    def __init__(
        self, network: Network, n_slots: int, depths: Collection[int] | None = None
    ):
        self.n_updates = 0
        n_outputs = network.sizes[-1]
        self.matrices = {
            depth: np.zeros((n_outputs, layer.n_in), network.dtype)
            for depth, layer in enumerate(network.layers)
            if not layer.is_full and (depths is None or depth in depths)
        }
        self.gradients = {k: np.empty_like(m) for k, m in self.matrices.items()}
        self.slots = {
            k: np.zeros((n_slots, m.size), m.dtype) for k, m in self.matrices.items()
        }
        self.used: list[int] = []

    def state(self) -> dict[str, Any]:
        """What training continues from: plain values, and arrays that are not copied."""
        return {
            "n_updates": self.n_updates,
            "matrices": dict(self.matrices),
            "slots": dict(self.slots),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from the state of others, if they are of layers of the same sizes."""
        shapes, others = (
            {depth: matrix.shape for depth, matrix in matrices.items()}
            for matrices in (self.matrices, state["matrices"])
        )
        if shapes == others:
            self.n_updates = state["n_updates"]
            self.matrices, self.slots = dict(state["matrices"]), dict(state["slots"])

    def draw(self, dropout: Callable[[int], float], rng: np.random.Generator) -> None:
        """Leave each matrix out of the next batch with probability ``dropout(depth)``."""
        draws = zip(self.matrices, rng.random(len(self.matrices)), strict=True)
        self.used = [depth for depth, draw in draws if draw >= dropout(depth)]

    def forward(self, batch: Batch, start: int, stop: int) -> None:
        """Add the products of the matrices to some outputs of the network."""
        for depth in self.used:
            matrix, x = self.matrices[depth], batch.inputs(depth)
            kernels.add_product(matrix, x, batch.z[-1], start, stop)

    def backward_input(self, depth: int, batch: Batch, start: int, stop: int) -> None:
        """Add the gradient that reaches some inputs of layer ``depth`` by its shortcut."""
        if depth in self.used:
            matrix, dx = self.matrices[depth], batch.dz[depth - 1]
            kernels.add_product(matrix.T, batch.dz[-1], dx, start, stop)

    def step(
        self,
        batch: Batch,
        optimizer: Optimizer,
        rate: Callable[[int], float],
        scale: float,
    ) -> None:
        """Let the matrices of this batch follow their gradient, each at its own rate."""
        self.n_updates += 1
        for depth in self.used:
            matrix, gradient = self.matrices[depth], self.gradients[depth]
            kernels.product_gradient(batch.inputs(depth), batch.dz[-1], gradient)
            optimizer.update(
                matrix.reshape(-1), gradient.reshape(-1), self.slots[depth],
                rate(depth), self.n_updates, scale,
            )  # fmt: skip

    def strengths(self, depth: int) -> np.ndarray:
        """Sum of absolute weights of each input of layer ``depth``, shape (n_in,)."""
        strengths: np.ndarray = np.abs(self.matrices[depth]).sum(axis=0)
        return strengths
