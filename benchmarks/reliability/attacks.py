"""Attacks of many kinds on the package, each in a process of its own.

``python -m benchmarks.reliability.attacks --before FOLDER`` writes
``docs/reliability/attacks.json``: how many attacks of each kind ended as they should, with
this package and with an earlier one, whose sources are in FOLDER. POSIX only.

An attack is a function that uses what is public and asserts what should be; a new one is
enrolled by its decorator.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
# Seconds after which an attack counts as stuck.
LIMIT = 90
ATTACKS: dict[str, list[Callable[[], None]]] = {}
OUTCOMES = ("sound", "wrong", "crashed", "stuck")
PREDICT = """
import os
import numpy as np
from sksparse_mlp import SparseMLPClassifier
X = np.zeros((3, 4))
SparseMLPClassifier.from_arrays(os.environ["NETWORK"]).predict_proba(X)
print("predicted")
"""


def attack(kind: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Enrol a function among the attacks of a kind; its docstring says what is done."""

    def enrol(function: Callable[[], None]) -> Callable[[], None]:
        ATTACKS.setdefault(kind, []).append(function)
        return function

    return enrol


# --- what attacks share ---------------------------------------------------------------


def data(n_features=4, dtype=np.float64):
    rng = np.random.RandomState(0)
    return rng.randn(100, n_features).astype(dtype), rng.randint(0, 3, 100)


def network(**params):
    from sksparse_mlp import SparseMLPClassifier

    small = {"hidden_layer_sizes": (20, 10), "epsilon": 2, "max_iter": 5, "random_state": 0}
    return SparseMLPClassifier(**small | params)


def fitted(**params):
    return network(**params).fit(*data())


@contextmanager
def refused(*errors, says=""):
    """That the block raises one of the errors, with these words."""
    found = None
    try:
        yield
    except errors as error:
        found = error
    assert found is not None, "nothing was refused"
    assert says in str(found), found


class At:
    """A callback that does something at the end of an epoch."""

    def __init__(self, epoch, act):
        self.epoch, self.act = epoch, act

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and context.task_id == self.epoch:
            self.act()


# --- compiled code --------------------------------------------------------------------


