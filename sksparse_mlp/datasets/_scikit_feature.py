"""Data sets of the scikit-feature repository: Matlab files with the arrays X and Y."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from sksparse_mlp._sklearn import RemoteFileMetadata, _fetch_remote

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
        arrays = loadmat(path, variable_names=("X", "Y"))
        return arrays["X"], np.ravel(arrays["Y"])
