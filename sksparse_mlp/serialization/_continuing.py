"""The state from which a training goes on, as plain arrays."""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from sksparse_mlp.core.network import Network
from sksparse_mlp.core.optimizers import OPTIMIZERS
from sksparse_mlp.serialization._reader import Reader, text_array, whole
from sksparse_mlp.serialization._values import decoded_stream, encoded_stream

SOLVERS: dict[str, Any] = {cls.__name__: cls for cls in OPTIMIZERS.values()}
# What the description of a training has.
WHOLE = ("epoch", "n_updates", "n_seen")
COUNTERS = ("optimizer", "learning_rate_factor", "patience", *WHOLE)
OTHERS = ("n_connections", "data_stream", "topology_stream", "n_skip_updates")
# What that of version 0.1.0 has not.
LATER = ("headroom", "choice")


def training_arrays(state: dict[str, Any], network: Network) -> dict[str, np.ndarray]:
    """What `Training.state` gave; slots only where they still fit the network."""
    network.take_slots(state["slots"])
    evolution, skips = state["evolution"], state["skips"]
    if skips is not None:
        shapes = {k: matrix.shape for k, matrix in skips["matrices"].items()}
        skips = skips if shapes == _skip_shapes(network) else None
    description = {
        **{name: state[name] for name in COUNTERS},
        "n_connections": evolution["n_connections"],
        "data_stream": encoded_stream(state["data_rng"]),
        "topology_stream": encoded_stream(evolution["rng"]),
        "n_skip_updates": None if skips is None else skips["n_updates"],
        "headroom": state.get("headroom", 0.0),
    }
    choice = evolution.get("choice")
    if choice is not None:
        description["choice"] = {name: choice[name] for name in ("open", "lowest")}
    values = {}
    for k, layer in enumerate(network.layers):
        for j, (weights, biases) in enumerate(layer.slots):
            values[f"training/layers/{k}/slots/{j}/weights"] = weights
            values[f"training/layers/{k}/slots/{j}/biases"] = biases
    for k, unit in enumerate(network.hidden):
        for j, slots in enumerate(unit.slots):
            values[f"training/hidden/{k}/slots/{j}"] = slots
    for k in [] if skips is None else skips["matrices"]:
        values[f"training/skips/{k}/matrix"] = skips["matrices"][k]
        values[f"training/skips/{k}/slots"] = skips["slots"][k]
    chosen = {} if choice is None else {"training/chosen": choice["inputs"]}
    return {
        "training/state": text_array(description),
        **{
            f"training/neurons/{k}": neurons for k, neurons in enumerate(evolution["alive"])
        },
        **{name: neurons for name, neurons in chosen.items() if neurons is not None},
        # Weights that were edited may have got another dtype.
        **{name: array.astype(network.dtype, copy=False) for name, array in values.items()},
    }


def _skip_shapes(network: Network) -> dict[int, tuple[int, int]]:
    """Shapes of the skip matrices that a network has in training, by layer."""
    layers = enumerate(network.layers)
    return {k: (network.sizes[-1], la.n_in) for k, la in layers if not la.is_full}


def training_state(reader: Reader, network: Network) -> dict[str, Any]:
    """The state of a training of this network; see `Training.state`."""
    state = reader.record("training/state", (*COUNTERS, *OTHERS), LATER)
    if state["optimizer"] not in list(SOLVERS):
        raise ValueError(f"there is no optimizer {state['optimizer']!r:.100}")
    n_slots = SOLVERS[state["optimizer"]].n_slots
    return {
        "optimizer": state["optimizer"],
        "slots": _slots(reader, network, n_slots),
        "skips": _skips(reader, network, n_slots, state["n_skip_updates"]),
        "learning_rate_factor": _factor(state["learning_rate_factor"]),
        "patience": _patience(state["patience"]),
        "evolution": _evolution(reader, network, state),
        "data_rng": decoded_stream(state["data_stream"]),
        "headroom": _headroom(state.get("headroom", 0.0)),
        **{name: whole(state[name], name, 0, 2**53) for name in WHOLE},
    }


