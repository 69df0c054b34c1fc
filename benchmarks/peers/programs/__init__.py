"""Programs that train the same networks, one file each.

Each module has a class ``Program(task, n_threads)`` with a method ``train(X, y,
n_epochs)``, which returns the mean loss of every epoch.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol


class Program(Protocol):
    """A network in training."""

    def train(self, X, y, n_epochs) -> list[float]:
        """Train some epochs and return the mean loss of each."""


@dataclass(frozen=True)
class Peer:
    """A program, its name in the report and whether it is timed in two threads too."""

    title: str
    module: str
    is_threaded: bool

    def load(self) -> type:
        return import_module(f"benchmarks.peers.programs.{self.module}").Program

    def why_missing(self) -> str | None:
        """Why the program cannot run here, None if it can."""
        try:
            self.load()
        except ImportError as error:
            return str(error)
        return None


PEERS = {
    "ours": Peer("this package", "ours", True),
    "torch": Peer("PyTorch dense", "torch_dense", True),
    "torch-mask": Peer("PyTorch masks", "torch_mask", True),
    "torch-csr": Peer("PyTorch CSR", "torch_csr", True),
    "sparseprop": Peer("SparseProp", "sparse_prop", False),
    "scipy": Peer("SciPy SET", "scipy_set", False),
    "sklearn": Peer("MLPClassifier", "scikit", True),
}


def installed() -> dict[str, Peer]:
    """The peers that can run here."""
    return {name: peer for name, peer in PEERS.items() if peer.why_missing() is None}
