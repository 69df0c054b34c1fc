"""Networks without what cannot matter for their predictions."""

import numpy as np
from scipy import sparse

from sksparse_mlp.core.hidden import Hidden
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.network import Network


def compressed(network: Network) -> Network:
    """A smaller network with the same outputs, up to rounding.

    Connections of weight zero go first. A hidden neuron without incoming connections is
    constant: it goes, and what it contributes joins the biases that follow. A hidden
    neuron without outgoing connections goes with its incoming ones. Each hidden layer
    keeps at least one neuron; inputs and outputs stay.
    """
    coefs = [_without_zeros(layer.to_coef()) for layer in network.layers]
    biases = [layer.bias.copy() for layer in network.layers]
    kept = []
    for depth, unit in enumerate(network.hidden):
        is_constant = np.diff(coefs[depth].tocsc().indptr) == 0
        values = np.where(is_constant, _outputs_without_inputs(unit, biases[depth]), 0)
        biases[depth + 1] += coefs[depth + 1].T @ values.astype(network.dtype)
        kept.append(~is_constant)
        coefs[depth + 1] = _rows_emptied(coefs[depth + 1], is_constant)
    for depth in reversed(range(len(kept))):
        # Columns of the next layer are final: those of dropped neurons are empty.
        kept[depth] &= np.diff(coefs[depth + 1].indptr) > 0
        if not kept[depth].any():
            kept[depth][0] = True
            coefs[depth] = sparse.csr_array(coefs[depth].shape, dtype=network.dtype)
        coefs[depth] = coefs[depth][:, kept[depth]]
        coefs[depth + 1] = coefs[depth + 1][kept[depth]]
        biases[depth] = biases[depth][kept[depth]]
    layers = [SparseLayer.from_coef(*pair) for pair in zip(coefs, biases, strict=True)]
    hidden = [unit.part(keep) for unit, keep in zip(network.hidden, kept, strict=True)]
    return Network(layers, hidden, network.loss)


def _without_zeros(coef: sparse.csr_array) -> sparse.csr_array:
    coef.eliminate_zeros()
    return coef


def _outputs_without_inputs(unit: Hidden, bias: np.ndarray) -> np.ndarray:
    """What each neuron puts out if only its bias comes in."""
    u = bias[:, np.newaxis].copy()
    z, a = np.empty_like(u), np.empty_like(u)
    unit.forward(u, z if unit.norm is not None else u, a, 0, bias.size)
    return a[:, 0]


def _rows_emptied(coef: sparse.csr_array, rows: np.ndarray) -> sparse.csr_array:
    kept = sparse.diags_array((~rows).astype(coef.dtype))
    return _without_zeros(sparse.csr_array(kept @ coef))
