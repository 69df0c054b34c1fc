"""Neither import nor training talks to anybody."""

import subprocess
import sys

CODE = """
import socket, sys

def refuse(*args, **kwargs):
    raise AssertionError(f"network: {args}")

for name in ("connect", "connect_ex", "sendto", "bind"):
    setattr(socket.socket, name, refuse)
socket.create_connection = socket.getaddrinfo = refuse
try:
    socket.socket().connect(("localhost", 9))
except AssertionError:
    print("blocked")

import numpy as np
import sksparse_mlp.analysis
from sksparse_mlp import SparseMLPClassifier

X, y = np.random.default_rng(0).random((40, 5)), np.arange(40) % 3
model = SparseMLPClassifier((4,), max_iter=2, n_jobs=2, growth="liset").fit(X, y)
model.partial_fit(X, y).predictor().predict_proba(X)
model.compress().predict(X)
print("fitted")
"""


def test_neither_import_nor_fit_opens_a_connection():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.stdout.split() == ["blocked", "fitted"], run.stderr
