"""The data sets of the literature, and problems like Madelon."""

from sksparse_mlp.datasets._fetch import fetch
from sksparse_mlp.datasets._fetchers import (
    fetch_cifar10,
    fetch_fashion_mnist,
    fetch_glioma,
    fetch_isolet,
    fetch_lung,
    fetch_madelon,
    fetch_mnist,
    fetch_orl,
    fetch_prostate_ge,
)
from sksparse_mlp.datasets._madelon import make_madelon

__all__ = [
    "fetch",
    "fetch_cifar10",
    "fetch_fashion_mnist",
    "fetch_glioma",
    "fetch_isolet",
    "fetch_lung",
    "fetch_madelon",
    "fetch_mnist",
    "fetch_orl",
    "fetch_prostate_ge",
    "make_madelon",
]
