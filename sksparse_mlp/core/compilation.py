"""How functions are compiled: kept where that is possible, broken off never, fork or not.

Numba keeps compiled code in files, and fails where these cannot be written or read. Here
they spare time and nothing else: whatever is wrong with them, the code is compiled anew, in
memory. Numba's own state does not survive an exception in the middle either, so signals
wait; and a fork waits for the compiler, whose lock a child would find taken for ever.
"""

import hashlib
import os
import pickle
import threading
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import config

from sksparse_mlp.core.signals import put_off

try:
    from numba.core.caching import FunctionCache, IndexDataCacheFile
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.options import DefaultOptions
except ImportError:
    # Numba may rename what is its own: then no code is kept, and no fork waits.
    FunctionCache = IndexDataCacheFile = DefaultOptions = object  # type: ignore
    global_compiler_lock = None  # type: ignore[assignment]

# What is compiled into the functions of the folder ``jitted``.
SHARED = "addresses.py", "simd.py", "spinning.py"
# Options that leave out what Python or C would need to call a function: it takes a fifth of
# the time to compile.
NOT_FROM_C: Any = {n: True for n in ["no_cfunc_wrapper"] if hasattr(DefaultOptions, n)}
NOT_FROM_PYTHON: Any = {
    n: True for n in ["no_cpython_wrapper"] if hasattr(DefaultOptions, n)
}
DIGEST_BYTES = hashlib.sha256().digest_size


def kept(jit: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A decorator that compiles as ``jit`` does, and keeps the code if it can."""

    def decorate(function: Any) -> Any:
        dispatcher = jit(function)
        # Without compilation it is the function itself.
        if dispatcher is not function:
            with put_off():
                _keep(dispatcher)
            dispatcher.compile = _undisturbed(dispatcher.compile)
        return dispatcher

    return decorate


def _keep(dispatcher: Any) -> None:
    function = dispatcher.py_func
    try:
        dispatcher._cache = _Cache(function)
    # Numba's search for a folder fails in many ways, with frozen programs more than with
    # others, and its classes may have changed.
    except Exception as error:
        source = function.__code__.co_filename
        folder = config.CACHE_DIR or os.path.dirname(source)  # type: ignore[attr-defined]
        _troubles.note(folder, error)


def _undisturbed(compile_one: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A dispatcher's ``compile`` that neither signals nor warnings end halfway."""

    def compile_all(signature: Any) -> Any:
        try:
            with put_off(), _nesting:
                return compile_one(signature)
        finally:
            if _nesting.depth == 0:
                _troubles.tell()

    return compile_all


class _Nesting(threading.local):
    """How many functions this thread is compiling, each for the one before."""

    depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *exc_info: object) -> None:
        self.depth -= 1


class _Troubles:
    """What was wrong with the folder of compiled code, said once in a process."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._is_told = False

    def note(self, folder: str, error: Exception) -> None:
        """Take note: warnings may be errors, which must end no import or compilation."""
        self._text = (
            f"Compiled code cannot be kept in, or taken from, {folder} "
            f"({type(error).__name__}: {error!s:.200}). It is compiled anew, in memory, "
            "which takes every new process up to a minute. Set the environment variable "
            "NUMBA_CACHE_DIR to a folder that can be written."
        )

    def tell(self) -> None:
        """Warn of what was noted, unless that was done before."""
        if self._text is not None and not self._is_told:
            self._is_told = True
            warnings.warn(self._text, stacklevel=2)


class _SealedFile(IndexDataCacheFile):
    """Numba's files with checksums: damaged code would crash, damaged pickles do anything.

    Each piece of code is kept with what it is of, as a file that was not written, or by
    two processes at once, leaves others in the places that the index names.
    """

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (self._source_stamp, key, data))

    def load(self, key: Any) -> Any:
        stamp, of, data = super().load(key) or (None, None, None)
        return data if (stamp, of) == (self._source_stamp, key) else None

    def _dump(self, obj: Any) -> bytes:
        content: bytes = super()._dump((self._version, obj))
        return content + hashlib.sha256(content).digest()

    def _save_index(self, overloads: Any) -> None:
        with self._open_for_write(self._index_path) as file:
            file.write(self._dump((self._source_stamp, overloads)))

    def _load_index(self) -> Any:
        try:
            stamp, overloads = self._load_sealed(self._index_path) or (None, {})
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            # It is written anew.
            _troubles.note(self._cache_path, error)
            return {}
        return overloads if stamp == self._source_stamp else {}

    def _load_data(self, name: str) -> Any:
        return self._load_sealed(self._data_path(name))

    def _load_sealed(self, path: str) -> Any:
        """What a file holds, None if another version of Numba wrote it."""
        with open(path, "rb") as file:
            content = file.read()
        content, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError(f"{os.path.basename(path)} is damaged")
        version, obj = pickle.loads(content)
        return obj if version == self._version else None


@cache
def _stamp_of_all() -> tuple[tuple[str, int, int], ...]:
    """What changes with any of the files whose functions are compiled into each other.

    Numba looks at a function's own file only. Where there are no files, as in frozen
    programs, nothing changes.
    """
    folder = Path(__file__).parent
    paths = [*sorted(folder.glob("jitted/*.py")), *(folder / name for name in SHARED)]
    try:
        found = [(path.name, path.stat()) for path in paths]
    except OSError:
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)


class _Cache(FunctionCache):
    """A function's compiled code in files that may be missing, damaged or not writable."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        # Files without checksums, of other programs, have other names.
        name = f"{self._impl.filename_base}-sealed"
        stamp = (self._impl.locator.get_source_stamp(), _stamp_of_all())
        self._cache_file = _SealedFile(self.cache_path, name, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:
            _troubles.note(self.cache_path, error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:
            _troubles.note(self.cache_path, error)


_nesting, _troubles = _Nesting(), _Troubles()

if global_compiler_lock is not None and hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )
