"""Fitted networks as ONNX graphs, which run without Python.

Weights are stored as sparse constants wherever these are smaller, so that a file grows
with the connections. The runtimes that are known today, ONNX Runtime among them, turn them
into full matrices when they load: there, memory and time grow with the layer sizes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.sparse import csr_array
from sklearn.utils.validation import check_is_fitted

import sksparse_mlp
from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPRegressor,
    SparseMLPSelector,
    activations,
)
from sksparse_mlp.activations import Activation
from sksparse_mlp.core.hidden import NORM_EPSILON, BatchNorm
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.losses import (
    LogisticCrossEntropy,
    MultilabelCrossEntropy,
    SoftmaxCrossEntropy,
)
from sksparse_mlp.core.network import Network
from sksparse_mlp.estimators._assembly import Assembly

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

__all__ = ["FORMULAS", "Graph", "register_converters", "to_onnx"]

Floats = NDArray[np.floating]
Labels = NDArray[Any]
Dtype = np.dtype[Any]
# The first with sparse constants.
OLDEST_OPSET = 11
INDEX_BYTES = 8
# Of one protobuf message.
MOST_BYTES = 2**31 - 1
# The option by which skl2onnx asks for what `decision_function` gives, and how its stacking
# names that: there two classes have one column, as in scikit-learn, and two elsewhere.
RAW, STACKED = "raw_scores", "sv_prob_tensor"


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
    dtype: Dtype

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


# --- activations ----------------------------------------------------------------------


def _identity(graph: Graph, z: str, activation: Any, parameters: Floats) -> str:
    return z


def _logistic(graph: Graph, z: str, activation: Any, parameters: Floats) -> str:
    return graph.node("Sigmoid", z)


def _tanh(graph: Graph, z: str, activation: Any, parameters: Floats) -> str:
    return graph.node("Tanh", z)


def _relu(graph: Graph, z: str, activation: Any, parameters: Floats) -> str:
    return graph.node("Relu", z)


def _two_slopes(graph: Graph, z: str, activation: Any, parameters: Floats) -> str:
    is_positive = graph.node("Greater", z, graph.constant(0))
    scaled = graph.node("Mul", z, graph.constant(parameters[0]))
    return graph.node("Where", is_positive, z, scaled)


def _three_lines(graph: Graph, z: str, activation: Any, parameters: Floats) -> str:
    left, left_slope, right, right_slope = map(graph.constant, parameters)
    is_left = graph.node("Less", z, left)
    is_right = graph.node("Greater", z, right)
    inner = graph.node("Where", is_right, _line(graph, z, right, right_slope), z)
    return graph.node("Where", is_left, _line(graph, z, left, left_slope), inner)


def _line(graph: Graph, z: str, threshold: str, slope: str) -> str:
    """The line through (threshold, threshold)."""
    rise = graph.node("Mul", graph.node("Sub", z, threshold), slope)
    return graph.node("Add", rise, threshold)


def _clipped_shift(graph: Graph, z: str, activation: Any, parameters: Floats) -> str:
    shifted = graph.node("Sub", z, graph.constant(activation.threshold))
    rest = graph.node("Max", shifted, graph.constant(0))
    if np.isinf(activation.clip):
        return rest
    return graph.node("Min", rest, graph.constant(activation.clip))


def _clipped_shrink(graph: Graph, z: str, activation: Any, parameters: Floats) -> str:
    size = _clipped_shift(graph, graph.node("Abs", z), activation, parameters)
    return graph.node("Mul", graph.node("Sign", z), size)


Formula = Callable[[Graph, str, Any, Floats], str]
#: By the class of the activation, what writes f(z): a function of the `Graph`, the name of
#: z, of shape (batch, n_neurons), the activation and the layer's parameters as in
#: `activation_parameters_`, which returns the name of f(z).
FORMULAS: dict[type[Activation], Formula] = {
    activations.Identity: _identity,
    activations.Logistic: _logistic,
    activations.Tanh: _tanh,
    activations.ReLU: _relu,
    activations.LeakyReLU: _two_slopes,
    activations.PReLU: _two_slopes,
    activations.AllReLU: _two_slopes,
    activations.GAReLU: _two_slopes,
    activations.SReLU: _three_lines,
    activations.ReLUTau: _clipped_shift,
    activations.CReLU: _clipped_shift,
    activations.SoftThreshold: _clipped_shrink,
    activations.CST: _clipped_shrink,
}


# --- outputs --------------------------------------------------------------------------


def _write_scores(graph: Graph, logits: str, scores: str) -> None:
    graph.node("Identity", logits, output=scores)


def _write_both_scores(graph: Graph, logit: str, scores: str) -> None:
    """One column for each class, as skl2onnx has it of two classes."""
    graph.node("Concat", graph.node("Neg", logit), logit, axis=1, output=scores)


def _write_softmax(
    graph: Graph, logits: str, labels: Labels, label: str, probabilities: str
) -> None:
    graph.node("Softmax", logits, axis=1, output=probabilities)
    codes = graph.node("ArgMax", logits, axis=1, keepdims=0)
    graph.node("Gather", graph.constant(labels, labels.dtype), codes, output=label)


def _write_logistic(
    graph: Graph, logit: str, labels: Labels, label: str, probabilities: str
) -> None:
    both = graph.node("Concat", graph.node("Neg", logit), logit, axis=1)
    graph.node("Sigmoid", both, output=probabilities)
    column = _is_positive(graph, logit)
    codes = graph.node("Reshape", column, graph.constant([-1], np.int64))
    graph.node("Gather", graph.constant(labels, labels.dtype), codes, output=label)


def _write_indicators(
    graph: Graph, logits: str, labels: Labels, label: str, probabilities: str
) -> None:
    graph.node("Sigmoid", logits, output=probabilities)
    _is_positive(graph, logits, label)


def _is_positive(graph: Graph, logits: str, output: str | None = None) -> str:
    """1 for positive logits, 0 for others."""
    is_positive = graph.node("Greater", logits, graph.constant(0))
    return graph.node("Cast", is_positive, to=_onnx_type(np.int64), output=output)


def _values_head(estimator: SparseMLPRegressor) -> "_Head":
    """The outputs of a regressor: what its loss and the scale of its targets make."""

    def write(graph: Graph, values: str, labels: Labels, variable: str) -> None:
        limits = loss.limits.astype(graph.dtype)
        if loss.link == "exp":
            values = graph.node("Exp", values)
        if np.isfinite(limits).all():
            values = graph.node("Max", values, graph.constant(limits[0]))
            values = graph.node("Min", values, graph.constant(limits[1]))
        values = graph.node("Mul", values, graph.constant(estimator.target_scale_))
        graph.node("Add", values, graph.constant(estimator.target_mean_), output=variable)

    loss = estimator._loss()
    if loss.link not in ("identity", "exp"):
        raise ValueError(
            f"The link {loss.link!r} of loss={estimator.loss!r} has no ONNX formula; "
            "those of this package's losses have."
        )
    return _Head(write, {"variable": 2})


@dataclass(frozen=True)
class _Head:
    """The outputs of networks with one of the losses.

    Attributes
    ----------
    write : callable
        Writes the outputs, from the graph, the name of what the last layer gives, the
        labels and the names of the outputs.
    outputs : dict of str to int
        Names of the outputs, as skl2onnx gives them, and their numbers of dimensions.
    write_scores : callable
        Writes what skl2onnx calls raw scores, from the graph, the name of what the last
        layer gives and that of the scores.
    """

    write: Callable[..., None]
    outputs: dict[str, int]
    write_scores: Callable[[Graph, str, str], None] = _write_scores


HEADS: dict[Any, _Head] = {
    SoftmaxCrossEntropy: _Head(_write_softmax, {"label": 1, "probabilities": 2}),
    LogisticCrossEntropy: _Head(
        _write_logistic, {"label": 1, "probabilities": 2}, _write_both_scores
    ),
    MultilabelCrossEntropy: _Head(_write_indicators, {"label": 2, "probabilities": 2}),
}


def _head(estimator: Any) -> _Head:
    loss = estimator._loss()
    return HEADS[loss] if loss in HEADS else _values_head(estimator)


# --- models ---------------------------------------------------------------------------


def to_onnx(
    estimator: SparseMLPClassifier | SparseMLPRegressor,
    *,
    opset: int = 13,
    sparse: bool = True,
) -> "ModelProto":
    """Convert a fitted network to ONNX.

    Input ``X`` has shape (n_samples, n_features) and the dtype of the weights: float32,
    or float64 where the network was fitted on such data. Outputs of a classifier are
    ``label``, of shape (n_samples,) with strings or int64 (for an indicator matrix of
    shape (n_samples, n_classes)), and ``probabilities``, of shape (n_samples, n_classes),
    in the order of `classes_`. That of a regressor is ``variable``, of shape (n_samples,
    n_outputs).

    Parameters
    ----------
    estimator : SparseMLPClassifier or SparseMLPRegressor
        Fitted.
    opset : int, default=13
        Version of ONNX's operators, at least 11. Runtimes read all older ones.
    sparse : bool, default=True
        Whether to store only the connections of those layers whose file part is then
        smaller: 12 bytes per connection in float32, in place of 4 per pair of neurons.
        False is for runtimes without sparse constants.

    Returns
    -------
    onnx.ModelProto
        Save it by ``onnx.save``, or run its ``SerializeToString()``.

    Raises
    ------
    ImportError
        If onnx is not installed.
    TypeError
        If the estimator is not a network of this package, or `opset` no integer.
    ValueError
        If `opset` is too old or newer than the installed onnx, if an activation has no
        formula in `FORMULAS`, if labels are numbers that int64 cannot hold, or if the
        model exceeds the 2 GiB that an ONNX file may have.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    register_converters : For pipelines.

    Notes
    -----
    Outputs are those of `predict_proba` and `predict` up to rounding. Batch
    normalisation is part of the weights and biases. NaN, which `predict` refuses, gives
    NaN. ONNX Runtime makes every layer full when it loads a model, so that a network
    whose dense layers would not fit into memory cannot run there.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.onnx import to_onnx
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X.astype("float32")
    >>> clf = SparseMLPClassifier(epsilon=5, max_iter=5, random_state=0).fit(X, y)
    >>> model = to_onnx(clf)
    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(model.SerializeToString())
    >>> labels, probabilities = session.run(None, {"X": X})
    >>> bool((labels == clf.predict(X)).all())
    True
    """
    _required("onnx", "to_onnx")
    if not isinstance(estimator, Assembly):
        raise TypeError(
            f"to_onnx takes a network of this package, got {type(estimator).__name__}. "
            "Convert pipelines by skl2onnx.to_onnx, after register_converters()."
        )
    _check_opset(opset)
    check_is_fitted(estimator)
    network, labels = _convertible(estimator, sparse)
    nodes: list[NodeProto] = []
    make_node = import_module("onnx.helper").make_node

    def add_node(*args: Any, **attributes: Any) -> None:
        nodes.append(make_node(*args, **attributes))

    graph = Graph(add_node, partial(next, map("v{}".format, count())), network.dtype)
    head, values = _head(estimator), _write_layers(graph, network, "X", sparse)
    head.write(graph, values, labels, *head.outputs)
    return _model(nodes, network, labels, head.outputs, int(opset))


def _required(module: str, function: str) -> Any:
    """The module, or an error that says how to get it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{function} needs {module}, which is not installed; "
            "pip install 'sksparse-mlp[onnx]' brings it."
        ) from error


