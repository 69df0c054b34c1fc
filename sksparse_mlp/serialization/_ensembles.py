"""Fitted ensembles as named plain arrays, in the format of ``docs/arrays.md``.

Each member has the arrays of a network of its own, behind a prefix; what the members
share is read from the first one, and refused where others differ.
"""

from collections.abc import Mapping
from itertools import count
from typing import Any, TypeVar

import numpy as np

from sksparse_mlp.serialization._arrays import (
    encoded_parameters,
    fitted_arrays,
    fitted_estimator,
    read_with,
    sealed_copies,
    unfitted,
)
from sksparse_mlp.serialization._reader import Reader, text_array, whole

Ensemble = TypeVar("Ensemble")

METADATA = ("estimator", "best_index", "oof_score")
# Of the columns of `cv_results_`, those that others follow from.
SEARCHED = ("params", "mean_test_score", "n_epochs", "n_epochs_trained", "network_share")
CURVE = ("epoch", "score", "share")


# --- writing --------------------------------------------------------------------------


def exported_ensemble(ensemble: Any) -> dict[str, np.ndarray]:
    """All arrays of a fitted ensemble, sealed, sharing no memory with it."""
    ensemble._validate_params()
    arrays = {
        "metadata": text_array(
            {
                "estimator": type(ensemble).__name__,
                "best_index": int(ensemble.best_index_),
                "oof_score": float(ensemble.oof_score_),
            }
        ),
        **_parameters(ensemble),
        "search": text_array(_searched(ensemble.cv_results_)),
        "history": text_array(list(ensemble.history_)),
        "oof_predictions": ensemble.oof_predictions_,
    }
    for k, network in enumerate(ensemble.estimators_):
        arrays |= _behind(f"members/{k}/", fitted_arrays(network))
    for k, model in enumerate(ensemble.linear_estimators_ or []):
        coef, intercept = ensemble._linear_arrays(model)
        arrays |= {f"linear/{k}/coef": coef, f"linear/{k}/intercept": intercept}
    if hasattr(ensemble, "best_estimator_"):
        arrays |= _behind("whole/", fitted_arrays(ensemble.best_estimator_))
    return sealed_copies(arrays)


def _behind(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}


def _parameters(ensemble: Any) -> dict[str, np.ndarray]:
    """The parameters, and those of the network that one of them is."""
    parameters = ensemble.get_params(deep=False)
    network = parameters.pop("estimator")
    encoded_parameters(ensemble, parameters)
    arrays = {"parameters": text_array(parameters)}
    if network is not None:
        own = network.get_params(deep=False)
        encoded_parameters(network, own)
        arrays["network"] = text_array(own)
    return arrays


