"""Data sets of the scikit-feature repository: Matlab files with the arrays X and Y."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from scipy.io import loadmat, whosmat

from sksparse_mlp._sklearn import RemoteFileMetadata, _fetch_remote
from sksparse_mlp.datasets._limits import CHUNK, check_size, unpacked_size

NAMES = ("X", "Y")
# Of Matlab: what arrays of numbers are called, bytes of a number, and of the file's header.
KINDS = ("double", "single", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)))
MOST_BYTES, HEADER, COMPRESSED = 8, 128, 15
FOLDER = "https://jundongl.github.io/scikit-feature/files/datasets/"


@dataclass(frozen=True)
class ScikitFeature:
    """A file of the scikit-feature repository.

    Parameters
    ----------
    file_name : str
        Its name there.
    folder : str
        URL of the folder, which ends in a slash.
    """

    file_name: str
    folder: str = FOLDER

    @property
    def name(self) -> str:
        return f"scikit-feature {self.file_name}"

    @property
    def url(self) -> str:
        return self.folder + self.file_name

    def download(self, folder: str, n_retries: int, delay: float) -> tuple[Any, np.ndarray]:
        """Samples and labels, with files of passing use in ``folder``."""
        # The content is verified once it is decoded.
        remote = RemoteFileMetadata(self.file_name, self.url, checksum=None)
        path = _fetch_remote(remote, Path(folder), n_retries=n_retries, delay=delay)
        _check(path)
        arrays = loadmat(path, variable_names=NAMES)
        return arrays["X"], np.ravel(arrays["Y"])


def _check(path: Path) -> None:
    """Refuse a file that would take more memory than it should, before it does."""
    with open(path, "rb") as file:
        check_size(_unpacked_size(file))
    for name, shape, kind in whosmat(path):
        if name in NAMES and kind not in KINDS:
            raise ValueError(f"{name} is of the kind {kind!r}, not an array of numbers")
        check_size(math.prod(shape) * MOST_BYTES if name in NAMES else 0)


def _unpacked_size(file: IO[bytes]) -> int:
    """Bytes of all variables of a Matlab 5 file, of which each may be compressed."""
    order = {b"IM": "<", b"MI": ">"}.get(file.read(HEADER)[-2:])
    if order is None:
        raise ValueError("it is no Matlab file of version 5")
    n_bytes = 0
    while len(tag := file.read(8)) == 8:
        kind, size = struct.unpack(f"{order}2I", tag)
        end = file.tell() + size
        n_bytes += unpacked_size(_chunks(file, size)) if kind == COMPRESSED else size
        check_size(n_bytes)
        file.seek(end)
    return n_bytes


def _chunks(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := file.read(min(size, CHUNK))):
        size -= len(chunk)
        yield chunk