def runs(program=PREDICT, *, start=(), n_warnings=(0, 1), **environment):
    """That a program works in a process of its own, with one warning at most."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder) / "network.npz"
        np.savez(path, **fitted().export_arrays())
        run = subprocess.run(
            [*start, sys.executable, "-c", program],
            env=os.environ | {"NETWORK": str(path)} | environment,
            cwd="/",
            capture_output=True,
            text=True,
        )
    assert run.stdout.strip() == "predicted", run.stderr[-500:]
    assert run.stderr.count("Warning:") in n_warnings, run.stderr


def unprivileged():
    drop = "--bounding-set -all --inh-caps -all --ambient-caps -all"
    return ["setpriv", *drop.split()] if os.geteuid() == 0 else []


@contextmanager
def own_package(kind="folder"):
    """The package that is attacked, in a place of its own that cannot be written."""
    import sksparse_mlp

    source = Path(sksparse_mlp.__file__).parent
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chmod(folder, 0o755)
        target = folder / "package" / "sksparse_mlp"
        for path in source.rglob("*.py"):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        place = folder / "package"
        if kind == "archive":
            import shutil

            place = Path(shutil.make_archive(str(folder / "app"), "zip", place))
            place = place.rename(place.with_suffix(".pyz"))
        elif kind == "without sources":
            import compileall

            compileall.compile_dir(target, quiet=1, legacy=True)
            for path in target.rglob("*.py"):
                path.unlink()
        else:
            for path in (target, *target.rglob("*")):
                path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder, str(place)
        for path in (target, *target.rglob("*")):
            path.chmod(0o755)


@attack("compiled code")
def nothing_can_be_written():
    """Package and home cannot be written."""
    with own_package() as (_, place):
        runs(start=unprivileged(), PYTHONPATH=place, HOME="/proc/none", NUMBA_CACHE_DIR="")


@attack("compiled code")
def the_folder_that_is_named_cannot_be_written():
    """NUMBA_CACHE_DIR cannot be written, and nothing else."""
    with own_package() as (folder, place):
        (folder / "kept").mkdir(mode=0o555)
        kept = str(folder / "kept")
        runs(start=unprivileged(), PYTHONPATH=place, HOME="/none", NUMBA_CACHE_DIR=kept)


@attack("compiled code")
def the_disk_is_full():
    """No file may grow beyond some KiB."""
    start = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh"]
    with tempfile.TemporaryDirectory() as kept:
        runs(start=start, NUMBA_CACHE_DIR=kept)


@attack("compiled code")
def an_archive():
    """The package is in an archive, and home cannot be written."""
    with own_package("archive") as (_, place):
        runs(PYTHONPATH=place, HOME="/proc/none", NUMBA_CACHE_DIR="")


@attack("compiled code")
def no_sources():
    """The package has no sources, as in a frozen program."""
    with own_package("without sources") as (_, place):
        runs(PYTHONPATH=place, NUMBA_CACHE_DIR="")


@attack("compiled code")
def links_in_a_circle():
    """NUMBA_CACHE_DIR is a link to itself."""
    with tempfile.TemporaryDirectory() as folder:
        circle = Path(folder) / "circle"
        circle.symlink_to(circle)
        runs(NUMBA_CACHE_DIR=str(circle))


@attack("compiled code")
def removed_while_running():
    """The folder goes between the import and the fit, and a file takes its place."""
    removal = "import shutil; place = os.environ['NUMBA_CACHE_DIR']; shutil.rmtree(place)"
    program = PREDICT.replace("X =", f"{removal}; open(place, 'w').close(); X =")
    with tempfile.TemporaryDirectory() as folder:
        runs(program, NUMBA_CACHE_DIR=str(Path(folder) / "kept"))


def damaged(suffix, damage):
    """That a program works once its files of compiled code have been damaged."""
    with tempfile.TemporaryDirectory() as kept:
        runs(NUMBA_CACHE_DIR=kept)
        paths = sorted(Path(kept).rglob(f"*{suffix}"))
        assert paths
        for path in paths:
            damage(path)
        runs(NUMBA_CACHE_DIR=kept)
        runs(NUMBA_CACHE_DIR=kept, n_warnings=(0,))


@attack("compiled code")
def empty_indices():
    """Index files are empty."""
    damaged(".nbi", lambda path: path.write_bytes(b""))


@attack("compiled code")
def empty_code():
    """Data files are empty."""
    damaged(".nbc", lambda path: path.write_bytes(b""))


@attack("compiled code")
def truncated_indices():
    """Index files are truncated."""
    damaged(".nbi", lambda path: path.write_bytes(path.read_bytes()[:-20]))


@attack("compiled code")
def truncated_code():
    """Data files are truncated."""
    damaged(".nbc", lambda path: path.write_bytes(path.read_bytes()[:-200]))


@attack("compiled code")
def garbage():
    """Index files hold something else."""
    damaged(".nbi", lambda path: path.write_bytes(np.random.default_rng(0).bytes(900)))


@attack("compiled code")
def flipped_bits():
    """Bits of the machine code are flipped."""

    def flip(path):
        content = np.frombuffer(path.read_bytes(), np.uint8).copy()
        places = np.random.default_rng(0).integers(len(content), size=40)
        content[places] ^= 16
        path.write_bytes(content.tobytes())

    damaged(".nbc", flip)


@attack("compiled code")
def exchanged_code():
    """Data files have each other's places."""

    def exchange(path):
        others = sorted(path.parent.glob(path.name.split(".py3")[0] + "*.nbc"))
        path.write_bytes(others[-1].read_bytes())

    damaged(".nbc", exchange)


# --- signals and forks ----------------------------------------------------------------


