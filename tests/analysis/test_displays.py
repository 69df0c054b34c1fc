"""Pictures of fitted networks: what they show, and that they can be read."""

import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KernelDensity

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import CReLU
from sksparse_mlp.analysis._activations import LayerActivations
from sksparse_mlp.analysis._activity import NodeActivity
from sksparse_mlp.analysis._distributions import ActivationDistributions
from sksparse_mlp.analysis._expected_gradients import ExpectedGradients
from sksparse_mlp.analysis._layer_accuracies import LayerAccuracies, layer_accuracies
from sksparse_mlp.analysis._plot import _display
from sksparse_mlp.analysis._plot._activation_medians import ActivationMediansDisplay
from sksparse_mlp.analysis._plot._attribution import AttributionDisplay
from sksparse_mlp.analysis._plot._connectivity import ConnectivityDisplay
from sksparse_mlp.analysis._plot._layer_accuracy import LayerAccuracyDisplay
from sksparse_mlp.analysis._plot._network import NetworkDisplay
from sksparse_mlp.analysis._plot._node_activity import NodeActivityDisplay
from sksparse_mlp.analysis._plot._pre_activation import PreActivationDisplay
from sksparse_mlp.analysis._plot._slopes import SlopesDisplay
from sksparse_mlp.analysis._plot._training_history import TrainingHistoryDisplay
from sksparse_mlp.analysis._plot._variance_map import VarianceMapDisplay
from sksparse_mlp.analysis._plot._weight_distribution import WeightDistributionDisplay
from sksparse_mlp.analysis._topology import connectivity
from sksparse_mlp.initializers import edge_of_chaos

mpl.use("Agg")

SMALLEST_FONT = 6.5

# How each Display is made of a fitted network and data.
MAKERS = {
    "history": lambda clf, X, y, **kw: TrainingHistoryDisplay.from_estimator(clf, **kw),
    "slopes": lambda clf, X, y, **kw: SlopesDisplay.from_estimator(clf, **kw),
    "activity": NodeActivityDisplay.from_estimator,
    "medians": lambda clf, X, y, **kw: ActivationMediansDisplay.from_estimator(
        clf, X, y, layer=1, **kw
    ),
    "pre_activation": lambda clf, X, y, **kw: PreActivationDisplay.from_estimator(
        clf, X, y, layer=1, node=0, **kw
    ),
    "accuracy": lambda clf, X, y, **kw: LayerAccuracyDisplay.from_estimator(
        clf, X, y, X, y, **kw
    ),
    "degrees": lambda clf, X, y, **kw: ConnectivityDisplay.from_estimator(clf, **kw),
    "image": lambda clf, X, y, **kw: ConnectivityDisplay.from_estimator(
        clf, image_shape=(3, 4), **kw
    ),
    "weights": lambda clf, X, y, **kw: WeightDistributionDisplay.from_estimator(clf, **kw),
    "attributions": lambda clf, X, y, **kw: AttributionDisplay.from_explainer(
        ExpectedGradients(clf, n_steps=1).fit(X[:2]), X, **kw
    ),
    "network": lambda clf, X, y, **kw: NetworkDisplay.from_estimator(clf, **kw),
}
every_display = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@pytest.fixture(autouse=True)
def no_windows(monkeypatch):
    """Close all figures afterwards; nothing may ask to show them."""

    def show(*args, **kwargs):
        raise AssertionError("a Display called show")

    monkeypatch.setattr(plt, "show", show)
    yield
    plt.close("all")


@pytest.fixture
def fitted(mlp, multiclass):
    """A fitted network with everything that can be drawn, and its data."""
    model = mlp(activation="prelu", early_stopping=True, record=["train_score"])
    return model.fit(*multiclass), *multiclass


def all_axes(display):
    """The axes that are seen."""
    return [ax for ax in display.figure_.axes if ax.axison]


def texts_of(figure):
    figure.canvas.draw()
    found = figure.findobj(mpl.text.Text)
    return [text for text in found if text.get_text() and text.get_visible()]


# --- all of them ----------------------------------------------------------------------


@every_display
def test_makes_a_figure_for_a_column(make, fitted):
    display = make(*fitted)
    assert display.figure_ is display.ax_.figure
    assert display.figure_.get_figwidth() == 3.3
    assert 1 < display.figure_.get_figheight() < 6
    display.figure_.canvas.draw()
    assert plt.get_fignums() == [display.figure_.number]


@every_display
def test_axes_have_labels(make, fitted):
    display = make(*fitted)
    labels = [(ax.get_xlabel(), ax.get_ylabel()) for ax in all_axes(display)]
    assert all(y for x, y in labels) or any(x and not y for x, y in labels)
    assert any(x for x, _ in labels)


