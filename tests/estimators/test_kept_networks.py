"""A network is restored once for many predictions, and anew after any edit."""

import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.utils.validation import validate_data

from sksparse_mlp import SparseMLPRegressor
from sksparse_mlp.activations import LeakyReLU
from sksparse_mlp.estimators import _input, _restored

# A layer that is normalised, and parameters that are learned.
RICH = {"batch_norm": True, "activation": ["prelu", "srelu"]}


@pytest.fixture
def restored(monkeypatch):
    """A list that grows whenever a network is restored."""
    calls, restore = [], _restored.restored_network

    def counted(estimator):
        calls.append(estimator)
        return restore(estimator)

    monkeypatch.setattr(_restored, "restored_network", counted)
    return calls


def arrays_of(model):
    """Every array that a prediction depends on, by name."""
    for k, coef in enumerate(model.coefs_):
        for name in ("data", "indices", "indptr"):
            yield f"coefs_[{k}].{name}", getattr(coef, name)
    for name in ("intercepts_", "activation_parameters_"):
        for k, array in enumerate(getattr(model, name)):
            yield f"{name}[{k}]", array
    for k, norm in enumerate(model.batch_norms_):
        for name, array in norm.items():
            yield f"batch_norms_[{k}][{name}]", array


def test_many_predictions_restore_a_network_once(mlp, multiclass, restored):
    X, y = multiclass
    for cls in (type(mlp()), SparseMLPRegressor):
        model = mlp(cls, **RICH).fit(X, y)
        restored.clear()
        expected = model.predict(X)
        for k in range(5):
            assert np.array_equal(model.predict(X[k : k + 1]), expected[k : k + 1])
        assert len(restored) == 1


def test_every_value_that_is_edited_in_place_counts(mlp, multiclass):
    X, y = multiclass
    model = mlp(**RICH).fit(X, y)
    for name, array in arrays_of(model):
        before, kept = model.predict_proba(X), array.copy()
        place = np.unravel_index(array.size // 2, array.shape)
        array[place] = 5 if array.dtype.kind == "f" else array[place] ^ 1
        # A copy has nothing that could be kept.
        try:
            expected = copy.deepcopy(model).predict_proba(X)
        except ValueError as error:
            with pytest.raises(ValueError, match=str(error)[:20].replace("[", r"\[")):
                model.predict_proba(X)
        else:
            assert np.array_equal(model.predict_proba(X), expected), name
            assert not np.array_equal(expected, before), name
        array[...] = kept
        assert np.array_equal(model.predict_proba(X), before), name


def test_other_parameters_count(mlp, multiclass):
    X, y = multiclass
    activation = LeakyReLU(slope=0.1)
    model = mlp(activation=activation).fit(X, y)
    model.predict(X)
    model.set_params(activation="tanh")
    for _ in range(2):
        with pytest.raises(ValueError, match="activation_parameters_"):
            model.predict(X)
    activation.slope = -1
    model.set_params(activation=activation)
    with pytest.raises(ValueError, match="slope"):
        model.predict(X)


def test_arrays_that_move_to_other_places_count(mlp, multiclass):
    X, y = multiclass
    model = mlp(batch_norm=True, hidden_layer_sizes=(12, 12)).fit(X, y)
    before = model.predict_proba(X)
    norms = model.batch_norms_
    model.batch_norms_ = [norms[0], dict(zip("abcd", norms[1].values(), strict=True))]
    with pytest.raises(ValueError, match="batch_norms_"):
        model.predict(X)
    model.batch_norms_ = norms
    model.intercepts_, moved = model.intercepts_[:-1], model.intercepts_[-1]
    model.activation_parameters_ = [moved, *model.activation_parameters_]
    with pytest.raises(ValueError, match="intercepts_"):
        model.predict(X)
    model.intercepts_, model.activation_parameters_ = (
        [*model.intercepts_, moved],
        model.activation_parameters_[1:],
    )
    assert np.array_equal(model.predict_proba(X), before)


def test_estimators_do_not_change_and_nothing_outlives_them(mlp, multiclass):
    X, y = multiclass
    model = mlp(**RICH).fit(X, y)
    before, content = dict(vars(model)), pickle.dumps(model)
    gc.collect()
    n_before = len(_restored._kept)
    model.predict(X)
    assert vars(model) == before
    assert pickle.dumps(model) == content
    assert len(_restored._kept) == n_before + 1
    model.fit(X, y).predict(X)
    gc.collect()
    del before
    assert len(_restored._kept) == n_before + 1
    del model
    gc.collect()
    assert len(_restored._kept) == n_before


def test_large_networks_are_not_kept(mlp, multiclass, restored, monkeypatch):
    X, y = multiclass
    model = mlp().fit(X, y)
    expected = model.predict_proba(X)
    monkeypatch.setattr(_restored, "LARGEST_KEPT", 1000)
    restored.clear()
    for _ in range(3):
        assert np.array_equal(model.predict_proba(X), expected)
    assert len(restored) == 3


def test_threads_that_predict_and_edit_see_one_network_or_the_other(mlp, multiclass):
    X, y = multiclass
    model = mlp(**RICH).fit(X, y)
    bias = model.intercepts_[-1]
    others = bias[::-1] + np.arange(bias.size)
    either = []
    for values in (others.copy(), bias.copy()):
        model.intercepts_[-1] = values
        either.append(model.predict_proba(X))

    def use(k):
        if k % 3 == 0:
            model.intercepts_[-1] = (others if k % 2 else bias).copy()
        return model.predict_proba(X)

    with ThreadPoolExecutor(4) as executor:
        for found in executor.map(use, range(200)):
            assert any(np.array_equal(found, one) for one in either)


CHANGES = {
    "none": lambda X: X,
    "fortran": np.asfortranarray,
    "strided": lambda X: X[::2],
    "subclass": lambda X: X.view(np.recarray),
    "list": np.ndarray.tolist,
    "empty": lambda X: X[:0],
    "narrow": lambda X: X[:, 1:].copy(),
    "flat": np.ravel,
    "nan": lambda X: np.where(X > 1, np.array(np.nan, X.dtype), X),
    "infinite": lambda X: np.where(X > 1, np.array(np.inf, X.dtype), X),
}


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8", "f2"])
@pytest.mark.parametrize("change", CHANGES)
def test_only_what_scikit_learn_would_leave_as_it_is_is_not_shown_to_it(
    mlp, multiclass, change, dtype
):
    X, y = multiclass
    model = mlp(max_iter=1).fit(X, y)
    X = CHANGES[change]((3 * X).astype(dtype))
    is_sound = _input._is_sound(model, X)
    assert is_sound == (change == "none" and dtype in ("f4", "f8"))
    if is_sound:
        assert validate_data(model, X, reset=False, **_input.DENSE_OR_CSR) is X
    model.feature_names_in_ = np.array(list("abcdefghijkl"), object)
    assert not _input._is_sound(model, X)
