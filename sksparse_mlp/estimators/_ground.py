"""Where the members of an ensemble train: in threads here, or where joblib sends them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

from sksparse_mlp.core.workers import Workers


@dataclass
class Ground:
    """Calls functions side by side, wherever that is.

    Elsewhere they get copies: what they are to change, they must return.

    Attributes
    ----------
    parallel : joblib.Parallel
    material : object
        The first argument of all calls; nobody changes it.
    unbroken : callable
        The context for calls that change what is in this process.
    """

    parallel: Parallel
    material: Any
    unbroken: Callable[[], AbstractContextManager[Any]]

    def map(self, function: Callable[..., Any], calls: Iterable[Any]) -> list[Any]:
        """What the function makes of the material and each call's tuple of arguments."""
        tasks = (delayed(function)(self.material, *arguments) for arguments in calls)
        results: list[Any] = self.parallel(tasks)
        return results


@contextmanager
def ground_for(material: Any, n_jobs: int | None, workers: Workers) -> Iterator[Ground]:
    """Threads, unless the user has chosen another backend by ``joblib.parallel_config``.

    The workers of a Dask cluster get the material once, and processes of one machine have
    its larger arrays in shared memory.
    """
    backend, _ = get_active_backend(prefer="threads")
    # A task is a member's epochs: never so short that several should be one. Processes
    # must be able to write to the arrays of what they train.
    options = {"prefer": "threads", "batch_size": 1, "mmap_mode": "c"}
    with Parallel(n_jobs=n_jobs, **options) as parallel:
        is_here = getattr(backend, "supports_sharedmem", False)
        unbroken = workers.interrupts_put_off if is_here else nullcontext
        with _sent_once(material, backend):
            yield Ground(parallel, material, unbroken)


@contextmanager
def _sent_once(material: Any, backend: Any) -> Iterator[None]:
    """Let the workers of a cluster, if there is one, keep the material.

    Else joblib sends it anew whenever `Parallel` is called.
    """
    kept: dict[int, Any] | None = getattr(backend, "data_futures", None)
    if kept is None:
        yield
        return
    (kept[id(material)],) = backend.client.scatter([material], broadcast=True, hash=False)
    try:
        yield
    finally:
        del kept[id(material)]