@every_display
def test_text_is_readable_and_inside(make, fitted):
    figure = make(*fitted).figure_
    sizes = [text.get_fontsize() for text in texts_of(figure)]
    assert min(sizes) >= SMALLEST_FONT
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height


@every_display
def test_draws_on_given_axes(make, fitted):
    figure, (left, right) = plt.subplots(1, 2)
    size = figure.get_size_inches().copy()
    display = make(*fitted, ax=right)
    figure.canvas.draw()
    assert display.ax_ is right
    assert display.figure_ is figure
    assert_array_equal(figure.get_size_inches(), size)
    assert not left.has_data()
    assert plt.get_fignums() == [figure.number]
    assert display.plot(left) is display
    assert display.ax_ is left


@every_display
def test_draws_on_axes_without_a_grid(make, fitted):
    ax = plt.figure().add_axes((0.2, 0.3, 0.4, 0.5))
    box = ax.get_position()
    display = make(*fitted, ax=ax)
    display.figure_.canvas.draw()
    for panel in all_axes(display):
        place = panel.get_position()
        assert place.x0 >= box.x0 - 1e-6
        assert place.y0 >= box.y0 - 1e-6
        assert place.x1 <= box.x1 + 1e-6
        assert place.y1 <= box.y1 + 1e-6


@every_display
def test_given_axes_keep_the_users_fonts(make, fitted):
    with mpl.rc_context({"axes.labelsize": 21, "xtick.labelsize": 5}):
        display = make(*fitted, ax=plt.figure().subplots())
    labelled = [ax.xaxis for ax in all_axes(display) if ax.get_xlabel()]
    assert all(axis.label.get_fontsize() == 21 for axis in labelled)
    display.figure_.canvas.draw()
    for axis in labelled:
        # Also of ticks that are made afterwards.
        axis.set_ticks(np.linspace(*axis.get_view_interval(), 50))
        assert {label.get_fontsize() for label in axis.get_ticklabels()} == {5}


@every_display
def test_users_settings_stay(make, fitted):
    before = mpl.rcParams.copy()
    make(*fitted)
    assert mpl.rcParams == before


@every_display
def test_needs_matplotlib(make, fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"Display\.plot requires matplotlib"):
        make(*fitted)


@every_display
def test_needs_a_fitted_estimator(make, multiclass):
    with pytest.raises(NotFittedError):
        make(SparseMLPClassifier(), *multiclass)


@every_display
def test_takes_a_frozen_estimator(make, fitted):
    model, X, y = fitted
    assert type(make(FrozenEstimator(model), X, y)) is type(make(model, X, y))


LABELS = ["$x_1$", "\\frac{$", "<b>&amp;", "two\nlines", "\x00\x1b", "long " * 30, "%s {}"]


@every_display
def test_labels_are_shown_as_they_are(make, mlp):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(70, 12)), np.array(LABELS * 10, dtype=object)
    display = make(mlp(activation="prelu").fit(X, y), X, y)
    texts = [text.get_text() for text in texts_of(display.figure_)]
    assert all("\x00" not in text and len(text) < 60 for text in texts)


@every_display
def test_many_layers(make, binary, mlp):
    X, y = binary
    model = mlp(hidden_layer_sizes=(6,) * 40, activation="prelu", max_iter=1, zeta=0)
    display = make(model.fit(X, y), X, y)
    assert display.figure_.get_figheight() < 12
    for ax in all_axes(display):
        assert ax.get_window_extent().height > 20
        assert len(ax.get_yticks()) <= 31


@every_display
def test_many_classes(make, mlp):
    X = np.random.default_rng(0).normal(size=(180, 12))
    y = np.arange(180) % 60
    model = mlp(activation="prelu", max_iter=1).fit(X, y)
    display = make(model, X, y)
    assert display.figure_.get_figheight() < 9
    display.figure_.canvas.draw()


# --- helpers --------------------------------------------------------------------------


def test_shown():
    assert _display.shown("plain") == "plain"
    assert _display.shown(3.5) == "3.5"
    assert _display.shown("$1$") == r"\$1\$"
    assert _display.shown(" a \n b\t") == "a b"
    assert _display.shown("a\x00b\ud800") == "a\ufffdb\ufffd"
    assert _display.shown("x" * 18) == "x" * 18
    assert _display.shown("x" * 19) == "x" * 17 + "\u2026"


@pytest.mark.parametrize(
    ("n_items", "at_most", "expected"),
    [(3, 3, [0, 1, 2]), (9, 3, [0, 4, 8]), (4, 2, [0, 3]), (0, 5, [])],
)
def test_spread(n_items, at_most, expected):
    assert _display.spread(n_items, at_most) == expected


