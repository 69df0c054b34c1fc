"""The report: one page, complete, safe, accessible, and written at once."""

import base64
import copy
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.analysis import _report
from sksparse_mlp.analysis._activity import NodeActivity
from sksparse_mlp.analysis._layer_accuracies import layer_accuracies
from sksparse_mlp.analysis._memory import memory_footprint
from sksparse_mlp.analysis._report import report
from sksparse_mlp.analysis._topology import connectivity
from sksparse_mlp.analysis._verdict import verdict

mpl.use("Agg")

VOID = {"meta", "img", "br", "link"}
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Page(HTMLParser):
    """A page's elements, checked to be closed in the right order.

    Attributes
    ----------
    elements : list of (tag, dict of attributes)
    tables : dict of str to list of list of str
        The rows of each table, the header first, by its caption.
    text : str
    """

    def __init__(self, source):
        super().__init__()
        self.elements, self.tables, self.text = [], {}, ""
        self._open, self._rows = [], None
        self.feed(source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes)
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td"):
            self._rows[-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data):
        inside = self._open[-1] if self._open else ""
        if inside != "style":
            self.text += data
        if inside == "caption":
            self._caption = data
        elif inside in ("th", "td"):
            self._rows[-1][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def column(self, caption, name):
        header, *rows = self.tables[caption]
        return [row[header.index(name)] for row in rows]


@pytest.fixture(scope="module")
def shared():
    """A fitted network, training samples, and test samples; not to be changed."""
    X, y = make_classification(
        150, 12, n_informative=6, n_classes=3, class_sep=2.0, flip_y=0, random_state=0
    )
    model = SparseMLPClassifier(
        (24, 16), ["prelu", "relu"], epsilon=3, max_iter=4, batch_size=32,
        learning_rate_init=0.01, record=["train_score"], random_state=0,
    )  # fmt: skip
    model.fit(X[:100], y[:100])
    return model, X[:100], y[:100], {"X_test": X[100:], "y_test": y[100:]}


@pytest.fixture(scope="module")
def page(shared, tmp_path_factory):
    """The parsed report without test samples."""
    path = report(*shared[:3], tmp_path_factory.mktemp("page") / "page.html")
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tested_page(shared, tmp_path_factory):
    """The parsed report with test samples."""
    *training, test = shared
    path = report(*training, tmp_path_factory.mktemp("page") / "page.html", **test)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture
def parts(shared):
    """What is shared, with a network that may be changed."""
    return copy.deepcopy(shared[0]), *shared[1:]


@pytest.fixture
def written(tmp_path):
    """Write a report and parse it."""

    def write(*args, **kwargs):
        path = report(*args, tmp_path / "page.html", **kwargs)
        return Page(path.read_text(encoding="utf-8"))

    return write


def percent(share):
    return f"{100 * share:.1f} %"


# --- tables ---------------------------------------------------------------------------


def test_size_and_memory(shared, page):
    model = shared[0]
    rows = dict(page.tables["Size and memory"])
    footprint = memory_footprint(model)
    assert rows["Connections"] == str(footprint.n_connections)
    assert rows["Weights and biases"] == str(footprint.n_parameters)
    assert rows["The same in full layers"] == str(footprint.n_dense_parameters)
    assert rows["Compression rate"] == f"{footprint.compression_rate:.1f}"
    assert rows["Memory while predicting"] == f"{footprint.prediction_bytes / 1e3:.3g} kB"
    assert rows["Memory while training"] == f"{footprint.training_bytes / 1e3:.3g} kB"
    per_sample = footprint.activation_bytes_per_sample
    assert rows["Activations, per sample of a batch"] == f"{per_sample / 1e3:.3g} kB"
    assert rows["Epochs of the last fit"] == "4"
    assert (
        rows["Training loss of the last epoch, with dropout and L2 penalty (nats)"]
        == f"{model.loss_:.4g}"
    )


def test_layers(parts, written):
    model, X, y, _ = parts
    model.intercepts_[1][2:4] = -1e6
    page, activity = written(model, X, y), NodeActivity(model).fit(X, y)
    assert page.column("Layers", "Layer") == ["1", "2", "output"]
    assert page.column("Layers", "Neurons") == ["24", "16", "3"]
    assert page.column("Layers", "Connections") == [str(c.nnz) for c in model.coefs_]
    assert page.column("Layers", "Sparsity") == [percent(s) for s in model.sparsity_]
    n_dead = [str(dead.sum()) for dead in activity.dead_nodes_]
    assert int(n_dead[1]) >= 2
    assert page.column("Layers", "Dead nodes") == [*n_dead, "\u2013"]
    off = [percent(share) for share in activity.sparsity_]
    assert page.column("Layers", "Nodes off") == [*off, "\u2013"]


def test_layers_as_classifiers(shared, tested_page):
    model, X, y, test = shared
    found = layer_accuracies(model, X, y, *test.values())
    for part, network in (("train", found.network_train), ("test", found.network_test)):
        for k, system in enumerate(["discrete", "continuous", "combined"]):
            shares = [*getattr(found, part)[k], network]
            expected = ["\u2013" if np.isnan(s) else percent(s) for s in shares]
            column = tested_page.column("Layers as classifiers", f"{system}, {part}")
            assert column == expected
    assert tested_page.column("Layers as classifiers", "Layer") == ["1", "2", "network"]


def test_without_test_samples_there_are_no_such_columns(page):
    assert page.tables["Layers as classifiers"][0] == [
        "Layer", "discrete, train", "continuous, train", "combined, train",
    ]  # fmt: skip
    assert page.tables["Accuracy per class"][0] == [
        "Class", "Samples", "Classified rightly",
    ]  # fmt: skip
    assert "test" not in page.text
    # The texts of a picture are in its comments.
    assert not any(b", test -->" in svg(image) for image in page.all("img"))
    assert any(b", train -->" in svg(image) for image in page.all("img"))


def test_systems_that_no_layer_allows_are_left_out(mlp, multiclass, written):
    page = written(mlp(activation="tanh").fit(*multiclass), *multiclass)
    header = page.tables["Layers as classifiers"][0]
    assert header == ["Layer", "discrete, train", "continuous, train"]


def test_classes(parts, written):
    model, X, y, test = parts
    kept = test["y_test"] != 1
    test = {name: values[kept] for name, values in test.items()}
    rows = written(model, X, y, **test).tables["Accuracy per class"][1:]
    for label, row in enumerate(rows):
        expected = [str(label)]
        for samples, labels in ((X, y), test.values()):
            own = labels == label
            share = model.score(samples[own], labels[own]) if own.any() else None
            expected += [str(own.sum()), "\u2013" if share is None else percent(share)]
        assert row == expected


def test_strongest_features(mlp, multiclass, written):
    X, y = multiclass
    frame = pd.DataFrame(X, columns=[f"feature <{k}>" for k in range(12)])
    model = mlp().fit(frame, y)
    page = written(model, frame, y)
    order = np.argsort(-model.feature_importances_)[:10]
    names = page.column("Strongest input neurons", "Feature")
    assert names == [f"feature <{k}>" for k in order]
    shares = page.column("Strongest input neurons", "Share of the weights")
    assert shares == [percent(model.feature_importances_[k]) for k in order]
    degrees = connectivity(model)[0].out_degrees
    found = page.column("Strongest input neurons", "Connections")
    assert found == [str(degrees[k]) for k in order]
    assert "12 of 12 input neurons have connections" in page.text


def test_features_without_names_have_numbers(shared, page):
    names = page.column("Strongest input neurons", "Feature")
    assert names[0] == str(np.argmax(shared[0].feature_importances_))


def test_parameters(shared, page):
    model = shared[0]
    rows = {row[0]: row[1:] for row in page.tables["Parameters of the estimator"][1:]}
    assert list(rows) == list(model.get_params(deep=False))
    assert rows["hidden_layer_sizes"] == ["(24, 16)", "yes"]
    assert rows["activation"] == ["['prelu', 'relu']", "yes"]
    assert rows["nesterovs_momentum"] == ["True", ""]


def test_long_parameters_are_shortened(mlp, multiclass, written):
    model = mlp(hidden_layer_sizes=[5] * 100, max_iter=1, zeta=0).fit(*multiclass)
    page = written(model, *multiclass)
    rows = {row[0]: row[1] for row in page.tables["Parameters of the estimator"][1:]}
    assert rows["hidden_layer_sizes"] == repr([5] * 100)[:200] + "\u2026"
    assert "12-5-5-5-5-\u2026-5-5-5-5-3 neurons" in page.text
    assert len(page.tables["Layers"]) == 102


def test_verdict(shared, page, tested_page):
    model, X, y, test = shared
    accuracy = percent(model.score(test["X_test"], test["y_test"]))
    assert f"{accuracy} of the test samples are classified rightly" in tested_page.text
    assert f"{percent(model.score(X, y))} of the samples it was shown" in page.text
    assert "how it does on other samples is not known." in page.text


Y = np.array([0, 0, 0, 1])


@pytest.mark.parametrize(
    ("predictions", "n_dead", "told"),
    [
        ([Y], 0, "100.0 % of the samples it was shown are classified rightly, where always "
         "naming the largest class would reach 75.0 %, by a network 4.2 times smaller than "
         "with full layers; how it does on other samples is not known."),
        ([Y, Y], 2, "100.0 % of the test samples are classified rightly, where always "
         "naming the largest class would reach 75.0 %, by a network 4.2 times smaller than "
         "with full layers, 2 of whose 9 hidden nodes are dead."),
        ([Y, 0 * Y], 0, "75.0 % of the test samples are classified rightly, no more than "
         "the 75.0 % of always naming the largest class, by a network 4.2 times smaller "
         "than with full layers; 100.0 % of the training samples: it overfits."),
    ],
)  # fmt: skip
def test_verdict_of_each_kind(predictions, n_dead, told):
    assert verdict([Y] * len(predictions), predictions, 4.2, n_dead, 9) == told


def test_summary(shared, tested_page):
    model, X, y, test = shared
    text = tested_page.text
    n_connections = model.n_connections_.sum()
    assert (
        f"A network of 12-24-16-3 neurons with {n_connections} connections, seen on 100 "
        f"samples of 3 classes. Its accuracy on them is {percent(model.score(X, y))}, and "
        f"{percent(model.score(*test.values()))} on 50 test samples."
    ) in text


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1234567, "1.23 MB"), (5e12, "5e+03 GB")],
)
def test_bytes(number, expected):
    assert _report._bytes(number) == expected


