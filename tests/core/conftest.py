"""Threads for the smallest work, for several test modules."""

import pytest

from sksparse_mlp.core import workers as workers_module


@pytest.fixture
def many_cores(monkeypatch):
    """Threads share even the smallest work."""
    monkeypatch.setattr(workers_module, "MIN_WORK_PER_THREAD", 0)
    monkeypatch.setattr(
        workers_module.os, "sched_getaffinity", lambda pid: range(8), raising=False
    )
