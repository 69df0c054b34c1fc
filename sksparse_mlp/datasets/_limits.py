"""How long a download may take, and how much it may bring.

scikit-learn downloads what we know the size of without any limit. Its requests go through
urllib's handlers, where those of a thread that has a limit are watched.
"""

import time
import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# Seconds without an answer, and bytes per second that must come on average after them.
PATIENCE, SLOWEST = 60.0, 1000
CHUNK = 2**16
GZIP = 16 + zlib.MAX_WBITS

_limit: ContextVar[int | None] = ContextVar("limit", default=None)


@contextmanager
def limited(n_bytes: int) -> Iterator[None]:
    """Let no download in this block, and nothing that it unpacks to, be larger."""
    _watch_requests()
    token = _limit.set(n_bytes)
    try:
        yield
    finally:
        _limit.reset(token)


def check_size(n_bytes: int) -> None:
    """Refuse what is larger than the block's limit.

    Raises
    ------
    ValueError
        With both sizes.
    """
    limit = _limit.get()
    if limit is not None and n_bytes > limit:
        raise ValueError(
            f"it has {n_bytes:,} bytes or more, and the data set needs at most {limit:,}"
        )


def unpacked_size(chunks: Iterable[bytes], wbits: int = zlib.MAX_WBITS) -> int:
    """Bytes that compressed chunks unpack to, counted without keeping them.

    Raises
    ------
    ValueError
        As soon as they are more than the block's limit.
    """
    counter = _Unpacked(wbits)
    for chunk in chunks:
        counter.add(chunk)
    return counter.n_bytes


class _Unpacked:
    """Counts what a stream unpacks to."""

    def __init__(self, wbits: int):
        self.n_bytes = 0
        self._decompressor = zlib.decompressobj(wbits)

    def add(self, chunk: bytes) -> None:
        while chunk:
            self.n_bytes += len(self._decompressor.decompress(chunk, CHUNK))
            check_size(self.n_bytes)
            chunk = self._decompressor.unconsumed_tail


class _Watched:
    """The ``read`` of a response, which comes to an end."""

    def __init__(self, response: Any):
        self._read = response.read1
        self._started = time.monotonic()
        self._n_bytes = 0
        packed = response.headers.get("Content-Encoding") == "gzip"
        self._unpacked = _Unpacked(GZIP) if packed else None

    def __call__(self, size: int | None = None) -> bytes:
        # One that waits for all that was asked for could wait for ever.
        chunk: bytes = self._read(CHUNK if size is None or size < 0 else size)
        self._n_bytes += len(chunk)
        check_size(self._n_bytes)
        if self._unpacked is not None:
            self._unpacked.add(chunk)
        seconds = time.monotonic() - self._started
        if seconds > PATIENCE and self._n_bytes < SLOWEST * seconds:
            raise TimeoutError(f"only {self._n_bytes:,} bytes came in {seconds:.0f} s")
        return chunk


class _Watch(urllib.request.BaseHandler):
    """Sets time-outs and limits where a block has any."""

    def http_request(self, request: Any) -> Any:
        if _limit.get() is not None:
            request.timeout = PATIENCE
        return request

    def http_response(self, request: Any, response: Any) -> Any:
        if _limit.get() is not None and hasattr(response, "read1"):
            response.read = _Watched(response)
        return response

    https_request, https_response = http_request, http_response


_watch = _Watch()


def _watch_requests() -> None:
    """Have the watch among the handlers of this process, beside the user's own."""
    opener = getattr(urllib.request, "_opener", None)
    if opener is None:
        urllib.request.install_opener(urllib.request.build_opener(_watch))
    elif _watch not in opener.handlers:
        opener.add_handler(_watch)