@contextmanager
def alarm(seconds):
    """Let a handler raise TimeoutError after so long, which may come to nothing."""

    def ring(*args):
        raise TimeoutError

    signal.signal(signal.SIGALRM, ring)
    try:
        with suppress(TimeoutError):
            signal.setitimer(signal.ITIMER_REAL, seconds)
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def assert_alarms_leave_no_damage(use):
    """That what was broken off at any moment works when it is done again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        np.savez(path, **fitted().export_arrays())
        expected = use(path)
        for seconds in np.linspace(0.001, 0.4, 5):
            # Each child has nothing loaded yet.
            code = f"""
                import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
                import attacks, numpy as np, pathlib
                from sksparse_mlp import SparseMLPClassifier
                with attacks.alarm({seconds}):
                    attacks.{use.__name__}(pathlib.Path({str(path)!r}))
                np.save({folder!r} + "/found.npy",
                        attacks.{use.__name__}(pathlib.Path({str(path)!r})))
            """
            subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
            assert np.array_equal(np.load(Path(folder) / "found.npy"), expected)


def loaded_predictions(path):
    from sksparse_mlp import SparseMLPClassifier

    return SparseMLPClassifier.from_arrays(path).predict_proba(data()[0])


def compressed_predictions(path):
    from sksparse_mlp import SparseMLPClassifier

    return SparseMLPClassifier.from_arrays(path).compress().predict_proba(data()[0])


def fitted_predictions(path):
    return fitted().predict_proba(data()[0])


@attack("signals and forks")
def alarms_while_loading():
    """Alarms at five moments of from_arrays and predict_proba."""
    assert_alarms_leave_no_damage(loaded_predictions)


@attack("signals and forks")
def alarms_while_compressing():
    """Alarms at five moments of compress."""
    assert_alarms_leave_no_damage(compressed_predictions)


@attack("signals and forks")
def alarms_while_fitting():
    """Alarms at five moments of a fit that has to load its code."""
    assert_alarms_leave_no_damage(fitted_predictions)


def ends_in_child(work):
    """That work ends well in a forked child, soon."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(40)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0, "the child did not end well"


@attack("signals and forks")
def forks_while_another_thread_compiles():
    """A thread compiles for the first time, and the process forks meanwhile."""
    warnings.simplefilter("ignore", DeprecationWarning)
    os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp()
    import sksparse_mlp  # noqa: F401, so that the import is over

    thread = threading.Thread(target=fitted, daemon=True)
    thread.start()
    for _ in range(4):
        time.sleep(0.3)
        ends_in_child(fitted)
    thread.join()


@attack("signals and forks")
def forks_between_two_epochs():
    """A callback forks, and the child goes on with the fit that has two threads."""
    warnings.simplefilter("ignore", DeprecationWarning)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(256, 400)), np.arange(256) % 3
    wide = {"hidden_layer_sizes": (600, 600), "epsilon": 100, "batch_size": 128}

    def fork():
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            return
        assert os.waitpid(child, 0)[1] == 0, "the child did not end well"

    parent = os.getpid()
    try:
        network(**wide, n_jobs=2).set_callbacks(At(1, fork)).fit(X, y)
    finally:
        if os.getpid() != parent:
            os._exit(0)


# --- files ----------------------------------------------------------------------------


def from_text(name, text):
    """An estimator from arrays of which one was replaced, behind its checksum."""
    import hashlib

    from sksparse_mlp import SparseMLPClassifier

    arrays = fitted().export_arrays()
    arrays[name] = np.frombuffer(text.encode(), np.uint8)
    digest = hashlib.sha256()
    for key in sorted(set(arrays) - {"checksum"}):
        array = np.ascontiguousarray(arrays[key])
        shape = "x".join(map(str, np.shape(arrays[key])))
        digest.update(f"{key}\0{array.dtype.str}\0{shape}\0".encode())
        digest.update(array.tobytes())
    arrays["checksum"] = np.frombuffer(digest.digest(), np.uint8).copy()
    return SparseMLPClassifier.from_arrays(arrays)


@attack("files")
def layers_in_reverse_order():
    """The layers of a deep network come in reverse order."""
    from sksparse_mlp import SparseMLPClassifier

    def seconds(n_layers):
        model = network(hidden_layer_sizes=[4] * n_layers, max_iter=1).fit(*data())
        arrays = dict(reversed(model.export_arrays().items()))
        started = time.perf_counter()
        SparseMLPClassifier.from_arrays(arrays)
        return time.perf_counter() - started

    seconds(10)
    assert seconds(2400) < 7 * seconds(600)


def memory_for(text):
    """Bytes that reading a history takes, as a multiple of its text."""
    import tracemalloc

    fitted()
    tracemalloc.start()
    with suppress(ValueError):
        from_text("history", text)
    return tracemalloc.get_traced_memory()[1] / len(text)


@attack("files")
def many_empty_objects():
    """The history is a list of empty objects."""
    assert memory_for("[" + "{}," * 700_000 + "{}]") < 24


@attack("files")
def many_small_objects():
    """The history is a list of objects with one name."""
    assert memory_for("[" + '{"a":1},' * 400_000 + "{}]") < 24


@attack("files")
def names_that_come_twice():
    """An object of the parameters has a name twice."""
    text = bytes(fitted().export_arrays()["parameters"]).decode()
    with refused(ValueError):
        from_text("parameters", text[:-1] + ', "alpha": 0.5}')