@pytest.mark.parametrize(
    ("points", "lines", "line", "expected"),
    [(15, 1, 0, (0, 1)), (16, 1, 0, (0, 2)), (60, 2, 1, (2, 4)), (60, 4, 3, (3, 4))],
)
def test_mark_every(points, lines, line, expected):
    assert _display.mark_every(points, lines, line) == expected


def test_shades_differ_in_grey():
    grey = _display.shades(10)[:, :3] @ [0.299, 0.587, 0.114]
    assert np.diff(grey).min() > 0.03
    assert grey.max() < 0.75


# --- training history -----------------------------------------------------------------

HISTORY = [
    {"epoch": 3, "loss": 2.0, "zeta": 0.3},
    {"epoch": 4, "loss": 1.0, "zeta": 0.2, "train_score": 0.7},
    {"epoch": 5, "loss": 0.5, "zeta": 0.1, "train_score": 0.9, "validation_score": 0.8},
]


def test_history_has_a_panel_per_kind():
    display = TrainingHistoryDisplay.from_history(HISTORY)
    assert display.history is HISTORY
    assert list(display.lines_) == ["loss", "train_score", "validation_score", "zeta"]
    labels = [ax.get_ylabel() for ax in display.axes_]
    assert labels == ["loss", "score", "zeta (share of\nconnections)"]
    assert [ax.get_xlabel() for ax in display.axes_] == ["", "", "epoch"]
    for line in display.lines_.values():
        assert_array_equal(line.get_xdata(), [3, 4, 5])
    assert_array_equal(display.lines_["loss"].get_ydata(), [2, 1, 0.5])
    assert_array_equal(display.lines_["train_score"].get_ydata(), [np.nan, 0.7, 0.9])
    assert_array_equal(display.lines_["zeta"].get_ydata(), [0.3, 0.2, 0.1])
    assert display.lines_["validation_score"].axes is display.axes_[1]


def test_history_with_gradient_flow():
    history = [record | {"effective_gradient_flow": 0.5} for record in HISTORY]
    display = TrainingHistoryDisplay.from_history(history)
    assert_array_equal(display.lines_["effective_gradient_flow"].get_ydata(), [0.5] * 3)
    assert display.axes_[-1].get_ylabel() == "gradient flow\n(loss per weight)"


def test_history_lines_differ_in_grey():
    lines = TrainingHistoryDisplay.from_history(HISTORY).lines_
    looks = [(line.get_linestyle(), line.get_marker()) for line in lines.values()]
    assert looks[1] != looks[2]
    panel = lines["train_score"].axes
    names = [text.get_text() for text in panel.get_legend().get_texts()]
    assert names == ["training", "validation"]


def test_history_says_which_loss_is_which():
    records = [r | {"validation_loss": 3.0, "data_loss": 0.25} for r in HISTORY]
    for history in (HISTORY, records):
        lines = TrainingHistoryDisplay.from_history(history).lines_
        names = [text.get_text() for text in lines["loss"].axes.get_legend().get_texts()]
        expected = ["training, with penalty", "training, without", "validation, without"]
        assert names == expected[: len(names)]
        assert len(names) == (1 if history is HISTORY else 3)
    looks = {(line.get_linestyle(), line.get_marker()) for line in list(lines.values())[:3]}
    assert len(looks) == 3
    assert_array_equal(lines["validation_loss"].get_ydata(), [3, 3, 3])
    assert_array_equal(lines["data_loss"].get_ydata(), [0.25] * 3)


def test_history_shows_losses_from_zero():
    loss, accuracy, zeta = TrainingHistoryDisplay.from_history(HISTORY).axes_
    assert loss.get_ylim()[0] == zeta.get_ylim()[0] == 0
    assert accuracy.get_ylim()[0] > 0.6


def test_history_without_epochs():
    with pytest.raises(ValueError, match="no records of epochs"):
        TrainingHistoryDisplay.from_history([])


def test_history_of_an_estimator(fitted):
    model = fitted[0]
    display = TrainingHistoryDisplay.from_estimator(model)
    assert_array_equal(display.lines_["loss"].get_ydata(), model.loss_curve_)


# --- slopes ---------------------------------------------------------------------------