def _check_opset(opset: Any) -> None:
    if not isinstance(opset, int | np.integer) or isinstance(opset, bool):
        raise TypeError(f"opset must be an integer, got {opset!r}.")
    newest = import_module("onnx.defs").onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        reason = "too old" if opset < OLDEST_OPSET else "unknown to the installed onnx"
        raise ValueError(
            f"opset={opset} is {reason}: the smallest with what the network needs is "
            f"{OLDEST_OPSET}, the largest here {newest}."
        )


def _convertible(estimator: Any, sparse: bool) -> tuple[Network, Labels]:
    """The network of a fitted estimator and its labels, if both can be converted."""
    network = estimator._fitted_network()
    for unit in network.hidden:
        if type(unit.activation) not in FORMULAS:
            raise ValueError(
                f"The activation {unit.activation!r} has no ONNX formula: add one for "
                f"{type(unit.activation).__name__} to sksparse_mlp.onnx.FORMULAS."
            )
    n_bytes = sum(_matrix_bytes(layer, network.dtype, sparse) for layer in network.layers)
    if n_bytes > MOST_BYTES:
        raise ValueError(
            f"The weights take {n_bytes:,} bytes with sparse={sparse}, but an ONNX file "
            f"has at most {MOST_BYTES:,}; keep the network by export_arrays."
        )
    codes = np.arange(network.sizes[-1])
    return network, _plain_labels(getattr(estimator, "classes_", codes))