def test_count():
    assert _report._count(np.int64(1234567)) == "1,234,567"


# --- pictures -------------------------------------------------------------------------

TITLES = [
    "Training",
    "Slopes of the activations",
    "Layers as classifiers",
    "Activity of the nodes",
    "Medians in hidden layer 1",
    "Medians in hidden layer 2",
    "Pre-activations of one node",
    "Connections of the inputs",
    "Weights",
]


def svg(image):
    prefix, code = image["src"].split(",", 1)
    assert prefix == "data:image/svg+xml;base64"
    return base64.b64decode(code)


def test_pictures(page):
    assert [title for title in TITLES if title not in page.text] == []
    images = page.all("img")
    assert len(images) == len(page.all("figure")) == len(page.all("figcaption")) == 9
    for image in images:
        root = ElementTree.fromstring(svg(image))
        width = float(root.get("width").removesuffix("pt"))
        assert width == pytest.approx(3.3 * 72)
        assert len(image["alt"]) > 40


def test_alternative_texts_tell_what_is_seen(shared, tested_page):
    model, X, y, test = shared
    alts = [image["alt"] for image in tested_page.all("img")]
    found = layer_accuracies(model, X, y, *test.values())
    first, last = model.history_[0]["loss"], model.history_[-1]["loss"]
    assert (
        f"over 4 epochs. The training loss goes from {first:.3g} to {last:.3g} nats"
        in alts[0]
    )
    assert f"the mean is {model.slopes_[0].mean():.3g} in hidden layer 1" in alts[1]
    assert f"discrete {percent(found.test[0, 1])}" in alts[2]
    assert f"network: {percent(found.network_test)}" in alts[2]
    activity = NodeActivity(model).fit(X, y)
    n_dead = ", ".join(str(dead.sum()) for dead in activity.dead_nodes_)
    assert alts[3].endswith(f"Dead nodes per hidden layer: {n_dead}.")
    assert "24 nodes by 3 classes" in alts[4]
    assert "16 nodes by 3 classes" in alts[5]
    degrees = connectivity(model)[0].out_degrees
    assert alts[7].endswith(f"from {degrees.min()} to {degrees.max()}.")
    weights = np.concatenate([coef.data for coef in model.coefs_])
    assert alts[8].endswith(f"from {weights.min():.3g} to {weights.max():.3g}.")


