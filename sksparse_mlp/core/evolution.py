"""When and how a network's topology changes while it trains."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.sampling import stream_from

# Shares of the training after which input neurons begin to leave, and after which those
# that remain are settled. Before the beginning initial weights tell more of an input's
# strength than what was learned (``python -m benchmarks.literature selection``).
SELECTION_START, SELECTION_END = 0.25, 0.42
# After which all but one have left, where validation samples choose the number.
PATH_END = 0.5


@dataclass
class Evolution:
    """The plan of a network's topology, and what of it has happened.

    Neurons that left the network (inputs that were not selected, hidden neurons that
    were pruned) have no connections and get none.

    Attributes
    ----------
    growth : member of the public family, or a list with one per layer
    pruning : member of the public family, or None
    zeta_schedule : callable of (epoch, n_epochs)
        May read a metric of the epoch before, see :mod:`sksparse_mlp.schedules`.
    n_epochs : int
    every : int or None
        Updates between two evolutions; None evolves between epochs.
    until : float
        Share of the epochs in which the topology evolves.
    n_inputs : int or None
        Number of input neurons to select.
    chooses : bool
        Whether validation samples choose that number: input neurons then leave until
        `n_inputs` are left, and those come back with which the loss was lowest.
    rng : numpy.random.Generator
    epoch : int
        The current epoch, from 0.
    zeta : float
        Of the current epoch.
    record : dict
        Of the epoch before; empty before the first.
    alive : list of ndarray
        Sorted indices of the neurons in the network, input layer first.
    n_connections : list of int
        What each layer is to have.
    lowest : float
        Loss of validation samples, the lowest so far of those that choose.
    chosen : ndarray or None
        The input neurons in the network then.
    """

    growth: Any
    pruning: Any
    zeta_schedule: Callable[..., float]
    n_epochs: int
    every: int | None
    until: float
    n_inputs: int | None
    rng: np.random.Generator
    chooses: bool = False
    epoch: int = 0
    zeta: float = 0.0
    record: dict[str, Any] = field(default_factory=dict, repr=False)
    alive: list[np.ndarray] = field(default_factory=list)
    n_connections: list[int] = field(default_factory=list)
    lowest: float = math.inf
    chosen: np.ndarray | None = None
    _pruned_in: int = -1
    # Of the class: a search or an ensemble has many networks that are all full.
    has_said_full: ClassVar[bool] = False

    def attach(self, network: Network) -> None:
        """Start from the connections of a network and, unless resumed, from its neurons.

        In a network that was trained before, neurons without connections have left.
        """
        self.n_connections = [layer.n_connections for layer in network.layers]
        if self.alive:
            return
        self.alive = [np.arange(size) for size in network.sizes]
        if self.n_inputs is not None:
            selected = np.flatnonzero(network.layers[0].fan_out)
            if selected.size == self.n_inputs:
                self.alive[0] = selected
        if self.pruning is not None:
            for depth, layer in enumerate(network.layers[:-1], start=1):
                linked = layer.fan_in + network.layers[depth].fan_out > 0
                self.alive[depth] = np.flatnonzero(linked)

    def state(self) -> dict[str, Any]:
        """What evolution continues from: plain values, and arrays that are not copied."""
        return {
            "rng": self.rng.bit_generator.state,
            "alive": list(self.alive),
            "n_connections": list(self.n_connections),
            "choice": self._choice(),
        }

    def _choice(self) -> dict[str, Any] | None:
        if not self.chooses and self.chosen is None:
            return None
        return {"open": self.chooses, "lowest": self.lowest, "inputs": self.chosen}

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from the state of another evolution."""
        self.rng = stream_from(state["rng"])
        self.alive = list(state["alive"])
        self.n_connections = list(state["n_connections"])
        choice = state.get("choice")
        if self.chooses and choice is not None:
            self.lowest, self.chosen = choice["lowest"], choice["inputs"]
            if not choice["open"]:
                self._settle()

    def growth_of(self, depth: int) -> Any:
        """The growth rule of a layer."""
        return self.growth[depth] if isinstance(self.growth, list) else self.growth

    @property
    def signals(self) -> set[str | None]:
        """What the growth rules want to know."""
        rules = self.growth if isinstance(self.growth, list) else [self.growth]
        return {rule.signal for rule in rules}

    def begin_epoch(self, epoch: int) -> None:
        """Take note of the epoch, counted from 0, and set its zeta."""
        self.epoch = epoch
        planned = min(epoch, self.n_epochs - 1)
        in_time = planned < self.until * self.n_epochs
        metric = getattr(self.zeta_schedule, "metric", None)
        read = {metric: self.record[metric]} if metric in self.record else {}
        self.zeta = self.zeta_schedule(planned, self.n_epochs, **read) if in_time else 0.0

    def resume_epoch(self, epoch: int, record: dict[str, Any]) -> None:
        """Go on at the end of an epoch with this record."""
        self.epoch, self.zeta, self.record = epoch, record["zeta"], record

    def is_due(self, n_updates: int) -> bool:
        """Whether to evolve before the update that follows ``n_updates`` others."""
        return bool(self.every and n_updates and n_updates % self.every == 0)

    def n_updates_until_due(self, n_updates: int, most: int) -> int:
        """How many updates, but at least one, may follow ``n_updates`` others at once."""
        return (
            most if self.every is None else min(most, self.every - n_updates % self.every)
        )

    @property
    def is_selecting(self) -> bool:
        """Whether input neurons are still to leave."""
        wanted = self.n_inputs
        return self.chooses or (wanted is not None and self.alive[0].size > wanted)

    def note(self, loss: float) -> bool:
        """Take note of the loss of samples that choose; return whether it is the lowest."""
        is_lowest = self.chooses and loss < self.lowest
        if is_lowest:
            self.lowest, self.chosen = loss, self.alive[0]
        return is_lowest

    @property
    def is_choice_due(self) -> bool:
        """Whether it is time to go back to the input neurons of the lowest loss."""
        return self.chooses and self._rest() == 0

    def choose(self, network: Network) -> None:
        """Select the input neurons of the lowest loss, which the network already has."""
        if self.chosen is not None:
            self.alive[0] = self.chosen
        self._settle()
        for depth in range(len(network.layers)):
            self._drop_dead(network, depth)

    def _settle(self) -> None:
        self.n_inputs, self.chooses = self.alive[0].size, False

    def selected_inputs(self, network: Network) -> np.ndarray | None:
        """Mask of the selected input neurons, the strongest while others are left."""
        if self.n_inputs is None:
            return None
        mask = np.zeros(network.sizes[0], dtype=bool)
        if self.chooses:
            mask[self.alive[0] if self.chosen is None else self.chosen] = True
        else:
            mask[self._strongest_inputs(network, self.n_inputs)] = True
        return mask

    def _strongest_inputs(self, network: Network, n_inputs: int) -> np.ndarray:
        """Sorted indices of the strongest input neurons in the network."""
        alive = self.alive[0]
        strengths = network.input_strengths()[alive]
        return np.sort(alive[np.argsort(-strengths, kind="stable")[:n_inputs]])

    def evolve(self, network: Network, signal: Callable[[int], Any]) -> tuple[int, int]:
        """Let neurons leave and connections move, as is due.

        ``signal(depth)`` is what the growth rule wants to know of a layer. Returns the
        numbers of connections removed and grown.
        """
        self._say_if_full(network)
        n_pruned = self._prune_neurons(network) + self._select_inputs(network)
        n_grown = 0
        for depth, layer in enumerate(network.layers):
            counts = self._evolve_layer(depth, layer, signal)
            n_pruned += counts[0]
            n_grown += counts[1]
        return n_pruned, n_grown

    def _say_if_full(self, network: Network) -> None:
        full = all(layer.is_full for layer in network.layers)
        if full and self.zeta > 0 and not Evolution.has_said_full:
            Evolution.has_said_full = True
            warnings.warn(
                "No connection can grow, because every layer is full: the topology stays "
                "as it is. Lower epsilon for sparse layers, or set zeta=0 to keep full "
                "ones without this warning.",
                stacklevel=2,
            )

    def _evolve_layer(
        self, depth: int, layer: SparseLayer, signal: Callable[[int], Any]
    ) -> tuple[int, int]:
        inputs, outputs = self.alive[depth], self.alive[depth + 1]
        is_full = layer.n_connections == inputs.size * outputs.size
        size = self.n_connections[depth]
        if is_full or (self.zeta == 0 and layer.n_connections >= size):
            return 0, 0
        if inputs.size == layer.n_in and outputs.size == layer.n_out:
            part = layer
            places: list[np.ndarray | slice] = [slice(None), slice(None)]
        else:
            layer.drop_transposed()
            part = layer.restricted(inputs, outputs)
            places = [inputs, outputs]
        rule = self.growth_of(depth)
        counts: tuple[int, int] = rule.evolve(
            part, self.zeta, self.rng,
            _part_of_signal(rule.signal, signal(depth), *places), size,
        )  # fmt: skip
        if part is not layer:
            layer.take_restricted(part, inputs, outputs)
        return counts

    def _select_inputs(self, network: Network) -> int:
        """Let the weakest input neurons leave; their connections will move."""
        if self.n_inputs is None or not self.is_selecting:
            return 0
        n_in, rest = network.sizes[0], self._rest()
        if self.chooses:
            n_alive = round(n_in**rest)
        else:
            n_alive = self.n_inputs + round((n_in - self.n_inputs) * rest**3)
        self.alive[0] = self._strongest_inputs(network, n_alive)
        return self._drop_dead(network, 0)

    def _rest(self) -> float:
        """The share of the epochs in which input neurons leave that is still to come."""
        last = PATH_END if self.chooses else SELECTION_END
        end = int(min(last, self.until) * self.n_epochs)
        start = min(int(SELECTION_START * self.n_epochs), end - 1)
        return min(max((end - self.epoch - 1) / (end - start), 0.0), 1.0)

    def _prune_neurons(self, network: Network) -> int:
        """Let weak hidden neurons leave, and with them their connections."""
        due = self.pruning is not None and self.pruning.is_due(self.epoch, self.n_epochs)
        if not due or self.epoch == self._pruned_in:
            return 0
        self._pruned_in = self.epoch
        for depth, layer in enumerate(network.layers[:-1]):
            alive = self.alive[depth + 1]
            weak = self.pruning.weakest(layer.output_strengths()[alive])
            self.alive[depth + 1] = np.delete(alive, weak)
        n_dropped = [self._drop_dead(network, k) for k in range(len(network.layers))]
        self.n_connections = [
            size - n for size, n in zip(self.n_connections, n_dropped, strict=True)
        ]
        return sum(n_dropped)

    def _drop_dead(self, network: Network, depth: int) -> int:
        """Remove a layer's connections from and to neurons that left."""
        layer = network.layers[depth]
        keep = layer.among(self.alive[depth], self.alive[depth + 1])
        n_dropped = keep.size - int(np.count_nonzero(keep))
        if n_dropped > 0:
            layer.rewire(keep, np.empty(0, np.int64))
        return n_dropped


def _part_of_signal(
    kind: str | None,
    signal: Any,
    inputs: np.ndarray | slice,
    outputs: np.ndarray | slice,
) -> Any:
    """What a rule that wants this kind of signal is told of some neurons."""
    if signal is None:
        return None
    if kind == "skips":
        return signal[inputs]
    x, dz = signal
    return np.ascontiguousarray(x[inputs]), np.ascontiguousarray(dz[outputs])