def test_slopes_have_medians_and_quartiles():
    neurons = np.array([0.0, 1.0, 2.0, 3.0, 10.0])
    history = [{"epoch": k, "slopes": [None, 0.25 * k, neurons + k]} for k in (0, 1, 2)]
    display = SlopesDisplay.from_history(history)
    assert_array_equal(display.epochs, [0, 1, 2])
    assert list(display.lines_) == [2, 3]
    assert_array_equal(display.lines_[2].get_ydata(), [0, 0.25, 0.5])
    assert_array_equal(display.lines_[3].get_ydata(), [2, 3, 4])
    assert_array_equal(display.quartiles[3], [[1, 2, 3], [2, 3, 4], [3, 4, 5]])
    (band,) = display.ax_.collections
    assert {(0.0, 1.0), (0.0, 3.0), (2.0, 5.0)} <= set(
        map(tuple, band.get_paths()[0].vertices.tolist())
    )
    looks = {(ln.get_linestyle(), ln.get_marker()) for ln in display.lines_.values()}
    assert len(looks) == 2
    legend = display.ax_.get_legend()
    assert legend.get_title().get_text() == "hidden layer"
    assert [text.get_text() for text in legend.get_texts()] == ["2", "3"]


@pytest.mark.parametrize(("slopes", "n_lines"), [([-0.2, 0.2], 3), ([0.1, 0.2], 2)])
def test_slopes_of_both_signs_have_a_zero_line(slopes, n_lines):
    history = [{"epoch": k, "slopes": slopes} for k in range(2)]
    assert len(SlopesDisplay.from_history(history).ax_.lines) == n_lines


def test_slopes_of_many_layers_have_a_colour_bar():
    history = [{"epoch": k, "slopes": [0.1 * n for n in range(7)]} for k in range(2)]
    display = SlopesDisplay.from_history(history)
    assert display.ax_.get_legend() is None
    _, bar = display.figure_.axes
    assert bar.get_ylabel() == "hidden layer"
    assert bar.get_ylim() == (0.5, 7.5)
    colors = {tuple(line.get_color()) for line in display.lines_.values()}
    assert len(colors) == 7


def test_bands_of_many_layers_are_left_out():
    slopes = [np.arange(4.0)] * 7
    display = SlopesDisplay.from_history([{"epoch": k, "slopes": slopes} for k in (0, 1)])
    assert not display.ax_.collections


@pytest.mark.parametrize("history", [[], [{"epoch": 0, "slopes": [None, None]}]])
def test_slopes_that_do_not_exist(history):
    with pytest.raises(ValueError, match="no slopes to draw"):
        SlopesDisplay.from_history(history)


# --- node activity --------------------------------------------------------------------


def test_activity_marks_dead_nodes():
    activity = [
        np.array([[0.0, 0.0], [0.5, 0.9], [0.0, 0.0]]),
        np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]),
    ]
    dead = [np.array([True, False, True]), np.zeros(3, bool)]
    display = NodeActivityDisplay(
        activity=activity, dead_nodes=dead, layers=[1, 4], n_layers=5, classes=["a", "b"]
    ).plot()
    display.figure_.canvas.draw()
    assert_array_equal(display.images_[0].get_array(), activity[0].T)
    assert_array_equal(display.images_[1].get_array(), activity[1].T)
    assert all(image.get_clim() == (0, 1) for image in display.images_)
    (marks,) = display.axes_[0].lines
    assert_array_equal(marks.get_xdata(), [0, 2])
    assert not display.axes_[1].lines
    titles = [ax.get_title() for ax in display.axes_]
    assert titles == ["layer 1 of 5: 2 dead nodes", "layer 4 of 5: 0 dead nodes"]
    names = [label.get_text() for label in display.axes_[0].get_yticklabels()]
    assert names == ["a", "b"]
    assert display.axes_[1].get_xlabel() == "node"
    bar = display.figure_.axes[-1]
    assert bar.get_xlabel() == "activity (share of the class's samples)"


def test_one_dead_node_is_singular():
    display = NodeActivityDisplay(
        activity=[np.eye(2)], dead_nodes=[[True, False]], layers=[1], n_layers=1,
        classes=[0, 1],
    ).plot()  # fmt: skip
    assert display.axes_[0].get_title() == "layer 1 of 1: 1 dead node"


def test_activity_is_that_of_the_analyser(fitted):
    model, X, y = fitted
    activity = NodeActivity(model).fit(X, y)
    for display in (
        NodeActivityDisplay.from_estimator(model, X, y),
        NodeActivityDisplay.from_activity(activity),
    ):
        assert display.layers == [1, 2]
        for image, expected in zip(display.images_, activity.activity_, strict=True):
            assert_array_equal(image.get_array(), expected.T)


def test_dead_nodes_are_those_of_the_layer(mlp, multiclass):
    model = mlp(activation="relu").fit(*multiclass)
    model.intercepts_[1][5] = -1e6
    dead = NodeActivity(model).fit(*multiclass).dead_nodes_
    display = NodeActivityDisplay.from_estimator(model, *multiclass)
    assert_array_equal(display.dead_nodes[0], dead[0])
    assert_array_equal(display.dead_nodes[1], dead[1])
    assert dead[1][5]