def test_image_shape(parts, written):
    alts = [image["alt"] for image in written(*parts[:3], image_shape=(3, 4)).all("img")]
    assert alts[-2].startswith("Image of")
    with pytest.raises(ValueError, match="image_shape"):
        written(*parts[:3], image_shape=(3, 5))


def test_slopes_that_never_change_are_not_shown(mlp, multiclass, written):
    model = mlp(activation=["logistic", "all_relu"]).fit(*multiclass)
    page = written(model, *multiclass)
    assert "Slopes of the activations" not in page.text
    assert len(page.all("img")) == 8


def test_single_hidden_layer_has_one_picture_of_medians(mlp, binary, written):
    page = written(mlp(hidden_layer_sizes=5).fit(*binary), *binary)
    assert page.text.count("Medians in hidden layer") == 1


def test_network_without_history(parts, written):
    model, X, y, _ = parts
    model.history_ = []
    page = written(model, X, y)
    assert not {"Training", "Slopes of the activations"} & set(page.text.splitlines())
    assert len(page.all("img")) == 7


def test_node_whose_medians_differ_most_is_shown(mlp, multiclass, written):
    X, y = multiclass
    model = mlp(hidden_layer_sizes=(6, 5), epsilon=100, zeta=0).fit(X, y)
    model.coefs_[1] *= 1e-6
    model.coefs_[1].data[3::5] = 1.0
    model.intercepts_[1][1] = 1e3
    page = written(model, X, y)
    assert "Node 3 of hidden layer 2, whose medians differ most" in page.text


