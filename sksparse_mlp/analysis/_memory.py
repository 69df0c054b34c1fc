"""How much memory a fitted network takes, and how much a dense one of its sizes."""

from typing import Any

from sksparse_mlp.analysis._layers import fitted
from sksparse_mlp.estimators._memory import MemoryFootprint, footprint_of


def memory_footprint(estimator: Any) -> MemoryFootprint:
    """Count the bytes and the parameters of a fitted network.

    Bytes are those of the arrays that hold the network, without activations, data, and
    what an evolution takes while it lasts.

    Parameters
    ----------
    estimator : SparseMLPClassifier or SparseMLPRegressor
        Fitted. Its `solver`, `growth` and dtype are those that count.

    Returns
    -------
    MemoryFootprint

    Raises
    ------
    TypeError
        If the estimator is not one of this package's networks.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    References
    ----------
    Chouliaras, *Boosting of neural network training by topology pruning*, 2021, appendix
    B, for the compression rate.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import memory_footprint
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = SparseMLPClassifier((1000, 1000), epsilon=20, max_iter=1)
    >>> footprint = memory_footprint(clf.fit(X.astype("float32"), y))
    >>> footprint.n_connections, footprint.n_dense_parameters
    (71280, 1076010)
    >>> round(footprint.compression_rate, 1)
    14.7
    >>> round(footprint.training_bytes / footprint.n_connections, 1)
    24.6
    """
    return footprint_of(fitted(estimator))
