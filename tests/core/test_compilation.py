"""Compiled code is kept where it can be; whatever happens to it, functions work."""

import importlib.util
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba import config
from numba.core import caching

import sksparse_mlp
from sksparse_mlp.core import compilation

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="compilation is switched off")

# Of random damage; `make nightly` asks for more.
N_CASES = int(os.environ.get("CASES", "20"))
SOURCE = """
from numba import njit
from sksparse_mlp.core.compilation import kept


@kept(njit(nogil=True))
def inner(x):
    return x + 1


@kept(njit(nogil=True))
def doubled(x):
    return 2 * inner(x) - 2
"""
PACKAGE = Path(sksparse_mlp.__file__).parent
# Compiles, and keeps, one function of each of the two modules that have them.
PROGRAM = """
import numpy as np
from sksparse_mlp.core import kernels, spinning
assert kernels.sum_of_squares(np.ones(3)) == 3
assert spinning.count(spinning.new_counters(1), 0) == 0
print("worked")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where compiled code is kept, and nothing was said about it so far."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setattr(compilation, "_troubles", compilation._Troubles())
    (tmp_path / "module.py").write_text(SOURCE)
    return tmp_path / "kept"


def imported(folder):
    """The module of both functions, as a new process would have it."""
    spec = importlib.util.spec_from_file_location("module", folder.parent / "module.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def n_loaded(folder):
    """How often code was loaded by a function that gives what it should."""
    module = imported(folder)
    assert module.doubled(3) == 6
    return sum(module.doubled.stats.cache_hits.values())


def files(folder, suffix):
    found = sorted(folder.rglob(f"*{suffix}"))
    assert found
    return found


def test_code_is_kept(folder):
    assert n_loaded(folder) == 0
    assert n_loaded(folder) == 1
    with (folder.parent / "module.py").open("a") as file:
        file.write("# Another text.\n")
    assert n_loaded(folder) == 0


DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "one bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "garbage": lambda content: np.random.default_rng(0).bytes(500),
    "a pickle that runs code": lambda content: b"cos\n_exit\n(I9\ntR.",
}


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_files_are_written_anew(damage, suffix, folder):
    n_loaded(folder)
    for path in files(folder, suffix):
        path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{folder}.*damaged.*NUMBA_CACHE_DIR") as told:
        assert n_loaded(folder) == 0
    assert len(told) == 1
    assert n_loaded(folder) == 1


@settings(
    max_examples=N_CASES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from([".nbi", ".nbc"]),
    st.integers(0, 10**6),
    st.binary(max_size=9),
    st.data(),
)
def test_no_random_damage_matters(folder, suffix, place, patch, data):
    n_loaded(folder)
    path = data.draw(st.sampled_from(files(folder, suffix)))
    content = path.read_bytes()
    place %= len(content)
    path.write_bytes(content[:place] + patch + content[place + len(patch) // 2 :])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        n_loaded(folder)


def test_code_of_another_function_in_its_place_is_not_run(folder):
    n_loaded(folder)
    one, other = files(folder, ".nbc")
    shutil.copyfile(one, other)
    assert n_loaded(folder) <= 1


def test_files_of_other_versions_of_numba_are_left(folder, monkeypatch):
    n_loaded(folder)
    with monkeypatch.context() as patch:
        patch.setattr(caching.numba, "__version__", "0.0.1")
        assert n_loaded(folder) == 0
    assert n_loaded(folder) == 0
    assert n_loaded(folder) == 1


def remove(folder):
    shutil.rmtree(folder)


def replace_by_file(folder):
    remove(folder)
    folder.write_text("no folder")


def replace_by_loop(folder):
    remove(folder)
    folder.symlink_to(folder)


def replace_files_by_folders(folder):
    for suffix in (".nbi", ".nbc"):
        for path in files(folder, suffix):
            path.unlink()
            path.mkdir()


@pytest.mark.parametrize(
    ("damage", "n_told"),
    [
        (remove, 0),
        (replace_by_file, 1),
        (replace_by_loop, 1),
        (replace_files_by_folders, 1),
    ],
)
def test_the_folder_may_go_while_functions_are_compiled(damage, n_told, folder):
    n_loaded(folder)
    module = imported(folder)
    damage(folder)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert module.doubled(3) == 6
        assert module.doubled(1.5) == 3
    assert len(told) == n_told
    assert all(str(folder) in str(warning.message) for warning in told)


def test_what_is_wrong_with_the_folder_does_not_break_off_a_compilation(folder):
    folder.write_text("no folder")
    (folder.parent / "__pycache__").write_text("no folder")
    module = imported(folder)
    module.inner._cache._cache_path = module.doubled._cache._cache_path = str(folder)
    module.inner._cache._impl.locator._cache_path = str(folder)
    with pytest.raises(UserWarning, match="cannot be kept"):
        # As pytest is set, warnings are errors.
        module.doubled(3)
    assert module.doubled(3) == 6


def test_numba_may_rename_what_is_its_own(folder, monkeypatch):
    monkeypatch.delattr(caching, "IndexDataCacheFile")
    spec = importlib.util.spec_from_file_location("other", compilation.__file__)
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    monkeypatch.setitem(sys.modules, compilation.__name__, other)
    module = imported(folder)
    with pytest.warns(UserWarning, match="Compiled code cannot be kept"):
        assert module.doubled(3) == 6
    assert module.doubled(1.5) == 3
    assert not folder.exists()


def without_rights():
    """How to start a program that permissions count for, also where this one is root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere")
    drop = "--bounding-set -all --inh-caps -all --ambient-caps -all"
    return ["setpriv", *drop.split()]