def test_same_network_gives_the_same_page(parts, tmp_path):
    one = report(*parts[:3], tmp_path / "one.html").read_bytes()
    assert report(*parts[:3], tmp_path / "two.html").read_bytes() == one


def test_figures_and_settings_of_the_user_stay(parts, written):
    figure, before = plt.figure(), mpl.rcParams.copy()
    written(*parts[:3])
    assert plt.get_fignums() == [figure.number]
    assert mpl.rcParams == before
    plt.close("all")


# --- safety, accessibility, self-containedness ----------------------------------------

WILD = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;&amp;",
    "$\\frac{1}$",
    "</title><h1>",
    "-->]]>\x00\x0b\ud800",
    "javascript:alert('1')",
]


@pytest.fixture
def wild(mlp):
    """A network and data whose labels, names and parameters are hostile."""
    rng = np.random.default_rng(0)
    columns = [f"{text} {k}" for k, text in enumerate(WILD)]
    columns[5] = "<!-- -->"
    X = pd.DataFrame(rng.normal(size=(70, 7)), columns=columns)
    y = np.array(WILD * 10, dtype=object)
    weights = dict.fromkeys(WILD, 1.0)
    return mlp(class_weight=weights).fit(X, y), X, y


def test_everything_from_the_user_is_escaped(wild, written):
    title = " ".join(WILD)
    page = written(*wild, title=title)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "base", "form", "svg"}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
    assert len(page.all("img")) == 8
    assert len(page.all("h1")) == len(page.all("title")) == 1
    shown = title.replace("\x00\x0b\ud800", "\ufffd \ufffd")
    assert page.text.count(shown) == 2
    classes = page.column("Accuracy per class", "Class")
    assert set(classes) == {*WILD} - {WILD[5]} | {"-->]]>\ufffd \ufffd"}
    for image in page.all("img"):
        root = ElementTree.fromstring(svg(image))
        assert not root.findall(".//{*}script")


