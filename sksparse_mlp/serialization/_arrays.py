"""Fitted estimators as named plain arrays, in the format of ``docs/arrays.md``.

Writing puts together what the estimator's attributes hold. Reading trusts nothing: every
name, dtype, shape and value is checked before it is used, and what is not expected is
refused.
"""

import copy
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy import sparse
from sklearn.base import RegressorMixin

from sksparse_mlp.core.network import Network
from sksparse_mlp.serialization import _npz
from sksparse_mlp.serialization._continuing import training_arrays, training_state
from sksparse_mlp.serialization._reader import INDEX, Reader, text_array, whole
from sksparse_mlp.serialization._values import (
    check_values,
    dumps,
    known_dtype,
    later_parameters,
)

Estimator = TypeVar("Estimator")

FORMAT, VERSION = "sksparse_mlp", 1
NORM_ARRAYS = ("gain", "shift", "mean", "variance")
# What every record of the history has that is counted, or measured; whatever else it has,
# beside the slopes, is a number too.
COUNTED = ("epoch", "n_pruned", "n_grown", "n_connections", "n_inputs")
MEASURED = ("loss", "zeta", "learning_rate", "turnover", "seconds", "evolution_seconds")
# What the description of a run has, beside its arrays.
DATA = ("X", "y", "sample_weight")
RUN = ("parameters", "data", "start", "finished", "diverged")
# What metadata of a regressor have of the scale of its targets.
SCALING = ("target_mean_", "target_scale_", "target_range_")
# Added since.
PACKAGE = "package"


# --- writing --------------------------------------------------------------------------


def exported(estimator: Any) -> dict[str, np.ndarray]:
    """All arrays of a fitted estimator, sealed, sharing no memory with it."""
    return sealed_copies(fitted_arrays(estimator))


