"""Whatever parameters and data come, a clear refusal or a sound network is the answer."""

import inspect

import fuzzing
from hypothesis import HealthCheck, given, settings

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor

N_CASES = 300


@settings(
    max_examples=N_CASES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(fuzzing.cases())
def test_any_case_is_refused_or_fitted(case):
    fuzzing.check(case)


def test_every_parameter_is_varied_in_both_ways():
    networks = (SparseMLPClassifier, SparseMLPRegressor)
    names = {name for cls in networks for name in inspect.signature(cls).parameters}
    assert set(fuzzing.PARAMETERS) == names == set(fuzzing.BAD)
