# Every target makes its own environment: only python3 (>= 3.11), venv and make are needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Of the random cases of `make nightly`.
SEED ?= 0
# As many processes as there are cores share the tests.
PYTEST := -m pytest -n auto --dist worksteal

.PHONY: demo test test-oldest dist test-wheel nightly audit lint types docs docs-test clean

demo: $(VENV)/plot.installed
	$(BIN)/python examples/demo.py

test: $(VENV)/test.installed
	$(BIN)/python $(PYTEST)
	NUMBA_DISABLE_JIT=1 $(BIN)/python $(PYTEST) tests/core/test_simd.py tests/core/test_kernels.py
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(abspath $(VENV))/checked $(BIN)/python $(PYTEST) $(CHECKED)

# Every kernel, and small fits of every kind, with each index compared to its array's bounds.
CHECKED := tests/test_bounds.py tests/core/test_simd.py tests/core/test_kernels.py tests/core/test_program.py \
	tests/test_determinism.py::test_results_are_those_that_were_kept

# With the oldest versions that pyproject.toml allows. SciPy takes more memory there, and
# Numba's older compiler rounds float32 otherwise where a sample stands in another batch.
test-oldest: $(VENV)-oldest/installed
	NUMBA_CACHE_DIR=$(abspath $(VENV))-oldest/compiled $(VENV)-oldest/bin/python $(PYTEST) \
		--deselect tests/analysis/test_memory_footprint.py::test_prediction_takes_that_much \
		--deselect "tests/estimators/test_estimator_checks.py::test_scikit_learn_check[Float32Regressor(learning_rate_init=0.01)-check_methods_subset_invariance]"

$(VENV)-oldest/installed: pyproject.toml tests/oldest.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --constraint tests/oldest.txt --editable ".[test]"
	touch $@

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
	$(BIN)/python -m benchmarks.reliability.fuzz --cases 5000 --seed $(SEED)
	$(BIN)/python -m benchmarks.reliability.concurrency

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
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-wheel build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis demo.png \
		docs/_build docs/api docs/gallery docs/literature docs/mlpclassifier.md
