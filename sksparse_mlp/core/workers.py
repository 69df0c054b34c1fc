"""Threads that share the rows of a layer."""

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import joblib

# Multiply-adds below which handing rows to other threads costs more than it saves
# (measured by ``python -m benchmarks.peers --only threads``).
MIN_WORK_PER_THREAD = 2_000_000


class Workers:
    """Run kernels over row ranges, in this thread and ``n_jobs - 1`` others.

    Kernels release the GIL and write each row once, so the number of threads never
    changes a result.

    Parameters
    ----------
    n_jobs : int or None
        Number of threads, as in joblib: None means 1, -1 all cores.
    """

    def __init__(self, n_jobs: int | None):
        n_threads = joblib.effective_n_jobs(n_jobs)
        n_cores = (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else n_threads
        )
        if n_threads > n_cores:
            warnings.warn(
                f"n_jobs={n_jobs} asks for {n_threads} threads, but only {n_cores} cores "
                f"are available; using {n_cores}.",
                stacklevel=2,
            )
        self.n_threads = min(n_threads, n_cores)
        self._executor = (
            ThreadPoolExecutor(self.n_threads - 1) if self.n_threads > 1 else None
        )

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        if self._executor is not None:
            self._executor.shutdown()

    def run(self, task: Callable[[int, int], None], shares: list[int], work: int) -> None:
        """Call ``task(start, stop)`` on every share; on all at once where work is small.

        ``shares`` are the rows where shares begin and end, ``work`` counts multiply-adds.
        """
        if self._executor is None or work < MIN_WORK_PER_THREAD * self.n_threads:
            task(0, shares[-1])
            return
        futures = [
            self._executor.submit(task, start, stop) for start, stop in pairwise(shares[1:])
        ]
        task(0, shares[1])
        for future in futures:
            future.result()
