"""How much memory a fitted network takes, and how much a dense one of its sizes."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from scipy import sparse

from sksparse_mlp._sklearn import check_pandas_support
from sksparse_mlp.core.optimizers import OPTIMIZERS
from sksparse_mlp.topology import GROWTHS

# A loss, in float64.
BYTES_PER_LOSS = 8


@dataclass(frozen=True)
class MemoryFootprint:
    """The memory of a network, and the parameters of the dense one of the same sizes.

    Attributes
    ----------
    prediction_bytes : int
        While it predicts: the fitted attributes, and the layers by output neurons.
    training_bytes : int
        While it is trained: all that is learned with the solver's slots, the patterns by
        output and by input neurons, and the shortcuts of LiSET.
    copy_bytes : int
        One copy of what is learned. On top of `training_bytes`, `fit` keeps one to go
        back to, should training diverge, and another with `early_stopping`.
    activation_bytes_per_sample : int
        Activations and their gradients, per sample of a training batch; batches are
        rounded up to 16 samples, 8 in float64.
    n_connections : int
        Weights that exist.
    n_parameters : int
        The same with the biases.
    n_dense_parameters : int
        Weights and biases of full layers of the same sizes.

    See Also
    --------
    memory_footprint : Makes it of a fitted network.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import memory_footprint
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=1, random_state=0)
    >>> footprint = memory_footprint(clf.fit(*load_iris(return_X_y=True)))
    >>> float(footprint.to_pandas().loc["n_connections"])
    134.0
    """

    prediction_bytes: int
    training_bytes: int
    copy_bytes: int
    activation_bytes_per_sample: int
    n_connections: int
    n_parameters: int
    n_dense_parameters: int

    @property
    def compression_rate(self) -> float:
        """How many times `n_parameters` the dense network has (Chouliaras 2021)."""
        return self.n_dense_parameters / self.n_parameters

    def to_pandas(self) -> Any:
        """All of it as one column.

        Returns
        -------
        pandas.Series of dtype float64
            The attributes and `compression_rate` by name; several of them make a table
            by ``pandas.DataFrame``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = check_pandas_support("MemoryFootprint.to_pandas")
        figures = asdict(self) | {"compression_rate": self.compression_rate}
        return pandas.Series(figures, dtype=float)


def footprint_of(estimator: Any) -> MemoryFootprint:
    """Count the bytes and the parameters of a fitted network."""
    coefs = [sparse.csr_array(coef) for coef in estimator.coefs_]
    value_size = coefs[0].dtype.itemsize
    n_connections = sum(int(coef.nnz) for coef in coefs)
    n_biases = sum(bias.size for bias in estimator.intercepts_)
    n_fixed, n_learned = _values_of_hidden(estimator)
    n_learned += n_connections + n_biases
    by_input = sum(_index_size(coef) * (coef.shape[0] + 1 + coef.nnz) for coef in coefs)
    by_output = sum(_index_size(coef) * (coef.shape[1] + 1 + coef.nnz) for coef in coefs)
    positions = sum(_index_size(coef) * coef.nnz for coef in coefs)
    n_trained = n_fixed + (1 + _n_slots(estimator)) * n_learned
    n_trained += _values_of_skips(estimator, coefs)
    n_values = n_fixed + n_learned
    return MemoryFootprint(
        prediction_bytes=by_input + by_output + 2 * value_size * n_values,
        training_bytes=by_input + by_output + positions + value_size * n_trained,
        copy_bytes=value_size * n_values,
        activation_bytes_per_sample=(
            value_size * _values_per_sample(estimator, coefs) + BYTES_PER_LOSS
        ),
        n_connections=n_connections,
        n_parameters=n_connections + n_biases,
        n_dense_parameters=sum((coef.shape[0] + 1) * coef.shape[1] for coef in coefs),
    )


def _n_slots(estimator: Any) -> int:
    """Values that the solver keeps per learned one."""
    return OPTIMIZERS[estimator.solver].n_slots


def _index_size(coef: sparse.csr_array) -> int:
    size: int = coef.indices.dtype.itemsize
    return size


def _values_of_hidden(estimator: Any) -> tuple[int, int]:
    """How many values follow the layers: moving averages, and what is learned."""
    n_parameters = sum(values.size for values in estimator.activation_parameters_)
    n_normed = _n_normed(estimator)
    return 2 * n_normed, 2 * n_normed + n_parameters


def _n_normed(estimator: Any) -> int:
    """How many neurons have batch normalisation."""
    return sum(norm["mean"].size for norm in estimator.batch_norms_ if norm is not None)


def _values_of_skips(estimator: Any, coefs: list[sparse.csr_array]) -> int:
    """Values of LiSET's shortcuts, with their gradients and slots."""
    growth: Any = estimator.growth
    each = growth if isinstance(growth, (list, tuple)) else [growth] * len(coefs)
    rules = [GROWTHS[rule] if isinstance(rule, str) else rule for rule in each]
    n_inputs: int = sum(
        coef.shape[0]
        for coef, rule in zip(coefs, rules, strict=True)
        if rule.signal == "skips" and coef.nnz < math.prod(coef.shape)
    )
    n_outputs: int = coefs[-1].shape[1]
    return n_inputs * n_outputs * (2 + _n_slots(estimator))


def _values_per_sample(estimator: Any, coefs: list[sparse.csr_array]) -> int:
    """Inputs; products and gradients of all neurons; activations of the hidden ones."""
    n_neurons: int = sum(coef.shape[1] for coef in coefs)
    n_hidden: int = n_neurons - coefs[-1].shape[1]
    n_inputs: int = coefs[0].shape[0]
    return n_inputs + 2 * n_neurons + n_hidden + _n_normed(estimator)
