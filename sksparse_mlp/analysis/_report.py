"""One HTML page that shows a fitted network."""

import base64
import html
import io
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import column_or_1d

import sksparse_mlp
from sksparse_mlp._sklearn import check_matplotlib_support
from sksparse_mlp.analysis._activity import NodeActivity
from sksparse_mlp.analysis._distributions import ActivationDistributions
from sksparse_mlp.analysis._layer_accuracies import LayerAccuracies, layer_accuracies
from sksparse_mlp.analysis._layers import check_single_labels, fitted
from sksparse_mlp.analysis._memory import memory_footprint
from sksparse_mlp.analysis._plot._activation_medians import ActivationMediansDisplay
from sksparse_mlp.analysis._plot._connectivity import ConnectivityDisplay
from sksparse_mlp.analysis._plot._display import Display, paper_style, printable
from sksparse_mlp.analysis._plot._layer_accuracy import LayerAccuracyDisplay
from sksparse_mlp.analysis._plot._node_activity import NodeActivityDisplay
from sksparse_mlp.analysis._plot._pre_activation import PreActivationDisplay
from sksparse_mlp.analysis._plot._slopes import SlopesDisplay
from sksparse_mlp.analysis._plot._training_history import TrainingHistoryDisplay
from sksparse_mlp.analysis._plot._weight_distribution import WeightDistributionDisplay
from sksparse_mlp.analysis._topology import connectivity
from sksparse_mlp.analysis._verdict import verdict
from sksparse_mlp.estimators._classifier import SparseMLPClassifier

NOTHING = "\N{EN DASH}"
# Strongest input neurons that are listed.
N_FEATURES = 10
LONGEST_VALUE = 200
# The same figures give the same page.
SVG: Any = {"svg.hashsalt": "sksparse-mlp", "svg.fonttype": "path"}

PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="sksparse-mlp $version">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem; max-width: 64rem; background: #fff; color: #1a1a1a;
 font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { line-height: 1.2; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #999; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; margin: 0; padding: 0;
 list-style: none; }
a { color: #00448a; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums;
 overflow-wrap: normal; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.25rem; }
th, td { padding: 0.2rem 0.75rem 0.2rem 0; border-bottom: 1px solid #ddd;
 text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; }
