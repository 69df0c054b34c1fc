"""Every data set there is, and what is known of it.

A new one is an entry of :data:`DATA_SETS` and a fetcher in ``_fetch.py``: errors, file
names, documentation and tests follow from them.
"""

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sksparse_mlp.datasets._openml import OpenML
from sksparse_mlp.datasets._scikit_feature import ScikitFeature


class Source(Protocol):
    """A place on the network from which a data set comes."""

    @property
    def name(self) -> str: ...

    @property
    def url(self) -> str: ...

    def download(
        self, folder: str, n_retries: int, delay: float
    ) -> tuple[Any, np.ndarray]: ...


@dataclass(frozen=True)
class Part:
    """What is known of a part of a data set.

    Parameters
    ----------
    n_samples : int
    sha256 : str or None
        ``fingerprint`` of its samples and labels, where a copy was at hand.
    class_counts : tuple of int or None
        Samples of each class, where there is no fingerprint.
    """

    n_samples: int
    sha256: str | None = None
    class_counts: tuple[int, ...] | None = None


@dataclass(frozen=True)
class DataSet:
    """What is known of a data set.

    Parameters
    ----------
    title : str
        Its name in the literature.
    about : str
        What it is, in a sentence without full stop.
    source : Source
    feature : str
        What a feature is; with its number, the feature's name.
    n_features : int
    dtype : str
        The smallest usual dtype that holds the samples.
    classes : mapping of int to str
        Labels and the names of their classes.
    parts : mapping of str to Part
        "train" and "test" in the order in which they come, or only "all".
    """

    title: str
    about: str
    source: Source
    feature: str
    n_features: int
    dtype: str
    classes: Mapping[int, str]
    parts: Mapping[str, Part]

    @property
    def verified(self) -> str:
        """What a download is held to."""
        if all(part.sha256 for part in self.parts.values()):
            return "SHA-256 of the samples"
        return "shape, labels, samples per class"

    @property
    def most_bytes(self) -> int:
        """More than any download has, and than it unpacks to."""
        n_samples = sum(part.n_samples for part in self.parts.values())
        # Numbers as text, or as float64; what is said of each feature; and the rest.
        width = 8 if np.dtype(self.dtype).kind in "iu" else 32
        numbers = width * n_samples * (self.n_features + 1)
        return numbers + 2**10 * self.n_features + 2**22

    @property
    def facts(self) -> dict[str, str]:
        """What a table says of it."""
        sizes = {name: part.n_samples for name, part in self.parts.items()}
        split = ", ".join(f"{size} {name}" for name, size in sizes.items())
        return {
            "samples": str(sum(sizes.values())),
            "features": f"{self.n_features} ({self.dtype})",
            "classes": str(len(self.classes)),
            "official split": split if len(sizes) > 1 else "-",
            "source": f"[{self.source.name}]({self.source.url})",
            "a download is held to": self.verified,
        }

    @property
    def description(self) -> str:
        """Its name, what it is and its facts, as text."""
        lines = [f"- {what}: {fact}" for what, fact in self.facts.items()]
        return "\n".join([self.title, "-" * len(self.title), f"{self.about}.", "", *lines])

    def array_names(self, part: str) -> tuple[str, str]:
        """Names of the arrays with the samples and labels of a part in an npz file."""
        suffix = "" if part == "all" else f"_{part}"
        return f"X{suffix}", f"y{suffix}"

    def class_names(self, y: np.ndarray) -> list[str]:
        """Names of the classes, or of those in y where it has other labels."""
        labels = np.unique(y).tolist()
        known = set(labels) <= set(self.classes)
        return list(self.classes.values()) if known else [str(label) for label in labels]

    def parts_of(self, subset: str) -> list[str]:
        """The parts that make up a subset.

        Raises
        ------
        ValueError
            If the data set is not split into these.
        """
        if subset == "all":
            return list(self.parts)
        if subset in self.parts:
            return [subset]
        raise ValueError(
            f"subset={subset!r}, but {self.title} has no official split into training and "
            'test part; take subset="all" and split it with '
            "sklearn.model_selection.train_test_split."
        )


def _numbered(labels: Iterable[int]) -> dict[int, str]:
    return {label: str(label) for label in labels}


def _listed(names: str) -> dict[int, str]:
    return dict(enumerate(names.split(", ")))


