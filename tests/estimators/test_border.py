"""Nothing from outside reaches compiled code unchecked: sparse data, edited attributes."""

import copy
from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor, SparseMLPSelector
from sksparse_mlp.analysis import LayerActivations, NodeActivity
from sksparse_mlp.estimators._input import in_reach, relative
from sksparse_mlp.onnx import to_onnx

N_SAMPLES, N_FEATURES = 30, 7
X, Y = make_classification(
    N_SAMPLES, N_FEATURES, n_informative=5, n_redundant=0, n_classes=3,
    n_clusters_per_class=1, random_state=0,
)  # fmt: skip
TINY = {"hidden_layer_sizes": (9, 6), "epsilon": 2, "max_iter": 2, "random_state": 0}
FARAWAY = [-(2**31), -N_FEATURES - 1, -1, 0, 3, N_FEATURES, 10**6, 2**31 - 1]


# --- malformed sparse matrices --------------------------------------------------------


def is_sound(matrix):
    """Whether a CSR matrix is one, by its definition."""
    indptr, indices = matrix.indptr, matrix.indices
    if indices.dtype.kind not in "iu" or indptr.dtype.kind not in "iu":
        return False
    if indptr.size != matrix.shape[0] + 1 or indptr[0] != 0:
        return False
    if indices.size != matrix.data.size or indptr[-1] > indices.size:
        return False
    if any(a > b for a, b in pairwise(indptr)):
        return False
    used = indices[: indptr[-1]]
    return bool(used.size == 0 or (used.min() >= 0 and used.max() < matrix.shape[1]))


def written_out(matrix):
    """The dense array that a sound CSR matrix stands for."""
    dense = np.zeros(matrix.shape)
    for row in range(matrix.shape[0]):
        for k in range(matrix.indptr[row], matrix.indptr[row + 1]):
            dense[row, matrix.indices[k]] += matrix.data[k]
    return dense


def spoil(matrix, rng):
    """Change something in the arrays of a CSR matrix."""
    part = ["indices", "indptr", "data"][rng.choice(3, p=[0.4, 0.4, 0.2])]
    array = getattr(matrix, part).copy()
    way = rng.integers(6)
    if way == 0:
        array = array[: rng.integers(array.size + 1)]
    elif way == 1:
        array = np.append(array, array[: rng.integers(1, 4)])
    elif way == 2 and part != "data":
        array = rng.permutation(array)
    elif way == 3 and part != "data":
        array = array.astype(rng.choice(["f8", "u2", "i8", "f4"]))
    elif part != "data":
        array[rng.integers(array.size)] = rng.choice(FARAWAY)
    setattr(matrix, part, array)


@pytest.fixture(scope="module")
def network():
    return SparseMLPClassifier(**TINY).fit(X, Y)


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csr_matrix])
def test_malformed_csr_is_refused_or_what_it_stands_for(network, container):
    """1,000 matrices per container."""
    rng = np.random.default_rng(0)
    n_refused = 0
    for _ in range(1000):
        kept = np.where(rng.random(X.shape) < 0.4, X, 0)
        matrix = container(kept)
        for _ in range(rng.integers(1, 3)):
            spoil(matrix, rng)
        before = [getattr(matrix, name) for name in ("indptr", "indices", "data")]
        if is_sound(matrix):
            expected = network.decision_function(written_out(matrix))
            found = network.decision_function(matrix)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        else:
            n_refused += 1
            with pytest.raises(ValueError, match="X is a CSR matrix whose parts"):
                network.decision_function(matrix)
        after = [getattr(matrix, name) for name in ("indptr", "indices", "data")]
        assert all(a is b for a, b in zip(before, after, strict=True))
    assert 300 < n_refused < 1000


