"""Epochs beside those of the release 0.1.0, without the largest vectors."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from statistics import median

from benchmarks.peers.report import Section, kept
from benchmarks.peers.tasks import TASKS
from benchmarks.peers.timing import Comparison, spread

# The last commit of 0.1.0.
RELEASE = "89de1d99130258b72b9ee110538d500d03484396"
AVX2 = {"NUMBA_CPU_NAME": "haswell"}
OLD, NEW, WANTED = "0.1.0", "this version", 1.4
# CPU seconds of an epoch of each network; argv is the package's folder.
EPOCHS = """
import json, sys, time, warnings
sys.path.insert(0, sys.argv[1])
import sksparse_mlp
assert sksparse_mlp.__file__.startswith(sys.argv[1]), sksparse_mlp.__file__
from benchmarks.peers.programs import ours
from benchmarks.peers.tasks import TASKS

warnings.simplefilter("ignore")

def seconds_of_fit(program, X, y, n_epochs):
    started = time.process_time()
    program.train(X, y, n_epochs)
    return time.process_time() - started

seconds = {}
for task in TASKS.values():
    X, y = task.samples()
    program = ours.Program(task)
    program.train(X[:300], y[:300], 1)
    once, more = (seconds_of_fit(program, X, y, n) for n in (1, 1 + task.n_epochs))
    seconds[task.name] = (more - once) / task.n_epochs
print(json.dumps(seconds))
"""
TEXT = """CPU seconds of an epoch in processes of their own, one thread, with the code of
the release 0.1.0 (commit {release:.7}) and with this version, in turn. Both compile for
`NUMBA_CPU_NAME=haswell`: AVX2, vectors of 256 bits, as most processors have them."""


def measure(options) -> Section:
    section = Section("Beside release 0.1.0", [TEXT.format(release=RELEASE)])
    with tempfile.TemporaryDirectory() as folder:
        folders = {OLD: _unpacked(Path(folder)), NEW: Path.cwd()}
        section.measured = _seconds(folders, folder, options.repeats)
    results = {
        task: Comparison({v: s[task.name] for v, s in section.measured.items()})
        for task in TASKS.values()
    }
    section.add_table([_row(task, result) for task, result in results.items()])
    for task, result in results.items():
        ratios = result.ratios(OLD, NEW)
        title = f"epoch of {task}, AVX2 only, times faster than 0.1.0"
        met = median(ratios) >= WANTED
        section.add_target(title, f"at least {WANTED}", spread(ratios), met=met)
    return section


def _unpacked(folder: Path) -> Path:
    """The package as it was released, from the history of this repository."""
    command = ["git", "archive", RELEASE, "sksparse_mlp"]
    with tarfile.open(fileobj=BytesIO(subprocess.check_output(command))) as archive:
        archive.extractall(folder / "old", filter="data")
    return folder / "old"


def _seconds(folders, cache, repeats):
    """Seconds by version and network, one entry per repeat."""
    found = {version: {task: [] for task in TASKS} for version in folders}
    for repeat in range(repeats):
        for version, folder in list(folders.items())[:: -1 if repeat % 2 else 1]:
            name = f"releases-{version}-{repeat}".replace(" ", "-")
            environment = os.environ | AVX2 | {"NUMBA_CACHE_DIR": f"{cache}/{version}"}
            seconds = kept(name, lambda f=folder, e=environment: _run(f, e))
            for task, value in seconds.items():
                found[version][task].append(value)
    return found


def _run(folder, environment):
    command = [sys.executable, "-c", EPOCHS, str(folder)]
    output = subprocess.check_output(command, env=environment, text=True)
    return json.loads(output.splitlines()[-1])


def _row(task, result):
    times = {f"{name}, ms": f"{1e3 * result.median(name):.1f}" for name in (OLD, NEW)}
    return (
        {"network": str(task)} | times | {"times faster": spread(result.ratios(OLD, NEW))}
    )
