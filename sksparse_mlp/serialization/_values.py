"""JSON text of plain Python and NumPy values that comes back as the same values.

Only what is listed in `encoded` can be written, and reading makes nothing else: no text,
whatever it is, runs code or imports anything.
"""

import base64
import json
import math
from collections.abc import Callable
from inspect import signature
from typing import Any, Never

import numpy as np

from sksparse_mlp._sklearn import BaseEstimator
from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.initializers import INITIALIZERS
from sksparse_mlp.losses import LOSSES
from sksparse_mlp.schedules import ZETA_SCHEDULES
from sksparse_mlp.topology import GROWTHS, PRUNINGS

FAMILIES: list[dict[str, Any]] = [
    ACTIVATIONS,
    INITIALIZERS,
    LOSSES,
    ZETA_SCHEDULES,
    GROWTHS,
    PRUNINGS,
]
MEMBERS: dict[str, Any] = {
    cls.__name__: cls for family in FAMILIES for cls in family.values()
}
# Reading text makes objects of up to so many times its bytes, and this much for the start.
OBJECT_FACTOR, OBJECT_BYTES = 16, 2**20
# At least what a value, list or object of JSON takes in Python.
COSTS = {",": 33, "[": 56, "{": 200}
# Kinds of NumPy values: booleans, integers, floats and text.
KINDS = "biufU"
LARGEST_CODE_POINT = 0x10FFFF
# Parameters that are newer than the format of the arrays.
LATER = ("density", "scoring", "loss", "quantile")
ALLOWED = (
    "None, numbers, strings, lists, tuples, dicts, NumPy numbers and arrays, RandomState "
    "instances, and instances of the classes of this package's families"
)


def dumps(value: Any) -> str:
    """JSON text of a value; see `encoded`."""
    return json.dumps(encoded(value), allow_nan=False)


def loads(text: str) -> Any:
    """The value that `dumps` was given; ValueError if the text is not from there."""
    n_bytes = sum(text.count(sign) * cost for sign, cost in COSTS.items())
    if n_bytes > OBJECT_FACTOR * len(text) + OBJECT_BYTES:
        raise ValueError("its JSON has more lists and objects than text")
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_int=_integer,
        )
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error


def encoded(value: Any) -> Any:
    """What JSON can hold of a value; some objects with a single key stand for other types.

    ``{"float": ..}``, ``{"tuple": ..}``, ``{"dict": ..}``, ``{"scalar": ..}``,
    ``{"array": ..}``, ``{"random_state": ..}`` and ``{"member": ..}``.
    """
    if value is None or type(value) in (bool, str) or _is_short(value):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if type(value) is list:
        return [encoded(item) for item in value]
    if type(value) is tuple:
        return {"tuple": [encoded(item) for item in value]}
    if type(value) is dict:
        return _encoded_dict(value)
    return _encoded_object(value)


def _encoded_dict(value: dict[Any, Any]) -> dict[str, Any]:
    """A JSON object where keys are strings and not what stands for another type."""
    if all(type(key) is str for key in value) and not _stands_for_another(value):
        return {key: encoded(item) for key, item in value.items()}
    return {"dict": [[encoded(key), encoded(item)] for key, item in value.items()]}


def _stands_for_another(value: dict[Any, Any]) -> bool:
    return len(value) == 1 and next(iter(value)) in _DECODERS


def _is_short(value: Any) -> bool:
    """Whether a value is an integer that 64 bits can hold."""
    return type(value) is int and -(2**63) <= value < 2**64


def _encoded_object(value: Any) -> dict[str, Any]:
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind in KINDS:
        name = "array" if isinstance(value, np.ndarray) else "scalar"
        return {name: _encoded_array(np.asarray(value))}
    if type(value) is np.random.RandomState:
        state = value.get_state(legacy=False)
        if state["bit_generator"] == "MT19937":
            return {"random_state": encoded(state)}
    if MEMBERS.get(type(value).__name__) is type(value):
        name, parameters = type(value).__name__, value.get_params(deep=False)
        return {"member": {"class": name, "parameters": encoded(parameters)}}
    raise ValueError(f"{value!r} cannot be exported; allowed are {ALLOWED}")


def _encoded_array(array: np.ndarray) -> dict[str, Any]:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = base64.b64encode(little.tobytes()).decode("ascii")
    return {"dtype": little.dtype.str, "shape": list(array.shape), "base64": data}