def _slots(reader: Reader, network: Network, n_slots: int) -> dict[str, Any]:
    dtypes, layers, hidden = (network.dtype.str,), [], []
    for k, layer in enumerate(network.layers):
        pairs = []
        for j in range(n_slots if reader.has(f"training/layers/{k}/") else 0):
            name = f"training/layers/{k}/slots/{j}"
            weights = reader.take(f"{name}/weights", dtypes, (layer.n_connections,))
            pairs.append((weights, reader.take(f"{name}/biases", dtypes, (layer.n_out,))))
        layers.append({"indptr": layer.indptr, "indices": layer.indices, "slots": pairs})
    for k, unit in enumerate(network.hidden):
        name = f"training/hidden/{k}/slots"
        sizes = unit.trained_sizes() if reader.has(f"{name}/") else []
        shapes = [(n_slots, size) for size in sizes]
        hidden.append([reader.take(f"{name}/{j}", dtypes, s) for j, s in enumerate(shapes)])
    return {"layers": layers, "hidden": hidden}


def _skips(
    reader: Reader, network: Network, n_slots: int, n_updates: Any
) -> dict[str, Any] | None:
    if n_updates is None:
        return None
    matrices, slots = {}, {}
    for k, shape in _skip_shapes(network).items():
        name, slots_shape = f"training/skips/{k}", (n_slots, shape[0] * shape[1])
        matrices[k] = reader.floats(f"{name}/matrix", network.dtype, shape)
        slots[k] = reader.take(f"{name}/slots", (network.dtype.str,), slots_shape)
    n_updates = whole(n_updates, "n_skip_updates", 0, 2**53)
    return {"n_updates": n_updates, "matrices": matrices, "slots": slots}


def _factor(value: Any) -> float:
    if type(value) is not float or not 0 < value <= 1:
        raise ValueError(f"learning_rate_factor is {value!r:.100}, not within 0 and 1")
    return value


def _headroom(value: Any) -> float:
    if type(value) is not float or not 0 <= value < math.inf:
        raise ValueError(f"headroom is {value!r:.100}, not a number from 0")
    return value


def _choice(reader: Reader, n_inputs: int, value: Any) -> dict[str, Any] | None:
    """What is known of the number of inputs that validation samples choose."""
    if value is None:
        return None
    types = {"open": bool, "lowest": float}
    if not isinstance(value, dict) or {k: type(v) for k, v in value.items()} != types:
        raise ValueError("choice does not say how far it is")
    chosen = None
    if reader.has("training/chosen"):
        chosen = reader.integers("training/chosen", n_inputs)
    return {**value, "inputs": chosen}


def _patience(value: Any) -> dict[str, Any]:
    if not (isinstance(value, dict) and set(value) == {"best", "count"}):
        raise ValueError("patience has not the numbers that it should have")
    if type(value["best"]) is not float:
        raise ValueError("patience has no number as its best")
    return {**value, "count": whole(value["count"], "count", 0, 2**53)}


def _evolution(reader: Reader, network: Network, state: dict[str, Any]) -> dict[str, Any]:
    alive = [
        reader.integers(f"training/neurons/{k}", size)
        for k, size in enumerate(network.sizes)
    ]
    for layer, (inputs, outputs) in zip(network.layers, pairwise(alive), strict=True):
        if not layer.among(inputs, outputs).all():
            raise ValueError("training/neurons lack some that have connections")
    wanted = state["n_connections"]
    if not isinstance(wanted, list) or len(wanted) != len(network.layers):
        raise ValueError("n_connections has not one number per layer")
    for layer, size in zip(network.layers, wanted, strict=True):
        whole(size, "n_connections", 0, layer.n_in * layer.n_out)
    return {
        "rng": decoded_stream(state["topology_stream"]),
        "alive": alive,
        "n_connections": wanted,
        "choice": _choice(reader, network.sizes[0], state.get("choice")),
    }
