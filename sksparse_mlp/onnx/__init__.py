"""Fitted networks as ONNX graphs, which run without Python.

Weights are stored as sparse constants wherever these are smaller, so that a file grows
with the connections. The runtimes that are known today, ONNX Runtime among them, turn them
into full matrices when they load: there, memory and time grow with the layer sizes.
"""

from collections.abc import Callable
from functools import partial, reduce
from importlib import import_module
from itertools import count
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.utils.validation import check_is_fitted

import sksparse_mlp
from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPClassifierCV,
    SparseMLPRegressor,
    SparseMLPRegressorCV,
    SparseMLPSelector,
    activations,
)
from sksparse_mlp.activations import Activation
from sksparse_mlp.core.hidden import NORM_EPSILON, BatchNorm
from sksparse_mlp.core.layer import SparseLayer
from sksparse_mlp.core.network import Network
from sksparse_mlp.estimators._assembly import Assembly
from sksparse_mlp.estimators._cross_validated import BaseSparseMLPCV
from sksparse_mlp.onnx._graph import Graph, onnx_type
from sksparse_mlp.onnx._outputs import Labels, Operand, head_of

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

__all__ = ["FORMULAS", "Graph", "register_converters", "to_onnx"]

Floats = NDArray[np.floating]
Dtype = np.dtype[Any]
# The first with sparse constants.
OLDEST_OPSET = 11
INDEX_BYTES = 8
# Of one protobuf message.
MOST_BYTES = 2**31 - 1
# The option by which skl2onnx asks for what `decision_function` gives, and how its stacking
# names that: there two classes have one column, as in scikit-learn, and two elsewhere.
RAW, STACKED = "raw_scores", "sv_prob_tensor"


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


# --- models ---------------------------------------------------------------------------


def to_onnx(
    estimator: (
        SparseMLPClassifier
        | SparseMLPRegressor
        | SparseMLPClassifierCV
        | SparseMLPRegressorCV
    ),
    *,
    opset: int = 13,
    sparse: bool = True,
) -> "ModelProto":
    """Convert a fitted network, or a cross-fitted ensemble, to ONNX.

    Input ``X`` has shape (n_samples, n_features) and the dtype of the weights: float32,
    or float64 where the network was fitted on such data. Outputs of a classifier are
    ``label``, of shape (n_samples,) with strings or int64 (for an indicator matrix of
    shape (n_samples, n_classes)), and ``probabilities``, of shape (n_samples, n_classes),
    in the order of `classes_`. That of a regressor is ``variable``, of shape (n_samples,
    n_outputs).

    Parameters
    ----------
    estimator : SparseMLPClassifier, SparseMLPRegressor or one of these with CV
        Fitted. Of an ensemble all members are written, with their linear models.
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
        If the estimator is no network or ensemble of this package, or `opset` no integer.
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
    if not isinstance(estimator, Assembly | BaseSparseMLPCV):
        raise TypeError(
            "to_onnx takes a network or an ensemble of this package, got "
            f"{type(estimator).__name__}. Convert pipelines by skl2onnx.to_onnx, after "
            "register_converters()."
        )
    _check_opset(opset)
    check_is_fitted(estimator)
    network, labels = _convertible(estimator, sparse)
    nodes: list[NodeProto] = []
    make_node = import_module("onnx.helper").make_node

    def add_node(*args: Any, **attributes: Any) -> None:
        nodes.append(make_node(*args, **attributes))

    graph = Graph(add_node, partial(next, map("v{}".format, count())), network.dtype)
    outputs = head_of(estimator._networks()[0]).outputs
    _write_estimator(graph, estimator, "X", labels, sparse, list(outputs))
    return _model(nodes, network, labels, outputs, int(opset))


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
    """A network of a fitted estimator and its labels, if all of it can be converted."""
    networks = [each._fitted_network() for each in estimator._networks()]
    for unit in (unit for network in networks for unit in network.hidden):
        if type(unit.activation) not in FORMULAS:
            raise ValueError(
                f"The activation {unit.activation!r} has no ONNX formula: add one for "
                f"{type(unit.activation).__name__} to sksparse_mlp.onnx.FORMULAS."
            )
    n_bytes = sum(
        _matrix_bytes(layer, network.dtype, sparse)
        for network in networks
        for layer in network.layers
    )
    if n_bytes > MOST_BYTES:
        raise ValueError(
            f"The weights take {n_bytes:,} bytes with sparse={sparse}, but an ONNX file "
            f"has at most {MOST_BYTES:,}; keep the network by export_arrays."
        )
    network = networks[0]
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


def _write_estimator(
    graph: Graph, estimator: Any, x: str, labels: Labels, sparse: bool, outputs: list[str]
) -> str | None:
    """Write outputs of these names; return the name of what a single network's end in."""
    head = head_of(estimator._networks()[0])
    if isinstance(estimator, BaseSparseMLPCV):
        predicted = _write_mean(graph, estimator, x, sparse)
        head.show(graph, predicted, None, labels, *outputs)
        return None
    values = _write_layers(graph, estimator._fitted_network(), x, sparse)
    scores = head.score(graph, values)
    head.show(graph, head.predict(graph, values), scores, labels, *outputs)
    return values