@attack("files")
def a_history_of_words():
    """Records of the history have words where numbers should be."""
    text = bytes(fitted().export_arrays()["history"]).decode()
    with refused(ValueError, says="history"):
        from_text("history", text.replace('"zeta": 0.3', '"zeta": "much"'))


@attack("files")
def a_loss_that_is_not_a_number():
    """A record of the history has NaN as its loss."""
    text = bytes(fitted().export_arrays()["history"]).decode()
    head, _, rest = text.partition('"loss": ')
    with refused(ValueError, says="history"):
        from_text("history", f'{head}"loss": {{"float": "nan"}}{rest[rest.index(",") :]}')


@attack("files")
def a_pipe():
    """The file is a pipe that nobody writes to."""
    from sksparse_mlp import SparseMLPClassifier

    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(Path(folder) / "pipe.npz")
        with refused(ValueError, OSError):
            SparseMLPClassifier.from_arrays(Path(folder) / "pipe.npz")


@attack("files")
def a_device():
    """The file is a device without an end."""
    from sksparse_mlp import SparseMLPClassifier

    with refused(ValueError, OSError):
        SparseMLPClassifier.from_arrays("/dev/zero")


@contextmanager
def run_file():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "run.npz"


def checkpointed(path, *callbacks, **params):
    from sksparse_mlp.callbacks import Checkpoint

    model = network(**params).set_callbacks(Checkpoint(path), *callbacks)
    return model.fit(*data())


@attack("files")
def a_file_of_the_user():
    """A file of the user has a name that is nearly that of a partial one."""
    with run_file() as path:
        mine = path.with_name("run.npz.important.partial")
        mine.write_text("mine")
        checkpointed(path)
        assert mine.exists()


@attack("files")
def a_symbolic_link():
    """The checkpoint's path is a symbolic link."""
    with run_file() as path:
        path.symlink_to(path.with_name("elsewhere.npz"))
        checkpointed(path)
        assert path.is_symlink()


@attack("files")
def a_pipe_as_checkpoint():
    """The checkpoint's path is a pipe, which must stay one."""
    with run_file() as path:
        os.mkfifo(path)
        with suppress(OSError):
            checkpointed(path)
        assert path.is_fifo()


@attack("files")
def another_current_folder():
    """The current folder changes between the checkpoint and the fit."""
    with run_file() as path:
        os.chdir(path.parent)
        from sksparse_mlp.callbacks import Checkpoint

        model = network().set_callbacks(Checkpoint("run.npz"))
        with tempfile.TemporaryDirectory() as elsewhere:
            os.chdir(elsewhere)
            with suppress(OSError):
                model.fit(*data())
            assert os.listdir(elsewhere) == []
            os.chdir(path.parent)
        assert path.exists()


@attack("files")
def another_version():
    """A checkpoint of another version goes on, which must be said."""
    import sksparse_mlp

    with run_file() as path:
        sksparse_mlp.__version__ = "0.0.9"
        with suppress(SystemExit):
            checkpointed(path, At(2, sys.exit))
        sksparse_mlp.__version__ = "9.9.9"
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            checkpointed(path)
        assert any("0.0.9" in str(warning.message) for warning in told)


@attack("files")
def a_search_that_is_killed():
    """A search in two processes is killed, and goes on."""
    with tempfile.TemporaryDirectory() as folder:
        code = f"""
            import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
            import attacks, numpy as np
            from sklearn.model_selection import GridSearchCV
            from sksparse_mlp.callbacks import Checkpoint
            slow = [attacks.At(k, lambda: attacks.time.sleep(0.03)) for k in range(9)]
            model = attacks.network(max_iter=9)
            model.set_callbacks(Checkpoint({folder!r}), *slow)
            grid = {{"zeta": [0.0, 0.3], "alpha": [0.1, 0.2]}}
            search = GridSearchCV(model, grid, cv=2, n_jobs=2, error_score="raise")
            print(search.fit(*attacks.data()).best_score_)
        """
        command = [sys.executable, "-c", textwrap.dedent(code)]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 30
        while len(list(Path(folder).glob("*.npz"))) < 4 and time.monotonic() < deadline:
            if process.poll() is not None:
                break
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert len(list(Path(folder).glob("*.npz"))) >= 4
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        # Its children waited for more work, with its streams open.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        assert len(list(Path(folder).glob("*.npz"))) == 9