@pytest.mark.parametrize(("layers", "expected"), [(2, [2]), ([2, 1], [2, 1])])
def test_activity_of_some_layers(fitted, layers, expected):
    model, X, y = fitted
    activity = NodeActivity(model).fit(X, y)
    display = NodeActivityDisplay.from_estimator(model, X, y, layers=layers)
    assert display.layers == expected
    for image, number in zip(display.images_, expected, strict=True):
        assert_array_equal(image.get_array(), activity.activity_[number - 1].T)


def test_activity_of_many_layers_shows_eight(mlp, binary):
    model = mlp(hidden_layer_sizes=(5,) * 15, max_iter=1, zeta=0).fit(*binary)
    display = NodeActivityDisplay.from_estimator(model, *binary)
    assert display.layers == [1, 3, 5, 7, 9, 11, 13, 15]
    assert len(display.axes_) == 8


@pytest.mark.parametrize("layers", [0, 3, -1, [], [1, 3], [1.5], "1", [2, 2]])
def test_activity_of_layers_that_do_not_exist(fitted, layers):
    with pytest.raises(ValueError, match="counted from 1; the estimator has 2"):
        NodeActivityDisplay.from_estimator(*fitted, layers=layers)


def test_activity_needs_a_fitted_analyser(fitted):
    with pytest.raises(NotFittedError):
        NodeActivityDisplay.from_activity(NodeActivity(fitted[0]))


# --- medians --------------------------------------------------------------------------


def test_medians_are_sorted_by_their_mean():
    medians = np.array([[3.0, 5.0], [0.0, 1.0], [2.0, 2.5]])
    display = ActivationMediansDisplay(
        medians=medians, classes=["a", "b"], layer=3, stage="post"
    ).plot()
    first, second = display.lines_
    assert_array_equal(first.get_ydata(), [0, 2, 3])
    assert_array_equal(second.get_ydata(), [1, 2.5, 5])
    assert first.get_marker() != second.get_marker()
    (bars,) = display.ax_.collections
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [[0, 1], [2, 2.5], [3, 5]]
    assert display.ax_.get_xlabel() == "nodes of hidden layer 3, by mean median"
    assert display.ax_.get_ylabel() == "median activation"
    names = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert names == ["a", "b"]


@pytest.mark.parametrize("stage", ["pre", "post"])
@pytest.mark.parametrize("layer", [1, 2])
def test_medians_are_those_of_the_analyser(fitted, stage, layer):
    model, X, y = fitted
    distributions = ActivationDistributions(model).fit(X, y)
    for display in (
        ActivationMediansDisplay.from_estimator(model, X, y, layer=layer, stage=stage),
        ActivationMediansDisplay.from_distributions(
            distributions, layer=layer, stage=stage
        ),
    ):
        assert_array_equal(display.medians, distributions.medians_[stage][layer - 1])
        assert_array_equal(display.classes, model.classes_)
        assert ("pre-activation" in display.ax_.get_ylabel()) == (stage == "pre")


def test_medians_are_after_the_activation_by_default(fitted):
    assert ActivationMediansDisplay.from_estimator(*fitted, layer=1).stage == "post"
    model, X, y = fitted
    distributions = ActivationDistributions(model).fit(X, y)
    display = ActivationMediansDisplay.from_distributions(distributions, layer=1)
    assert display.stage == "post"


def test_many_classes_have_a_short_legend():
    medians = np.random.default_rng(0).normal(size=(5, 13))
    display = ActivationMediansDisplay(
        medians=medians, classes=range(13), layer=1, stage="pre"
    ).plot()
    names = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert names == ["0", "12"]
    assert "first to the last" in display.ax_.get_legend().get_title().get_text()


@pytest.mark.parametrize(("n_nodes", "mapped"), [(40, False), (41, True)])
def test_medians_are_a_map_where_markers_would_cover_each_other(n_nodes, mapped):
    display = ActivationMediansDisplay(
        medians=np.zeros((n_nodes, 10)), classes=range(10), layer=1, stage="pre"
    ).plot()
    assert (display.image_ is not None) is mapped
    assert len(display.lines_) == (0 if mapped else 10)