DATA_SETS: dict[str, DataSet] = {
    "madelon": DataSet(
        title="Madelon",
        about="Generated points in clusters on the corners of a five-dimensional cube, "
        "hidden among useless features (NIPS 2003 feature selection challenge, Guyon et "
        "al. 2004); the test part is the challenge's validation part",
        source=OpenML(1485, relabel={1: -1, 2: 1}),
        feature="feature",
        n_features=500,
        dtype="int16",
        classes=_numbered((-1, 1)),
        parts={
            "train": Part(
                2000, "0c6f3689221c1f77bc88f15de546109cadaab024cde43af961f07e2570044a65"
            ),
            "test": Part(
                600, "2d74b57a7a3a3951accae4a5aeee15f41cbe38ab0750bea086f0e3c411e4a983"
            ),
        },
    ),
    "isolet": DataSet(
        title="ISOLET",
        about="Spoken letters of the alphabet, as spectral features (Fanty and Cole 1991); "
        "the speakers of the test part (isolet5) are not in the training part",
        source=OpenML(300),
        feature="feature",
        n_features=617,
        dtype="float32",
        classes=dict(enumerate(string.ascii_uppercase, start=1)),
        parts={
            "train": Part(
                6238, "5531bc54810cadacb341233466d96cd02841759b365797d3f2ce554979798257"
            ),
            "test": Part(
                1559, "b8dadfefcbe9417a347eeddf4261f5a0540097d0d188c07fa4867f437aa1e613"
            ),
        },
    ),
    "mnist": DataSet(
        title="MNIST",
        about="Handwritten digits, 28 x 28 grey pixels (LeCun et al. 1998)",
        source=OpenML(554),
        feature="pixel",
        n_features=784,
        dtype="uint8",
        classes=_numbered(range(10)),
        parts={
            "train": Part(
                60000, "433029f08e42d978eb41972641ae68608961ad02cd84259cb7e80932e7f49744"
            ),
            "test": Part(
                10000, "ac4782b136d5c429b096ef6b2cadf977fa1421cc30783d291acd5c21927843a6"
            ),
        },
    ),
    "fashion_mnist": DataSet(
        title="Fashion-MNIST",
        about="Articles of clothing, 28 x 28 grey pixels (Xiao et al. 2017)",
        source=OpenML(40996),
        feature="pixel",
        n_features=784,
        dtype="uint8",
        classes=_listed(
            "T-shirt/top, trouser, pullover, dress, coat, "
            "sandal, shirt, sneaker, bag, ankle boot"
        ),
        parts={
            "train": Part(
                60000, "74099dfa5d178c088e7da65618a8924f79f9e4dfe225d0a1d9a0904617779dfb"
            ),
            "test": Part(
                10000, "c4b6d0901ee57f80838aec29a0857a7a816749d344ff8118d8857844b80f37d7"
            ),
        },
    ),
    "cifar10": DataSet(
        title="CIFAR-10",
        about="Photographs of animals and vehicles, 32 x 32 pixels, all red values before "
        "the green and the blue ones (Krizhevsky 2009)",
        source=OpenML(40927),
        feature="value",
        n_features=3072,
        dtype="uint8",
        classes=_listed(
            "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"
        ),
        parts={
            "train": Part(50000, class_counts=(5000,) * 10),
            "test": Part(10000, class_counts=(1000,) * 10),
        },
    ),
    "lung": DataSet(
        title="LUNG",
        about="Gene expression in lung tumours and normal lungs (Bhattacharjee et al. "
        "2001)",
        source=ScikitFeature("lung.mat"),
        feature="gene",
        n_features=3312,
        dtype="float32",
        classes={
            1: "adenocarcinoma",
            2: "normal",
            3: "squamous cell carcinoma",
            4: "carcinoid",
            5: "small cell carcinoma",
        },
        parts={"all": Part(203, class_counts=(139, 17, 21, 20, 6))},
    ),
    "lung_discrete": DataSet(
        title="LUNG, discretised",
        about="Gene expression in lung tumours, in whole numbers from -2 to 2; another and "
        "smaller set of samples than LUNG (Peng et al. 2005)",
        source=ScikitFeature("lung_discrete.mat"),
        feature="gene",
        n_features=325,
        dtype="int16",
        classes=_numbered(range(1, 8)),
        parts={
            "all": Part(
                73, "767bc9dfd98a699a0e05e0154b732240c563929b9647c4d05e860dde4ce10898"
            )
        },
    ),
    "orl": DataSet(
        title="ORL",
        about="Faces of 40 people, 10 of each, 32 x 32 grey pixels (Samaria and Harter "
        "1994)",
        source=ScikitFeature("ORL.mat"),
        feature="pixel",
        n_features=1024,
        dtype="uint8",
        classes=_numbered(range(1, 41)),
        parts={
            "all": Part(
                400, "620991cd1634323aa0f3d8d67057cac8fa6f9007a75dfba39d37fa92f1d3f465"
            )
        },
    ),
    "prostate_ge": DataSet(
        title="Prostate-GE",
        about="Gene expression in prostate tumours and normal tissue (Singh et al. 2002)",
        source=ScikitFeature("Prostate_GE.mat"),
        feature="gene",
        n_features=5966,
        dtype="float32",
        classes={1: "normal", 2: "tumour"},
        parts={
            "all": Part(
                102, "f5b1cb00e5e513f96c144724d1bdac13006f801e8c54356ea5fd5b1748ffe648"
            )
        },
    ),
    "glioma": DataSet(
        title="GLIOMA",
        about="Gene expression in four kinds of brain tumours (Nutt et al. 2003)",
        source=ScikitFeature("GLIOMA.mat"),
        feature="gene",
        n_features=4434,
        dtype="float32",
        classes=_numbered(range(1, 5)),
        parts={
            "all": Part(
                50, "b8a1cb08268be3697a1aff61814893dd6b2ed9cc57e03e7f8e35b69b9c82baca"
            )
        },
    ),
}
