"""What writes the nodes of ONNX graphs."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import csr_array


@dataclass(frozen=True)
class Graph:
    """Writes the nodes of an ONNX graph, one output each.

    Attributes
    ----------
    add_node : callable
        Adds a node, from its operator, the list of its inputs, that of its outputs and,
        by keyword, its attributes.
    new_name : callable
        Gives a name that the graph does not have yet, without arguments.
    dtype : dtype
        In which the network computes.

    Examples
    --------
    >>> import numpy as np
    >>> from sksparse_mlp.onnx import Graph
    >>> names = map("v{}".format, range(9))
    >>> def add_node(operator, inputs, outputs, **attributes):
    ...     print(operator, inputs, outputs)
    >>> graph = Graph(add_node, lambda: next(names), np.dtype(np.float32))
    >>> graph.node("Mul", "X", graph.constant(2.0))
    Constant [] ['v0']
    Mul ['X', 'v0'] ['v1']
    'v1'
    """

    add_node: Callable[..., Any]
    new_name: Callable[[], str]
    dtype: np.dtype[Any]

    def node(
        self, operator: str, *inputs: str, output: str | None = None, **attributes: Any
    ) -> str:
        """Add a node.

        Parameters
        ----------
        operator : str
            Name of an operator of the default domain.
        *inputs : str
            Names of what it takes.
        output : str, default=None
            Name of what it gives; None makes a new one.
        **attributes : object
            Attributes of the operator.

        Returns
        -------
        str
            Name of the output.
        """
        output = self.new_name() if output is None else output
        self.add_node(operator, list(inputs), [output], **attributes)
        return output

    def constant(self, values: Any, dtype: DTypeLike | None = None) -> str:
        """Add a constant.

        Parameters
        ----------
        values : array-like
            Its values.
        dtype : dtype, default=None
            Of the constant; None takes that of the network, ``object`` is for strings.

        Returns
        -------
        str
            Its name.
        """
        array = np.asarray(values, self.dtype if dtype is None else dtype)
        tensor = import_module("onnx.numpy_helper").from_array(array)
        return self.node("Constant", value=tensor)

    def matrix(self, coef: csr_array, *, is_sparse: bool) -> str:
        """Add a matrix, as a sparse constant or as a full one.

        Parameters
        ----------
        coef : csr_array of shape (n_in, n_out)
            Its values.
        is_sparse : bool
            Whether only the entries of the pattern are stored.

        Returns
        -------
        str
            Its name.
        """
        if not is_sparse:
            return self.constant(coef.toarray())
        from_array = import_module("onnx.numpy_helper").from_array
        entries = coef.tocoo()
        places = entries.row.astype(np.int64) * coef.shape[1] + entries.col
        values = from_array(entries.data.astype(self.dtype))
        tensor = import_module("onnx.helper").make_sparse_tensor(
            values, from_array(places), coef.shape
        )
        return self.node("Constant", sparse_value=tensor)


def onnx_type(dtype: DTypeLike) -> int:
    """ONNX's number of a dtype, object being that of strings."""
    helper = import_module("onnx.helper")
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