def _write_mean(graph: Graph, ensemble: BaseSparseMLPCV, x: str, sparse: bool) -> str:
    """Write the mean prediction of the members; return its name."""

    def of_network(network: Any) -> Operand:
        values = _write_layers(graph, network._fitted_network(), x, sparse)
        return Operand(graph, head_of(network).predict(graph, values))

    def of_linear(model: Any) -> Operand:
        coef, intercept = ensemble._linear_arrays(model)
        product = graph.node("MatMul", x, graph.constant(coef.T))
        values = graph.node("Add", product, graph.constant(intercept))
        return Operand(graph, head_of(network).predict_linear(graph, values))

    network = ensemble.estimators_[0]
    members = ensemble._members(of_network, of_linear)
    # The operator for means is not in every runtime for float64.
    mean: Operand = 1 / len(members) * reduce(add, members)
    return mean.name


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
        return helper.make_tensor_value_info(name, onnx_type(dtype), shape)

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
    probabilities = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    scores = {RAW: [True, False]}
    for cls, options in (
        (SparseMLPClassifier, probabilities | scores),
        (SparseMLPClassifierCV, probabilities),
    ):
        skl2onnx.update_registered_converter(
            cls,
            cls.__name__,
            shapes.calculate_linear_classifier_output_shapes,
            _convert_network,
            options=options,
        )
    for regressor in (SparseMLPRegressor, SparseMLPRegressorCV):
        skl2onnx.update_registered_converter(
            regressor, regressor.__name__, _predicted_shape, _convert_network
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
    x = graph.node("Cast", source.full_name, to=onnx_type(network.dtype))
    own = [graph.new_name() for _ in outputs]
    estimator = operator.raw_operator
    values = _write_estimator(graph, estimator, x, labels, True, own)
    if values is not None and _wants_scores(container, estimator):
        is_one = network.sizes[-1] == 1 and outputs[-1].raw_name.startswith(STACKED)
        own[-1] = values if is_one else head_of(estimator).score(graph, values)
    for name, output in zip(own, outputs, strict=True):
        wanted = output.type.to_onnx_type().tensor_type.elem_type
        graph.node("Cast", name, to=wanted, output=output.full_name)


def _wants_scores(container: Any, estimator: Any) -> bool:
    if not container.has_options(estimator, RAW):
        return False
    return bool(container.get_options(estimator, {RAW: False})[RAW])


def _predicted_shape(operator: Any) -> None:
    (source,), (output,) = operator.inputs, operator.outputs
    tensors = import_module("skl2onnx.common.data_types")
    is_double = isinstance(source.type, tensors.DoubleTensorType)
    cls = tensors.DoubleTensorType if is_double else tensors.FloatTensorType
    n_outputs = operator.raw_operator._networks()[0]._n_outputs()
    output.type = cls([source.get_first_dimension(), n_outputs])


def _selected_shape(operator: Any) -> None:
    (source,), (output,) = operator.inputs, operator.outputs
    n_selected = operator.raw_operator.n_features_
    output.type = type(source.type)([source.get_first_dimension(), n_selected])


def _convert_selector(scope: Any, operator: Any, container: Any) -> None:
    graph = _graph_in(scope, container, np.dtype(np.float32))
    (source,), (output,) = operator.inputs, operator.outputs
    columns = graph.constant(operator.raw_operator.get_support(indices=True), np.int64)
    graph.node("Gather", source.full_name, columns, axis=1, output=output.full_name)
