"""What ONNX graphs give: of one network, and of ensembles of these with linear models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sksparse_mlp import SparseMLPRegressor
from sksparse_mlp.core.losses import (
    LogisticCrossEntropy,
    MultilabelCrossEntropy,
    SoftmaxCrossEntropy,
)
from sksparse_mlp.onnx._graph import Graph, onnx_type

Labels = NDArray[Any]


@dataclass(frozen=True)
class Head:
    """The outputs of networks with one of the losses.

    Attributes
    ----------
    predict : callable
        Writes the predictions that the loss takes, from the graph and the name of what the
        last layer gives; returns their name.
    show : callable
        Writes the outputs, from the graph, the name of such predictions, that of the scores
        which decide on labels (None where predictions do), the labels and the names of the
        outputs.
    outputs : dict of str to int
        Names of the outputs, as skl2onnx gives them, and their numbers of dimensions.
    score : callable
        Writes what skl2onnx calls raw scores, from the graph and the name of what the last
        layer gives; returns their name.
    predict_linear : callable
        As `predict`, of what a linear model gives.
    """

    predict: Callable[[Graph, str], str]
    show: Callable[..., None]
    outputs: dict[str, int]
    score: Callable[[Graph, str], str]
    predict_linear: Callable[[Graph, str], str]


@dataclass(frozen=True)
class Operand:
    """A value of a graph, in formulas that are also those of arrays.

    Attributes
    ----------
    graph : Graph
    name : str
    """

    graph: Graph
    name: str

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.graph.dtype

    def __rmul__(self, factor: float) -> Self:
        return self._node("Mul", self.graph.constant(factor))

    def __add__(self, other: Self) -> Self:
        return self._node("Add", other.name)

    def clip(self, lowest: Any, highest: Any) -> Self:
        if not np.isfinite([lowest, highest]).all():
            return self
        larger = self._node("Max", self.graph.constant(lowest))
        return larger._node("Min", self.graph.constant(highest))

    def _node(self, operator: str, other: str) -> Self:
        return type(self)(self.graph, self.graph.node(operator, self.name, other))


def _unchanged(graph: Graph, values: str) -> str:
    return values


def _both(graph: Graph, logit: str) -> str:
    """One column for each class, as skl2onnx has it of two classes."""
    return graph.node("Concat", graph.node("Neg", logit), logit, axis=1)


def _softmax(graph: Graph, logits: str) -> str:
    return graph.node("Softmax", logits, axis=1)


def _logistic(graph: Graph, logits: str) -> str:
    return graph.node("Sigmoid", logits)


def _logistic_of_both(graph: Graph, logit: str) -> str:
    return _logistic(graph, _both(graph, logit))


def _show_classes(
    graph: Graph,
    predicted: str,
    scores: str | None,
    labels: Labels,
    label: str,
    probabilities: str,
) -> None:
    """The first of the best classes."""
    graph.node("Identity", predicted, output=probabilities)
    codes = graph.node("ArgMax", scores or predicted, axis=1, keepdims=0)
    graph.node("Gather", graph.constant(labels, labels.dtype), codes, output=label)


def _show_indicators(
    graph: Graph,
    predicted: str,
    scores: str | None,
    labels: Labels,
    label: str,
    probabilities: str,
) -> None:
    graph.node("Identity", predicted, output=probabilities)
    threshold = graph.constant(0 if scores else 0.5)
    is_positive = graph.node("Greater", scores or predicted, threshold)
    graph.node("Cast", is_positive, to=onnx_type(np.int64), output=label)


CLASSES = {"label": 1, "probabilities": 2}
HEADS: dict[Any, Head] = {
    SoftmaxCrossEntropy: Head(_softmax, _show_classes, CLASSES, _unchanged, _softmax),
    LogisticCrossEntropy: Head(
        _logistic_of_both, _show_classes, CLASSES, _both, _logistic_of_both
    ),
    MultilabelCrossEntropy: Head(
        _logistic,
        _show_indicators,
        {"label": 2, "probabilities": 2},
        _unchanged,
        _logistic,
    ),
}


def _values_head(network: SparseMLPRegressor) -> Head:
    """The outputs of a regressor: what its loss and the scale of its targets make."""
    loss = network._loss()
    if loss.link not in ("identity", "exp"):
        raise ValueError(
            f"The link {loss.link!r} of loss={network.loss!r} has no ONNX formula; "
            "those of this package's losses have."
        )

    def predict(graph: Graph, values: str) -> str:
        values = graph.node("Exp", values) if loss.link == "exp" else values
        limits = loss.limits.astype(graph.dtype)
        return Operand(graph, values).clip(*limits).name

    def show(
        graph: Graph, predicted: str, scores: str, labels: Labels, variable: str
    ) -> None:
        scaled = graph.node("Mul", predicted, graph.constant(network.target_scale_))
        graph.node("Add", scaled, graph.constant(network.target_mean_), output=variable)

    return Head(predict, show, {"variable": 2}, _unchanged, _unchanged)


def head_of(network: Any) -> Head:
    """What the loss of a fitted network makes of its last layer's values.

    Raises
    ------
    ValueError
        If there is no formula for it.
    """
    loss = network._loss()
    return HEADS[loss] if loss in HEADS else _values_head(network)
