"""What one process has compiled, no other compiles again."""

import os
import subprocess
import sys
from pathlib import Path

import everything
import pytest
from numba import config

ROOT = Path(everything.__file__).parents[1]


def files(folder):
    """Every file below a folder, and when it was written."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in paths}


def functions_compiled(folder):
    """Names of what a new process compiles that fits all there is in small."""
    environment = {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, everything.__file__],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


@pytest.mark.nightly
@pytest.mark.skipif(config.DISABLE_JIT, reason="compilation is switched off")
def test_a_second_process_compiles_nothing(request, tmp_path):
    # Empty in a fresh clone; kept from one run of the tests to the next.
    cache = getattr(request.config, "cache", None)
    folder = tmp_path if cache is None else Path(cache.mkdir("numba"))
    functions_compiled(folder)
    before = files(folder)
    assert len(before) > 100
    assert functions_compiled(folder) == []
    assert files(folder) == before