def test_text_is_safe_in_attributes():
    assert _report._text("'\"<&>") == "&#x27;&quot;&lt;&amp;&gt;"


def test_page_needs_nothing_else(wild, tmp_path):
    source = report(*wild, tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(source)
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:image/svg+xml;base64,")), (tag, value)
    style = re.search("<style>(.*?)</style>", source, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(m for m in page.all("meta") if "http-equiv" in m)["content"]
    assert policy.startswith("default-src 'none'")
    for image in page.all("img"):
        links = re.findall(rb'(?:xlink:)?href="([^"]*)"', svg(image))
        assert all(link.startswith((b"#", b"data:")) for link in links)


def test_page_is_accessible(page):
    assert page.elements[0] == ("html", {"lang": "en"})
    assert {"charset": "utf-8"} in page.all("meta")
    viewport = {"name": "viewport", "content": "width=device-width, initial-scale=1"}
    assert viewport in page.all("meta")
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert max(np.diff(headings)) == 1
    assert len(page.all("main")) == len(page.all("header")) == len(page.all("nav")) == 1
    tables = page.all("table")
    assert len(page.all("caption")) == len(tables) == len(page.tables) == 6
    assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))
    assert all(image["alt"] for image in page.all("img"))
    regions = [div for div in page.all("div") if div.get("role") == "region"]
    assert len(regions) == len(tables)
    assert all(region["aria-label"] and region["tabindex"] == "0" for region in regions)
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = [link["href"].removeprefix("#") for link in page.all("a")]
    assert set(links) == targets
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_title(parts, page, tmp_path):
    assert "Report on a sparse network" in page.text
    source = report(*parts[:3], tmp_path / "x", title="Ours").read_text(encoding="utf-8")
    assert "<title>Ours</title>" in source
    assert "<h1>Ours</h1>" in source


# --- data and files -------------------------------------------------------------------


def test_takes_csr_frozen_estimators_and_text_paths(parts, tested_page, tmp_path):
    model, X, y, test = parts
    path = report(
        FrozenEstimator(model), sparse.csr_array(X), y.tolist(), str(tmp_path / "two.html"),
        X_test=sparse.csr_array(test["X_test"]), y_test=test["y_test"].tolist(),
    )  # fmt: skip
    assert path == tmp_path / "two.html"
    assert Page(path.read_text("utf-8")).tables == tested_page.tables


