"""From public attributes, which anybody may edit, to a network that kernels can trust."""

import weakref
from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from sksparse_mlp.activations import Activation
from sksparse_mlp.core.hidden import BatchNorm, Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.network import Network
from sksparse_mlp.estimators._input import sound

NORM_ARRAYS = ("gain", "shift", "mean", "variance")


def restored_network(estimator: Any) -> Network:
    """The network that the fitted attributes of an estimator describe.

    Parameters
    ----------
    estimator : BaseSparseMLP

    Raises
    ------
    ValueError
        If attributes do not fit each other, the parameters or what they stand for; the
        message names the attribute.
    """
    # First, as it may refuse `classes_`.
    n_outputs = estimator._n_outputs()
    coefs = _coefs(estimator, n_outputs)
    intercepts = _each(estimator, "intercepts_", len(coefs), "layer")
    layers = [
        SparseLayer.from_coef(
            coef, _numbers(intercept, f"intercepts_[{k}]", coef.dtype, coef.shape[1:])
        )
        for k, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True))
    ]
    return Network(layers, _hidden(estimator, layers[:-1]), estimator._loss())


# Bytes of attributes up to which a network is kept, with a copy of them: larger ones take
# longer to compute with.
LARGEST_KEPT = 2**21
LISTS = "coefs_", "intercepts_", "activation_parameters_", "batch_norms_"
# By the identity of the first matrix of an estimator: a reference to it, all that the
# network was restored from, and the network.
_kept: dict[int, tuple[Any, Any, Network]] = {}


def predicting_network(estimator: Any) -> Network:
    """The same for predictions alone: the one before, if no attribute has changed since.

    It shares no memory with the estimator, and threads may share it.
    """
    source = _source_of(estimator)
    if source is None:
        return restored_network(estimator)
    first = estimator.coefs_[0]
    key = id(first)
    entry = _kept.get(key)
    if entry is not None:
        reference, known, network = entry
        if reference() is first and known == source:
            return Network(network.layers, network.hidden, estimator._loss())
    network = deepcopy(restored_network(estimator))
    # Another thread may have edited arrays in between.
    if _source_of(estimator) == source:
        reference = weakref.ref(first, lambda _: _kept.pop(key, None))
        _kept[key] = reference, source, network
    return network


def _source_of(estimator: Any) -> Any:
    """All that a network is restored from, with copies of the arrays' contents.

    None if it is large, or unusual: what is wrong is told where the network is restored.
    """
    try:
        lists = [getattr(estimator, name) for name in LISTS]
        parts = [_parts_of(part) for values in lists for part in values]
        arrays: list[Any] = [array for _, of_part in parts for array in of_part]
        if not 0 < sum(array.nbytes for array in arrays) <= LARGEST_KEPT or not lists[0]:
            return None
        forms = [(type(array), array.dtype, array.shape) for array in arrays]
        plain = [_plain(value) for value in (estimator.activation, estimator.slope)]
        sizes = _plain(estimator.n_features_in_), estimator._n_outputs()
        kinds = [(type(values), len(values)) for values in lists]
        contents = b"".join(arrays)
    except (AttributeError, TypeError, BufferError):
        return None
    # To be compared as they are, so that equal ones are sure to give equal networks.
    return contents, forms, [kind for kind, _ in parts], kinds, plain, sizes


def _parts_of(part: Any) -> tuple[Any, list[np.ndarray]]:
    """What a part of an attribute is beside arrays, and these."""
    if type(part) is sparse.csr_array:
        return part.shape, [part.data, part.indices, part.indptr]
    if isinstance(part, dict):
        return list(part), list(part.values())
    return None, [] if part is None else [part]


