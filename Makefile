# Every target makes its own environment: only python3 (>= 3.11), venv and make are needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Of the random cases of `make nightly`.
SEED ?= 0
# As many processes as there are cores share the tests.
PYTEST := -m pytest -n auto --dist worksteal

.PHONY: demo test coverage test-oldest test-next test-sklearn dist test-wheel nightly audit lint \
	types docs docs-test clean

demo: $(VENV)/plot.installed
	$(BIN)/python examples/demo.py

test: $(VENV)/test.installed
	$(BIN)/python $(PYTEST) $(COVERAGE)
	NUMBA_DISABLE_JIT=1 $(BIN)/python $(PYTEST) tests/core/test_simd.py tests/core/test_kernels.py \
		$(COVERAGE)
	$(CHECK) $(CHECKED)

# With each index compared to its array's bounds: every kernel here, and fits in `nightly`.
CHECK := NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(abspath $(VENV))/checked $(BIN)/python $(PYTEST)
CHECKED := tests/test_bounds.py tests/core/test_simd.py tests/core/test_kernels.py \
	tests/core/test_program.py

# All tests, with the share of the lines that they run. Compiled functions show no lines:
# those of core/jitted are counted where the tests of kernels run uncompiled.
coverage: $(VENV)/test.installed
	$(BIN)/coverage erase
	$(MAKE) test COVERAGE="--cov=sksparse_mlp --cov-append --cov-report="
	$(BIN)/coverage report --skip-covered --sort=cover

# With the oldest versions that pyproject.toml allows. SciPy takes more memory there.
test-oldest: $(VENV)-oldest/installed
	NUMBA_CACHE_DIR=$(abspath $(VENV))-oldest/compiled $(VENV)-oldest/bin/python $(PYTEST) \
		--deselect tests/analysis/test_memory_footprint.py::test_prediction_takes_that_much

$(VENV)-oldest/installed: pyproject.toml tests/oldest.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --constraint tests/oldest.txt --editable ".[test]"
	touch $@

# With the newest versions there are, also those that are not released yet.
test-next: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)-next
	$(VENV)-next/bin/python -m pip install --quiet --pre --editable ".[test]"
	NUMBA_CACHE_DIR=$(abspath $(VENV))-next/compiled $(VENV)-next/bin/python $(PYTEST)

# The wheel beside every scikit-learn from the oldest on, in fresh environments, with its
# checks of estimators, and tables of every library. pytest 9 warns of what older ones give.
test-sklearn: $(addprefix test-sklearn-,1.6 1.7 1.8 1.9)

test-sklearn-%: dist
	$(PYTHON) -m venv --clear $(VENV)-sklearn-$*
	$(VENV)-sklearn-$*/bin/python -m pip install --quiet dist/*.whl \
		"scikit-learn~=$*.0" "pytest>=8,<9" "pytest-xdist>=3.6.1" "pandas>=2.2.2" \
		"polars>=1.20" "hypothesis>=6.100"
	cd $(VENV)-sklearn-$* && $(abspath $(VENV)-sklearn-$*/bin/python) -I $(abspath tests/smoke.py)
	NUMBA_CACHE_DIR=$(abspath $(VENV))-sklearn-compiled $(VENV)-sklearn-$*/bin/python \
		$(PYTEST) tests/test_sklearn.py tests/estimators/test_estimator_checks.py \
		tests/estimators/test_tabular.py

# Source distribution, and the wheel made of it.
dist: $(VENV)/release.installed
	rm -rf dist
	$(BIN)/cffconvert --validate
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

# The wheel with nothing but what it needs, away from the sources.
test-wheel: dist
	$(PYTHON) -m venv --clear $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --quiet dist/*.whl
	cd $(VENV)-wheel && $(abspath $(VENV)-wheel/bin/python) -I $(abspath tests/smoke.py)

nightly: $(VENV)/test.installed
	$(BIN)/python -m pip install --quiet --requirement docs/ecosystem.txt
	$(BIN)/python -m pytest -n0 tests/test_pages.py -k works_with
	$(BIN)/python -m benchmarks.reliability.fuzz --cases 5000 --seed $(SEED)
	$(BIN)/python -m benchmarks.reliability.concurrency
	$(BIN)/python -m benchmarks.reliability.attacks
	$(BIN)/python -m pytest -n0 -m nightly
	$(CHECK) tests/estimators/test_border.py tests/estimators/test_transactions.py \
		tests/test_determinism.py::test_results_are_those_that_were_kept
	$(MAKE) coverage
	CASES=1000 $(BIN)/python -m pytest -n0 tests/core/test_compilation.py \
		tests/serialization/test_arrays.py -k "random_damage or in_proportion"

# Known vulnerabilities of what is installed; asks the package index for them.
audit: $(VENV)/dev.installed
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --skip-editable

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.installed
	$(BIN)/mypy

# Runs the gallery; what it made is kept until its program changes.
docs: $(VENV)/docs.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -n -q docs docs/_build/html

# In headless Chromium, which must be installed.
docs-test: docs
	$(BIN)/python -m pytest docs/test_site.py

$(VENV)/%.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-next $(VENV)-sklearn-* $(VENV)-wheel build dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis demo.png \
		docs/_build docs/api docs/gallery docs/literature docs/mlpclassifier.md
