"""npz files that are written whole or not at all, and read without trust."""

import hashlib
import math
import os
import re
import secrets
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from sksparse_mlp.core.signals import put_off
from sksparse_mlp.serialization._values import check_values, known_dtype

CHECKSUM = "checksum"
_MAGIC = b"\x93NUMPY\x01\x00"
# What NumPy writes, which is stricter than what it reads.
_HEADER = re.compile(
    rb"{'descr': '([^']{1,20})', 'fortran_order': (?:False|True), "
    rb"'shape': \(([0-9, ]*)\), } *\n"
)


def checksum(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """SHA-256 of the names, dtypes, shapes and bytes of all arrays but the checksum.

    Returns
    -------
    ndarray of shape (32,), dtype uint8
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        if name != CHECKSUM:
            array = np.ascontiguousarray(arrays[name])
            shape = "x".join(map(str, np.shape(arrays[name])))
            digest.update(f"{name}\0{array.dtype.str}\0{shape}\0".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)
    return np.array(bytearray(digest.digest()))


def sealed(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with their checksum."""
    return {**arrays, CHECKSUM: checksum(arrays)}


def check_sealed(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError if the checksum is not that of the arrays."""
    if CHECKSUM not in arrays:
        raise ValueError("it has no checksum")
    if not np.array_equal(arrays[CHECKSUM], checksum(arrays)):
        raise ValueError("it has arrays that are not those of its checksum")


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read all arrays of an npz file whose members are not compressed.

    No member is read before its header is seen to describe exactly the bytes that it
    has, so that no more memory is taken than the file has bytes.

    Raises
    ------
    ValueError
        If the file is not such a file, or damaged.
    FileNotFoundError
        If there is no such file.
    """
    # What a signal's handler raises would count as damage.
    with _regular(path) as file, put_off():
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                _check_members(members, os.fstat(file.fileno()).st_size)
                return dict(_named_array(archive, member) for member in members)
        except (ValueError, MemoryError):
            raise
        # Damaged files make zipfile and NumPy raise almost anything.
        except Exception as error:
            raise ValueError(f"it is damaged or no npz file ({error!r:.200})") from error


@contextmanager
def _regular(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file that is opened for reading; pipes and devices may have no end, nor begin."""

    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", opener=without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no regular file")
        yield file


def _check_members(members: list[zipfile.ZipInfo], n_bytes: int) -> None:
    if len({member.filename for member in members}) < len(members):
        raise ValueError("it has two arrays of the same name")
    for member in members:
        stored = member.compress_type == zipfile.ZIP_STORED
        if not (stored and member.file_size == member.compress_size):
            raise ValueError(
                f"it has compressed arrays such as {member.filename!r:.100}; load it where "
                "you trust it and write it by numpy.savez"
            )
        if not member.filename.endswith(".npy"):
            raise ValueError(f"it has {member.filename!r:.100}, which is no array")
    if sum(member.file_size for member in members) > n_bytes:
        raise ValueError("it has arrays of more bytes than the file")


def _named_array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> tuple[str, np.ndarray]:
    with archive.open(member) as file:
        _check_header(file, member)
    with archive.open(member) as file:
        array = npy.read_array(file, allow_pickle=False)
    check_values(array)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return member.filename.removesuffix(".npy"), native


def _check_header(file: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Refuse an array that is not exactly the rest of its member."""
    magic, length = file.read(len(_MAGIC)), int.from_bytes(file.read(2), "little")
    header = _HEADER.fullmatch(file.read(length))
    if magic != _MAGIC or header is None:
        raise ValueError(
            f"it has {member.filename!r:.100}, which is not as NumPy writes it"
        )
    dtype = known_dtype(header[1].decode("ascii"))
    shape = tuple(int(size) for size in header[2].split(b",") if size.strip())
    if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
        raise ValueError(
            f"it has {member.filename!r:.100} of shape {shape!r:.100} and dtype {dtype}, "
            "which are not the bytes that it holds"
        )


def previous_of(path: Path) -> Path:
    """Where the file is kept that was at a path before it was last written."""
    return path.with_name(f"{path.name}.previous")


def place_of(path: Path) -> Path:
    """The file that is written for a path: where a symbolic link leads, which stays one.

    Raises
    ------
    OSError
        If links lead in a circle, or something that is no regular file is there.
    """
    place = Path(os.path.realpath(path))
    if place.is_symlink() or (place.exists() and not place.is_file()):
        raise OSError(f"{path} is no regular file, and is not replaced by one.")
    return place


def _partial(path: Path) -> Path:
    """A new name beside a path for what is not written whole; see `remove_leftovers`."""
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")


def write(path: Path, arrays: Mapping[str, np.ndarray], *, keep: bool) -> None:
    """Write an npz file, so that whatever happens an intact one remains.

    The file that was there is replaced at once, and kept as `previous_of` the path if
    ``keep`` says that it is worth it.
    """
    temporary = _partial(path)
    try:
        with open(temporary, "xb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        if keep:
            os.replace(path, previous_of(path))
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have what was renamed in a folder on the disk, where folders can be opened."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove what was half written when a process was killed; try to write there."""
    own = re.compile(re.escape(path.name) + r"\.[0-9a-f]{8}\.partial")
    for other in path.parent.iterdir():
        if own.fullmatch(other.name):
            other.unlink(missing_ok=True)
    trial = _partial(path)
    trial.touch(exist_ok=False)
    trial.unlink()
