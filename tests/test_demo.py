"""The demo says what is true: its figures are those of the networks that it names."""

import importlib.util
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss

from sksparse_mlp.core.compiling import CompileTimer

pytest.importorskip("rich")
pytest.importorskip("sklearn.callback")
PROGRAM = Path(__file__).parents[1] / "examples" / "demo.py"
NAME = "breast cancer"


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """The module, with networks of few epochs, and its picture in a folder of the test."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("demo", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for network in module.NETWORKS.values():
        network["max_iter"] = 3
    return module


@pytest.fixture
def parts(demo):
    name, parts = next(demo.data_sets())
    assert name == NAME
    return parts


def test_figures_are_those_of_the_networks(demo, parts):
    demo.prepare()
    with CompileTimer() as timer:
        results = demo.compare(NAME, *parts)
    assert timer.seconds == 0
    X_train, X_test = demo.scaled(*parts[:2])
    X, X_val, y, y_val = demo.train_test_split(
        X_train, parts[2], test_size=0.2, stratify=parts[2], random_state=0
    )
    for kind, model in demo.networks(NAME).items():
        demo.timed_fit(model, X, y)
        found = results[kind]
        assert found["accuracy"] == model.score(X_test, parts[3])
        assert found["log-loss"] == log_loss(parts[3], model.predict_proba(X_test))
        assert found["bytes"] == pytest.approx(len(pickle.dumps(model)), rel=0.01)
        assert found["epochs"] == len(found["losses"]) == 3
        # The curve is of the network of the table: its end is that network's loss. Epochs
        # of `partial_fit` shuffle the samples otherwise than those of the dense `fit`.
        last = log_loss(y_val, model.predict_proba(X_val))
        tolerance = 1e-5 if kind == "sparse" else 0.05
        assert found["losses"][-1] == pytest.approx(last, rel=tolerance)
    n_connections = [results[kind]["connections"] for kind in ("sparse", "dense")]
    assert n_connections == [3478, 30 * 256 + 256 * 128 + 128]


def test_table_and_picture_show_them(demo, parts, capsys):
    rows = {NAME: demo.compare(NAME, *parts)}
    rows[NAME]["dense"] |= {"bytes": 8e5, "seconds": 3.0}
    rows[NAME]["sparse"] |= {"bytes": 2e5, "seconds": 1.5}
    demo.CONSOLE.print(demo.table(rows))
    text = capsys.readouterr().out
    assert "…" not in text
    for kind in ("sparse", "dense"):
        (line,) = [
            line for line in text.splitlines() if f" {kind} " in line and "/" not in line
        ]
        cells = [cell.strip() for cell in line.split("│")[3:-1]]
        found = rows[NAME][kind]
        assert cells == [
            f"{found['accuracy']:.3f}", f"{found['log-loss']:.3f}",
            f"{found['connections']:,}", f"{found['bytes'] / 1e3:.0f} kB",
            f"{found['seconds'] / 3:.4f}", f"{found['seconds']:.2f}",
        ]  # fmt: skip
    (ratios,) = [line for line in text.splitlines() if "dense / sparse" in line]
    assert re.findall(r"[\d.]+", ratios) == ["11.7", "4.0", "2.0"]
    demo.learning_curves(rows)
    assert demo.PICTURE.stat().st_size > 10_000


def test_it_says_what_was_compiled(demo, parts, monkeypatch, capsys):
    monkeypatch.setattr(demo, "data_sets", lambda: [(NAME, parts)])
    for seconds, text in ((0.0, "kernels: done before."), (2.5, "kernels: 2.5 s, once")):
        monkeypatch.setattr(demo, "warm_up", lambda seconds=seconds: seconds)
        demo.main()
        assert text in capsys.readouterr().out


def test_losses_of_the_dense_network_fall(demo, parts):
    losses = demo.compare(NAME, *parts)["dense"]["losses"]
    assert np.all(np.diff(losses) < 0)