USES = {
    "fit": lambda model, given: SparseMLPClassifier(**TINY).fit(given, Y),
    "partial_fit": lambda model, given: copy.copy(model).partial_fit(given, Y),
    "regressor": lambda model, given: SparseMLPRegressor(**TINY).fit(given, Y),
    "selector": lambda model, given: SparseMLPSelector(model).fit(given, Y),
    "transform": lambda model, given: SparseMLPSelector(model).fit(X, Y).transform(given),
    "predict": lambda model, given: model.predict(given),
    "predict_proba": lambda model, given: model.predict_proba(given),
    "score": lambda model, given: model.score(given, Y),
    "activations": lambda model, given: LayerActivations(model).fit(X).transform(given),
    "activity": lambda model, given: NodeActivity(model).fit(given, Y),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("made", ["csr", "csc", "bsr", "coo", "lil"])
def test_every_use_of_every_format_is_checked(network, use, made):
    matrix = sparse.csr_array(np.where(X > 0, X, 0)).asformat(made)
    if made == "lil":
        matrix.rows[3] = [1, 2, N_FEATURES + 5][: len(matrix.rows[3])] or [N_FEATURES]
        matrix.rows[3] = [N_FEATURES + 5] * len(matrix.data[3])
    elif made == "coo":
        matrix.row[3] = 10**6
    else:
        matrix.indices[3] = 10**6
    with pytest.raises(ValueError, match=r"X is a \w+ matrix whose parts do not fit"):
        USES[use](network, matrix)


def test_malformed_indicators_are_refused():
    y = sparse.csr_array((Y[:, np.newaxis] == [0, 1, 2]).astype(int))
    y.indices[4] = 99
    with pytest.raises(ValueError, match="y is a CSR matrix whose parts do not fit"):
        SparseMLPClassifier(**TINY).fit(X, y)


# --- edited attributes ----------------------------------------------------------------


def fitted_models():
    adam = SparseMLPClassifier(**TINY, activation="prelu", batch_norm=True).fit(X, Y)
    two = SparseMLPClassifier(**TINY).fit(X.astype(np.float32), Y > 0)
    numbers = SparseMLPRegressor(**TINY).fit(X, X[:, :2])
    for model, targets in ((adam, Y), (two, Y > 0), (numbers, X[:, :2])):
        model.targets = targets
    return [adam, two, numbers]


def edit_arrays(model, rng):
    """Edit one of the arrays of a layer's matrix, in place or not."""
    coef = model.coefs_[rng.integers(len(model.coefs_))]
    name = rng.choice(["indices", "indptr", "data"])
    array = getattr(coef, name)
    if array.size and rng.random() < 0.6:
        array[rng.integers(array.size)] = rng.choice([0, 1, 3, 8, 99, 2**31 - 1])
    else:
        setattr(coef, name, array[: rng.integers(array.size + 1)])


def edit_matrix(model, rng):
    """Put another matrix, or none, into a layer's place."""
    k = rng.integers(len(model.coefs_))
    coef = model.coefs_[k]
    rows, columns = coef.shape
    model.coefs_[k] = [
        lambda: coef.toarray(),
        lambda: coef.tocsc(),
        lambda: coef.tocoo(),
        lambda: sparse.csr_array(coef[: max(1, rows - 1)]),
        lambda: sparse.csr_array((rows, columns + 1)),
        lambda: coef.astype(rng.choice(["f4", "f8", "i4", "c16", "?"])),
        lambda: coef.toarray().ravel(),
        lambda: None,
        lambda: "text",
        lambda: sparse.csr_array(coef.shape),
    ][rng.integers(10)]()


def edit_vector(model, rng):
    """Put something else into the place of biases or of an activation's parameters."""
    name = rng.choice(["intercepts_", "activation_parameters_"])
    values = getattr(model, name)
    k = rng.integers(len(values))
    array = values[k]
    values[k] = [
        lambda: array[:-1],
        lambda: np.append(array, 1.0),
        lambda: array[np.newaxis],
        lambda: array.astype(rng.choice(["f4", "f8", "i8", "c8", "U3", "O"])),
        lambda: array.tolist(),
        lambda: None,
        lambda: array * 2,
    ][rng.integers(7)]()


def edit_norm(model, rng):
    """Change a batch normalisation, or invent one."""
    k = rng.integers(len(model.batch_norms_))
    norm = dict(model.batch_norms_[k] or dict.fromkeys(["gain", "mean"], np.ones(3)))
    name = rng.choice(list(norm))
    way = rng.integers(6)
    if way == 0:
        del norm[name]
    elif way == 1:
        norm["more"] = norm[name]
    elif way == 2:
        norm[name] = norm[name][:-1]
    elif way == 3:
        norm["variance"] = -np.ones(model.coefs_[k].shape[1])
    elif way == 4:
        norm = list(norm)
    model.batch_norms_[k] = norm


def edit_lists(model, rng):
    """Lengthen or shorten an attribute, or put something else into its place."""
    names = ["coefs_", "intercepts_", "activation_parameters_", "batch_norms_"]
    name = rng.choice(names)
    values = getattr(model, name)
    new = [values[:-1], [*values, values[-1]], values[::-1], None, {}, tuple(values), 3]
    setattr(model, name, new[rng.integers(len(new))])


def edit_numbers(model, rng):
    """Change what the network is said to read and to tell apart."""
    if hasattr(model, "classes_") and rng.random() < 0.6:
        labels = model.classes_
        new = [
            labels[:-1],
            np.append(labels, 9),
            list(labels),
            labels[np.newaxis],
            labels[::-1],
            np.zeros_like(labels),
            labels.astype(str),
        ]
        model.classes_ = new[rng.integers(len(new))]
    else:
        model.n_features_in_ = rng.choice([0, 3, N_FEATURES, 8, 10**9])


EDITS = [edit_arrays, edit_matrix, edit_vector, edit_norm, edit_lists, edit_numbers]
ATTRIBUTES = (
    "coefs_|intercepts_|activation_parameters_|batch_norms_|classes|n_features_in_"
    "|features|overflow|not finite"
)


def by_definition(model, given):
    """The last layer's outputs of a model whose attributes are sound, with NumPy alone."""
    x = given
    for k, (coef, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        dense = coef.toarray() if sparse.issparse(coef) else coef
        x = x @ dense.astype(float) + np.asarray(bias, float)
        if k + 1 < len(model.coefs_):
            norm = model.batch_norms_[k]
            if norm is not None:
                deviation = np.sqrt(norm["variance"] + 1e-5)
                x = norm["gain"] * (x - norm["mean"]) / deviation + norm["shift"]
            slope = np.asarray(model.activation_parameters_[k])
            x = np.where(x > 0, x, x * (slope if slope.size else 0))
    return x


OUTPUTS = {
    "predict": lambda m: (
        m.predict(X) if hasattr(m, "_target_shape") else m.predict_proba(X)
    ),
    "outputs": lambda m: m._logits(X),
    "predictor": lambda m: m.predictor()._outputs(X),
    "compress": lambda m: m.compress()._logits(X),
    "arrays": lambda m: type(m).from_arrays(m.export_arrays())._logits(X),
    "continued": lambda m: m.partial_fit(X, m.targets),
}


def refused_or(use, model):
    """What a use of a model gives, None where an error names what was edited."""
    try:
        return use(model)
    except (ValueError, TypeError) as error:
        if not any(name in str(error) for name in ATTRIBUTES.split("|")):
            raise
    return None


@pytest.mark.parametrize("use", OUTPUTS)
def test_edited_attributes_are_refused_or_used(use):
    """2,004 edits in all."""
    rng = np.random.default_rng(0)
    models, n_used = fitted_models(), 0
    for number in range(334):
        model = copy.deepcopy(models[number % len(models)])
        # What was restored before the edit counts no more.
        model._logits(X)
        EDITS[number // len(models) % len(EDITS)](model, rng)
        found = refused_or(OUTPUTS[use], model)
        if found is None:
            continue
        n_used += 1
        if use in ("outputs", "predictor", "compress", "arrays"):
            np.testing.assert_allclose(found, by_definition(model, X), rtol=1e-4, atol=1e-4)
    assert 20 < n_used < 250


def test_errors_name_the_attribute_and_both_sizes():
    model = fitted_models()[0]
    wide = copy.deepcopy(model)
    wide.coefs_[0] = sparse.csr_array((N_FEATURES + 4, 9))
    with pytest.raises(ValueError, match=r"coefs_\[0\] has shape \(11, 9\).*in_ is 7"):
        to_onnx(wide)
    more = copy.deepcopy(model)
    more.classes_ = np.arange(5)
    with pytest.raises(ValueError, match=r"coefs_\[2\].*3 outputs.*need 5.*classes_ has 5"):
        more.predict(X)


def test_other_labels_of_as_many_classes_are_used():
    model = SparseMLPClassifier(**TINY).fit(X, Y)
    before = model.predict(X)
    model.classes_ = np.array(["c", "b", "a"])
    assert np.array_equal(model.predict(X), np.array(["c", "b", "a"])[before])
    # Codes are those of the labels as they stand, not of their alphabet.
    twin = SparseMLPClassifier(**TINY).fit(X, Y)
    for each, labels in ((model, model.classes_[Y]), (twin, Y)):
        each.partial_fit(X, labels)
    assert np.array_equal(model.predict_proba(X), twin.predict_proba(X))


# --- sample weights -------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1e-300, 1 / 3, 7.0, 1e300])
def test_relative_weights_do_not_depend_on_a_factor(factor):
    weights = np.random.default_rng(0).uniform(0, 5, 100)
    weights[::7] = 0
    found = relative(factor * weights)
    np.testing.assert_allclose(found, relative(weights), rtol=1e-14)
    assert found[found > 0].mean() == pytest.approx(1)
    assert np.array_equal(relative(np.full(9, factor)), np.ones(9))
    assert np.array_equal(relative(np.zeros(3)), np.zeros(3))
    assert 0.5 <= in_reach(factor * weights).max() < 1


MODELS = {
    "labels": (SparseMLPClassifier, Y),
    "indicators": (SparseMLPClassifier, Y[:, np.newaxis] == [0, 1, 2]),
    "numbers": (SparseMLPRegressor, X[:, 0]),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("targets", MODELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [8, 64])
def test_no_factor_of_the_weights_changes_the_network(dtype, targets, method, batch_size):
    cls, y = MODELS[targets]
    weights = np.random.default_rng(0).uniform(0.1, 3, N_SAMPLES)
    options = (
        {"classes": [0, 1, 2]} if (targets, method) == ("labels", "partial_fit") else {}
    )

    def outputs(weights):
        model = cls(**TINY | {"batch_size": batch_size}, alpha=1.0)
        getattr(model, method)(X.astype(dtype), y, sample_weight=weights, **options)
        return model._logits(X)

    expected = outputs(weights)
    for factor in (2.0**-900, 1e-290, 1e-3, 1e250):
        np.testing.assert_allclose(
            outputs(factor * weights), expected, rtol=1e-4, atol=1e-6
        )
    assert np.array_equal(outputs(np.full(N_SAMPLES, 1e-40)), outputs(None))


@pytest.mark.parametrize("scale", [1e-308, 1e307])
def test_class_weights_have_no_scale_either(scale):
    small = {k: scale * (1 + k) for k in range(3)}
    ordinary = {k: 1.0 + k for k in range(3)}
    found, expected = (
        SparseMLPClassifier(**TINY, class_weight=weights).fit(X, Y, np.full(N_SAMPLES, 3e5))
        for weights in (small, ordinary)
    )
    np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), rtol=1e-6)