def package_in(folder, kind):
    """A copy of the package that nobody can write to, as a path that has it."""
    target = folder / "package"
    if kind == "archive":
        with zipfile.ZipFile(folder / "app.pyz", "w") as archive:
            for path in PACKAGE.rglob("*.py"):
                archive.write(path, path.relative_to(PACKAGE.parent))
        return folder / "app.pyz"
    shutil.copytree(
        PACKAGE, target / "sksparse_mlp", ignore=shutil.ignore_patterns("__py*")
    )
    for path in [target, *target.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return target


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
@pytest.mark.parametrize("kind", ["folder", "folder, small files only", "archive"])
def test_the_package_works_where_nothing_can_be_written(kind, tmp_path):
    limit = ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh"] if "small" in kind else []
    home = str(tmp_path) if limit else "/proc/none"
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    run = subprocess.run(
        [*without_rights(), *limit, sys.executable, "-c", PROGRAM],
        env=environment | {"HOME": home, "PYTHONPATH": str(package_in(tmp_path, kind))},
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert run.stdout == "worked\n", run.stderr
    assert run.stderr.count("UserWarning: Compiled code cannot be kept") == 1
    assert run.stderr.count("Warning") == 1
    assert "NUMBA_CACHE_DIR" in run.stderr


DISTURBED = """
import itertools, os, signal, sys, threading, time
import numpy as np
from numba import njit
from sksparse_mlp.core.compilation import kept


def functions():
    def inner(x, y):
        return x * 2 + y[0] if x > 1 else y.sum() + x

    one = kept(njit(nogil=True))(inner)

    def outer(x, y):
        return one(x, y) - 2 * one(x, 1 - y) + np.exp(x * y).sum()

    return kept(njit(nogil=True))(outer), outer
"""
ALARMS = """
class Alarm(Exception): pass
def ring(*args): raise Alarm
signal.signal(signal.SIGALRM, ring)
y, n_alarms = np.arange(3.0), 0
for delay in np.linspace(1e-4, 0.4, 12):
    function, plain = functions()
    try:
        signal.setitimer(signal.ITIMER_REAL, delay)
        function(2.0, y)
        time.sleep(0.4)
    except Alarm:
        n_alarms += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert signal.getsignal(signal.SIGALRM) is ring
    # An alarm before Numba began left nothing, one meanwhile left all.
    for x in (2.0, 3, np.float32(0)):
        assert abs(function(x, y) - plain(x, y)) < 1e-4
assert n_alarms == 12
print("worked")
"""
FORKS = """
def compile_on():
    while True:
        functions()[0](2.0, np.arange(3.0))
function, plain = functions()
function(2.0, np.arange(3.0))
threading.Thread(target=compile_on, daemon=True).start()
for _ in range(8):
    time.sleep(0.07)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        function, plain = functions()
        same = abs(function(3.0, np.arange(3.0)) - plain(3.0, np.arange(3.0))) < 1e-6
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
print("worked", flush=True)
os._exit(0)
"""


@pytest.mark.nightly
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are neither alarms nor forks")
@pytest.mark.parametrize("program", [ALARMS, FORKS], ids=["alarms", "forks"])
def test_nothing_disturbs_a_compilation(program, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(DISTURBED + program)
    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", path],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stdout == "worked\n", run.stderr
