"""Cross-fitted ensembles come back from plain arrays, and from nothing else."""

import contextlib
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from benchmarks.reliability import mutations
from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPClassifierCV,
    SparseMLPRegressor,
    SparseMLPRegressorCV,
)
from sksparse_mlp.activations import AllReLU
from sksparse_mlp.serialization import _npz
from sksparse_mlp.serialization._values import dumps

NETWORK = {"hidden_layer_sizes": (12,), "epsilon": 2, "max_iter": 3, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
LABELS = np.array(["ant", "bee", "cow"], object)[RNG.integers(3, size=60)]
INDICATORS = np.column_stack([X[:, :2] > 0, np.ones(60)]).astype(int)


def classifier(**parameters):
    network = SparseMLPClassifier(**NETWORK)
    return SparseMLPClassifierCV(network, random_state=0, **{"cv": 3, **parameters})


def regressor(**parameters):
    network = SparseMLPRegressor(**NETWORK)
    return SparseMLPRegressorCV(network, random_state=0, **{"cv": 3, **parameters})


GRID = {"activation": ["relu", AllReLU(slope=0.5)], "alpha": [0.1, 1.0]}
KINDS = {
    "classes": lambda: classifier().fit(X, LABELS),
    "two": lambda: classifier(linear=False).fit(X, X[:, 0] > 0),
    "names": lambda: classifier().fit(pd.DataFrame(X, columns=list("abcde")), LABELS),
    "sparse": lambda: classifier().fit(sparse.csr_array(X), LABELS),
    "labels": lambda: classifier().fit(X, INDICATORS),
    "grid": lambda: classifier(param_grid=GRID, scoring="accuracy").fit(X, LABELS),
    "whole": lambda: classifier(refit=True, n_iter_no_change=np.inf).fit(X, LABELS),
    "folds": lambda: regressor(cv=[(np.arange(9), np.arange(9, 20))] * 2).fit(X, X[:, 0]),
    "target": lambda: regressor().fit(X, X[:, 0]),
    "targets": lambda: regressor(refit=True).fit(np.float64(X), X[:, :2]),
    "default": lambda: SparseMLPRegressorCV(cv=2, random_state=0).fit(X, X[:, 0]),
}


def attributes(ensemble):
    """What is fitted and can be compared as text or bits."""
    values = {name: v for name, v in vars(ensemble).items() if name.endswith("_")}
    results = values["cv_results_"].items()
    values["cv_results_"] = {name: repr(column) for name, column in results}
    networks = [*values.pop("estimators_"), values.pop("best_estimator_", None)]
    values["members"] = [n and dumps(n.get_params()) for n in networks]
    linear = values.pop("linear_estimators_")
    values["linear"] = linear and [ensemble._linear_arrays(model) for model in linear]
    return values


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_ensembles_come_back_as_they_were(make, tmp_path):
    ensemble = make()
    np.savez(tmp_path / "ensemble.npz", **ensemble.export_arrays())
    for source in (tmp_path / "ensemble.npz", ensemble.export_arrays()):
        copy = type(ensemble).from_arrays(source)
        np.testing.assert_equal(attributes(copy), attributes(ensemble))
        for name in ("predict", "predict_proba", "member_predictions"):
            if hasattr(ensemble, name):
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "X does not have valid feature names")
                    a, b = (getattr(e, name)(X) for e in (copy, ensemble))
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)
        assert copy.export_arrays().keys() == ensemble.export_arrays().keys()


@pytest.fixture(scope="module")
def arrays():
    return classifier(param_grid=GRID, refit=True).fit(X, LABELS).export_arrays()


def refused(arrays, match):
    with pytest.raises(ValueError, match=match):
        SparseMLPClassifierCV.from_arrays(_npz.sealed(arrays))


def changed(arrays, name, old, new):
    text = arrays[name].tobytes().decode()
    assert old in text
    data = np.frombuffer(text.replace(old, new, 1).encode(), np.uint8)
    return {**arrays, name: data}


TEXTS = [
    ("metadata", '"SparseMLPClassifierCV"', '"SparseMLPRegressorCV"', "it is a"),
    ("metadata", '"best_index": ', '"best_index": 9', "best_index"),
    ("metadata", '"oof_score": ', '"oof_score": "" , "x": ', "metadata has"),
    ("parameters", '"cv": 3', '"cv": 0', "'cv' parameter"),
    ("parameters", '"cv"', '"vc"', "its parameters are not those"),
    ("network", '"alpha": 0.1', '"alpha": -1', "'alpha' parameter"),
    ("search", '"n_epochs": ', '"n_epochs": -', "n_epochs is"),
    ("search", '"network_share": ', '"network_share": 2', "network_share"),
    ("search", '"params"', '"param"', "search has records"),
    ("history", '"epoch": ', '"epoch": 0.', "epoch is"),
    ("history", '"share"', '"part"', "history has records"),
    ("members/1/parameters", '"dropout": 0.1', '"dropout": 2', "members/1/: .*dropout"),
]


@pytest.mark.parametrize(("name", "old", "new", "says"), TEXTS)
def test_descriptions_that_do_not_fit_are_refused(arrays, name, old, new, says):
    refused(changed(arrays, name, old, new), says)


def test_members_must_be_of_the_same_data(arrays):
    other = classifier().fit(X, LABELS.astype(str).astype("U9").astype(object) + "!")
    own = {k: v for k, v in other.export_arrays().items() if k.startswith("members/1/")}
    refused({k: v for k, v in arrays.items() if k not in own} | own, "of other data")


def test_every_array_is_needed_and_no_other(arrays):
    whole = [name for name in arrays if name.startswith("whole/")]
    whole.append(_npz.CHECKSUM)
    for name in sorted(arrays.keys() - set(whole)):
        rest = {other: array for other, array in arrays.items() if other != name}
        # Without what one chose oneself there is the default.
        if name != "network":
            refused(rest, "missing|not a part|not in the format|does not say|do not fit")
    SparseMLPClassifierCV.from_arrays(
        _npz.sealed({k: v for k, v in arrays.items() if k not in whole})
    )
    refused({**arrays, "members/0/layers/0/more": np.zeros(3)}, "members/0/: .*not a part")
    refused({**arrays, "members/9/classes": np.zeros(3)}, "not a part")
    refused({**arrays, "linear/9/coef": np.zeros(3)}, "not a part|do not fit")


@pytest.mark.parametrize("seed", range(3))
def test_damage_is_refused_or_harmless(arrays, seed, tmp_path):
    rng, good = np.random.default_rng(seed), mutations.packed(dict(arrays))
    path = tmp_path / "ensemble.npz"
    for mutate in mutations.MUTATIONS:
        path.write_bytes(mutate(rng, good))
        with contextlib.suppress(ValueError):
            SparseMLPClassifierCV.from_arrays(path).predict_proba(X)


def test_what_cannot_be_kept_is_named():
    clf = classifier().fit(X, LABELS)
    clf.set_params(scoring=lambda estimator, X, y: 0.0)
    with pytest.raises(ValueError, match="scoring"):
        clf.export_arrays()
