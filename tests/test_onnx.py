"""Networks as ONNX graphs give what they give here."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import skl2onnx
from onnx import checker
from sklearn import config_context
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksparse_mlp import (
    SparseMLPClassifierCV,
    SparseMLPRegressor,
    SparseMLPRegressorCV,
    SparseMLPSelector,
)
from sksparse_mlp.activations import ACTIVATIONS, ReLU
from sksparse_mlp.onnx import FORMULAS, OLDEST_OPSET, register_converters, to_onnx

LARGE = {"hidden_layer_sizes": (100, 60)}


@pytest.fixture
def indicators(multiclass):
    """Samples with any number of 3 labels."""
    X, _ = multiclass
    return X, (X[:, :3] > 0.5).astype(int)


@pytest.fixture
def regressor(mlp):
    """Make a small regressor with the parameters of `mlp`."""

    def make(**params):
        parameters = mlp(**params).get_params(deep=False)
        del parameters["class_weight"]
        return SparseMLPRegressor(**parameters)

    return make


def run(model, X):
    """Outputs of the model by name."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"X": X}), strict=True))


def assert_same(model, estimator, X, atol=1e-5):
    checker.check_model(model, full_check=True)
    outputs = run(model, X)
    expected = estimator.predict_proba(X)
    assert outputs["probabilities"].shape == expected.shape
    assert np.allclose(outputs["probabilities"], expected, rtol=0, atol=atol)
    assert np.array_equal(outputs["label"], estimator.predict(X))
    return outputs


