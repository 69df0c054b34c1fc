"""The program that reproduces tables: what is finished is kept, and not mixed."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config

from benchmarks.literature import __main__ as program
from benchmarks.literature import (
    chouliaras,
    densities,
    explosions,
    nodes,
    pretorius,
    slope_signs,
    zhang,
)
from benchmarks.literature.comparison import beside, standard_error, with_error
from benchmarks.literature.runs import Runs, finished_runs
from benchmarks.samples import with_moved_copies

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "literature"


def squared(x, log):
    """A run that says that it was done."""
    with open(log, "a") as done:
        done.write(f"{x}\n")
    if x < 0:
        raise ArithmeticError("negative")
    return {"square": x * x}


@pytest.fixture
def log(tmp_path):
    return str(tmp_path / "log")


def grid(log, *values):
    return [{"x": x, "log": log} for x in values]


def n_done(log):
    return len(Path(log).read_text().split())


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_results_come_in_the_order_of_the_settings_and_are_kept(tmp_path, log, n_jobs):
    wanted = [{"square": 9}, {"square": 1}, {"square": 9}]
    with parallel_config(n_jobs=n_jobs):
        assert Runs("t", folder=tmp_path).map(squared, grid(log, 3, 1, 3)) == wanted
    assert Runs("t", folder=tmp_path).map(squared, grid(log, 3, 1, 3)) == wanted
    assert n_done(log) == 2
    assert Runs("t", folder=tmp_path)(squared, x=2, log=log) == {"square": 4}


def test_runs_say_by_what_they_were_made(tmp_path, log):
    Runs("t", folder=tmp_path)(squared, x=1, log=log)
    [run] = finished_runs(tmp_path / "t.json")
    assert run["settings"] == {"run": "squared", "x": 1, "log": log}
    assert run["made"].keys() == {"version", "machine", "date"}
    assert run["seconds"] >= 0


def test_a_failing_run_loses_none_before_it(tmp_path, log):
    with pytest.raises(ArithmeticError):
        Runs("t", folder=tmp_path).map(squared, grid(log, 1, 2, -1))
    assert len(finished_runs(tmp_path / "t.json")) == 2
    Runs("t", folder=tmp_path).map(squared, grid(log, 1, 2, 3))
    assert n_done(log) == 4


KILLED = """
import time
from pathlib import Path
from benchmarks.literature.runs import Runs

def slow(x):
    time.sleep(60 * (x == 2))
    return {"x": x}

