"""Data sets of openml.org, through scikit-learn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.datasets import fetch_openml


@dataclass(frozen=True)
class OpenML:
    """A data set of openml.org.

    Parameters
    ----------
    data_id : int
        Its number there.
    relabel : mapping of int to int
        From labels there to those of the literature, where they differ.
    """

    data_id: int
    relabel: Mapping[int, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"OpenML {self.data_id}"

    @property
    def url(self) -> str:
        return f"https://www.openml.org/d/{self.data_id}"

    def download(self, folder: str, n_retries: int, delay: float) -> tuple[Any, np.ndarray]:
        """Samples and labels, with files of passing use in ``folder``."""
        found = fetch_openml(
            data_id=self.data_id,
            data_home=folder,
            as_frame=False,
            parser="pandas" if find_spec("pandas") else "liac-arff",
            n_retries=n_retries,
            delay=delay,
        )
        # Labels come as numbers or as text, with or without quotes.
        labels = np.char.strip(np.asarray(found.target).astype(str), "'\"").astype(float)
        return found.data, np.array([self.relabel.get(label, label) for label in labels])
