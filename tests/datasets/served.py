"""Small data sets and what a web server answers when asked for them."""

import io
import time
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from threading import Barrier

import numpy as np
from scipy.io import savemat

from sksparse_mlp.datasets import fetch
from sksparse_mlp.datasets._registry import DATA_SETS, DataSet, Part
from sksparse_mlp.datasets._samples import fingerprint
from sksparse_mlp.datasets._scikit_feature import ScikitFeature

X = np.random.default_rng(0).integers(0, 256, (12, 5)).astype(np.uint8)
Y = np.tile([1, 2, 3], 4)


@dataclass
class Answer:
    """The body of a response; it may be encoded, announced longer, slow or delayed."""

    body: bytes
    encoding: str = "identity"
    missing_bytes: int = 0
    pause: float = 0.0
    together: Barrier | None = None


class Handler(BaseHTTPRequestHandler):
    """Answers from the dict ``answers`` of its server, or 404."""

    def do_GET(self):
        self.server.requested.append(self.path)
        answer = self.server.answers.get(self.path)
        if answer is None:
            self.send_error(404)
            return
        if answer.together:
            answer.together.wait(timeout=60)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer.body) + answer.missing_bytes))
        self.send_header("Content-Encoding", answer.encoding)
        self.end_headers()
        middle = len(answer.body) // 2
        self.wfile.write(answer.body[:middle])
        time.sleep(answer.pause)
        self.wfile.write(answer.body[middle:])

    def log_message(self, *args):
        pass


def mat(**arrays):
    """The bytes of a Matlab file."""
    file = io.BytesIO()
    savemat(file, arrays, do_compression=True)
    return file.getvalue()


GOOD = mat(X=X.astype(float), Y=Y[:, None].astype(float))


def tiny(folder, parts=("all",)):
    """A data set that a server has as tiny.mat in a folder, in equal parts."""
    samples = zip(np.split(X, len(parts)), np.split(Y, len(parts)), strict=True)
    return DataSet(
        title="Tiny",
        about="Numbers",
        source=ScikitFeature("tiny.mat", folder),
        feature="value",
        n_features=5,
        dtype="uint8",
        classes={1: "a", 2: "b", 3: "c"},
        parts={
            part: Part(len(y), fingerprint(x, y))
            for part, (x, y) in zip(parts, samples, strict=True)
        },
    )


def unfingerprinted(data_set, class_counts):
    """The same data set, of which only the samples per class are known."""
    parts = {
        name: Part(part.n_samples, class_counts=class_counts)
        for name, part in data_set.parts.items()
    }
    return replace(data_set, parts=parts)


def fetch_tiny(folder, data_home):
    """What another process does."""
    DATA_SETS["tiny"] = tiny(folder)
    return fetch("tiny", data_home=data_home, return_X_y=True)