def assert_same_values(model, estimator, X):
    """As `assert_same`, of a regressor."""
    checker.check_model(model, full_check=True)
    (values,) = run(model, X).values()
    expected = estimator.predict(X)
    assert values.dtype == X.dtype
    assert values.shape == (len(X), expected.size // len(X))
    assert np.allclose(values, expected.reshape(values.shape), rtol=1e-5, atol=1e-5)


def test_every_activation_has_a_formula():
    assert set(FORMULAS) == set(ACTIVATIONS.values())


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_and_labels_are_the_same(mlp, multiclass, name, batch_norm, dtype):
    X, y = multiclass
    X = X.astype(dtype)
    model = mlp(activation=name, batch_norm=batch_norm, **LARGE).fit(X, y)
    atol = 1e-5 if dtype == "float32" else 1e-12
    outputs = assert_same(to_onnx(model), model, 3 * X, atol)
    assert outputs["probabilities"].dtype == dtype


@pytest.mark.parametrize(
    "edits", [(0, [-3.0, 3.0, 0.5]), (1, [-4.0, 4.0, 0.25]), (2, [1.0, -1.0, 0.25])]
)
def test_learned_lines_may_cross(mlp, multiclass, edits):
    X, y = multiclass
    model = mlp(activation="srelu").fit(X, y)
    row, values = edits
    model.activation_parameters_[0][row] = np.resize(values, 24)
    assert_same(to_onnx(model), model, X, 1e-12)


@pytest.mark.parametrize("opset", [OLDEST_OPSET, 13, 17, 21])
@pytest.mark.parametrize("data", ["binary", "multiclass"])
def test_opsets(mlp, request, data, opset):
    X, y = request.getfixturevalue(data)
    model = mlp(activation="srelu").fit(X, y)
    proto = to_onnx(model, opset=opset)
    assert proto.opset_import[0].version == opset
    assert_same(proto, model, X)


@pytest.mark.parametrize("data", ["binary", "multiclass"])
@pytest.mark.parametrize(
    "relabel",
    [
        lambda y: np.array(["no", "yes", "perhaps"])[y],
        lambda y: np.array(["no", "yes", "perhaps"], object)[y],
        lambda y: (3 - y) * 10,
        lambda y: y.astype(np.uint8),
        lambda y: y == 0,
        lambda y: y.astype(float),
    ],
)
def test_labels_of_every_kind(mlp, request, data, relabel):
    X, y = request.getfixturevalue(data)
    model = mlp(max_iter=20).fit(X, relabel(y))
    outputs = assert_same(to_onnx(model), model, X)
    assert outputs["label"].dtype in (np.int64, object)
    assert np.unique(outputs["label"]).size == model.classes_.size


def test_labels_that_onnx_lacks_are_refused(mlp, binary):
    X, y = binary
    model = mlp().fit(X, np.array([2**63, 2**63 + 1])[y])
    with pytest.raises(ValueError, match="strings or integers of 64 bits"):
        to_onnx(model)


def test_indicator_matrices(mlp, indicators):
    X, y = indicators
    model = mlp(max_iter=20).fit(X, y)
    outputs = assert_same(to_onnx(model), model, X)
    assert outputs["label"].shape == y.shape


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_regressors(regressor, multiclass, n_targets, dtype):
    X = multiclass[0].astype(dtype)
    y = X[:, :n_targets].squeeze()
    model = regressor(activation="srelu", batch_norm=True).fit(X, y)
    assert_same_values(to_onnx(model), model, X)


def test_logits_of_zero_are_the_first_class(mlp, binary):
    model = mlp().fit(*binary)
    for coef, intercept in zip(model.coefs_, model.intercepts_, strict=True):
        coef.data[:] = 0
        intercept[:] = 0
    assert_same(to_onnx(model), model, binary[0])


def constants(model, attribute):
    return [
        node.attribute[0]
        for node in model.graph.node
        if node.op_type == "Constant" and node.attribute[0].name == attribute
    ]


def test_layers_are_sparse_where_that_is_smaller(mlp, multiclass):
    X, y = multiclass
    model = mlp(hidden_layer_sizes=(400, 300), epsilon=2).fit(X.astype("float32"), y)
    small, large = to_onnx(model), to_onnx(model, sparse=False)
    stored = constants(small, "sparse_value")
    # The first and the last layer, which are nearly full, are smaller when stored in full.
    assert [tuple(a.sparse_tensor.dims) for a in stored] == [(12, 400), (400, 300)]
    assert not constants(large, "sparse_value")
    n_bytes = 12 * model.n_connections_[:2].sum() + 4 * 300 * 3
    assert n_bytes < small.ByteSize() < n_bytes + 8000
    assert large.ByteSize() > 4 * 400 * 300
    assert np.array_equal(
        run(small, X.astype("float32"))["probabilities"],
        run(large, X.astype("float32"))["probabilities"],
    )


def test_layer_without_connections(mlp, multiclass):
    X, y = multiclass
    model = mlp().fit(X, y)
    model.coefs_[1] = 0 * model.coefs_[1]
    model.coefs_[1].eliminate_zeros()
    assert_same(to_onnx(model), model, X)


def test_a_file_too_large_for_onnx_is_refused(mlp, multiclass, monkeypatch):
    model = mlp().fit(*multiclass)
    monkeypatch.setattr("sksparse_mlp.onnx.MOST_BYTES", 1000)
    with pytest.raises(ValueError, match=r"take 4,\d+ bytes .* at most 1,000"):
        to_onnx(model)


# --- ensembles ------------------------------------------------------------------------


@pytest.fixture
def ensemble_of():
    """Fit an ensemble; with linear models of a given share where there is one."""

    def fitted(network, X, y, share=None):
        cls = SparseMLPClassifierCV if is_classifier(network) else SparseMLPRegressorCV
        ensemble = cls(network, cv=3, linear=False, random_state=0).fit(X, y)
        if share is None:
            return ensemble
        # As a fit that wants this share has it.
        ensemble.network_share_ = share
        ensemble.linear_estimators_ = []
        for k, member in enumerate(ensemble.estimators_):
            samples, targets, weights = member._validate(X, y, None, reset=False)
            rows = np.flatnonzero(np.arange(len(y)) % 3 != k)
            part = samples[rows], targets[rows], weights[rows]
            with config_context(enable_metadata_routing=True):
                ensemble.linear_estimators_.append(ensemble._fit_linear(member, *part))
        return ensemble

    return fitted


SHARES = pytest.mark.parametrize("share", [None, 0.0, 0.3])


@SHARES
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("data", ["binary", "multiclass", "indicators"])
def test_ensembles_of_classifiers(mlp, request, ensemble_of, data, dtype, share):
    X, y = request.getfixturevalue(data)
    X = X.astype(dtype)
    model = ensemble_of(mlp(batch_norm=True, max_iter=10), X, y, share)
    atol = 1e-5 if dtype == "float32" else 1e-12
    outputs = assert_same(to_onnx(model), model, 3 * X, atol)
    assert outputs["probabilities"].dtype == dtype


@SHARES
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_ensembles_of_regressors(
    regressor, multiclass, ensemble_of, n_targets, loss, share
):
    X = multiclass[0].astype("float32")
    y = abs(X[:, :n_targets].squeeze())
    model = ensemble_of(regressor(max_iter=10).set_params(loss=loss), X, y, share)
    # Far from all samples limits matter.
    assert_same_values(to_onnx(model), model, np.concatenate([X, 30 * X]))


def test_ensembles_as_they_are_fitted(mlp, multiclass):
    X, y = multiclass
    model = SparseMLPClassifierCV(mlp(max_iter=4), cv=3, random_state=0).fit(X, y)
    assert model.linear_estimators_ is not None
    assert_same(to_onnx(model), model, X, 1e-12)


@pytest.mark.filterwarnings("ignore:Label 1 is present:UserWarning")
def test_labels_that_never_change(mlp, multiclass, ensemble_of):
    X, _ = multiclass
    y = (X[:, :3] > 0.5).astype(int)
    y[:, 1] = 1
    model = ensemble_of(mlp(max_iter=10), X, y, 0.5)
    assert_same(to_onnx(model), model, X, 1e-12)


def test_ensembles_have_labels_and_sparse_layers(mlp, binary, ensemble_of):
    X, y = binary
    network = mlp(hidden_layer_sizes=(400, 300), epsilon=2, max_iter=2)
    model = ensemble_of(network, X, np.array(["no", "yes"])[y], 0.5)
    assert_same(to_onnx(model), model, X, 1e-12)
    stored = constants(to_onnx(model), "sparse_value")
    assert len(stored) >= len(model.estimators_)


def test_members_that_cannot_be_converted_are_refused(mlp, multiclass, ensemble_of):
    model = ensemble_of(mlp(activation=Doubled(), max_iter=2), *multiclass)
    with pytest.raises(ValueError, match=r"Doubled\(\) has no ONNX formula"):
        to_onnx(model)
    with pytest.raises(NotFittedError):
        to_onnx(SparseMLPClassifierCV())


def test_an_ensemble_too_large_for_onnx_is_refused(
    mlp, multiclass, ensemble_of, monkeypatch
):
    model = ensemble_of(mlp(max_iter=2), *multiclass)
    monkeypatch.setattr("sksparse_mlp.onnx.MOST_BYTES", 5000)
    to_onnx(model.estimators_[0])
    with pytest.raises(ValueError, match=r"at most 5,000"):
        to_onnx(model)


# --- errors ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opset", "reason"), [(10, "too old"), (-1, "too old"), (10_000, "unknown")]
)
def test_opsets_out_of_range_are_refused_before_any_work(mlp, opset, reason):
    with pytest.raises(ValueError, match=rf"opset={opset} is {reason}.* smallest.* is 11"):
        to_onnx(mlp(), opset=opset)


