"""The cluster: found, and able to do what it will be asked for."""

import pickle
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

import cloudpickle
import distributed

import sksparse_mlp

# Evaluated by name, as workers without the package can run none of its functions.
_VERSION = f"__import__({sksparse_mlp.__name__!r}).__version__"

# While results are waited for, at whether the scheduler is still there.
SECONDS_BETWEEN_LOOKS = 2.0


@contextmanager
def connected(client: Any) -> Iterator[distributed.Client]:
    """The client itself, one of a scheduler's address, or for None the current one.

    Raises ConnectionError if there is none.
    """
    if isinstance(client, str):
        with distributed.Client(client, set_as_default=False) as own:
            yield own
        return
    if client is None:
        client = _current()
    if client.status != "running":
        raise ConnectionError(
            f"The Dask client {client!r} is {client.status}. Make a new one by "
            "`distributed.Client(...)`."
        )
    yield client


def _current() -> distributed.Client:
    try:
        return distributed.get_client()
    except ValueError as error:
        raise ConnectionError(
            "There is no Dask cluster to train on. Make one, for example by "
            "`from distributed import Client; client = Client()` for the cores of this "
            "machine or `Client('tcp://address:port')` for a running scheduler, or pass "
            "client=."
        ) from error


def check_workers(client: distributed.Client) -> int:
    """Return how many workers there are, all of them with this version of the package.

    Raises if there are none or other ones.
    """
    found = client.run(eval, _VERSION, on_error="return")
    if not found:
        raise ConnectionError(
            f"The cluster of {client!r} has no workers. Start some, and wait for them by "
            "`client.wait_for_workers(1)`."
        )
    here = sksparse_mlp.__version__
    without = [worker for worker, answer in found.items() if not isinstance(answer, str)]
    if without:
        raise ImportError(
            f"{sksparse_mlp.__name__} cannot be imported on the workers {without} "
            f"({found[without[0]]!r}). Install {sksparse_mlp.__name__}=={here} there."
        )
    others = {worker: answer for worker, answer in found.items() if answer != here}
    if others:
        raise ImportError(
            f"This process has {sksparse_mlp.__name__} {here}, but other versions are on "
            f"the workers: {others}. Install the same one everywhere."
        )
    return len(found)


def result_of(client: distributed.Client, future: "distributed.Future[Any]") -> Any:
    """The result, waited for as long as there is a scheduler that may deliver it.

    Raises CancelledError if there is none, or what its task has raised.
    """
    while True:
        try:
            return future.result(timeout=SECONDS_BETWEEN_LOOKS)
        except TimeoutError:
            if future.done():
                # In the meantime; or it is the task itself that has raised this.
                return future.result()
            if client.status != "running":
                raise CancelledError("the scheduler is gone") from None


@contextmanager
def clear_errors(
    client: distributed.Client, lost: Callable[[], list[int]]
) -> Iterator[None]:
    """Say what to do where results are lost; ``lost`` tells of which partitions.

    Raises RuntimeError for data that are gone or workers that die of a task,
    ConnectionError if the scheduler is gone.
    """
    try:
        yield
    except distributed.KilledWorker as error:
        raise RuntimeError(
            "The same task has ended several workers, most often for want of memory. Make "
            "smaller partitions (rechunk, repartition), run fewer threads per worker, or "
            f"give the workers more memory. What Dask says: {error}"
        ) from error
    except CancelledError as error:
        if client.status != "running" or "scheduler" in str(error):
            raise ConnectionError(
                "The scheduler was lost. Start a cluster again and call fit on its client: "
                "with checkpoint= it goes on after the last round that ended."
            ) from error
        numbers = ", ".join(map(str, lost())) or "?"
        raise RuntimeError(
            f"Partition {numbers} was lost with its worker and cannot be computed again, "
            "as data from Client.scatter cannot. Train on what Dask can compute, such as "
            "arrays and dataframes read from files."
        ) from error


@contextmanager
def large_graphs_allowed() -> Iterator[None]:
    """Do not warn that a network goes to the scheduler: from there it can be sent again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        yield


def n_bytes(message: Any) -> int:
    """Bytes of a message between the processes of a cluster."""
    buffers: list[pickle.PickleBuffer] = []
    head = cloudpickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    return len(head) + sum(buffer.raw().nbytes for buffer in buffers)