# --- silent differences ---------------------------------------------------------------


def refused_by_both(X):
    """That a predictor refuses what the estimator refuses."""
    X = X.astype(np.float32)
    model = network().fit(*data(dtype=np.float32))
    for one in (model, model.predictor()):
        with refused(ValueError):
            one.predict_proba(X)


@attack("silent differences")
def a_predictor_and_large_numbers():
    """A predictor is given numbers for which the outputs overflow."""
    refused_by_both(data()[0] * 1e38)


@attack("silent differences")
def a_predictor_and_nan():
    """A predictor is given NaN."""
    refused_by_both(np.where(data()[0] > 1, np.nan, 0))


@attack("silent differences")
def a_predictor_and_infinity():
    """A predictor is given infinity."""
    refused_by_both(np.where(data()[0] > 1, np.inf, 0))


def difference_in_onnx(model, n_classes):
    import onnxruntime
    import skl2onnx

    from sksparse_mlp.onnx import register_converters

    warnings.simplefilter("ignore")
    register_converters()
    X, y = data(dtype=np.float32)
    y = np.minimum(y, n_classes - 1)
    model.fit(X, y)
    proto = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    _, found = session.run(None, {session.get_inputs()[0].name: X})
    return abs(found - model.predict_proba(X)).max()


@attack("silent differences")
def calibrated_networks_in_onnx():
    """Calibrated networks are converted to ONNX."""
    from sklearn.calibration import CalibratedClassifierCV

    for n_classes in (2, 3):
        model = CalibratedClassifierCV(network(max_iter=40), cv=2)
        assert difference_in_onnx(model, n_classes) < 1e-5


@attack("silent differences")
def stacked_scores_in_onnx():
    """Networks that are stacked by their scores are converted to ONNX."""
    from sklearn.ensemble import StackingClassifier

    for n_classes in (2, 3):
        members = [("a", network(max_iter=40)), ("b", network(random_state=1))]
        model = StackingClassifier(members, cv=2, stack_method="decision_function")
        assert difference_in_onnx(model, n_classes) < 1e-5


@attack("silent differences")
def a_report_that_cannot_be_written():
    """A report has a name that is too long; no work should be done before that is seen."""
    from sksparse_mlp.analysis import report

    model, asked = fitted(), []
    type(model).predict = lambda *args: asked.append(args)
    with run_file() as path, refused(OSError):
        report(model, *data(), path.with_name("x" * 255))
    assert not asked


# --- fits that end by an error --------------------------------------------------------


class StopError(Exception):
    """What a callback raises."""


def stop():
    raise StopError


def assert_old_network_answers(break_off, n_features=3000):
    """That a refit on wider data that is broken off leaves the network as it was."""
    X, _ = data()
    model = fitted()
    before = model.decision_function(X)
    break_off(model, *data(n_features))
    with refused(ValueError):
        model.decision_function(data(n_features)[0])
    assert (model.decision_function(X) == before).all()


@attack("fits that fail")
def a_refit_that_a_callback_ends():
    """A callback raises during a refit on wider data."""

    def refit(model, X, y):
        with refused(StopError):
            model.set_callbacks(At(1, stop)).fit(X, y)

    assert_old_network_answers(refit)


@attack("fits that fail")
def a_refit_that_a_warning_ends():
    """A warning of the package is an error, in a refit on wider data."""

    def refit(model, X, y):
        with refused(UserWarning), warnings.catch_warnings():
            warnings.simplefilter("error")
            model.set_params(epsilon=1000).fit(X, y)

    assert_old_network_answers(refit, n_features=40)


@attack("fits that fail")
def a_refit_that_an_alarm_ends():
    """A signal handler raises during a refit on wider data."""

    def refit(model, X, y):
        with alarm(0.3):
            model.set_params(max_iter=10**6, n_iter_no_change=10**6).fit(X, y)

    assert_old_network_answers(refit)


@attack("fits that fail")
def a_refit_to_other_labels():
    """A callback raises during a refit to other labels."""
    X, y = data()
    model = fitted().set_callbacks(At(1, stop))
    with refused(StopError):
        model.fit(X, y + 10)
    assert set(model.predict(X)) <= {0, 1, 2}


@attack("fits that fail")
def a_first_fit():
    """A callback raises during the first fit; predictions follow."""
    from sklearn.exceptions import NotFittedError

    model = network().set_callbacks(At(1, stop))
    with refused(StopError):
        model.fit(*data())
    with refused(NotFittedError):
        model.predict(data()[0])