@pytest.mark.parametrize("opset", [13.0, "13", True, None])
def test_opsets_that_are_no_integers_are_refused(mlp, opset):
    with pytest.raises(TypeError, match="opset must be an integer"):
        to_onnx(mlp(), opset=opset)


def test_unfitted_networks_are_refused(mlp):
    with pytest.raises(NotFittedError):
        to_onnx(mlp())


def test_other_estimators_are_refused():
    with pytest.raises(TypeError, match=r"got Pipeline\. .*register_converters"):
        to_onnx(make_pipeline(StandardScaler()))


class Doubled(ReLU):
    """An activation of someone else."""

    def initial_parameters(self, depth, n_neurons, dtype):
        return super().initial_parameters(depth, n_neurons, dtype)


def test_unknown_activations_are_refused_until_they_have_a_formula(
    mlp, multiclass, monkeypatch
):
    model = mlp(activation=["tanh", Doubled()]).fit(*multiclass)
    with pytest.raises(ValueError, match=r"Doubled\(\) has no ONNX formula.*FORMULAS"):
        to_onnx(model)
    monkeypatch.setitem(FORMULAS, Doubled, lambda graph, z, *_: graph.node("Relu", z))
    assert_same(to_onnx(model), model, multiclass[0])


@pytest.mark.parametrize(
    ("module", "call"), [("onnx", lambda: to_onnx(None)), ("skl2onnx", register_converters)]
)
def test_missing_libraries_are_named(monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"needs {module}.*sksparse-mlp\[onnx\]"):
        call()


