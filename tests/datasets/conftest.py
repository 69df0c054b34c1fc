"""No data of the user, no network but this computer, and data sets served from here."""

import os
import socket
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import served

from sksparse_mlp.datasets._fetch import FOLDER_VARIABLE
from sksparse_mlp.datasets._registry import DATA_SETS

REAL_FOLDER = os.environ.get(FOLDER_VARIABLE)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty data home; no other data can be found, and no other host."""
    found = socket.getaddrinfo

    def here(host, *args, **kwargs):
        if host != "127.0.0.1":
            raise socket.gaierror("no network in tests")
        return found(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def server():
    """A web server on this computer, which gives the ``answers`` it is told."""
    with ThreadingHTTPServer(("127.0.0.1", 0), served.Handler) as server:
        server.answers, server.requested = {}, []
        server.url = f"http://127.0.0.1:{server.server_port}/"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def register(monkeypatch):
    """Add a data set to the registry, by name."""

    def add(name, data_set):
        monkeypatch.setitem(DATA_SETS, name, data_set)

    return add


@pytest.fixture
def real_samples():
    """Load samples and labels of a part of a data set in the user's folder, or skip."""

    def load(name, part="all"):
        path = Path(REAL_FOLDER or "") / f"{name}.npz"
        if not (REAL_FOLDER and path.exists()):
            pytest.skip(f"{FOLDER_VARIABLE} names no folder with {path.name}")
        with np.load(path) as arrays:
            return tuple(arrays[array] for array in DATA_SETS[name].array_names(part))

    return load