Runs("t", folder=Path(FOLDER)).map(slow, [{"x": x} for x in range(3)])
"""


def test_a_killed_program_continues_where_it_was(tmp_path):
    code = KILLED.replace("FOLDER", repr(str(tmp_path)))
    program = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    path = tmp_path / "t.json"
    deadline = time.monotonic() + 60
    while len(finished_runs(path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    program.send_signal(signal.SIGKILL)
    program.wait()
    assert [run["result"]["x"] for run in finished_runs(path)] == [0, 1]


def test_results_of_another_version_are_not_mixed_in_silently(tmp_path, log):
    Runs("t", folder=tmp_path)(squared, x=1, log=log)
    path = tmp_path / "t.json"
    text = json.loads(path.read_text())
    text["runs"][0]["made"]["version"] = "0.0.1"
    path.write_text(json.dumps(text))
    with pytest.raises(ValueError, match=r"0\.0\.1.*--results.*--other-versions"):
        Runs("t", folder=tmp_path)
    taken = Runs("t", folder=tmp_path, other_versions=True)
    assert taken(squared, x=1, log=log) == {"square": 1}
    assert n_done(log) == 1


def test_the_report_forgets_what_nobody_asked_for(tmp_path, log):
    Runs("t", folder=tmp_path).map(squared, grid(log, 1, 2))
    runs = Runs("t", folder=tmp_path)
    runs.map(squared, grid(log, 2))
    runs.finish("Title", "text")
    assert [run["settings"]["x"] for run in finished_runs(tmp_path / "t.json")] == [2]
    report = (tmp_path / "t.md").read_text()
    assert report.startswith("# Title\n")
    assert "python -m benchmarks.literature t`" in report


def test_quick_runs_stay_apart(tmp_path, log):
    Runs("t", folder=tmp_path)(squared, x=1, log=log)
    quick = Runs("t", folder=tmp_path, quick=True)
    quick(squared, x=1, log=log)
    assert n_done(log) == 2
    assert quick.epochs(500) < 500
    assert quick.some([1, 2, 3]) == [1]
    full = Runs("t", folder=tmp_path)
    assert full.epochs(500) == 500
    assert full.some([1, 2, 3]) == [1, 2, 3]


def test_figures_agree_within_two_standard_errors_of_the_difference():
    values = [1.0, 2.0, 3.0]
    error = np.std(values, ddof=1) / np.sqrt(3)
    assert standard_error(values) == pytest.approx(error)
    limit = 2 * np.sqrt(2) * error
    assert beside(2 + 0.99 * limit, values)["within two"] == "yes"
    assert beside(2 - 1.01 * limit, values)["within two"] == "no"
    assert beside(2.0, [1.0])["within two"] == "-"


def test_means_come_with_their_error_where_there_is_one():
    assert with_error([1.0, 2.0, 3.0]) == "2.00 ± 0.58"
    assert with_error([1.25], digits=1) == "1.2"


@pytest.mark.parametrize("kind", pretorius.KINDS.values(), ids=pretorius.KINDS)
@pytest.mark.parametrize("first", [True, False])
def test_biases_are_in_the_first_layer_only_if_wanted(first, kind):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)).astype(np.float32), np.arange(60) % 3
    model = pretorius.network((6, 6), kind, 0.01, 0, n_epochs=3)
    pretorius.fitted(model, X, y, first_biases=first)
    assert np.all(model.intercepts_[0] != 0)
    assert all(np.any(bias) != first for bias in model.intercepts_[1:])


def test_runs_that_are_cut_short_explode_also_if_all_are():
    cut, whole = {"accuracy": [60.0, 61.0]}, {"accuracy": [60.0, 61.0, 62.0]}
    assert densities.explodes([cut, cut], n_epochs=3) == "2 of 2"
    assert densities.explodes([cut, whole], n_epochs=3) == "1 of 2"
    assert densities.explodes([whole, whole], n_epochs=3) == "0 of 2"


def test_explosions_of_leaky_relu_alone_are_told_from_others():
    cut, whole = [{"accuracy": [60.0]}], [{"accuracy": [60.0, 61.0]}]
    one, other, *_ = explosions.PROTOCOLS
    leaky, all_relu = ((explosions.DENSE, name) for name in ("LeakyReLU", "AllReLU"))
    found = {(one, *leaky): cut, (one, *all_relu): whole}
    found |= {(other, *leaky): cut, (other, *all_relu): cut}
    assert explosions.alone(2, found) == {one: [1]}


def test_signs_of_gradients_follow_from_the_slopes():
    gradients = np.random.default_rng(0).normal(size=(50, 3))
    slopes, velocity = [np.zeros(3)], np.zeros(3)
    for gradient in gradients:
        velocity = 0.9 * velocity - 0.01 * gradient
        slopes.append(slopes[-1] + velocity)
    found = slope_signs.raised(np.array(slopes), 0.9)
    assert found == pytest.approx(np.mean(gradients < 0, axis=0))


def test_a_flow_is_kept_as_a_short_curve_with_its_ends():
    flow = [3.0, *range(1, 25)]
    kept = zhang.summarised(flow)
    assert (kept["largest"], kept["last"]) == (24, 24)
    assert kept["curve"] == pytest.approx([4.8, 14.5, 22.0])


def run_program(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["literature", *arguments])
    program.main()


def test_an_unknown_table_lists_the_known_ones(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_program(monkeypatch, "nonsense")
    message = capsys.readouterr().err
    assert all(name in message for name in program.TABLES)


def test_without_a_table_all_are_listed(monkeypatch, capsys, tmp_path):
    run_program(monkeypatch, "--results", str(tmp_path))
    listed = capsys.readouterr().out
    assert all(f"| {name} |" in listed for name in program.TABLES)


def test_missing_data_are_said_before_any_work(monkeypatch, tmp_path):
    def missing(name):
        raise FileNotFoundError(f"put {name}.npz there")

    monkeypatch.setattr(program, "fetch", missing)
    with pytest.raises(FileNotFoundError, match=r"put madelon\.npz there"):
        run_program(monkeypatch, "madelon", "--results", str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_every_table_has_its_module():
    with_run = {
        path.stem for path in FOLDER.glob("*.py") if "\ndef run(runs)" in path.read_text()
    }
    assert with_run == set(program.TABLES)
    assert all(
        hasattr(import_module(f"benchmarks.literature.{t}"), "run") for t in with_run
    )


def test_committed_results_are_of_known_tables():
    files = {path.stem for path in (FOLDER / "results").glob("*.json")}
    assert files - {"sparse_outputs"} <= set(program.TABLES)


# Parameters whose defaults have changed, or may.
PINNED = {"alpha", "batch_size", "dropout", "epsilon", "learning_rate", "max_iter", "zeta"}


@pytest.mark.parametrize("table", ["madelon", "fashion", "cifar", "densities", "liset"])
def test_committed_runs_do_not_depend_on_defaults(table):
    runs = finished_runs(FOLDER / "results" / f"{table}.json")
    asked = [run["settings"] | run["settings"]["network"] for run in runs]
    assert not [PINNED - own.keys() for own in asked if PINNED - own.keys()]


@pytest.mark.parametrize(
    "shared", [chouliaras.SHARED, nodes.FULL], ids=["chouliaras", "pretorius"]
)
def test_protocols_do_not_depend_on_defaults(shared):
    sizes = {"batch_size", "max_iter"}
    assert shared.keys() >= PINNED - sizes


ON_DASK = """
import sys
from distributed import LocalCluster
from benchmarks.literature.__main__ import main