# --- skl2onnx -------------------------------------------------------------------------


@pytest.fixture
def converted():
    """Convert an estimator by skl2onnx, for runtimes that are not of today."""

    def convert(estimator, X, *, zipmap=False, opset=17):
        register_converters()
        options = {"zipmap": zipmap} if is_classifier(estimator) else None
        target_opset = {"": opset, "ai.onnx.ml": 3}
        return skl2onnx.to_onnx(
            estimator, X[:1], options=options, target_opset=target_opset
        )

    return convert


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("data", ["binary", "multiclass"])
def test_pipelines(mlp, request, converted, data, dtype):
    X, y = request.getfixturevalue(data)
    X, y = X.astype(dtype), np.array(["no", "yes", "perhaps"])[y]
    selector = SparseMLPSelector(mlp(), n_features_to_select=7)
    pipeline = make_pipeline(StandardScaler(), selector, PCA(5), mlp(batch_norm=True))
    model = converted(pipeline.fit(X, y), X)
    outputs = assert_same(model, pipeline, X)
    assert outputs["probabilities"].dtype == dtype
    assert constants(model, "sparse_value")


def test_float64_networks_take_float32_and_integers(mlp, multiclass, converted):
    X, y = multiclass
    X = np.round(X)
    model = mlp().fit(X, y)
    for dtype in ("float32", "int64"):
        assert_same(converted(model, X.astype(dtype)), model, X.astype(dtype))


def test_pipelines_for_indicator_matrices(mlp, indicators, converted):
    X, y = indicators
    X = X.astype("float32")
    model = make_pipeline(StandardScaler(), mlp()).fit(X, y)
    assert_same(converted(model, X), model, X)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_pipelines_of_regressors(regressor, multiclass, converted, n_targets):
    X = multiclass[0].astype("float32")
    model = make_pipeline(StandardScaler(), regressor()).fit(X, X[:, :n_targets].squeeze())
    assert_same_values(converted(model, X), model, X)


@pytest.mark.parametrize("data", ["binary", "multiclass", "indicators"])
def test_pipelines_with_ensembles(mlp, request, converted, ensemble_of, data):
    X, y = request.getfixturevalue(data)
    X = X.astype("float32")
    scaler = StandardScaler().fit(X)
    model = ensemble_of(mlp(max_iter=10), scaler.transform(X), y, 0.5)
    pipeline = make_pipeline(scaler, model)
    assert_same(converted(pipeline, X), pipeline, X)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_pipelines_with_ensembles_of_regressors(
    regressor, multiclass, converted, ensemble_of, n_targets
):
    X = multiclass[0].astype("float32")
    y = X[:, :n_targets].squeeze()
    pipeline = make_pipeline(ensemble_of(regressor(max_iter=10), X, y, 0.5))
    assert_same_values(converted(pipeline, X), pipeline, X)