def test_map_of_medians_has_the_nodes_of_a_class_side_by_side():
    medians = np.random.default_rng(0).normal(size=(256, 10))
    names = [f"class {k}" for k in range(10)]
    display = ActivationMediansDisplay(
        medians=medians, classes=names, layer=2, stage="post"
    ).plot()
    shown = np.asarray(display.image_.get_array())  # (n_classes, n_nodes)
    highest = shown.argmax(axis=0)
    assert_array_equal(highest, np.sort(highest))
    assert_array_equal(np.sort(shown.T, axis=0), np.sort(medians, axis=0))
    for k in range(10):
        assert np.all(np.diff(shown.max(axis=0)[highest == k]) <= 0)
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == names
    # A row is readable, and a column no narrower than a dot of a printer.
    box = display.ax_.get_window_extent()
    assert box.height / 10 > 10
    assert 300 * box.width / display.figure_.dpi / 256 > 2
    labels = [ax.get_xlabel() for ax in display.figure_.axes]
    assert labels == [
        "nodes of hidden layer 2, by the class of their highest",
        "median activation",
    ]


@pytest.mark.parametrize("layer", [0, 3, -1, 1.5])
def test_medians_of_a_layer_that_does_not_exist(fitted, layer):
    with pytest.raises(ValueError, match=f"layer={layer} does not exist.* 1 to 2"):
        ActivationMediansDisplay.from_estimator(*fitted, layer=layer)


def test_medians_of_a_stage_that_does_not_exist(fitted):
    with pytest.raises(ValueError, match="stage must be 'pre' or 'post', got 'after'"):
        ActivationMediansDisplay.from_estimator(*fitted, layer=1, stage="after")


# --- pre-activations ------------------------------------------------------------------


@pytest.mark.parametrize("layer", [1, 2])
def test_pre_activations_and_their_densities(fitted, layer):
    model, X, y = fitted
    display = PreActivationDisplay.from_estimator(
        model, X, y, layer=layer, node=3, bandwidth=0.3, n_bins=12
    )
    values = LayerActivations(model, layers=layer, stage="pre").transform(X)[:, 3]
    assert display.bin_edges[[0, -1]].tolist() == [values.min(), values.max()]
    assert display.histograms.shape == (3, 12)
    for k, label in enumerate(model.classes_):
        own = values[y == label]
        expected, _ = np.histogram(own, display.bin_edges, density=True)
        assert_allclose(display.histograms[k], expected)
        estimate = KernelDensity(bandwidth=0.3).fit(own[:, np.newaxis])
        exact = np.exp(estimate.score_samples(display.points[:, np.newaxis]))
        assert_allclose(display.densities[k], exact, rtol=2e-3)
    assert_allclose(np.trapezoid(display.densities, display.points), 1, atol=0.01)
    assert (display.layer, display.node) == (layer, 3)
    assert display.ax_.get_xlabel() == f"pre-activation of node 3, hidden layer {layer}"


def test_rows_have_the_scale_of_their_class():
    points = np.linspace(-1, 1, 5)
    densities = np.array([[0, 1, 4, 1, 0], [0, 1, 1, 1, 0.0]])
    display = PreActivationDisplay(
        bin_edges=np.array([-1.0, 0.0, 1.0]), histograms=np.array([[0.5, 0.5], [2.0, 0.5]]),
        points=points, densities=densities, classes=["a", "b"], layer=1, node=0,
    ).plot()  # fmt: skip
    first, second = display.lines_
    assert_allclose(first.get_ydata(), 0 - 0.9 * densities[0] / 4)
    assert_allclose(second.get_ydata(), 1 - 0.9 * densities[1] / 2)
    low, high = display.ax_.get_ylim()
    assert low > 1
    assert high < -0.9
    steps = [patch for patch in display.ax_.patches if hasattr(patch, "get_data")]
    assert_allclose(steps[0].get_data().values, [-0.1125, -0.1125])
    assert_allclose(steps[1].get_data().values, [0.1, 0.775])
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert names == ["a", "b"]


def test_constant_pre_activations(fitted):
    model, X, y = fitted
    model.coefs_[0] = sparse.csr_array(model.coefs_[0].shape)
    display = PreActivationDisplay.from_estimator(model, X, y, layer=1, node=0)
    peaks = display.points[np.argmax(display.densities, axis=1)]
    assert_allclose(peaks, model.intercepts_[0][0], atol=0.02)
    assert np.isfinite(display.histograms).all()


