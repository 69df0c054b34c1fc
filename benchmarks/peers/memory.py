"""Memory that a program takes to train, measured in a fresh process.

``python -m benchmarks.peers.memory PEER TASK`` prints the bytes.
"""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.peers.programs import PEERS
from benchmarks.peers.tasks import TASKS, Task

TINY = Task("tiny", (4, 3, 2), 10, 2, 8)
# Batches of an epoch.
N_BATCHES = 10


def of_training(name: str, task: Task) -> int:
    """Bytes by which the peak of a process grows when a program trains."""
    command = [sys.executable, "-m", "benchmarks.peers.memory", name, task.name]
    return int(subprocess.check_output(command, text=True))


def of_samples(task: Task) -> int:
    """Bytes of the samples that the program trains on."""
    return N_BATCHES * task.batch_size * (4 * task.sizes[0] + 8)


def _peak():
    status = Path("/proc/self/status")
    if status.is_file():
        # On Linux the peak of `getrusage` begins at that of the process that started it.
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _train(program, task):
    n = N_BATCHES * task.batch_size
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, task.sizes[0]), dtype=np.float32)
    program(task).train(X, np.arange(n) % task.sizes[-1], n_epochs=1)


def main():
    name, task = sys.argv[1:]
    program = PEERS[name].load()
    _train(program, TINY)
    before = _peak()
    _train(program, TASKS[task])
    print(_peak() - before)


if __name__ == "__main__":
    main()