FEW = {"hidden_layer_sizes": (12,), "max_iter": 4}
META = {
    "calibrated": lambda one, two: CalibratedClassifierCV(one, cv=2),
    "calibrated once": lambda one, two: CalibratedClassifierCV(one, cv=2, ensemble=False),
    "stacked": lambda one, two: StackingClassifier([("a", one), ("b", two)], cv=2),
    "stacked scores": lambda one, two: StackingClassifier(
        [("a", one), ("b", two)], cv=2, stack_method="decision_function"
    ),
    "stacked scores and features": lambda one, two: StackingClassifier(
        [("a", one)], two, cv=2, stack_method="decision_function", passthrough=True
    ),
    "votes": lambda one, two: VotingClassifier(
        [("a", one), ("b", two)], voting="soft", flatten_transform=False
    ),
    "one versus rest": lambda one, two: OneVsRestClassifier(one),
    "bagging": lambda one, two: BaggingClassifier(one, n_estimators=2, random_state=0),
    "search": lambda one, two: GridSearchCV(one, {"alpha": [0.1]}, cv=2),
}


@pytest.mark.parametrize("data", ["binary", "multiclass"])
@pytest.mark.parametrize("meta", META.values(), ids=META)
def test_classifiers_of_networks(mlp, request, converted, meta, data):
    X, y = request.getfixturevalue(data)
    X = X.astype("float32")
    model = meta(mlp(**FEW), mlp(**FEW, random_state=1)).fit(X, y)
    label, probabilities = list(run(converted(model, X), X).values())[:2]
    np.testing.assert_array_equal(label, model.predict(X))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "meta",
    [
        lambda one, two: StackingRegressor([("a", one), ("b", two)], cv=2),
        lambda one, two: VotingRegressor([("a", one), ("b", two)]),
        lambda one, two: BaggingRegressor(one, n_estimators=2, random_state=0),
    ],
    ids=["stacked", "votes", "bagging"],
)
def test_regressors_of_networks(regressor, multiclass, converted, meta):
    X = multiclass[0].astype("float32")
    model = meta(regressor(**FEW), regressor(**FEW, random_state=1)).fit(X, X[:, 0])
    (found,) = run(converted(model, X), X).values()
    np.testing.assert_allclose(found.ravel(), model.predict(X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("data", ["binary", "multiclass", "indicators"])
def test_raw_scores(mlp, request, data):
    X, y = request.getfixturevalue(data)
    X = X.astype("float32")
    model = mlp().fit(X, y)
    register_converters()
    options = {"zipmap": False, "raw_scores": True}
    outputs = run(skl2onnx.to_onnx(model, X[:1], options=options, target_opset=18), X)
    scores = model.decision_function(X)
    if data == "binary":
        scores = np.column_stack([-scores, scores])
    np.testing.assert_allclose(outputs["probabilities"], scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(outputs["label"], model.predict(X))


def test_a_single_first_feature_is_selected_as_it_is(mlp, multiclass, converted):
    X, y = multiclass
    X = X.astype("float32")
    selector = SparseMLPSelector(mlp(), n_features_to_select=1).fit(X, y)
    selector.support_ = np.arange(12) == 0
    (output,) = run(converted(selector, X), X).values()
    assert np.array_equal(output, selector.transform(X))


def test_probabilities_may_come_as_dicts(mlp, multiclass, converted):
    X, y = multiclass[0].astype("float32"), multiclass[1]
    model = mlp().fit(X, y)
    outputs = run(converted(model, X, zipmap=True), X)
    first = outputs["output_probability"][0]
    assert np.allclose([first[label] for label in (0, 1, 2)], model.predict_proba(X)[0])


def test_opsets_of_skl2onnx_that_are_too_old_are_refused(mlp, multiclass, converted):
    model = mlp().fit(*multiclass)
    with pytest.raises(ValueError, match="opset=10 is too old"):
        converted(model, multiclass[0], opset=10)


def test_models_say_where_they_come_from(mlp, multiclass):
    model = to_onnx(mlp().fit(*multiclass))
    assert isinstance(model, onnx.ModelProto)
    assert model.producer_name == "sksparse_mlp"