def test_earlier_page_is_replaced(parts, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    assert report(*parts[:3], path) == path
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_page_has_the_usual_permissions(parts, tmp_path):
    other = tmp_path / "other"
    other.write_text("")
    path = report(*parts[:3], tmp_path / "page.html")
    assert path.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize("broken", ["replace", "write"])
def test_failure_leaves_the_earlier_page(parts, tmp_path, monkeypatch, broken):
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail(*args, **kwargs):
        raise OSError("no space left on device")

    if broken == "replace":
        monkeypatch.setattr(os, "replace", fail)
    else:
        monkeypatch.setattr(type(path), "write_text", fail)
    with pytest.raises(OSError, match="no space left"):
        report(*parts[:3], path)
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_where_it_cannot_write_no_work_is_done(parts, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("work was done")

    monkeypatch.setattr(_report, "_findings", refuse)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "/dev/null"):
        with pytest.raises(OSError, match="no regular file"):
            report(*parts[:3], tmp_path / name)
    with pytest.raises(OSError, match="too long"):
        report(*parts[:3], tmp_path / ("x" * 250))

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", denied)
    with pytest.raises(PermissionError):
        report(*parts[:3], tmp_path / "page.html")
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_symbolic_link_stays_one(parts, tmp_path):
    path, target = tmp_path / "page.html", tmp_path / "elsewhere.html"
    path.symlink_to(target)
    assert report(*parts[:3], path) == path
    assert path.is_symlink()
    assert target.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_paths_that_cannot_be_written(parts, tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        report(*parts[:3], tmp_path)
    with pytest.raises(FileNotFoundError, match="folder that does not exist"):
        report(*parts[:3], tmp_path / "missing" / "page.html")


@pytest.mark.parametrize("given", ["X_test", "y_test"])
def test_both_or_none_of_the_test_data(parts, written, given):
    model, X, y, test = parts
    with pytest.raises(ValueError, match=f"{given} is given without [Xy]_test"):
        written(model, X, y, **{given: test[given]})


def test_estimators_that_are_none(parts, written):
    model, X, y, _ = parts
    with pytest.raises(NotFittedError):
        written(SparseMLPClassifier(), X, y)
    with pytest.raises(TypeError, match=r"got Pipeline\. Of a Pipeline, give the last"):
        written(make_pipeline(StandardScaler(), model).fit(X, y), X, y)


def test_data_that_do_not_suit(parts, tmp_path):
    model, X, y, _ = parts
    path = tmp_path / "page.html"
    with pytest.raises(ValueError, match="features"):
        report(model, X[:, 1:], y, path)
    with pytest.raises(ValueError, match="no samples of the classes"):
        report(model, X[y > 0], y[y > 0], path)
    with pytest.raises(ValueError, match="not among the estimator's classes"):
        report(model, X, y + 1, path)
    assert not list(tmp_path.iterdir())


def test_needs_matplotlib(parts, written, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="report requires matplotlib"):
        written(*parts[:3])


# --- a browser ------------------------------------------------------------------------


def browse(path, profile, *options):
    command = [BROWSER, *QUIET, f"--user-data-dir={profile}", "--enable-logging=stderr"]
    return subprocess.run(
        [*command, *options, path.as_uri()],
        capture_output=True,
        check=True,
        timeout=120,
    )


@pytest.mark.skipif(BROWSER is None, reason="chromium is not on PATH")
def test_browser_shows_it_without_complaints(wild, tmp_path):
    path = report(*wild, tmp_path / "page.html", title=WILD[0])
    result = browse(path, tmp_path / "profile", "--dump-dom")
    assert b"CONSOLE" not in result.stderr
    source, seen = path.read_text("utf-8"), result.stdout.decode("utf-8")
    parsed, expected = Page(seen.removeprefix("<!DOCTYPE html>")), Page(source)
    assert parsed.elements == expected.elements
    assert parsed.tables == expected.tables


@pytest.mark.skipif(BROWSER is None, reason="chromium is not on PATH")
@pytest.mark.parametrize("width", [390, 1200])
def test_browser_draws_the_pictures(parts, tmp_path, width):
    model, X, y, _ = parts
    path = report(model, X, y, tmp_path / "page.html")
    picture = tmp_path / "page.png"
    size = f"--window-size={width},9000"
    browse(path, tmp_path / "profile", size, f"--screenshot={picture}")
    pixels = plt.imread(picture)[..., :3]
    # Much of it is drawn, and the layout is not wider than the window.
    assert (pixels < 0.5).any(axis=2).mean() > 0.005
    assert (pixels[:, -8:] == 1).mean() > 0.95