def _plain(value: Any) -> Any:
    """A parameter as what can be compared; a TypeError if its parts are not known."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if not isinstance(value, Activation):
        raise TypeError
    return type(value), [(name, _plain(part)) for name, part in vars(value).items()]


def _each(estimator: Any, name: str, size: int, what: str) -> list[Any]:
    """The parts of an attribute, which must have one per layer."""
    parts = getattr(estimator, name)
    if not isinstance(parts, list | tuple) or len(parts) != size:
        found = len(parts) if isinstance(parts, list | tuple) else type(parts).__name__
        raise ValueError(
            f"{name} must be a list of {size} parts, one per {what} of coefs_, got {found}."
        )
    return list(parts)


def _coefs(estimator: Any, n_outputs: int) -> list[Any]:
    """The matrices of the layers in one dtype, which fit each other and what is outside."""
    given = estimator.coefs_
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"coefs_ must be a list of one matrix per layer, got {given!r}.")
    coefs = [_matrix(coef, f"coefs_[{k}]") for k, coef in enumerate(given)]
    _check_sizes(estimator, [coef.shape for coef in coefs], n_outputs)
    # What was edited may have got another dtype.
    halves = all(np.can_cast(coef.dtype, np.float32) for coef in coefs)
    dtype = np.float32 if halves else np.float64
    return [coef.astype(dtype, copy=False) for coef in coefs]


def _matrix(coef: Any, name: str) -> Any:
    """A sparse matrix of real numbers."""
    if not sparse.issparse(coef) and not (isinstance(coef, np.ndarray) and coef.ndim == 2):
        raise ValueError(
            f"{name} must be a sparse matrix of shape (n_in, n_out), got "
            f"{type(coef).__name__}; make one by scipy.sparse.csr_array."
        )
    if coef.dtype.kind not in "biuf":
        raise ValueError(f"{name} must have real numbers, got dtype {coef.dtype}.")
    checked = sound(coef, name)
    return checked if type(checked) is sparse.csr_array else sparse.csr_array(checked)


def _check_sizes(estimator: Any, shapes: list[tuple[int, int]], n_outputs: int) -> None:
    n_features = estimator.n_features_in_
    if shapes[0][0] != n_features:
        raise ValueError(
            f"coefs_[0] has shape {shapes[0]} and so reads {shapes[0][0]} features, but "
            f"n_features_in_ is {n_features}."
        )
    for k, (before, after) in enumerate(pairwise(shapes)):
        if before[1] != after[0]:
            raise ValueError(
                f"The layers in coefs_ do not fit each other: coefs_[{k}] has shape "
                f"{before}, with {before[1]} outputs, and coefs_[{k + 1}] has shape "
                f"{after}, with {after[0]} inputs."
            )
    if shapes[-1][1] != n_outputs:
        raise ValueError(
            f"coefs_[{len(shapes) - 1}] has shape {shapes[-1]}: its {shapes[-1][1]} "
            f"outputs do not fit targets that need {n_outputs} "
            f"({estimator._targets_text()})."
        )


def _numbers(
    values: Any, name: str, dtype: np.dtype, shape: tuple[int, ...], of: Any = None
) -> np.ndarray:
    """A plain copy of an array of real numbers of this shape."""
    array = np.asarray(values)
    if array.shape != shape or array.dtype.kind not in "biuf":
        why = f" {of!r} has these. If activation was changed after fit, fit again."
        raise ValueError(
            f"{name} has shape {array.shape} and dtype {array.dtype}, but real numbers of "
            f"shape {shape} are needed.{'' if of is None else why}"
        )
    return np.array(array, dtype, order="C")


def _hidden(estimator: Any, layers: list[SparseLayer]) -> list[Hidden]:
    """What follows each of these layers."""
    parameters = _each(estimator, "activation_parameters_", len(layers), "hidden layer")
    norms = _each(estimator, "batch_norms_", len(layers), "hidden layer")
    members = estimator._activations(len(layers))
    return [
        _unit(k, layer, member, parameters[k], norms[k])
        for k, (layer, member) in enumerate(zip(layers, members, strict=True))
    ]


def _unit(
    k: int, layer: SparseLayer, activation: Activation, parameters: Any, norm: Any
) -> Hidden:
    """The activation and batch normalisation after a layer."""
    dtype, n_neurons = layer.weights.dtype, layer.n_out
    shape = activation.initial_parameters(k + 1, n_neurons, dtype).shape
    name = f"activation_parameters_[{k}]"
    values = _numbers(parameters, name, dtype, shape, of=activation)
    return Hidden(activation, values, n_neurons, _norm(k, norm, n_neurons, dtype))


def _norm(k: int, norm: Any, n_neurons: int, dtype: np.dtype) -> BatchNorm | None:
    if norm is None:
        return None
    if not isinstance(norm, dict) or set(norm) != set(NORM_ARRAYS):
        found = sorted(norm) if isinstance(norm, dict) else type(norm).__name__
        raise ValueError(
            f"batch_norms_[{k}] must be None or a dict of {list(NORM_ARRAYS)}, got {found}."
        )
    arrays = {
        name: _numbers(array, f"batch_norms_[{k}][{name!r}]", dtype, (n_neurons,))
        for name, array in norm.items()
    }
    if (arrays["variance"] < 0).any():
        raise ValueError(f"batch_norms_[{k}]['variance'] has negative values.")
    return BatchNorm(**arrays)
