"""How the neurons of a fitted network are connected."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted


@dataclass(frozen=True)
class Connectivity:
    """Degrees of the neurons on both sides of one layer.

    Attributes
    ----------
    out_degrees : ndarray of shape (n_in,), dtype int64
        Number of connections from each input neuron of the layer.
    in_degrees : ndarray of shape (n_out,), dtype int64
        Number of connections to each output neuron of the layer.

    See Also
    --------
    connectivity : Makes them, for each layer of a network.

    Examples
    --------
    >>> import numpy as np
    >>> from sksparse_mlp.analysis import Connectivity
    >>> layer = Connectivity(np.array([2, 0, 1, 1]), np.array([3, 1]))
    >>> layer.share_of_inputs_in_use
    0.75
    >>> layer.distribution("in")
    array([0, 1, 0, 1])
    """

    out_degrees: np.ndarray
    in_degrees: np.ndarray

    @property
    def share_of_inputs_in_use(self) -> float:
        """Share of the input neurons that have a connection."""
        return float(np.mean(self.out_degrees > 0))

    @property
    def share_of_outputs_in_use(self) -> float:
        """Share of the output neurons that have a connection."""
        return float(np.mean(self.in_degrees > 0))

    def distribution(self, side: str) -> np.ndarray:
        """Count the neurons of one side by degree.

        Parameters
        ----------
        side : {"in", "out"}
            "in" counts output neurons by `in_degrees`, "out" input neurons by
            `out_degrees`.

        Returns
        -------
        ndarray of shape (largest degree + 1,), dtype int64
            Entry ``d`` is the number of neurons with ``d`` connections.

        Raises
        ------
        ValueError
            If ``side`` is neither "in" nor "out".
        """
        if side not in ("in", "out"):
            raise ValueError(f"side must be 'in' or 'out', got {side!r}.")
        return np.bincount(self.in_degrees if side == "in" else self.out_degrees)


def connectivity(estimator: Any) -> list[Connectivity]:
    """Degrees of the neurons in each layer of a fitted network.

    Parameters
    ----------
    estimator : SparseMLPClassifier or SparseMLPRegressor
        Fitted.

    Returns
    -------
    list of Connectivity
        One per layer, from the first.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import connectivity
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=5, random_state=0)
    >>> first, *others = connectivity(clf.fit(*load_iris(return_X_y=True)))
    >>> int(first.out_degrees.sum()), first.share_of_inputs_in_use
    (48, 1.0)
    """
    check_is_fitted(estimator)
    coefs = map(sparse.csr_array, estimator.coefs_)
    return [
        Connectivity(
            out_degrees=np.diff(coef.indptr).astype(np.int64),
            in_degrees=np.bincount(coef.indices, minlength=coef.shape[1]),
        )
        for coef in coefs
    ]
