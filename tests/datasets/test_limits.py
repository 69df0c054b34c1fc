"""Downloads that are too large, too slow or unpack to too much end before they do harm."""

import gzip
import json
import time
import tracemalloc
import urllib.request
import zlib
from dataclasses import replace

import numpy as np
import pytest
import served
from scipy.sparse import csc_array
from served import Answer

from sksparse_mlp.datasets import _limits, fetch
from sksparse_mlp.datasets._limits import limited
from sksparse_mlp.datasets._openml import OpenML
from sksparse_mlp.datasets._registry import DATA_SETS

MOST = served.tiny("unused").most_bytes
HEAD = b"MATLAB 5.0".ljust(124) + b"\x00\x01IM"


def bomb():
    """A Matlab file with a variable that unpacks to ten times what it should."""
    content = zlib.compress(bytes(10 * MOST), 9)
    return HEAD + np.array([15, len(content)], "<u4").tobytes() + content


TOO_MUCH = {
    "a long file": Answer(served.GOOD + bytes(MOST)),
    "a variable that unpacks to more": Answer(bomb()),
    "a variable behind the others": Answer(served.GOOD + bomb()[len(HEAD) :]),
}


@pytest.fixture
def cache(home, server, register):
    """Where the data set "tiny" would be kept, which the server may have."""
    register("tiny", served.tiny(server.url))
    return home / "sksparse_mlp" / "tiny.npz"


@pytest.fixture
def large(server):
    """The address of 10,000 bytes."""
    server.answers["/large"] = Answer(bytes(10_000))
    return f"{server.url}large"


def assert_refused(match, **options):
    """That the data set is refused before memory for more than its limit is taken."""
    tracemalloc.start()
    with pytest.raises(OSError, match=match):
        fetch("tiny", **options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MOST


@pytest.mark.parametrize("answer", TOO_MUCH.values(), ids=TOO_MUCH)
def test_too_much_is_refused_before_memory_is_taken(answer, cache, server):
    server.answers["/tiny.mat"] = answer
    assert_refused(rf"bytes or more, .* needs at most {MOST:,}")
    assert list(cache.parent.iterdir()) == []


VARIABLES = {
    "cells": np.array([served.X, 1], dtype=object),
    "text": "text",
    "struct": {"a": 1},
    "sparse": csc_array(served.X.astype(float)),
}


@pytest.mark.parametrize("X", VARIABLES.values(), ids=VARIABLES)
def test_variables_that_are_no_arrays_of_numbers_are_refused(X, cache, server):
    server.answers["/tiny.mat"] = Answer(served.mat(X=X, Y=served.Y))
    assert_refused("X is of the kind .*, not an array of numbers")


@pytest.mark.filterwarnings("ignore:Retry downloading")
def test_a_server_that_says_nothing_more(cache, server, monkeypatch):
    monkeypatch.setattr(_limits, "PATIENCE", 0.2)
    server.answers["/tiny.mat"] = Answer(served.GOOD, pause=1.0)
    assert_refused("TimeoutError", n_retries=1, delay=0.01)


@pytest.mark.filterwarnings("ignore:Retry downloading")
def test_a_server_that_says_little_at_a_time(cache, server, monkeypatch):
    def trickle(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(40):
            self.wfile.write(b"x")
            time.sleep(0.02)

    monkeypatch.setattr(served.Handler, "do_GET", trickle)
    monkeypatch.setattr(_limits, "PATIENCE", 0.3)
    assert_refused(r"only \d+ bytes came in", n_retries=1, delay=0.01)


@pytest.mark.filterwarnings("ignore:Invalid cache", "ignore:A network error")
def test_packed_answers_of_openml_are_watched_too(home, server, register, monkeypatch):
    module = "sklearn.datasets._openml"
    for what in ("INFO", "FEATURES", "QUALITIES"):
        monkeypatch.setattr(f"{module}._DATA_{what}", f"{server.url}{what}/{{}}")
    register("tiny", replace(served.tiny("unused"), source=OpenML(7)))
    document = gzip.compress(json.dumps({"a": " " * 10 * MOST}).encode())
    server.answers["/INFO/7"] = Answer(document, encoding="gzip")
    assert_refused("bytes or more", n_retries=1, delay=0.01)


def test_a_cache_that_unpacks_to_more_is_refused_unread(cache):
    cache.parent.mkdir()
    np.savez_compressed(cache, X=np.zeros((10 * MOST, 1), np.uint8), y=served.Y)
    assert_refused(rf"than the {MOST:,} that are allowed", download_if_missing=False)


def test_other_requests_of_the_process_have_no_limit(large):
    with limited(9_000):
        pass
    with urllib.request.urlopen(large) as response:
        assert len(response.read()) == 10_000


def read_all(address):
    with urllib.request.urlopen(address) as response:
        while response.read(1000):
            pass


def test_handlers_of_the_user_stay(large, monkeypatch):
    class Counting(urllib.request.BaseHandler):
        n_requests = 0

        def http_request(self, request):
            Counting.n_requests += 1
            return request

    own = urllib.request.build_opener(Counting())
    monkeypatch.setattr(urllib.request, "_opener", own)
    for _ in range(2):
        with limited(9_000), pytest.raises(ValueError, match="bytes or more"):
            read_all(large)
    assert Counting.n_requests == 2
    assert own.handlers.count(_limits._watch) == 1


def test_real_data_sets_are_within_their_limits():
    for data_set in DATA_SETS.values():
        if data_set.title != "Tiny":
            n_samples = sum(part.n_samples for part in data_set.parts.values())
            size = n_samples * data_set.n_features * np.dtype(data_set.dtype).itemsize
            assert 3 * size < data_set.most_bytes < 50 * size + 2**24