def _matrix_bytes(layer: SparseLayer, dtype: Dtype, sparse: bool) -> int:
    """About how much of a file the weights of a layer take."""
    full = layer.n_in * layer.n_out * dtype.itemsize
    return min(full, _sparse_bytes(layer, dtype)) if sparse else full


def _sparse_bytes(layer: SparseLayer, dtype: Dtype) -> int:
    return layer.n_connections * (dtype.itemsize + INDEX_BYTES)


def _plain_labels(classes: Labels) -> Labels:
    """The labels as strings or int64."""
    if all(isinstance(label, str) for label in classes):
        return classes.astype(object)
    try:
        return np.array([int(label) for label in classes.tolist()], np.int64)
    except OverflowError as error:
        raise ValueError(
            "Labels in ONNX are strings or integers of 64 bits with a sign; classes_ has "
            f"{classes.tolist()!r:.200}. Fit on such labels."
        ) from error


def _write_layers(graph: Graph, network: Network, x: str, sparse: bool) -> str:
    """Write the network's layers; return the name of the logits."""
    for layer, unit in zip(network.layers, [*network.hidden, None], strict=True):
        coef, bias = layer.to_coef(), layer.bias
        if unit is not None and unit.norm is not None:
            coef, bias = _normalised(coef, bias, unit.norm)
        full = layer.n_in * layer.n_out * graph.dtype.itemsize
        is_sparse = sparse and _sparse_bytes(layer, graph.dtype) < full
        product = graph.node("MatMul", x, graph.matrix(coef, is_sparse=is_sparse))
        x = graph.node("Add", product, graph.constant(bias))
        if unit is not None:
            formula = FORMULAS[type(unit.activation)]
            x = formula(graph, x, unit.activation, unit.parameters)
    return x


