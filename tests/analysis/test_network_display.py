"""The picture of a network itself: what it chooses, and that it draws what it says."""

import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sksparse_mlp import SparseMLPClassifierCV, SparseMLPRegressor
from sksparse_mlp.analysis import NetworkDisplay
from sksparse_mlp.analysis._plot._network import NEGATIVE, POSITIVE, strongest_nodes

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def network(sizes, density, seed=0):
    """Weights of random layers, of which no two are of the same size."""
    rng = np.random.default_rng(seed)
    return [
        sparse.random_array(shape, density=density, rng=rng, data_sampler=rng.normal)
        for shape in itertools.pairwise(sizes)
    ]


def nodes_by_hand(coefs, at_most):
    """The choice of nodes, with loops over dense layers."""
    dense = [abs(coef.toarray()) for coef in coefs]
    totals = [sum(dense[-1][:, k]) for k in range(dense[-1].shape[1])]
    chosen = []
    for layer in [*reversed(dense), None]:
        ranks = sorted(range(len(totals)), key=lambda k: -totals[k])
        chosen.insert(0, sorted(ranks[:at_most]))
        if layer is not None:
            totals = [sum(row[k] for k in chosen[0]) for row in layer]
    return chosen


def drawn(display, column):
    """(row, column, weight) of each line, in numbers of nodes, read from the picture."""
    ins, outs = display.nodes_[column : column + 2]
    for ends, weight in zip(
        display.lines_[column].get_segments(), display.weights_[column], strict=True
    ):
        (x0, y0), (x1, y1) = ends
        assert (x0, x1) == (column, column + 1)
        yield ins[round(y0 * ins.size - 0.5)], outs[round(y1 * outs.size - 0.5)], weight


@pytest.mark.parametrize("at_most", [1, 4, 25])
@pytest.mark.parametrize("seed", range(3))
def test_nodes_are_chosen_from_the_outputs_backwards(at_most, seed):
    coefs = network((23, 17, 9, 5), 0.4, seed)
    found = strongest_nodes([coef.tocsr() for coef in coefs], at_most)
    for nodes, expected in zip(found, nodes_by_hand(coefs, at_most), strict=True):
        assert_array_equal(nodes, expected)


@pytest.mark.parametrize(("max_nodes", "max_connections"), [(30, 500), (6, 500), (8, 7)])
def test_lines_are_the_strongest_connections(max_nodes, max_connections):
    coefs = network((23, 17, 9, 5), 0.4)
    display = NetworkDisplay(
        coefs=coefs, max_nodes=max_nodes, max_connections=max_connections
    ).plot()
    for column, coef in enumerate(coefs):
        ins, outs = display.nodes_[column : column + 2]
        dense, lines = coef.toarray(), list(drawn(display, column))
        assert [dense[i, j] for i, j, _ in lines] == [weight for *_, weight in lines]
        assert len({(i, j) for i, j, _ in lines}) == len(lines)
        sizes = np.sort(np.abs(dense[np.ix_(ins, outs)]).ravel())
        sizes = sizes[sizes > 0][-max_connections:]
        assert_array_equal([abs(weight) for *_, weight in lines], sizes)


def test_looks_tell_sign_and_size():
    display = NetworkDisplay(coefs=network((9, 7), 0.6)).plot()
    (weights,), (lines,) = display.weights_, display.lines_
    assert {True, False} == set(weights > 0)
    for weight, color in zip(weights, lines.get_colors(), strict=True):
        assert_allclose(color[:3], to_rgb(POSITIVE if weight > 0 else NEGATIVE))
    for looks in (lines.get_linewidths(), lines.get_colors()[:, 3]):
        assert (np.diff(looks) > 0).all()
    grey = [np.dot(to_rgb(c), [0.299, 0.587, 0.114]) for c in (POSITIVE, NEGATIVE)]
    assert grey[1] - grey[0] > 0.25


def test_says_how_many_are_drawn():
    coefs = network((1200, 900, 10), 0.02)
    display = NetworkDisplay(coefs=coefs, max_nodes=12, max_connections=15).plot()
    display.figure_.canvas.draw()
    n_lines = sum(map(len, display.weights_))
    title = display.ax_.get_legend().get_title().get_text()
    n_connections = sum(coef.nnz for coef in coefs)
    assert title == f"34 of 2,110 nodes, {n_lines} of {n_connections:,} connections"
    labels = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert labels == ["input\n12 of\n1,200", "1\n12 of\n900", "output\n10"]


def test_names_inputs_and_outputs(mlp, multiclass, regression):
    pandas = pytest.importorskip("pandas")
    X, y = multiclass
    X = pandas.DataFrame(X).rename(columns=lambda k: f"size {k}")
    names = np.array([f"class {k}" for k in range(y.max() + 1)])
    display = NetworkDisplay.from_estimator(mlp().fit(X, names[y]), max_nodes=5)
    left, right = display.ax_, display.figure_.axes[1]
    shown = [label.get_text() for label in left.get_yticklabels()]
    assert shown == [f"size {k}" for k in display.nodes_[0]]
    shown = [label.get_text() for label in right.get_yticklabels()]
    assert shown == names[display.nodes_[-1]].tolist()
    model = mlp(SparseMLPRegressor).fit(*regression)
    left, right = NetworkDisplay.from_estimator(model).figure_.axes
    assert left.get_yticklabels()[0].get_text() == "0"
    assert [label.get_text() for label in right.get_yticklabels()] == ["0"]


def test_the_output_of_two_classes_is_the_second(mlp, binary):
    X, y = binary
    model = mlp().fit(X, np.array(["no", "yes"])[y])
    right = NetworkDisplay.from_estimator(model).figure_.axes[1]
    assert [label.get_text() for label in right.get_yticklabels()] == ["yes"]


def test_layers_without_weights_are_drawn():
    coefs = [sparse.csr_array((5, 3)), sparse.csr_array(np.zeros((3, 2)))]
    zero = sparse.csr_array(([0.0], ([0], [1])), shape=(2, 2))
    display = NetworkDisplay(coefs=[*coefs, zero]).plot()
    display.figure_.canvas.draw()
    assert [len(weights) for weights in display.weights_] == [0, 0, 1]


@pytest.mark.parametrize("name", ["max_nodes", "max_connections"])
@pytest.mark.parametrize("value", [0, -3, 2.5, "all"])
def test_refuses_other_numbers(name, value, mlp, binary):
    with pytest.raises(ValueError, match=f"'{name}' parameter .* must be an int"):
        NetworkDisplay.from_estimator(mlp().fit(*binary), **{name: value})


def test_asks_for_one_network_of_an_ensemble(mlp, multiclass):
    ensemble = SparseMLPClassifierCV(mlp(max_iter=2), cv=2).fit(*multiclass)
    with pytest.raises(TypeError, match="one of the estimators_ of a cross-fitted"):
        NetworkDisplay.from_estimator(ensemble)
    display = NetworkDisplay.from_estimator(ensemble.estimators_[0])
    assert display.nodes_[-1].size == len(ensemble.classes_)
