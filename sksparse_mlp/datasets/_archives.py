"""npz files: read as if a stranger had made them, written whole or not at all."""

import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

MAX_BYTES = 2**32
# Deflate cannot make data smaller than this many times; who claims more is lying.
DEFLATE_RATIO = 1032
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_arrays(
    path: Path, names: Sequence[str], most_bytes: float = math.inf
) -> dict[str, np.ndarray]:
    """The named arrays of an npz file, which hold real numbers.

    No object is unpickled, and no memory is taken for more bytes than the file can hold, or
    than an array may have at most.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If the file is broken, an array is missing or one is not of real numbers.
    """
    if path.exists() and not path.is_file():
        raise ValueError("not a sound npz file: it is no regular file")
    with open(path, "rb") as file:
        # Zip, deflate and header each fail in their own ways on broken bytes.
        try:
            with zipfile.ZipFile(file) as archive:
                _check_names(archive, names)
                sizes = os.fstat(file.fileno()).st_size, min(MAX_BYTES, most_bytes)
                return {name: _read_array(archive, f"{name}.npy", *sizes) for name in names}
        except Exception as error:
            detail = str(error) or type(error).__name__
            raise ValueError(f"not a sound npz file: {detail}") from error


def _check_names(archive: zipfile.ZipFile, names: Sequence[str]) -> None:
    found = [member.removesuffix(".npy") for member in archive.namelist()]
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}, only {', '.join(found) or '-'}")


def _read_array(
    archive: zipfile.ZipFile, name: str, archive_size: int, most_bytes: float
) -> np.ndarray:
    member = archive.getinfo(name)
    _check_size(member, archive_size, most_bytes)
    with archive.open(member) as stream:
        _check_header(stream, member)
    # All of the member is read, so that zipfile compares its checksum.
    with archive.open(member) as stream:
        return npy.read_array(stream, allow_pickle=False)


def _check_size(member: zipfile.ZipInfo, archive_size: int, most_bytes: float) -> None:
    if member.compress_type not in COMPRESSIONS:
        raise ValueError(f"{member.filename} is compressed in a way NumPy does not use")
    possible = DEFLATE_RATIO * min(member.compress_size, archive_size)
    if member.file_size > min(possible, most_bytes):
        raise ValueError(
            f"{member.filename} claims {member.file_size:,} bytes, more than fit into "
            f"the file or than the {most_bytes:,} that are allowed"
        )


def _check_header(stream: IO[bytes], member: zipfile.ZipInfo) -> None:
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"{member.filename} has the unknown npy version {version}")
    shape, _, dtype = HEADERS[version](stream)
    if dtype.kind not in "iuf":
        raise ValueError(f"{member.filename} holds {dtype}, not real numbers")
    declared = math.prod(shape) * dtype.itemsize
    held = member.file_size - stream.tell()
    if declared != held:
        raise ValueError(
            f"{member.filename} declares {declared:,} bytes for shape {shape} of {dtype}, "
            f"but holds {held:,}"
        )


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write an npz file that others see complete or not at all."""
    with TemporaryDirectory(prefix=f"{path.name}.part_", dir=path.parent) as scratch:
        part = Path(scratch) / path.name
        with open(part, "wb") as file:
            np.savez_compressed(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