def _normalised(coef: csr_array, bias: Floats, norm: BatchNorm) -> tuple[csr_array, Floats]:
    """Weights and biases that do the normalisation too."""
    deviation = np.sqrt(norm.variance.astype(np.float64) + NORM_EPSILON)
    scale = norm.gain / deviation
    data = coef.data * scale[coef.indices]
    matrix = csr_array((data, coef.indices, coef.indptr), coef.shape)
    return matrix, (bias - norm.mean.astype(np.float64)) * scale + norm.shift


def _onnx_type(dtype: DTypeLike) -> int:
    """ONNX's number of a dtype, object being that of strings."""
    helper = import_module("onnx.helper")
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _model(
    nodes: "list[NodeProto]",
    network: Network,
    labels: Labels,
    outputs: dict[str, int],
    opset: int,
) -> "ModelProto":
    helper = import_module("onnx.helper")

    def described(name: str, n_dimensions: int, width: int) -> Any:
        dtype = labels.dtype if name == "label" else network.dtype
        shape = ["n_samples", width][:n_dimensions]
        return helper.make_tensor_value_info(name, _onnx_type(dtype), shape)

    graph = helper.make_graph(
        nodes,
        "sparse_mlp",
        [described("X", 2, network.sizes[0])],
        [
            described(name, n_dimensions, labels.size)
            for name, n_dimensions in outputs.items()
        ],
    )
    operators = [helper.make_opsetid("", opset)]
    model: ModelProto = helper.make_model(
        graph,
        opset_imports=operators,
        ir_version=helper.find_min_ir_version_for(operators),
        producer_name="sksparse_mlp",
        producer_version=sksparse_mlp.__version__,
    )
    return model