@attack("fits that fail")
def an_interrupted_partial_fit():
    """A signal handler raises during partial_fit, and training goes on."""
    import copy

    X, y = data()
    model = network().partial_fit(X, y, classes=[0, 1, 2])
    twin = copy.deepcopy(model)
    with alarm(0.2):
        model.partial_fit(np.tile(X, (50_000, 1)), np.tile(y, 50_000))
    for each in (model, twin):
        each.partial_fit(X, y)
    assert (model.predict_proba(X) == twin.predict_proba(X)).all()


# --- data and attributes that do not fit ----------------------------------------------


def a_malformed_matrix():
    from scipy import sparse

    columns, ends = np.tile([1, 9], 50), np.arange(0, 101)
    return sparse.csr_matrix((np.ones(100), columns, ends), shape=(100, 4))


@attack("sparse data")
def columns_that_do_not_exist_in_fit():
    """A CSR matrix has a column that does not exist, in fit."""
    with refused(ValueError):
        network().fit(a_malformed_matrix(), data()[1])


@attack("sparse data")
def columns_that_do_not_exist_in_predict():
    """A CSR matrix has a column that does not exist, in predict."""
    with refused(ValueError):
        fitted().predict(a_malformed_matrix())


@attack("sparse data")
def rows_that_end_before_they_begin():
    """The row ends of a CSR matrix fall."""
    matrix = a_malformed_matrix()
    matrix.indices[:] = 1
    matrix.indptr[50] = -8
    with refused(ValueError):
        fitted().predict(matrix)


@attack("edited attributes")
def weights_that_read_other_memory():
    """An index in coefs_ points outside."""
    model = fitted()
    model.coefs_[0].indices[0] = 10**6
    for use in (model.predict, lambda X: model.predictor().predict(X)):
        with refused(ValueError, says="coefs_[0]"):
            use(data()[0])


@attack("edited attributes")
def layers_of_another_width():
    """The first matrix of coefs_ has fewer rows than there are features."""
    from scipy import sparse

    model = network().fit(*data(3000))
    model.coefs_[0] = sparse.csr_array(model.coefs_[0][:4])
    with refused(ValueError, says="coefs_[0]"):
        model.decision_function(data(3000)[0])


@attack("edited attributes")
def fewer_classes_than_outputs():
    """A label is taken out of classes_."""
    model = fitted()
    model.classes_ = model.classes_[:2]
    with refused(ValueError, says="classes_"):
        model.predict(data()[0])


# --- sample weights -------------------------------------------------------------------


def digits_score(weight):
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    model = network(hidden_layer_sizes=(64, 32), epsilon=20, max_iter=30)
    return model.fit(X / 16, y, np.full(y.size, weight)).score(X / 16, y)


@attack("sample weights")
def weights_that_sum_to_one():
    """Sample weights sum to one."""
    assert abs(digits_score(1 / 1797) - digits_score(1.0)) < 0.02


@attack("sample weights")
def weights_at_the_ends_of_the_range():
    """Sample weights are of 1e-38 or 1e307."""
    X, y = data()
    for dtype, weight in (("f4", 1e-38), ("f4", 1e38), ("f8", 1e-300), ("f8", 1e307)):
        model = network().fit(X.astype(dtype), y, np.full(100, weight))
        plain = network().fit(X.astype(dtype), y)
        assert (model.predict(X) == plain.predict(X)).all()


@attack("sample weights")
def boosted_networks():
    """AdaBoostClassifier boosts networks."""
    from sklearn.datasets import load_digits
    from sklearn.ensemble import AdaBoostClassifier

    X, y = load_digits(return_X_y=True)
    member = network(hidden_layer_sizes=(64, 32), epsilon=20, max_iter=30)
    model = AdaBoostClassifier(member, n_estimators=2, random_state=0)
    assert model.fit(X / 16, y).score(X / 16, y) > 0.95


# --- arrays that others hold ----------------------------------------------------------


@attack("shared arrays")
def read_only_arrays_go_on():
    """An estimator of read-only arrays goes on training."""
    import pickle

    X, y = data(300)
    model = network(epsilon=100).partial_fit(X, y, classes=[0, 1, 2])
    buffers = []
    text = pickle.dumps(model, 5, buffer_callback=buffers.append)
    copy = pickle.loads(text, buffers=[bytes(buffer.raw()) for buffer in buffers])
    assert copy.partial_fit(X, y).loss_ == model.partial_fit(X, y).loss_


