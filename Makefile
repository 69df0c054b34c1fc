# Every target makes its own environment: only python3 (>= 3.11), venv and make are needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Of the random cases of `make nightly`.
SEED ?= 0

.PHONY: demo test test-oldest nightly audit lint types clean

demo: $(VENV)/plot.installed
	$(BIN)/python examples/demo.py

test: $(VENV)/test.installed
	$(BIN)/python -m pytest
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest tests/core/test_kernels.py
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(abspath $(VENV))/checked $(BIN)/python -m pytest $(CHECKED)

# Every kernel, and small fits of every kind, with each index compared to its array's bounds.
CHECKED := tests/test_bounds.py tests/core/test_kernels.py \
	tests/test_determinism.py::test_results_are_those_that_were_kept

# With the oldest versions that pyproject.toml allows. SciPy takes more memory there.
test-oldest: $(VENV)-oldest/installed
	NUMBA_CACHE_DIR=$(abspath $(VENV))-oldest/compiled $(VENV)-oldest/bin/python -m pytest \
		--deselect tests/analysis/test_memory_footprint.py::test_prediction_takes_that_much

$(VENV)-oldest/installed: pyproject.toml tests/oldest.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --constraint tests/oldest.txt --editable ".[test]"
	touch $@

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

$(VENV)/%.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-oldest build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis demo.png
