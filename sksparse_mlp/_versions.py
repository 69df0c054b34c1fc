"""What a report of a problem should say about the machine."""

import platform
from importlib.metadata import version

import sksparse_mlp
from sksparse_mlp.core import simd

PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "llvmlite", "joblib")


def show_versions() -> None:
    """Print the versions of this package and of those it needs, and the vectors it uses.

    On a processor without vector instructions, and with NUMBA_DISABLE_JIT, the same code
    runs without them.

    Examples
    --------
    >>> import sksparse_mlp
    >>> sksparse_mlp.show_versions()  # doctest: +ELLIPSIS
    sksparse-mlp: ...
    """
    print(f"sksparse-mlp: {sksparse_mlp.__version__}")
    print(f"Python: {platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        print(f"{package}: {version(package)}")
    print(f"vectors: {simd.description()}")
