"""Arrays by name, of which each is asked for once and checked as it is taken."""

from bisect import bisect_left
from typing import Any, TypeAlias

import numpy as np

from sksparse_mlp.serialization._values import dumps, known_dtype, loads

Shape: TypeAlias = tuple[int | None, ...]

INDEX, FLOAT = ("<i4", "<i8"), ("<f4", "<f8")


class Reader:
    """Hands out the arrays of a dict once each, and so empties it."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self._names = sorted(arrays)
        self._left = arrays

    def has(self, prefix: str) -> bool:
        """Whether there are, or have been, arrays whose names begin so."""
        first = bisect_left(self._names, prefix)
        return first < len(self._names) and self._names[first].startswith(prefix)

    def take(self, name: str, dtypes: tuple[str, ...], shape: Shape) -> np.ndarray:
        """An array of one of the dtypes; None is any length in the shape."""
        if name not in self._left:
            raise ValueError(f"{name} is missing")
        array = self._left.pop(name)
        if array.dtype.str not in dtypes:
            raise ValueError(
                f"{name} has dtype {array.dtype.str}, but {' or '.join(dtypes)} is needed"
            )
        fits = len(shape) == array.ndim and all(
            wanted in (None, n) for wanted, n in zip(shape, array.shape, strict=True)
        )
        if not fits:
            raise ValueError(f"{name} has shape {array.shape}, but {shape} is needed")
        return np.asarray(array, order="C")

    def floats(self, name: str, dtype: np.dtype | None, shape: Shape) -> np.ndarray:
        """An array of finite numbers of the dtype, or of either one for None."""
        array = self.take(name, FLOAT if dtype is None else (dtype.str,), shape)
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has values that are not finite")
        return array

    def labels(self, name: str, shape: Shape) -> np.ndarray:
        """An array of any dtype that labels may have."""
        dtype = known_dtype(self._left[name].dtype.str) if name in self._left else None
        return self.take(name, () if dtype is None else (dtype.str,), shape)

    def integers(self, name: str, limit: int) -> np.ndarray:
        """An array of growing integers from 0 to below ``limit``, at least one."""
        array = self.take(name, ("<i8",), (None,))
        within = array.size > 0 and array[0] >= 0 and array[-1] < limit
        if not within or (array[1:] <= array[:-1]).any():
            raise ValueError(f"{name} does not grow within 0 and {limit}")
        return array

    def json(self, name: str, kind: type) -> Any:
        """The value of an array of JSON text."""
        data = self.take(name, ("|u1",), (None,))
        try:
            value = loads(data.tobytes().decode())
        except ValueError as error:
            raise ValueError(f"{name} cannot be read: {error}") from error
        if not isinstance(value, kind):
            raise ValueError(f"{name} holds no {kind.__name__}")
        return value

    def record(
        self, name: str, keys: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The dict with these keys, and perhaps others, that an array of text holds."""
        value: dict[str, Any] = self.json(name, dict)
        if set(value) - set(optional) != set(keys):
            raise ValueError(f"{name} has {list(value)}, but {list(keys)} are needed")
        return value

    def behind(self, prefix: str) -> "Reader":
        """What hands out the arrays behind a prefix, by the rest of their names."""
        names = [name for name in self._left if name.startswith(prefix)]
        return Reader({name.removeprefix(prefix): self._left.pop(name) for name in names})

    def finish(self) -> None:
        """Refuse what nothing asked for."""
        if self._left:
            raise ValueError(f"{min(self._left)!r:.100} is not a part of the format")


def text_array(value: Any) -> np.ndarray:
    """JSON text as an array of its UTF-8 bytes."""
    return np.frombuffer(dumps(value).encode(), np.uint8)


def whole(value: Any, name: str, smallest: int, largest: int) -> int:
    """The value, if it is an integer within these limits."""
    if type(value) is not int or not smallest <= value <= largest:
        raise ValueError(f"{name} is {value!r:.100}, not within {smallest} and {largest}")
    return value
