"""Many random cases for the estimator: parameters and data, allowed and not quite.

``python -m benchmarks.reliability.fuzz`` takes about a minute for each thousand cases of
``tests/fuzzing.py``. It fails if one of them is neither refused, with a clear error before
anything has changed, nor fitted to a sound network, and shows the simplest such case.
"""

import argparse
import time
from collections import Counter

from hypothesis import HealthCheck, given, seed, settings
from threadpoolctl import threadpool_limits

from benchmarks.reliability import results

results.use_tests()

import fuzzing  # noqa: E402, beside the tests

OUTCOMES = {
    "refused": "refused: a clear error, nothing changed",
    "fitted": "fitted: a sound network",
    "diverged": "diverged: a warning, and the sound network before",
}


def main():
    parser = argparse.ArgumentParser(
        "python -m benchmarks.reliability.fuzz", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes: Counter[str] = Counter()

    @seed(options.seed)
    @settings(
        max_examples=options.cases,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(fuzzing.cases())
    def search(case):
        outcomes[fuzzing.check(case)] += 1

    started = time.perf_counter()
    with threadpool_limits(1):
        search()
    seconds = time.perf_counter() - started
    figures = [
        {"outcome": text, "cases": str(outcomes[name])} for name, text in OUTCOMES.items()
    ]
    figures.append({"outcome": "all", "cases": str(outcomes.total())})
    results.write("fuzz", seeds=str(options.seed), figures=figures, seconds=seconds)


if __name__ == "__main__":
    main()
