"""Estimators kept by skops come back, with exactly the published types to be trusted."""

import numpy as np
import pytest
import skops.io
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io.exceptions import UntrustedTypesFoundException

from sksparse_mlp import (
    SparseMLPClassifierCV,
    SparseMLPRegressor,
    SparseMLPRegressorCV,
    SparseMLPSelector,
    make_tabular_pipeline,
)
from sksparse_mlp._names import TRUSTED_BEFORE
from sksparse_mlp.analysis import (
    ActivationDistributions,
    ExpectedGradients,
    LayerActivations,
    LayerClassifier,
    NodeActivity,
    NodeClassifier,
)
from sksparse_mlp.callbacks import Checkpoint
from sksparse_mlp.persistence import FAMILIES, TRUSTED_TYPES

CLASSES = np.array(["one", "other", "third"])
MEMBERS = [cls for family in FAMILIES for cls in family.values()]


def classifier(mlp, X, y):
    state = np.random.RandomState(0)
    params = {"early_stopping": True, "random_state": state, "batch_norm": True}
    record = ["train_score", "effective_gradient_flow"]
    return mlp(record=record, pruning="importance", **params).fit(X, CLASSES[y])


def continued(mlp, X, y):
    return mlp(growth="liset").partial_fit(X.astype("float32"), y, [0, 1, 2])


def multilabel(mlp, X, y):
    return mlp().fit(X, y[:, np.newaxis] == [0, 1, 2])


def regressor(mlp, X, y):
    return SparseMLPRegressor(epsilon=3, max_iter=2, random_state=0).fit(X, X[:, :2])


def cross_fitted(mlp, X, y):
    return SparseMLPClassifierCV(mlp(), cv=2, random_state=0).fit(X, CLASSES[y])


def cross_fitted_regressor(mlp, X, y):
    network = SparseMLPRegressor(epsilon=3, max_iter=2, random_state=0)
    return SparseMLPRegressorCV(network, cv=2, random_state=0).fit(X, X[:, 0])


def cross_fitted_with_holes(mlp, X, y):
    targets = X[:, :2].astype(float)
    targets[::5, 1] = np.nan
    network = SparseMLPRegressor(epsilon=3, max_iter=1, random_state=0)
    return SparseMLPRegressorCV(network, cv=2, random_state=0).fit(X, targets)


def selector(mlp, X, y):
    return SparseMLPSelector(mlp(), n_features_to_select=5).fit(X, y)


def pipeline(mlp, X, y):
    return make_pipeline(StandardScaler(), mlp()).fit(X, y)


def tabular(mlp, X, y):
    return make_tabular_pipeline(mlp()).fit(X, y)


def layer_activations(mlp, X, y):
    return LayerActivations(mlp().fit(X, y)).fit(X)


def node_activity(mlp, X, y):
    return NodeActivity(mlp().fit(X, y)).fit(X, y)


def distributions(mlp, X, y):
    return ActivationDistributions(mlp().fit(X, y)).fit(X, y)


def layer_classifier(mlp, X, y):
    network = mlp(activation="relu").fit(X, y)
    return LayerClassifier(network, layer=1, system="combined").fit(X, y)


def node_classifier(mlp, X, y):
    network = mlp(activation="relu").fit(X, y)
    return NodeClassifier(network, layer=2, node=3, system="combined").fit(X, y)


def expected_gradients(mlp, X, y):
    return ExpectedGradients(mlp().fit(X, y)).fit(X[:5])


KINDS = [
    classifier,
    continued,
    multilabel,
    regressor,
    cross_fitted,
    cross_fitted_regressor,
    cross_fitted_with_holes,
    selector,
    pipeline,
    tabular,
    layer_activations,
    node_activity,
    distributions,
    layer_classifier,
    node_classifier,
    expected_gradients,
]


def types_in(data):
    return set(skops.io.get_untrusted_types(data=data))


def assert_same(one, other, X):
    """Whether two estimators of the same kind give the same."""
    for method in ("predict", "predict_proba", "transform"):
        if hasattr(one, method):
            results = [getattr(each, method)(X) for each in (one, other)]
            dense = [r.toarray() if sparse.issparse(r) else r for r in results]
            assert np.array_equal(*dense), method


@pytest.mark.parametrize("kind", KINDS)
def test_fitted_estimators_come_back(mlp, multiclass, kind):
    X, y = multiclass
    model = kind(mlp, X, y)
    copy = skops.io.loads(skops.io.dumps(model), trusted=TRUSTED_TYPES)
    assert type(copy) is type(model)
    assert_same(model, copy, X)


def test_distributions_come_back(mlp, multiclass):
    model = distributions(mlp, *multiclass)
    copy = skops.io.loads(skops.io.dumps(model), trusted=TRUSTED_TYPES)
    assert model.to_pandas().equals(copy.to_pandas())


def test_partial_fit_goes_on(mlp, multiclass, same_network):
    X, y = multiclass
    model = continued(mlp, X, y)
    copy = skops.io.loads(skops.io.dumps(model), trusted=TRUSTED_TYPES)
    for each in (model, copy):
        each.partial_fit(X.astype("float32"), y)
    assert same_network(model, copy)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda cls: cls.__name__)
def test_members_of_the_families_come_back(member):
    instance = member()
    data = skops.io.dumps(instance)
    copy = skops.io.loads(data, trusted=TRUSTED_TYPES)
    assert type(copy) is member
    assert copy.get_params() == instance.get_params()


def test_the_list_has_exactly_what_is_needed(mlp, multiclass):
    needed = {f"{cls.__module__}.{cls.__name__}" for cls in MEMBERS}
    for kind in KINDS:
        needed |= types_in(skops.io.dumps(kind(mlp, *multiclass)))
    assert sorted(needed | set(TRUSTED_BEFORE)) == TRUSTED_TYPES


def test_callbacks_are_refused(mlp, multiclass, tmp_path):
    pytest.importorskip("sklearn.callback")
    model = mlp().set_callbacks(Checkpoint(tmp_path / "run.npz")).fit(*multiclass)
    with pytest.raises(UntrustedTypesFoundException, match="Checkpoint"):
        skops.io.loads(skops.io.dumps(model), trusted=TRUSTED_TYPES)
    data = skops.io.dumps(model.set_callbacks())
    assert_same(skops.io.loads(data, trusted=TRUSTED_TYPES), model, multiclass[0])