def sealed_copies(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Copies of arrays with what says which format they have, and a checksum."""
    # Plain ones also of those that a memory map holds.
    copies = {k: np.array(array) for k, array in (_head() | arrays).items()}
    return _npz.sealed(copies)


def _head() -> dict[str, np.ndarray]:
    return {"format": np.array(FORMAT), "version": np.array(VERSION)}


def estimator_arrays(estimator: Any) -> dict[str, np.ndarray]:
    """The arrays of a fitted estimator and of the format, some of them its own."""
    return _head() | fitted_arrays(estimator)


def fitted_arrays(estimator: Any) -> dict[str, np.ndarray]:
    """The arrays of a fitted estimator, some of them its own."""
    estimator._validate_params()
    network = estimator._fitted_network()
    arrays = {
        "metadata": text_array(
            {
                "estimator": type(estimator).__name__,
                "n_iter": int(estimator.n_iter_),
                **_description_of_targets(estimator),
            }
        ),
        "parameters": _parameters_text(estimator),
        "history": text_array(list(estimator.history_)),
    }
    if estimator._has_single_labels:
        arrays["classes"] = plain_labels(estimator.classes_, "classes_")
    if hasattr(estimator, "feature_names_in_"):
        names = plain_labels(estimator.feature_names_in_, "feature_names_in_")
        arrays["feature_names"] = names
    if hasattr(estimator, "support_"):
        arrays["support"] = estimator.support_
    arrays |= network_arrays(network)
    if hasattr(estimator, "_training"):
        arrays |= training_arrays(estimator._training, network)
    return arrays


def _description_of_targets(estimator: Any) -> dict[str, Any]:
    """What the metadata say of the targets, under one of these names."""
    if isinstance(estimator, RegressorMixin):
        scaling = {name: getattr(estimator, name).tolist() for name in SCALING}
        return {"target_shape": list(estimator._target_shape), **scaling}
    if estimator.multilabel_:
        return {"n_labels": len(estimator.classes_)}
    return {"classes_are_objects": np.asarray(estimator.classes_).dtype.kind == "O"}


def encoded_parameters(
    estimator: Any, parameters: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """The JSON text of each parameter of an estimator, or of these of them."""
    texts = {}
    if parameters is None:
        parameters = estimator.get_params(deep=False)
    for name, value in parameters.items():
        try:
            texts[name] = dumps(value)
        except ValueError as error:
            raise ValueError(
                f"The parameter {name}={value!r} of {type(estimator).__name__} cannot be "
                f"kept in plain arrays: {error}. Set it to one of these, or keep the "
                "estimator by other means."
            ) from error
    return texts


def _parameters_text(estimator: Any) -> np.ndarray:
    encoded_parameters(estimator)
    return text_array(estimator.get_params(deep=False))


def plain_labels(values: np.ndarray, name: str) -> np.ndarray:
    """Labels or names as an array that needs no pickle."""
    values = np.asarray(values)
    plain = values.astype(str) if values.dtype.kind == "O" else values
    plain = plain.astype(plain.dtype.newbyteorder("="))
    try:
        known_dtype(plain.dtype.str)
        same = np.array_equal(plain, values)
    except ValueError:
        same = False
    if not same:
        raise ValueError(
            f"{name} holds what plain arrays cannot: {values.tolist()!r:.200}. Allowed are "
            "numbers of up to 64 bits, booleans, and strings that do not end in a null."
        )
    return plain


def network_arrays(network: Network, prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of a network."""
    if not network.is_finite():
        raise ValueError(
            "A weight or parameter of the network is not finite, so that it cannot be "
            "exported; fit again."
        )
    arrays = {}
    for k, layer in enumerate(network.layers):
        coef = layer.to_coef()
        arrays[f"{prefix}layers/{k}/shape"] = np.array(coef.shape)
        for name in ("indptr", "indices", "data"):
            arrays[f"{prefix}layers/{k}/{name}"] = getattr(coef, name)
        arrays[f"{prefix}layers/{k}/intercept"] = layer.bias
    for k, unit in enumerate(network.hidden):
        arrays[f"{prefix}hidden/{k}/activation_parameters"] = unit.parameters
        if unit.norm is not None:
            for name in NORM_ARRAYS:
                arrays[f"{prefix}hidden/{k}/batch_norm/{name}"] = getattr(unit.norm, name)
    return arrays


# --- reading --------------------------------------------------------------------------


@dataclass
class RunState:
    """What a checkpoint has of its run, beside the estimator as the epoch ended."""

    parameters: dict[str, str]
    data: dict[str, str]
    start: str | None
    finished: bool
    diverged: bool
    rows: np.ndarray | None
    validation_rows: np.ndarray | None
    best: Network | None
    # The version that wrote it, where it says so.
    package: str | None = None
    # Best epoch and seeds, for the training on all samples; not in files of 0.1.0.
    anew: np.ndarray | None = None


def imported(
    cls: type[Estimator], source: Mapping[str, np.ndarray] | str | os.PathLike[str]
) -> Estimator:
    """The estimator of class ``cls`` that arrays or a file hold."""
    estimator: Estimator = with_run(cls, source)[0]
    return estimator


def with_run(cls: type[Any], source: Any) -> tuple[Any, RunState | None]:
    """The estimator that arrays or a file hold, and its run if it is a checkpoint."""

    def build(reader: Reader) -> tuple[Any, RunState | None]:
        estimator = fitted_estimator(cls, reader)
        return estimator, _run(estimator, reader) if reader.has("run/") else None

    built: tuple[Any, RunState | None] = read_with(cls, source, build)
    return built


def read_with(cls: type[Any], source: Any, build: Callable[[Reader], Any]) -> Any:
    """What a function makes of all that arrays or a file hold, which must be sound."""
    is_file = not isinstance(source, Mapping)
    try:
        arrays = _npz.read(Path(source)) if is_file else _own(source)
        _check_version(arrays)
        _npz.check_sealed(arrays)
        del arrays[_npz.CHECKSUM]
        reader = Reader(arrays)
        reader.take("format", (np.array(FORMAT).dtype.str,), ())
        reader.take("version", INDEX, ())
        built = build(reader)
        reader.finish()
    except ValueError as error:
        where = f"The file {os.fspath(source)}" if is_file else "What was given"
        raise ValueError(
            f"{where} does not hold a {cls.__name__} that can be used: "
            f"{str(error).rstrip('.')}. Take an intact copy, or export it again."
        ) from error
    return built


def _own(arrays: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    """Copies of the given arrays, if they are plain ones."""
    copies = {}
    for name, array in arrays.items():
        if not isinstance(name, str) or type(array) not in (np.ndarray, np.memmap):
            raise ValueError(f"{name!r:.100} is not the name of a NumPy array")
        known_dtype(array.dtype.str)
        copies[name] = np.array(array, order="C")
        check_values(copies[name])
    return copies


def _check_version(arrays: dict[str, np.ndarray]) -> None:
    known = {name: arrays.get(name, np.array(None)) for name in ("format", "version")}
    if known["format"].dtype.kind != "U" or known["format"].tolist() != FORMAT:
        raise ValueError(f"it is not in the format {FORMAT!r}")
    version = known["version"]
    if version.dtype.kind not in "iu" or version.shape != () or version < 1:
        raise ValueError("it does not say which version of the format it has")
    if version > VERSION:
        raise ValueError(
            f"it is in version {version} of the format and this package reads up to "
            f"{VERSION}; install a newer one"
        )


def fitted_estimator(cls: type[Any], reader: Reader) -> Any:
    """The network that arrays without those of the format hold."""
    metadata = _metadata(cls, reader)
    estimator = unfitted(cls, reader.json("parameters", dict))
    estimator.history_ = _history(reader.json("history", list))
    estimator.n_iter_ = whole(metadata["n_iter"], "n_iter", 0, len(estimator.history_))
    vars(estimator).update(_network_attributes(reader, ""))
    _take_targets(estimator, reader, metadata)
    estimator.n_features_in_ = estimator.coefs_[0].shape[0]
    network = _checked_network(estimator)
    # Raises where hidden_layer_sizes are none.
    estimator._layer_sizes()
    vars(estimator).update(estimator._network_attributes(network))
    _take_features(estimator, reader)
    if reader.has("training/"):
        estimator._training = training_state(reader, network)
    return estimator


def _metadata(cls: type[Any], reader: Reader) -> dict[str, Any]:
    metadata: dict[str, Any] = reader.json("metadata", dict)
    if metadata.get("estimator") != cls.__name__:
        raise ValueError(f"it is a {metadata.get('estimator')!r:.100}")
    of_class = [["classes_are_objects"], ["n_labels"]]
    if issubclass(cls, RegressorMixin):
        # What version 0.1.0 wrote has the first alone.
        of_class = [["target_shape", *SCALING], ["target_shape"]]
    if not any(set(metadata) == {"estimator", "n_iter", *names} for names in of_class):
        raise ValueError(
            f"metadata has {list(metadata)}, but estimator, n_iter and "
            f"{' or '.join(map(', '.join, of_class))} are needed"
        )
    return metadata


def _take_targets(estimator: Any, reader: Reader, metadata: dict[str, Any]) -> None:
    """Set the attributes that describe the targets of the estimator with these layers."""
    if not estimator.coefs_:
        raise ValueError("layers/0 is missing")
    n_outputs = estimator.coefs_[-1].shape[1]
    if "target_shape" in metadata:
        shape = metadata["target_shape"]
        if not (shape == [] or shape == [n_outputs]):
            raise ValueError(f"target_shape {shape!r:.100} does not fit the outputs")
        estimator._target_shape = tuple(shape)
        _take_scaling(estimator, metadata, n_outputs)
        return
    estimator.multilabel_ = "n_labels" in metadata
    if estimator.multilabel_:
        n_labels = whole(metadata["n_labels"], "n_labels", 2, n_outputs)
        estimator.classes_ = np.arange(n_labels)
    else:
        estimator.classes_ = _classes(reader, metadata["classes_are_objects"])


def unscaled(n_outputs: int) -> tuple[np.ndarray, ...]:
    """What `SCALING` names for targets that are taken as they are."""
    limits = np.full((2, n_outputs), [[-math.inf], [math.inf]])
    return np.zeros(n_outputs), np.ones(n_outputs), limits


def _take_scaling(estimator: Any, metadata: dict[str, Any], n_outputs: int) -> None:
    """Set how a regressor scales its targets; without that it does not."""
    for name, values in zip(SCALING, unscaled(n_outputs), strict=True):
        given = metadata.get(name, values.tolist())
        setattr(estimator, name, _floats(given, name, values.shape))
    lowest, highest = estimator.target_range_
    if not ((estimator.target_scale_ > 0).all() and (lowest <= highest).all()):
        raise ValueError("target_scale or target_range are none of any targets")


def _floats(given: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of JSON as an array of this shape, which is known beforehand."""
    rows = given if len(shape) == 2 else [given]
    right = isinstance(rows, list) and all(
        isinstance(row, list)
        and len(row) == shape[-1]
        and all(_is_number(value) and not math.isnan(value) for value in row)
        for row in rows
    )
    if not right or (len(shape) == 2 and len(rows) != shape[0]):
        raise ValueError(f"{name} is {given!r:.100}, not numbers of shape {shape}")
    return np.array(given, np.float64).reshape(shape)


def unfitted(cls: type[Any], parameters: dict[Any, Any]) -> Any:
    """An estimator with these parameters, if they are right."""
    parameters = later_parameters(cls) | parameters
    if sorted(parameters, key=str) != cls._get_param_names():
        raise ValueError(f"its parameters are not those of {cls.__name__}")
    estimator = cls(**parameters)
    estimator._validate_params()
    return estimator


def _history(records: list[Any]) -> list[dict[str, Any]]:
    for record in records:
        needed = {*COUNTED, *MEASURED, "slopes"}
        if not (isinstance(record, dict) and needed <= record.keys()):
            raise ValueError("history has records without what each has")
        for name, value in record.items():
            _check_recorded(name, value)
    return records


def _check_recorded(name: str, value: Any) -> None:
    """Refuse what no record of the history has under that name."""
    if name == "slopes":
        right = isinstance(value, list) and all(map(_is_slope, value))
    elif name in COUNTED:
        right = type(value) is int and value >= 0
    else:
        right = _is_number(value) and (name != "loss" or math.isfinite(value))
    if not (right and isinstance(name, str)):
        raise ValueError(f"history has {value!r:.100} as {name!r:.100}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_slope(value: Any) -> bool:
    """Whether it is what a record has of a hidden layer; arrays have one per neuron."""
    is_array = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind == "f"
    return value is None or is_array or _is_number(value)


def _classes(reader: Reader, are_objects: Any) -> np.ndarray:
    classes = reader.labels("classes", (None,))
    if classes.size < 2 or not np.array_equal(np.unique(classes), classes):
        raise ValueError("classes are not at least 2 different labels in order")
    if type(are_objects) is not bool or (are_objects and classes.dtype.kind != "U"):
        raise ValueError("classes_are_objects does not fit the classes")
    return classes.astype(object) if are_objects else classes


def _take_features(estimator: Any, reader: Reader) -> None:
    n_features = estimator.n_features_in_
    if reader.has("feature_names"):
        names = reader.labels("feature_names", (n_features,))
        if names.dtype.kind != "U":
            raise ValueError("feature_names are not strings")
        estimator.feature_names_in_ = names.astype(object)
    if reader.has("support"):
        estimator.support_ = reader.take("support", ("|b1",), (n_features,))


def _network_attributes(reader: Reader, prefix: str) -> dict[str, list[Any]]:
    """The fitted attributes that make up a network, whose parts may not yet fit."""
    coefs: list[sparse.csr_array] = []
    intercepts, parameters, norms = [], [], []
    while reader.has(f"{prefix}layers/{len(coefs)}/"):
        coef, intercept = _layer(reader, f"{prefix}layers/{len(coefs)}", coefs)
        coefs.append(coef)
        intercepts.append(intercept)
    for k, coef in enumerate(coefs[:-1]):
        name, shape = f"{prefix}hidden/{k}", (None, None)
        values = reader.floats(f"{name}/activation_parameters", coef.dtype, shape)
        parameters.append(values)
        norms.append(_norm(reader, f"{name}/batch_norm", coef))
    return {
        "coefs_": coefs,
        "intercepts_": intercepts,
        "activation_parameters_": parameters,
        "batch_norms_": norms,
    }


def _layer(
    reader: Reader, name: str, before: list[sparse.csr_array]
) -> tuple[sparse.csr_array, np.ndarray]:
    """One layer's matrix and biases; it must follow the layers ``before``."""
    n_in, n_out = reader.take(f"{name}/shape", ("<i8",), (2,)).tolist()
    if n_in < 1 or n_out < 1 or (before and before[-1].shape[1] != n_in):
        raise ValueError(f"{name} is from {n_in} to {n_out} neurons, which does not fit")
    dtype = before[-1].dtype if before else None
    intercept = reader.floats(f"{name}/intercept", dtype, (n_out,))
    indptr = reader.take(f"{name}/indptr", INDEX, (n_in + 1,))
    size = int(indptr[-1])
    if indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any():
        raise ValueError(f"{name}/indptr does not grow from 0")
    indices = reader.take(f"{name}/indices", (indptr.dtype.str,), (size,))
    data = reader.floats(f"{name}/data", intercept.dtype, (size,))
    _check_rows(name, indptr, indices, n_out)
    coef = sparse.csr_array((data, indices, indptr), (n_in, n_out))
    coef.has_canonical_format = True
    return coef, intercept


def _check_rows(name: str, indptr: np.ndarray, indices: np.ndarray, n_columns: int) -> None:
    """Refuse column indices that are out of range, or not growing within a row."""
    if indices.size and not (indices.min() >= 0 and indices.max() < n_columns):
        raise ValueError(f"{name}/indices are not within 0 and {n_columns}")
    grows = np.diff(indices) > 0
    starts = indptr[1:-1]
    # Where a row begins its first index may be smaller than the one before.
    grows[starts[(starts > 0) & (starts < indices.size)] - 1] = True
    if not grows.all():
        raise ValueError(f"{name}/indices do not grow within each row")


def _norm(
    reader: Reader, name: str, coef: sparse.csr_array
) -> dict[str, np.ndarray] | None:
    """The arrays of a batch normalisation, None if there is none."""
    if not reader.has(f"{name}/"):
        return None
    n_neurons = coef.shape[1:]
    norm = {k: reader.floats(f"{name}/{k}", coef.dtype, n_neurons) for k in NORM_ARRAYS}
    if (norm["variance"] < 0).any():
        raise ValueError(f"{name}/variance has negative values")
    return norm


def _checked_network(estimator: Any) -> Network:
    """The network of the attributes, if these fit the parameters and each other."""
    # Activations are asked for arrays of their shapes, whatever their values.
    with np.errstate(all="ignore"):
        network: Network = estimator._fitted_network()
    if network.sizes[-1] != estimator._n_outputs():
        raise ValueError(
            f"{network.sizes[-1]} outputs do not fit targets that need "
            f"{estimator._n_outputs()}"
        )
    return network


# --- checkpoints ----------------------------------------------------------------------


def run_arrays(run: RunState) -> dict[str, np.ndarray]:
    """The arrays of a run."""
    arrays = {
        "run/state": text_array({name: getattr(run, name) for name in (*RUN, PACKAGE)})
    }
    for name in ("rows", "validation_rows", "anew"):
        if getattr(run, name) is not None:
            arrays[f"run/{name}"] = getattr(run, name)
    if run.best is not None:
        arrays |= network_arrays(run.best, "run/best/")
    return arrays


def _run(estimator: Any, reader: Reader) -> RunState:
    state = reader.record("run/state", RUN, optional=(PACKAGE,))
    flags = type(state["finished"]), type(state["diverged"])
    dicts = isinstance(state["parameters"], dict) and isinstance(state["data"], dict)
    is_text = isinstance(state.get(PACKAGE, ""), str)
    if flags != (bool, bool) or not (dicts and is_text) or set(state["data"]) != set(DATA):
        raise ValueError("run/state does not describe a run")
    if not hasattr(estimator, "_training"):
        raise ValueError("training/state is missing")
    later = later_parameters(type(estimator))
    state["parameters"] = {k: dumps(v) for k, v in later.items()} | state["parameters"]
    rows: dict[str, Any] = {
        name: _rows(reader, f"run/{name}") if reader.has(f"run/{name}") else None
        for name in ("rows", "validation_rows")
    }
    anew = _anew(reader) if reader.has("run/anew") else None
    return RunState(**state, **rows, best=_best(estimator, reader), anew=anew)


def _rows(reader: Reader, name: str) -> np.ndarray:
    rows = reader.take(name, ("<i8",), (None,))
    if rows.size == 0 or rows.min() < 0:
        raise ValueError(f"{name} are not numbers of samples")
    return rows


def _anew(reader: Reader) -> np.ndarray:
    anew = reader.take("run/anew", ("<i8",), (13,))
    if anew.min() < 0:
        raise ValueError("run/anew has negative numbers")
    return anew


def _best(estimator: Any, reader: Reader) -> Network | None:
    """The best network of the run so far, None if there is none."""
    if not reader.has("run/best/"):
        return None
    other = copy.copy(estimator)
    vars(other).update(_network_attributes(reader, "run/best/"))
    network = _checked_network(other)
    sizes = [estimator.n_features_in_, *map(len, estimator.intercepts_)]
    if network.sizes != sizes or network.dtype != estimator.coefs_[0].dtype:
        raise ValueError("run/best has layers of other sizes or another dtype")
    return network
