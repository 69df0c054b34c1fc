"""What a report of a problem should say about the machine."""

import platform
from importlib.metadata import PackageNotFoundError, version

from sksparse_mlp.core import simd

PACKAGES = ("sksparse-mlp", "numpy", "scipy", "scikit-learn", "numba", "llvmlite", "joblib")


def show_versions() -> None:
    """Print the versions of this package and of those it needs, and the vectors it uses.

    On a processor without vector instructions, and with NUMBA_DISABLE_JIT, the same code
    runs without them.

    Examples
    --------
    >>> import sksparse_mlp
    >>> sksparse_mlp.show_versions()  # doctest: +ELLIPSIS
    Python: ...
    """
    print(f"Python: {platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        try:
            print(f"{package}: {version(package)}")
        except PackageNotFoundError:
            print(f"{package}: not installed")
    print(f"vectors: {simd.description()}")