if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        sys.argv = ["literature", "sparsity", "--dask", cluster.scheduler_address]
        sys.argv += ["--results", FOLDER]
        main()
"""


def test_a_table_runs_on_a_dask_cluster(tmp_path):
    pytest.importorskip("distributed")
    script = tmp_path / "on_dask.py"
    script.write_text(ON_DASK.replace("FOLDER", repr(str(tmp_path))))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, script]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300, env=environment)
    assert len(finished_runs(tmp_path / "sparsity.json")) == 4
    assert "| 95.50 | 95.50 | 95.50 |" in (tmp_path / "sparsity.md").read_text()


def test_copies_are_mirrored_and_moved_by_a_pixel_at_most():
    X, y = np.arange(1.0, 51.0).reshape(2, 25), np.array([0, 1])
    copies, labels = with_moved_copies(X, y, n_copies=400, seed=0)
    assert np.array_equal(copies[:2], X)
    assert np.array_equal(labels, np.tile(y, 400))
    for image, label in zip(copies, labels, strict=True):
        # The middle of the original is in every copy.
        middle = X[label].reshape(5, 5)[1:4, 1:4]
        views = np.lib.stride_tricks.sliding_window_view(image.reshape(5, 5), (3, 3))
        found = [(views == part).all((2, 3)).any() for part in (middle, middle[:, ::-1])]
        assert sum(found) == 1
    # Three places each way, mirrored or not, of both.
    assert len(np.unique(copies, axis=0)) == 2 * 18


# --- what of a document is done, and what is said of the rest --------------------------


def cells(log):
    return {"a": grid(log, 1, 2), "b": grid(log, 3)}


def test_cells_do_the_first_of_each_first(tmp_path, log):
    found = Runs("t", folder=tmp_path).cells(squared, cells(log))
    assert found == {"a": [{"square": 1}, {"square": 4}], "b": [{"square": 9}]}
    assert Path(log).read_text().split() == ["1", "3", "2"]


def test_seeds_of_a_cell_are_runs_of_its_settings(tmp_path):
    def run(x, seed):
        return {"sum": x + seed}

    found = Runs("t", folder=tmp_path).by_seed(run, {"a": {"x": 1}, "b": {"x": 5}}, (0, 1))
    assert found == {"a": [{"sum": 1}, {"sum": 2}], "b": [{"sum": 5}, {"sum": 6}]}


def test_only_finished_runs_are_reported_and_counted(tmp_path, log):
    Runs("t", folder=tmp_path).map(squared, grid(log, 2))
    runs = Runs("t", folder=tmp_path, only_finished=True)
    assert runs.cells(squared, cells(log)) == {"a": [{"square": 4}]}
    runs.finish("Title", "text")
    assert n_done(log) == 1
    assert "wanted, and finished here | 3 | 1 |" in (tmp_path / "t.md").read_text()
    with pytest.raises(ValueError, match=r"1 of 2 runs of squared.*--only-finished"):
        runs.map(squared, grid(log, 2, 3))


@pytest.mark.parametrize("full", [False, True])
def test_a_report_says_where_it_is_not_the_documents(tmp_path, full):
    runs = Runs("t", folder=tmp_path, full=full)
    assert runs.reduced("epochs", document=500, here=40) == (500 if full else 40)
    assert runs.reduced("seeds", document=3, here=3) == 3
    runs.finish("Title", "text")
    report = (tmp_path / "t.md").read_text()
    assert ("| epochs | 500 | 40 |" in report) != full
    assert ("`--full`" in report.partition("## ")[2]) != full
    assert "seeds |" not in report
    assert ("Where this is not" in report) != full


def test_other_deviations_are_said_with_full_too(tmp_path):
    runs = Runs("t", folder=tmp_path, full=True)
    runs.deviates("rate", document=0.01, here=0.001)
    runs.finish("Title", "text")
    assert "| rate | 0.01 | 0.001 |" in (tmp_path / "t.md").read_text()


def test_finished_runs_need_no_data(monkeypatch, tmp_path):
    monkeypatch.setattr(program, "fetch", lambda name: 1 / 0)
    run_program(monkeypatch, "densities", "--only-finished", "--results", str(tmp_path))
    assert "finished here | 50 | 0 |" in (tmp_path / "densities.md").read_text()


def test_the_summary_is_that_of_the_committed_results(monkeypatch, tmp_path):
    run_program(monkeypatch, "summary", "--results", str(tmp_path))
    made = (tmp_path / "summary.md").read_text()
    assert made == (FOLDER / "results" / "summary.md").read_text()
    assert made.count("\n## ") == 5