.pictures { display: grid; gap: 1.5rem 2rem; align-items: start;
 grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
figure { margin: 0; max-width: 32rem; }
figure img { width: 100%; height: auto; }
figcaption { font-size: 0.9rem; }
@media (max-width: 40rem) { table { font-size: 0.85rem; } }
@media print {
 body { max-width: none; padding: 0; font-size: 9pt; }
 nav { display: none; }
 .scroll { overflow: visible; }
 .pictures { grid-template-columns: 1fr 1fr; }
 figure, tr { break-inside: avoid; }
 h2, h3, caption { break-after: avoid; }
}
</style>
</head>
<body>
<header>
<h1>$title</h1>
<p><strong>$verdict</strong></p>
<p>$summary</p>
<nav aria-label="Sections"><ul>
$links
</ul></nav>
</header>
<main>
$sections
</main>
</body>
</html>
""")


@dataclass(frozen=True)
class Findings:
    """What the page is about."""

    estimator: SparseMLPClassifier
    labels: list[np.ndarray]  # of the training and the test samples
    predictions: list[np.ndarray]
    activity: NodeActivity
    distributions: ActivationDistributions
    accuracies: LayerAccuracies
    pre_activations: PreActivationDisplay
    image_shape: tuple[int, ...] | None

    @property
    def has_test(self) -> bool:
        return len(self.labels) == 2

    @property
    def n_hidden(self) -> int:
        return len(self.activity.activity_)


def report(
    estimator: Any,
    X: Any,
    y: Any,
    path: str | os.PathLike[str],
    *,
    X_test: Any = None,
    y_test: Any = None,
    title: str | None = None,
    image_shape: tuple[int, ...] | None = None,
) -> Path:
    """Write one HTML page with tables and pictures of a fitted network.

    The page has everything in it: it needs no network access, no scripts and no other
    files, and can be read on a phone, printed, and listened to. It is put in its place
    when it is complete, so that whatever goes wrong leaves an earlier page as it was.

    Parameters
    ----------
    estimator : SparseMLPClassifier
        Fitted; a `FrozenEstimator` around it is allowed.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples such as those of the training, from which also the hidden layers learn
        that are shown as classifiers.
    y : array-like of shape (n_samples,)
        Their labels, with every class of the estimator.
    path : str or path-like
        The file to write. An existing one is replaced.
    X_test, y_test : array-like of shape (n_samples, n_features) and (n_samples,), \
            default=None
        Other samples, whose accuracies are shown beside; X_test may be a sparse matrix.
    title : str, default=None
        Title of the page.
    image_shape : tuple of int, default=None
        Rows, columns and perhaps channels, where inputs are images.

    Returns
    -------
    pathlib.Path
        The path.

    Raises
    ------
    TypeError
        If the estimator is not a `SparseMLPClassifier`.
    ValueError
        If the estimator was fitted to several labels per sample, the data do not suit it,
        only one of ``X_test`` and ``y_test`` is given, or ``image_shape`` does not suit
        the number of features.
    OSError
        If the file cannot be written, as far as that can be known before any work.
    ImportError, sklearn.exceptions.NotFittedError
        If matplotlib is not installed, or the estimator not fitted.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> from sksparse_mlp.analysis import report
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SparseMLPClassifier((20, 10), epsilon=2, max_iter=9, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = report(clf, X, y, Path(folder) / "iris.html", title="Iris")
    ...     page.read_text(encoding="utf-8")[:15]
    '<!DOCTYPE html>'
    """
    check_matplotlib_support("report")
    place = _checked_path(path)
    estimator = _checked_estimator(estimator)
    if (X_test is None) != (y_test is None):
        given, missing = ("y_test", "X_test") if X_test is None else ("X_test", "y_test")
        raise ValueError(f"{given} is given without {missing}; give both or neither.")
    findings = _findings(estimator, X, y, X_test, y_test, image_shape)
    page = _page(findings, "Report on a sparse network" if title is None else title)
    _write(place, page)
    return place


def _checked_path(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"path={str(path)!r} is a folder; give that of a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"path={str(path)!r} is in a folder that does not exist; make it first."
        )
    if path.exists() and not path.is_file():
        raise OSError(f"path={str(path)!r} is no regular file; give that of another one.")
    # What may go wrong with the place does so before the work.
    trial = _part(path)
    trial.touch(exist_ok=False)
    trial.unlink()
    return path


def _part(path: Path) -> Path:
    """A new name beside the file, which a symbolic link may lead to."""
    place = Path(os.path.realpath(path))
    return place.with_name(f".{place.name}.{uuid.uuid4().hex}.part")


def _checked_estimator(estimator: Any) -> SparseMLPClassifier:
    inner = getattr(estimator, "estimator", estimator)
    if not isinstance(inner, SparseMLPClassifier):
        raise TypeError(
            f"report takes a fitted SparseMLPClassifier, got {type(estimator).__name__}. "
            "Of a Pipeline, give the last step, and data that passed the steps before. Of "
            "a regressor, draw the Displays that take one."
        )
    inner = fitted(estimator)
    check_single_labels(inner)
    return inner


def _findings(
    estimator: SparseMLPClassifier,
    X: Any,
    y: Any,
    X_test: Any,
    y_test: Any,
    image_shape: tuple[int, ...] | None,
) -> Findings:
    """Everything that takes passes over the data."""
    data = [(X, y)] if X_test is None else [(X, y), (X_test, y_test)]
    activity = NodeActivity(estimator).fit(X, y)
    distributions = ActivationDistributions(estimator, n_bins=1, quantiles=[]).fit(X, y)
    medians = distributions.medians_["pre"][-1]
    with paper_style():
        pre_activations = PreActivationDisplay.from_estimator(
            estimator, X, y, layer=len(activity.activity_),
            node=int(np.argmax(np.ptp(medians, axis=1))), ax=_new_axes(),
        )  # fmt: skip
    return Findings(
        estimator=estimator,
        labels=[column_or_1d(labels) for _, labels in data],
        predictions=[estimator.predict(samples) for samples, _ in data],
        activity=activity,
        distributions=distributions,
        # Without test samples, the others take their place, and are not shown again.
        accuracies=_possible(layer_accuracies(estimator, *data[0], *data[-1])),
        pre_activations=pre_activations,
        image_shape=image_shape,
    )


def _possible(accuracies: LayerAccuracies) -> LayerAccuracies:
    """Without the systems that no layer allows."""
    kept = ~np.isnan(accuracies.train).all(axis=1)
    return replace(
        accuracies,
        systems=tuple(np.array(accuracies.systems)[kept].tolist()),
        train=accuracies.train[kept],
        test=accuracies.test[kept],
    )


def _page(findings: Findings, title: str) -> str:
    sections = {
        "Network": _memory_table(findings)
        + _layers_table(findings)
        + _accuracies_table(findings),
        "Classes": _classes_table(findings),
        "Pictures": _pictures(findings),
        "Inputs": _features_table(findings),
        "Parameters": _parameters_table(findings),
    }
    return PAGE.substitute(
        version=sksparse_mlp.__version__,
        title=_text(title),
        verdict=_text(_verdict(findings)),
        summary=_text(_summary(findings)),
        links="\n".join(f'<li><a href="#{n.lower()}">{n}</a></li>' for n in sections),
        sections="\n".join(
            f'<section id="{name.lower()}">\n<h2>{name}</h2>\n{content}</section>'
            for name, content in sections.items()
        ),
    )


def _verdict(findings: Findings) -> str:
    dead = np.concatenate(findings.activity.dead_nodes_)
    return verdict(
        findings.labels,
        findings.predictions,
        memory_footprint(findings.estimator).compression_rate,
        int(dead.sum()),
        dead.size,
    )


def _summary(findings: Findings) -> str:
    estimator, accuracies = findings.estimator, findings.accuracies
    sizes = [coef.shape[0] for coef in estimator.coefs_] + [estimator.n_outputs_]
    if len(sizes) > 12:
        sizes = [*sizes[:5], "\N{HORIZONTAL ELLIPSIS}", *sizes[-5:]]
    text = (
        f"A network of {'-'.join(map(str, sizes))} neurons with "
        f"{_count(_n_connections(estimator).sum())} connections, seen on "
        f"{_count(findings.labels[0].size)} samples of {_count(estimator.classes_.size)} "
        f"classes. Its accuracy on them is {_percent(accuracies.network_train)}"
    )
    if not findings.has_test:
        return f"{text}."
    return (
        f"{text}, and {_percent(accuracies.network_test)} on "
        f"{_count(findings.labels[1].size)} test samples."
    )


# --- tables ---------------------------------------------------------------------------


def _memory_table(findings: Findings) -> str:
    footprint = memory_footprint(findings.estimator)
    rows = [
        ["Connections", _count(footprint.n_connections)],
        ["Weights and biases", _count(footprint.n_parameters)],
        ["The same in full layers", _count(footprint.n_dense_parameters)],
        ["Compression rate", f"{footprint.compression_rate:.1f}"],
        ["Memory while predicting", _bytes(footprint.prediction_bytes)],
        ["Memory while training", _bytes(footprint.training_bytes)],
        [
            "Activations, per sample of a batch",
            _bytes(footprint.activation_bytes_per_sample),
        ],
        ["Epochs of the last fit", _count(findings.estimator.n_iter_)],
        [
            "Training loss of the last epoch, with dropout and L2 penalty (nats)",
            f"{findings.estimator.loss_:.4g}",
        ],
    ]
    return _table("Size and memory", ["", "Value"], rows)


def _layers_table(findings: Findings) -> str:
    header = ["Layer", "Neurons", "Connections", "Sparsity", "Dead nodes", "Nodes off"]
    n_connections = _n_connections(findings.estimator)
    rows = []
    for k, coef in enumerate(findings.estimator.coefs_):
        sparsity = 1 - n_connections[k] / coef.shape[0] / coef.shape[1]
        row = [_count(coef.shape[1]), _count(n_connections[k]), _percent(sparsity)]
        if k < findings.n_hidden:
            n_dead = _count(findings.activity.dead_nodes_[k].sum())
            share_off = _percent(findings.activity.sparsity_[k])
            rows.append([str(k + 1), *row, n_dead, share_off])
        else:
            rows.append(["output", *row, NOTHING, NOTHING])
    notes = (
        "Layers are counted from the first hidden one. Sparsity is the share of the "
        "possible connections into a layer that do not exist. A dead node is on for no "
        "sample. Nodes off is the share of the samples for which a node is off, the mean "
        "over the nodes that are not dead."
    )
    return _table("Layers", header, rows) + f"<p>{_text(notes)}</p>\n"


def _accuracies_table(findings: Findings) -> str:
    found = findings.accuracies
    parts = ["train", "test"] if findings.has_test else ["train"]
    header = ["Layer"]
    header += [f"{system}, {part}" for system in found.systems for part in parts]
    # Of shape (n_layers, n_systems * n_parts).
    shares = np.stack([getattr(found, part) for part in parts], axis=-1)
    shares = shares.swapaxes(0, 1).reshape(findings.n_hidden, -1)
    rows = [[str(k), *map(_percent, row)] for k, row in enumerate(shares, 1)]
    own = [_percent(getattr(found, f"network_{part}")) for part in parts]
    notes = (
        "Accuracy of each hidden layer as a classifier: from which nodes are on "
        "(discrete), from their pre-activations (continuous), or from both (combined)."
    )
    rows.append(["network", *own * len(found.systems)])
    return _table("Layers as classifiers", header, rows) + f"<p>{_text(notes)}</p>\n"


def _classes_table(findings: Findings) -> str:
    header = ["Class", "Samples", "Classified rightly"]
    if findings.has_test:
        header += ["Test samples", "Classified rightly"]
    rows = [[label] for label in findings.estimator.classes_]
    for labels, predictions in zip(findings.labels, findings.predictions, strict=True):
        for row in rows:
            own = labels == row[0]
            share = np.mean(predictions[own] == row[0]) if own.any() else np.nan
            row += [_count(own.sum()), _percent(share)]
    return _table("Accuracy per class", header, rows)


def _features_table(findings: Findings) -> str:
    estimator = findings.estimator
    degrees = connectivity(estimator)[0].out_degrees
    shares = estimator.feature_importances_
    names = getattr(estimator, "feature_names_in_", range(shares.size))
    strongest = np.argsort(-shares, kind="stable")[:N_FEATURES]
    rows = [[names[k], _percent(shares[k]), _count(degrees[k])] for k in strongest]
    header = ["Feature", "Share of the weights", "Connections"]
    text = (
        f"{_count(np.count_nonzero(degrees))} of {_count(degrees.size)} input neurons have "
        "connections. The share of an input neuron is its part in the sum of the absolute "
        "weights of the first layer."
    )
    return f"<p>{_text(text)}</p>\n" + _table("Strongest input neurons", header, rows)


def _parameters_table(findings: Findings) -> str:
    defaults = type(findings.estimator)().get_params(deep=False)
    rows = [
        [
            name,
            _shortened(repr(value)),
            "" if repr(value) == repr(defaults[name]) else "yes",
        ]
        for name, value in findings.estimator.get_params(deep=False).items()
    ]
    return _table(
        "Parameters of the estimator",
        ["Parameter", "Value", "Changed"],
        rows,
        numeric=False,
    )


def _table(
    caption: str, header: Sequence[str], rows: Iterable[Sequence[Any]], numeric: bool = True
) -> str:
    """An HTML table; the first cell of each row names it, others may be numbers."""
    kind = ' class="number"' if numeric else ""
    first, *others = header
    lines = [f'<th scope="col">{_text(first)}</th>' if first else "<td></td>"]
    lines[0] += "".join(f'<th scope="col"{kind}>{_text(name)}</th>' for name in others)
    for name, *values in rows:
        cells = "".join(f"<td{kind}>{_text(value)}</td>" for value in values)
        lines.append(f'<th scope="row">{_text(name)}</th>{cells}')
    label = _text(caption)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="Table: {label}">\n'
        f"<table>\n<caption>{label}</caption>\n<thead>\n<tr>{lines[0]}</tr>\n</thead>\n"
        "<tbody>\n"
        + "\n".join(f"<tr>{line}</tr>" for line in lines[1:])
        + "\n</tbody>\n</table>\n</div>\n"
    )


# --- pictures -------------------------------------------------------------------------


def _pictures(findings: Findings) -> str:
    drawn = [
        _history_picture(findings),
        _slopes_picture(findings),
        _accuracies_picture(findings),
        _activity_picture(findings),
        *_medians_pictures(findings),
        _pre_activation_picture(findings),
        _connectivity_picture(findings),
        _weights_picture(findings),
    ]
    return f'<div class="pictures">\n{"".join(drawn)}</div>\n'


def _history_picture(findings: Findings) -> str:
    history = findings.estimator.history_
    if not history:
        return ""
    first, last = history[0]["loss"], history[-1]["loss"]
    return _picture(
        lambda ax: TrainingHistoryDisplay.from_history(history, ax=ax),
        "Training",
        f"Line plots over {len(history)} epochs. The training loss goes from {first:.3g} "
        f"to {last:.3g} nats.",
        "What was recorded of each epoch. The training loss has dropout and the L2 penalty "
        "in it; the validation loss has neither.",
    )


def _slopes_picture(findings: Findings) -> str:
    estimator = findings.estimator
    if not _has_learned_slopes(estimator.history_):
        return ""
    means = ", ".join(
        f"{np.mean(slope):.3g} in hidden layer {k}"
        for k, slope in enumerate(estimator.slopes_, 1)
        if slope is not None
    )
    return _picture(
        lambda ax: SlopesDisplay.from_history(estimator.history_, ax=ax),
        "Slopes of the activations",
        f"Line plot of the slopes over the epochs. At the end the mean is {means}.",
        "Slopes for negative inputs; of one slope per neuron, the median and quartiles.",
    )


def _has_learned_slopes(history: list[dict[str, Any]]) -> bool:
    """Whether the slopes of any layer changed."""
    return any(
        slope is not None and np.any(slope != initial)
        for record in history
        for slope, initial in zip(record["slopes"], history[0]["slopes"], strict=True)
    )


def _accuracies_picture(findings: Findings) -> str:
    found = findings.accuracies
    part = "test" if findings.has_test else "train"
    last = ", ".join(
        f"{system} {_percent(values[-1])}"
        for system, values in zip(found.systems, getattr(found, part), strict=True)
    )
    test: dict[str, Any] = {"test": found.test, "network_test": found.network_test}
    display = LayerAccuracyDisplay(
        systems=found.systems,
        train=found.train,
        network_train=found.network_train,
        **(test if findings.has_test else {}),
    )
    return _picture(
        display.plot,
        "Layers as classifiers",
        f"Line plot of the {part} accuracy of hidden layers. In the last one: {last}; the "
        f"network: {_percent(getattr(found, f'network_{part}'))}.",
        "Accuracy of each hidden layer as a classifier, and of the network.",
    )


def _activity_picture(findings: Findings) -> str:
    n_dead = [int(dead.sum()) for dead in findings.activity.dead_nodes_]
    return _picture(
        lambda ax: NodeActivityDisplay.from_activity(findings.activity, ax=ax),
        "Activity of the nodes",
        f"Heat maps of nodes by classes. Dead nodes per hidden layer: "
        f"{', '.join(map(str, n_dead))}.",
        "Share of the samples of each class for which each node is on. Triangles mark dead "
        "nodes.",
    )


def _medians_pictures(findings: Findings) -> Iterator[str]:
    for layer in sorted({1, findings.n_hidden}):
        medians = findings.distributions.medians_["post"][layer - 1]

        def draw(ax: Any, layer: int = layer) -> ActivationMediansDisplay:
            return ActivationMediansDisplay.from_distributions(
                findings.distributions, layer=layer, ax=ax
            )

        yield _picture(
            draw,
            f"Medians in hidden layer {layer}",
            f"Medians of {medians.shape[0]} nodes by {medians.shape[1]} classes. They go "
            f"from {medians.min():.3g} to {medians.max():.3g}.",
            "Median activation of each node for each class.",
        )


def _pre_activation_picture(findings: Findings) -> str:
    display = findings.pre_activations
    peaks = display.points[np.argmax(display.densities, axis=1)]
    return _picture(
        display.plot,
        "Pre-activations of one node",
        f"Histograms of {len(peaks)} classes below each other. Their peaks are between "
        f"{peaks.min():.3g} and {peaks.max():.3g}.",
        f"Node {display.node} of hidden layer {display.layer}, whose medians differ most "
        "between classes: histograms, and their kernel density estimates.",
    )


def _connectivity_picture(findings: Findings) -> str:
    degrees = connectivity(findings.estimator)[0].out_degrees
    what = "Histogram" if findings.image_shape is None else "Image"
    return _picture(
        lambda ax: ConnectivityDisplay.from_estimator(
            findings.estimator, image_shape=findings.image_shape, ax=ax
        ),
        "Connections of the inputs",
        f"{what} of how many connections the {degrees.size} input neurons have: from "
        f"{degrees.min()} to {degrees.max()}.",
        "Number of connections from each input neuron.",
    )


def _weights_picture(findings: Findings) -> str:
    coefs = findings.estimator.coefs_
    weights = np.concatenate([sparse.csr_array(coef).data for coef in coefs])
    return _picture(
        lambda ax: WeightDistributionDisplay.from_estimator(findings.estimator, ax=ax),
        "Weights",
        f"Histograms of {len(coefs)} layers below each other. The weights go from "
        f"{weights.min(initial=0):.3g} to {weights.max(initial=0):.3g}.",
        "Weights of the existing connections of each layer.",
    )


def _picture(draw: Callable[[Any], Display], name: str, alt: str, caption: str) -> str:
    """A figure with what ``draw`` puts on given axes."""
    import matplotlib as mpl

    with paper_style(), mpl.rc_context(SVG):
        display = draw(_new_axes())
        display.figure_.set_size_inches(display._size())
        stream = io.BytesIO()
        display.figure_.savefig(stream, format="svg", dpi=200, metadata={"Date": None})
    code = base64.b64encode(stream.getvalue()).decode("ascii")
    return (
        f'<figure>\n<h3>{_text(name)}</h3>\n<img alt="{_text(alt)}" '
        f'src="data:image/svg+xml;base64,{code}">\n'
        f"<figcaption>{_text(caption)}</figcaption>\n</figure>\n"
    )


def _new_axes() -> Any:
    """Axes in a figure of their own that no window shows."""
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()


# --- text and files -------------------------------------------------------------------


def _n_connections(estimator: SparseMLPClassifier) -> np.ndarray:
    return np.array([coef.nnz for coef in estimator.coefs_])


def _text(value: Any) -> str:
    """Text that is safe everywhere in the page, also in attributes."""
    return html.escape(printable(value), quote=True)


def _shortened(text: str) -> str:
    return (
        text
        if len(text) <= LONGEST_VALUE
        else text[:LONGEST_VALUE] + "\N{HORIZONTAL ELLIPSIS}"
    )


def _count(number: int | np.integer) -> str:
    return f"{number:,}"


def _percent(share: float | np.floating) -> str:
    return NOTHING if np.isnan(share) else f"{100 * share:.1f} %"


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def _write(path: Path, page: str) -> None:
    """Write the page next to its place, then put it there."""
    part = _part(path)
    try:
        part.write_text(page, encoding="utf-8")
        os.replace(part, os.path.realpath(path))
    finally:
        part.unlink(missing_ok=True)