@pytest.mark.parametrize(("bandwidth", "n_points"), [(1e6, 256), (1e-9, 4096)])
def test_number_of_points_is_bounded(fitted, bandwidth, n_points):
    display = PreActivationDisplay.from_estimator(
        *fitted, layer=1, node=0, bandwidth=bandwidth
    )
    assert display.points.size == n_points


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layer": 0}, r"layer=0 does not exist; .* 1 to 2"),
        ({"layer": 1.0}, r"layer=1.0 does not exist"),
        ({"layer": None}, r"layer=None does not exist"),
        ({"node": 2.0}, r"node=2.0 does not exist"),
        ({"layer": 3}, r"layer=3 does not exist"),
        ({"node": -1}, r"node=-1 does not exist; .* 0 to 23"),
        ({"node": 24}, r"node=24 does not exist"),
        ({"bandwidth": 0}, r"bandwidth must be positive, got 0"),
        ({"bandwidth": -1.0}, r"bandwidth must be positive, got -1\.0"),
        ({"n_bins": 0}, r"n_bins must be positive, got 0"),
    ],
)
def test_bad_pre_activations(fitted, wrong, message):
    with pytest.raises(ValueError, match=message):
        PreActivationDisplay.from_estimator(*fitted, **{"layer": 1, "node": 0} | wrong)


def test_pre_activations_of_other_data(fitted):
    model, X, y = fitted
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        PreActivationDisplay.from_estimator(model, X, np.tile(y, 2), layer=1, node=0)
    with pytest.raises(ValueError, match="features"):
        PreActivationDisplay.from_estimator(model, X[:, 1:], y, layer=1, node=0)


def test_pre_activations_that_overflow(mlp, multiclass):
    X, y = multiclass
    model = mlp(max_iter=1).fit(X.astype(np.float32), y)
    model.coefs_[0].data[:] = 3e38
    with pytest.raises(ValueError, match="node 0 in hidden layer 1 are not finite"):
        PreActivationDisplay.from_estimator(model, 10 * abs(X), y, layer=1, node=0)


# --- layer accuracies -----------------------------------------------------------------

ACCURACIES = LayerAccuracies(
    systems=("discrete", "continuous", "combined"),
    train=np.array([[0.5, 0.75], [0.6, 0.8], [np.nan, 0.7]]),
    test=np.array([[0.4, 0.65], [0.5, 0.7], [np.nan, 0.6]]),
    network_train=0.9,
    network_test=0.85,
)


def test_accuracies_have_a_line_per_system_and_part():
    display = LayerAccuracyDisplay.from_accuracies(ACCURACIES)
    for part in ("train", "test"):
        for k, system in enumerate(ACCURACIES.systems):
            line = display.lines_[system, part]
            assert_array_equal(line.get_xdata(), [1, 2])
            assert_array_equal(line.get_ydata(), getattr(ACCURACIES, part)[k])
    assert_array_equal(display.lines_["network", "train"].get_ydata(), [0.9, 0.9])
    assert_array_equal(display.lines_["network", "test"].get_ydata(), [0.85, 0.85])
    names = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert names == [f"{system}, {part}" for system, part in display.lines_]
    looks = {
        (ln.get_linestyle(), ln.get_marker(), str(ln.get_markerfacecolor()))
        for ln in display.lines_.values()
    }
    assert len(looks) == 8


def test_systems_that_no_layer_allows_are_left_out(fitted):
    model, X, y = fitted
    display = LayerAccuracyDisplay.from_estimator(model, X, y, X, y)
    assert ("combined", "test") not in display.lines_
    assert len(display.lines_) == 6


def test_accuracies_without_test_samples():
    display = LayerAccuracyDisplay(
        systems=["discrete"], train=[[0.5, 0.6]], network_train=0.7
    ).plot()
    assert list(display.lines_) == [("discrete", "train"), ("network", "train")]


def test_accuracies_are_those_of_the_function(mlp, multiclass):
    X, y = multiclass
    parts = X[:100], y[:100], X[100:], y[100:]
    model = mlp(activation="relu").fit(*parts[:2])
    expected = layer_accuracies(model, *parts, systems=["continuous"], bandwidth=0.5)
    display = LayerAccuracyDisplay.from_estimator(
        model, *parts, systems=["continuous"], bandwidth=0.5
    )
    assert display.systems == ("continuous",)
    assert_array_equal(display.train, expected.train)
    assert_array_equal(display.test, expected.test)
    assert display.network_train == expected.network_train
    assert display.network_test == expected.network_test


# --- connectivity ---------------------------------------------------------------------


def test_degrees_as_an_image(fitted):
    model = fitted[0]
    display = ConnectivityDisplay.from_estimator(model, image_shape=(3, 4))
    degrees = connectivity(model)[0].out_degrees
    assert_array_equal(display.image_.get_array(), degrees.reshape(3, 4))
    assert display.image_.get_clim()[0] == 0
    assert display.figure_.axes[1].get_ylabel() == "connections per pixel"