# --- pipelines ------------------------------------------------------------------------


def register_converters() -> None:
    """Let skl2onnx convert the estimators of this package, alone and in pipelines.

    Inputs and outputs then have the names and types of skl2onnx, which needs
    ``options={"zipmap": False}`` to give probabilities as an array. Where the network is
    in float64 it computes in it, whatever the type of the input.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.onnx import register_converters
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X.astype("float32")
    >>> clf = SparseMLPClassifier(epsilon=5, max_iter=5, random_state=0)
    >>> model = make_pipeline(MinMaxScaler(), clf).fit(X, y)
    >>> register_converters()
    >>> import skl2onnx
    >>> proto = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False})
    >>> [output.name for output in proto.graph.output]
    ['label', 'probabilities']
    """
    skl2onnx = _required("skl2onnx", "register_converters")
    shapes = import_module("skl2onnx.common.shape_calculator")
    skl2onnx.update_registered_converter(
        SparseMLPClassifier,
        "SparseMLPClassifier",
        shapes.calculate_linear_classifier_output_shapes,
        _convert_network,
        options={
            "zipmap": [True, False, "columns"],
            "nocl": [True, False],
            RAW: [True, False],
        },
    )
    skl2onnx.update_registered_converter(
        SparseMLPRegressor,
        "SparseMLPRegressor",
        shapes.calculate_linear_regressor_output_shapes,
        _convert_network,
    )
    skl2onnx.update_registered_converter(
        SparseMLPSelector, "SparseMLPSelector", _selected_shape, _convert_selector
    )


def _graph_in(scope: Any, container: Any, dtype: Dtype) -> Graph:
    """A graph that writes into skl2onnx's container."""
    opset = container.target_opset_any_domain("")
    _check_opset(opset)
    return Graph(
        partial(container.add_node, op_version=opset),
        partial(scope.get_unique_variable_name, "v"),
        dtype,
    )


def _convert_network(scope: Any, operator: Any, container: Any) -> None:
    network, labels = _convertible(operator.raw_operator, sparse=True)
    graph = _graph_in(scope, container, network.dtype)
    (source,), outputs = operator.inputs, operator.outputs
    x = graph.node("Cast", source.full_name, to=_onnx_type(network.dtype))
    own = [graph.new_name() for _ in outputs]
    head = _head(operator.raw_operator)
    values = _write_layers(graph, network, x, True)
    head.write(graph, values, labels, *own)
    if _wants_scores(container, operator.raw_operator):
        own[-1] = graph.new_name()
        is_one = network.sizes[-1] == 1 and outputs[-1].raw_name.startswith(STACKED)
        write_scores = _write_scores if is_one else head.write_scores
        write_scores(graph, values, own[-1])
    for name, output in zip(own, outputs, strict=True):
        wanted = output.type.to_onnx_type().tensor_type.elem_type
        graph.node("Cast", name, to=wanted, output=output.full_name)


def _wants_scores(container: Any, estimator: Any) -> bool:
    if not container.has_options(estimator, RAW):
        return False
    return bool(container.get_options(estimator, {RAW: False})[RAW])


def _selected_shape(operator: Any) -> None:
    (source,), (output,) = operator.inputs, operator.outputs
    n_selected = operator.raw_operator.n_features_
    output.type = type(source.type)([source.get_first_dimension(), n_selected])


def _convert_selector(scope: Any, operator: Any, container: Any) -> None:
    graph = _graph_in(scope, container, np.dtype(np.float32))
    (source,), (output,) = operator.inputs, operator.outputs
    columns = graph.constant(operator.raw_operator.get_support(indices=True), np.int64)
    graph.node("Gather", source.full_name, columns, axis=1, output=output.full_name)
