"""Training on a cluster, where the data are too large for one machine.

Needs Dask: ``pip install 'sksparse-mlp[dask]'``.
"""

try:
    import dask.array  # noqa: F401
    import distributed  # noqa: F401
except ImportError as error:
    raise ImportError(
        "sksparse_mlp.distributed needs Dask with its arrays and its scheduler. Install "
        "them by: pip install 'sksparse-mlp[dask]'"
    ) from error

from sksparse_mlp._names import publish
from sksparse_mlp.distributed._classifier import DaskSparseMLPClassifier
from sksparse_mlp.distributed._regressor import DaskSparseMLPRegressor

__all__ = ["DaskSparseMLPClassifier", "DaskSparseMLPRegressor"]

publish(__name__, __all__)