def _searched(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One record per configuration."""
    columns = [np.asarray(results[name]).tolist() for name in SEARCHED[1:]]
    rows = zip(results["params"], *columns, strict=True)
    return [dict(zip(SEARCHED, row, strict=True)) for row in rows]


# --- reading --------------------------------------------------------------------------


def imported_ensemble(cls: type[Ensemble], source: Any) -> Ensemble:
    """The ensemble of class ``cls`` that arrays or a file hold."""
    ensemble: Ensemble = read_with(cls, source, lambda reader: _ensemble(cls, reader))
    return ensemble


def _ensemble(cls: type[Any], reader: Reader) -> Any:
    metadata = reader.record("metadata", METADATA)
    if metadata["estimator"] != cls.__name__:
        raise ValueError(f"it is a {metadata['estimator']!r:.100}")
    ensemble = _unfitted(cls, reader)
    members = _members(ensemble, reader)
    records = [_record(record) for record in reader.json("search", list)]
    if not records:
        raise ValueError("search has no records")
    best = whole(metadata["best_index"], "best_index", 0, len(records) - 1)
    linear = _linear_models(ensemble, members, reader)
    if (records[best]["network_share"] < 1) != (linear is not None):
        raise ValueError("linear models do not fit the share that networks have")
    vars(ensemble).update(
        ensemble._restored_attributes(
            estimators=members,
            linear=linear,
            columns={name: [r[name] for r in records] for name in SEARCHED},
            best=best,
            history=[_verdict(record) for record in reader.json("history", list)],
            oof_predictions=_predictions(reader, members[0]),
            oof_score=_number(metadata["oof_score"], "oof_score"),
        )
    )
    if reader.has("whole/"):
        ensemble.best_estimator_ = _network(ensemble, reader, "whole/", members[0])
    return ensemble


def _unfitted(cls: type[Any], reader: Reader) -> Any:
    parameters = {"estimator": None, **reader.json("parameters", dict)}
    if reader.has("network"):
        network = reader.json("network", dict)
        parameters["estimator"] = unfitted(cls._network_class, network)
    return unfitted(cls, parameters)


def _members(ensemble: Any, reader: Reader) -> list[Any]:
    members: list[Any] = []
    for k in count():
        prefix = f"members/{k}/"
        if not reader.has(prefix):
            break
        members.append(_network(ensemble, reader, prefix, *members[:1]))
    if len(members) < 2:
        raise ValueError("it has fewer than 2 members")
    return members


def _network(ensemble: Any, reader: Reader, prefix: str, first: Any = None) -> Any:
    """A fitted network, for the same features and targets as the first, if there is one."""
    own = reader.behind(prefix)
    try:
        network = fitted_estimator(ensemble._network_class, own)
        own.finish()
    except ValueError as error:
        raise ValueError(f"{prefix}: {error}") from error
    if first is not None:
        one, other = (ensemble._description(each) for each in (first, network))
        different = [k for k in one | other if not _same(one.get(k), other.get(k))]
        if different or first.coefs_[0].dtype != network.coefs_[0].dtype:
            raise ValueError(f"{prefix} is of other data than the first member")
    return network


def _same(one: Any, other: Any) -> bool:
    a, b = np.asarray(one), np.asarray(other)
    return a.dtype == b.dtype and np.array_equal(a, b)


def _linear_models(ensemble: Any, members: list[Any], reader: Reader) -> list[Any] | None:
    if not reader.has("linear/"):
        return None
    n_features = members[0].n_features_in_
    n_outputs = members[0]._n_outputs()
    models = []
    for k in range(len(members)):
        coef = reader.floats(f"linear/{k}/coef", None, (n_outputs, n_features))
        intercept = reader.floats(f"linear/{k}/intercept", None, (n_outputs,))
        models.append(ensemble._linear_restored(members[0], coef, intercept))
    return models


def _record(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict) or set(record) != set(SEARCHED):
        raise ValueError(f"search has records without {list(SEARCHED)}")
    if not isinstance(record["params"], dict):
        raise ValueError("search has params that are no dict")
    for name in ("n_epochs", "n_epochs_trained"):
        whole(record[name], name, 0, 2**53)
    _number(record["mean_test_score"], "mean_test_score")
    if not 0 <= _number(record["network_share"], "network_share") <= 1:
        raise ValueError("network_share is not within 0 and 1")
    return record


def _verdict(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict) or set(record) != set(CURVE):
        raise ValueError(f"history has records without {list(CURVE)}")
    whole(record["epoch"], "epoch", 1, 2**53)
    for name in CURVE[1:]:
        _number(record[name], name)
    return record


def _number(value: Any, name: str) -> float:
    if type(value) is not float:
        raise ValueError(f"{name} is {value!r:.100}, which is no float")
    return value


def _predictions(reader: Reader, network: Any) -> np.ndarray:
    """Predictions of the training samples, of which some may be NaN."""
    dtype = network.coefs_[0].dtype
    outputs = np.zeros((1, network._n_outputs()), dtype)
    shape = network._shown(network._loss().predictions(outputs)).shape[1:]
    return reader.take("oof_predictions", (dtype.str,), (None, *shape))