def _object(pairs: list[tuple[str, Any]]) -> Any:
    """What `encoded` made this JSON object of, whose values are decoded already."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("its JSON has an object with a name twice")
    if not _stands_for_another(value):
        return value
    ((name, content),) = pairs
    return _DECODERS[name](content)


def _integer(text: str) -> int:
    value = int(text)
    if not _is_short(value):
        raise ValueError("its JSON has an integer of more than 64 bits")
    return value


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"its JSON has {name}")


def _fields(content: Any, *names: str) -> list[Any]:
    """The values of a JSON object with exactly these keys."""
    if not isinstance(content, dict) or set(content) != set(names):
        raise ValueError(f"its JSON has no {' and '.join(names)} where they should be")
    return [content[name] for name in names]


def _items(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise ValueError("its JSON has no list where one should be")
    return content


def _float(content: Any) -> float:
    if not (isinstance(content, str) and content in ("nan", "inf", "-inf")):
        raise ValueError(f"its JSON has {content!r:.100} for a float")
    return float(content)


def _dict(content: Any) -> dict[Any, Any]:
    pairs = _items(content)
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2):
            raise ValueError("its JSON has a dict that is not made of pairs")
        if not (
            pair[0] is None or isinstance(pair[0], bool | int | float | str | np.generic)
        ):
            raise ValueError("its JSON has a dict with a key that is no number or string")
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("its JSON has a dict with a key twice")
    return value


def _array(content: Any) -> np.ndarray:
    descriptor, shape, text = _fields(content, "dtype", "shape", "base64")
    dtype = known_dtype(descriptor)
    sizes = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    if not sizes or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("its JSON has an array whose shape and bytes do not agree")
    array = np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    check_values(array)
    return array


def known_dtype(descriptor: Any) -> np.dtype:
    """The dtype of numbers, booleans or text that NumPy describes so."""
    try:
        dtype = np.dtype(descriptor if isinstance(descriptor, str) else None)
    except (TypeError, ValueError, SyntaxError) as error:
        raise ValueError(f"{descriptor!r:.100} is no dtype") from error
    known = dtype.kind in KINDS and dtype.itemsize > 0 and dtype.str == descriptor
    if not known or descriptor.startswith(">"):
        raise ValueError(f"dtype {descriptor!r:.100} is not allowed")
    if dtype.kind == "f" and dtype.itemsize > 8:
        raise ValueError("floats of more than 64 bits are not portable")
    return dtype


def check_values(array: np.ndarray) -> None:
    """Refuse bytes that are no booleans and text that is not Unicode."""
    if array.dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise ValueError("it has bytes that are no booleans")
    if array.dtype.kind == "U":
        points = np.frombuffer(array.tobytes(), np.uint32)
        if (points > LARGEST_CODE_POINT).any():
            raise ValueError("it has text that is not Unicode")


def _scalar(content: Any) -> Any:
    array = _array(content)
    if array.shape != ():
        raise ValueError("its JSON has a scalar that is an array")
    return array[()]


def _random_state(content: Any) -> np.random.RandomState:
    generator, words, has_gauss, gauss = _fields(
        content, "bit_generator", "state", "has_gauss", "gauss"
    )
    key, position = _fields(words, "key", "pos")
    if not (
        isinstance(generator, str)
        and generator == "MT19937"
        and isinstance(key, np.ndarray)
        and (key.dtype, key.shape) == (np.dtype(np.uint32), (624,))
        and type(position) is int
        and 0 <= position <= key.size
        and type(has_gauss) is int
        and has_gauss in (0, 1)
        and type(gauss) is float
    ):
        raise ValueError("its JSON has a state that RandomState does not have")
    random_state = np.random.RandomState(0)
    random_state.set_state(content)
    return random_state


def _member(content: Any) -> BaseEstimator:
    name, values = _fields(content, "class", "parameters")
    if not (isinstance(name, str) and name in MEMBERS):
        raise ValueError(f"there is no class {name!r:.100} in this package's families")
    cls = MEMBERS[name]
    if not isinstance(values, dict) or sorted(values, key=str) != cls._get_param_names():
        raise ValueError(f"the parameters of {name} are not those that it has")
    member: BaseEstimator = cls(**values)
    member._validate_params()
    return member


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "float": _float,
    "tuple": lambda content: tuple(_items(content)),
    "dict": _dict,
    "scalar": _scalar,
    "array": _array,
    "random_state": _random_state,
    "member": _member,
}


def encoded_stream(state: dict[str, Any]) -> dict[str, Any]:
    """A PCG64 state whose 128-bit integers are strings, as many JSON readers need."""
    words = {name: str(value) for name, value in state["state"].items()}
    return {**state, "state": words}


def decoded_stream(state: Any) -> dict[str, Any]:
    """The PCG64 state of which `encoded_stream` made this."""
    generator, words, has_uint32, uinteger = _fields(
        state, "bit_generator", "state", "has_uint32", "uinteger"
    )
    words = dict(zip(("state", "inc"), _fields(words, "state", "inc"), strict=True))
    if not (
        isinstance(generator, str)
        and generator == "PCG64"
        and all(isinstance(word, str) and word.isdecimal() for word in words.values())
        and all(len(word) < 40 and int(word) < 2**128 for word in words.values())
        and int(words["inc"]) % 2 == 1
        and type(has_uint32) is int
        and has_uint32 in (0, 1)
        and type(uinteger) is int
        and 0 <= uinteger < 2**32
    ):
        raise ValueError("it has a state that no random stream has")
    return {**state, "state": {name: int(word) for name, word in words.items()}}


def later_parameters(cls: type[Any]) -> dict[str, Any]:
    """The parameters that files of earlier versions do not have, as they were then."""
    known = signature(cls).parameters
    return {name: known[name].default for name in LATER if name in known}
