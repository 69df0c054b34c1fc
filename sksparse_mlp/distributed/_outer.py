"""The optimizer that takes the changes of the rounds, as others take gradients."""

from collections.abc import Iterator

import numpy as np

from sksparse_mlp.core.averaging import positions_of
from sksparse_mlp.core.network import Network


class OuterNesterov:
    """Nesterov's momentum over the mean changes of the rounds (DiLoCo [1]_).

    With the mean change d of a round, momentum m and the velocity v, which starts from
    zero, the network goes by ``d + m v`` after ``v = m v + d``. A connection that the
    round began without changes from zero, and one that leaves takes its velocity along.

    Parameters
    ----------
    momentum : float
        In [0, 1). Zero takes the mean as it is.
    network : Network
        Before the first round.

    References
    ----------
    .. [1] Douillard et al., *DiLoCo: Distributed low-communication training of
       language models*, 2023.
    """

    def __init__(self, momentum: float, network: Network) -> None:
        self._momentum = momentum
        self.velocities = [np.zeros_like(values) for values in trained(network)]
        self._positions = _positions(network)

    def step(self, before: Network, mean: Network) -> None:
        """Let the mean go on in the direction of the velocity, in place."""
        if not self._momentum:
            return
        known = list(trained(before))
        starts = self._moved(known, mean)
        self.velocities = self._moved(self.velocities, mean)
        for values, start, velocity in zip(
            trained(mean), starts, self.velocities, strict=True
        ):
            change = values - start
            velocity *= self._momentum
            velocity += change
            values += self._momentum * velocity
        self._positions = _positions(mean)

    def follow(self, network: Network) -> None:
        """Take note that connections have moved."""
        if self._momentum:
            self.velocities = self._moved(self.velocities, network)
            self._positions = _positions(network)

    def resume(self, velocities: list[np.ndarray], network: Network) -> None:
        """Go on with these, one for each array that a network trains."""
        self.velocities, self._positions = velocities, _positions(network)

    def _moved(self, arrays: list[np.ndarray], network: Network) -> list[np.ndarray]:
        """Arrays like those of the network; what has no place there yet is zero."""
        moved = [array.copy() for array in arrays]
        for depth, (known, wanted) in enumerate(
            zip(self._positions, _positions(network), strict=True)
        ):
            # The weights of a layer are before its biases.
            moved[2 * depth] = _taken(known, arrays[2 * depth], wanted)
        return moved


def trained(network: Network) -> Iterator[np.ndarray]:
    """All that a network trains: weights and biases of the layers, then the rest."""
    for layer in network.layers:
        yield layer.weights
        yield layer.bias
    for unit in network.hidden:
        yield from unit.trained()


def _positions(network: Network) -> list[np.ndarray]:
    return [positions_of(layer) for layer in network.layers]


def _taken(known: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values at wanted positions, zero where they are not among the sorted known ones."""
    places = np.searchsorted(known, wanted)
    found = places < known.size
    found[found] = known[places[found]] == wanted[found]
    taken = np.zeros(wanted.size, values.dtype)
    taken[found] = values[places[found]]
    return taken