def test_degrees_of_channels_are_added_up():
    display = ConnectivityDisplay(degrees=range(12), image_shape=(2, 3, 2)).plot()
    assert_array_equal(display.image_.get_array(), [[1, 5, 9], [13, 17, 21]])


@pytest.mark.parametrize("shape", [(3, 3), (12,), (2, 2, 3, 1), ()])
def test_image_shape_must_suit_the_features(fitted, shape):
    with pytest.raises(ValueError, match=r"image_shape=.* number of input neurons, 12"):
        ConnectivityDisplay.from_estimator(fitted[0], image_shape=shape)


def test_distribution_of_degrees():
    display = ConnectivityDisplay(degrees=[2, 5, 2, 3]).plot()
    assert display.image_ is None
    counts, edges, _ = display.ax_.patches[0].get_data()
    assert_array_equal(edges, [1.5, 2.5, 3.5, 4.5, 5.5])
    assert_array_equal(counts, [2, 1, 0, 1])
    assert display.ax_.get_xlabel() == "connections of an input neuron"
    assert display.ax_.get_ylim()[0] == 0


def test_wide_distribution_of_degrees_has_wider_bins():
    display = ConnectivityDisplay(degrees=np.arange(1, 182)).plot()
    counts, edges, _ = display.ax_.patches[0].get_data()
    assert edges[0] == 0.5
    assert_array_equal(np.diff(edges), 4)
    assert counts.sum() == 181
    assert display.ax_.get_xlabel().endswith("(bins of 4)")


def test_connectivity_of_a_layer(fitted):
    layer = connectivity(fitted[0])[1]
    display = ConnectivityDisplay.from_connectivity(layer)
    assert_array_equal(display.degrees, layer.out_degrees)


# --- weights --------------------------------------------------------------------------


def test_weights_of_each_layer(fitted):
    model = fitted[0]
    display = WeightDistributionDisplay.from_estimator(model, n_bins=9)
    weights = [coef.data for coef in model.coefs_]
    low, high = min(w.min() for w in weights), max(w.max() for w in weights)
    assert_allclose(display.bin_edges, np.linspace(low, high, 10))
    for own, counts in zip(weights, display.counts, strict=True):
        assert_array_equal(counts, np.histogram(own, display.bin_edges)[0])
        assert counts.sum() == own.size
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert names == ["1", "2", "output"]


def test_weights_of_a_layer_without_connections(fitted):
    model = fitted[0]
    model.coefs_[1] = sparse.csr_array(model.coefs_[1].shape)
    display = WeightDistributionDisplay.from_estimator(model)
    assert display.counts[1].sum() == 0
    model.coefs_ = [sparse.csr_array(coef.shape) for coef in model.coefs_]
    assert WeightDistributionDisplay.from_estimator(model).counts.sum() == 0


def test_weights_in_another_layout(fitted):
    model = fitted[0]
    expected = WeightDistributionDisplay.from_estimator(model).counts
    model.coefs_ = [coef.tolil() for coef in model.coefs_]
    assert_array_equal(WeightDistributionDisplay.from_estimator(model).counts, expected)


def test_bins_of_weights_must_be_positive(fitted):
    with pytest.raises(ValueError, match="bins"):
        WeightDistributionDisplay.from_estimator(fitted[0], n_bins=0)


# --- variance maps --------------------------------------------------------------------


@pytest.mark.parametrize(("clip", "n_others"), [(1.0, 0), (2.0, 2)])
def test_variance_map_crosses_the_diagonal_at_its_fixed_points(clip, n_others):
    point = edge_of_chaos(CReLU(threshold=1.0, clip=clip))
    display = VarianceMapDisplay.from_point(point)
    q, variances = display.line_.get_data()
    assert_allclose(variances, point.variance_map(q))
    assert q[-1] > point.fixed_points[-1]
    assert_array_equal(display.target_.get_data(), [[1], [1]])
    others = point.fixed_points[point.fixed_points != 1]
    assert len(others) == n_others
    assert_array_equal(display.others_.get_data(), [others, others])
    _, labels = display.ax_.get_legend_handles_labels()
    assert ("other fixed points" in labels) == bool(n_others)
    assert all(text.get_fontsize() >= SMALLEST_FONT for text in texts_of(display.figure_))


def test_variance_map_of_a_name_on_given_axes():
    ax = plt.figure().subplots()
    display = VarianceMapDisplay.from_activation("tanh", 0.7, ax=ax)
    assert display.ax_ is ax
    assert_allclose(display.variances, edge_of_chaos("tanh", 0.7).variance_map(display.q))
    assert display.figure_.axes == [ax]


def test_variance_map_needs_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"VarianceMapDisplay\.plot"):
        VarianceMapDisplay.from_activation("cst")