@attack("shared arrays")
def a_shallow_copy_goes_on():
    """A shallow copy trains on, and then the original."""
    import copy

    X, y = data()
    model = network().partial_fit(X, y, classes=[0, 1, 2])
    twin = copy.deepcopy(model)
    copy.copy(model).partial_fit(X, y)
    for each in (model, twin):
        each.partial_fit(X, y)
    assert (model.predict_proba(X) == twin.predict_proba(X)).all()


@attack("shared arrays")
def a_memory_map_is_exported():
    """An estimator of memory maps is exported and made anew."""
    import joblib

    with tempfile.TemporaryDirectory() as folder:
        joblib.dump(fitted(), Path(folder) / "model.joblib")
        model = joblib.load(Path(folder) / "model.joblib", mmap_mode="r")
        copy = type(model).from_arrays(model.export_arrays())
        assert (copy.predict(data()[0]) == model.predict(data()[0])).all()


# --- parameters -----------------------------------------------------------------------


@attack("parameters")
def very_many_epochs():
    """max_iter is a billion, in partial_fit."""
    model = network(max_iter=10**9).partial_fit(*data(), classes=[0, 1, 2])
    assert len(model.history_) == 1


@attack("parameters")
def a_steep_rate():
    """power_t is a thousand."""
    network(learning_rate="invscaling", power_t=1000.0, solver="sgd").fit(*data())


@attack("parameters")
def a_class_as_schedule():
    """zeta_schedule is a class and no instance."""
    from sksparse_mlp.schedules import Cosine

    with refused(ValueError, says="Cosine()"):
        network(zeta_schedule=Cosine).fit(*data())


@attack("parameters")
def epsilon_as_that_of_adam():
    """epsilon is meant as MLPClassifier has it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        network(epsilon=1e-8).fit(*data())
    assert any("adam_epsilon" in str(warning.message) for warning in told)


# --- running them ---------------------------------------------------------------------


def outcome(name: str, package: Path) -> str:
    """How an attack on the package in a folder ends."""
    environment = {"PYTHONPATH": str(package), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, __file__, "--only", name],
        env=os.environ | environment,
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return "stuck"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if process.returncode == 0:
        return "sound"
    print(f"{name} with {package}: {errors.strip()[-300:]}", file=sys.stderr)
    return "crashed" if process.returncode < 0 else "wrong"


def row(kind: str, packages: dict[str, Path]) -> dict[str, object]:
    """The attacks of a kind, and how many ended in each way with each package."""
    names = [function.__name__ for function in ATTACKS[kind]]
    counted: dict[str, object] = {"kind": kind, "attacks": len(names)}
    for when, package in packages.items():
        with ThreadPoolExecutor(2) as pool:
            counts = Counter(pool.map(partial(outcome, package=package), names))
        counted |= {f"{way}, {when}": counts[way] for way in OUTCOMES}
    print(counted, flush=True)
    return counted


def kept_rows() -> dict[str, dict[str, object]]:
    """The rows of the last time, by kind."""
    from benchmarks.reliability import results

    path = results.FOLDER / "attacks.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["figures"] if path.exists() else []
    return {row["kind"]: row for row in rows if row["kind"] in ATTACKS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--before", type=Path, help="folder of an earlier version")
    parser.add_argument("--kind", choices=ATTACKS, help="only these; other rows are kept")
    parser.add_argument("--only", help="the name of an attack to be run here")
    arguments = parser.parse_args()
    functions = {f.__name__: f for kind in ATTACKS.values() for f in kind}
    if arguments.only:
        functions[arguments.only]()
        return
    packages = {"before": arguments.before.resolve()} if arguments.before else {}
    kinds = [arguments.kind] if arguments.kind else list(ATTACKS)
    rows = {kind: row(kind, packages | {"now": ROOT}) for kind in kinds}
    if arguments.before:
        from benchmarks.reliability import results

        known = kept_rows() | rows
        ordered = [known[kind] for kind in ATTACKS if kind in known]
        results.write("attacks", seeds="0 for all", figures=ordered)
    if any(found["sound, now"] != found["attacks"] for found in rows.values()):
        raise SystemExit("Some attacks did not end as they should.")


if __name__ == "__main__":
    main()
