"""Every program of the documentation runs, and prints what the page says it does."""

import math
import re
import sys
import warnings
from contextlib import suppress

import joblib
import numpy as np
import pytest
from pages import DOCS, program
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.callbacks import Checkpoint

outputs = program("outputs")
MADE = {"api", "architecture", "gallery", "literature", "_build"}
PAGES = sorted(
    path
    for path in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]
    if not MADE & set(path.relative_to(DOCS.parent).parts)
    and "```python" in path.read_text("utf-8")
)
ECOSYSTEM = DOCS / "guide" / "ecosystem.md"
NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")
# By how much numbers may differ on another machine.
RELATIVE, ABSOLUTE = 0.5, 5


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder, where pictures are not shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


def given():
    """What pages take for granted: data, a fitted network and a fitted Pipeline."""
    X, y = load_digits(return_X_y=True)
    X, y = (X[:300] / 16).astype(np.float32), y[:300]
    clf = SparseMLPClassifier((30, 20), epsilon=5, max_iter=3, random_state=0).fit(X, y)
    model = make_pipeline(StandardScaler(), clf).fit(X, y)
    return {"X": X, "y": y, "clf": clf, "model": model, "pipeline": model}


def more(name):
    """What a page imports in other lines, or has from where the tests are not."""
    if name == "persistence.md":
        return {"joblib": joblib}
    if name == "distributed.md":
        X, y = load_digits(return_X_y=True, as_frame=True)
        X.iloc[:100].assign(label=y).to_parquet("samples.parquet")
        return {"X": X.iloc[:100].to_numpy(), "y": y.iloc[:100].to_numpy()}
    if name == "arrays.md":
        return {"np": np, "SparseMLPClassifier": SparseMLPClassifier}
    if name == "reproducibility.md":
        from sklearn.model_selection import GridSearchCV

        return {"Checkpoint": Checkpoint, "GridSearchCV": GridSearchCV}
    return {}


def local(text):
    """A page's programs with a cluster and files of this machine."""
    text = text.replace('Client("tcp://scheduler:8786")', "Client(processes=False)")
    text = text.replace("s3://bucket/samples", "samples.parquet")
    # Enough to see that it runs.
    return text.replace(
        "SparseMLPClassifier(random", "SparseMLPClassifier(max_iter=2, random"
    )


@pytest.fixture
def own_client():
    """No client that a page has made is there for later tests."""
    yield
    if "distributed" in sys.modules:
        with suppress(ValueError):
            sys.modules["distributed"].default_client().close()


@pytest.mark.usefixtures("own_client")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")
def test_programs_run_and_print_what_is_shown(folder, path):
    if path == ECOSYSTEM:
        pytest.skip("each of its programs has a test")
    if path.name == "distributed.md":
        pytest.importorskip("distributed")
        pytest.importorskip("pyarrow")
    if path.name == "persistence.md":
        pytest.importorskip("skl2onnx")
        pytest.importorskip("skops")
    text = local(path.read_text("utf-8"))
    if "set_callbacks" in text:
        pytest.importorskip("sklearn.callback")
    newcomer = outputs.Newcomer(given() | more(path.name))
    checked = 0
    for match in outputs.BLOCK.finditer(text):
        output = outputs.printed(match["program"], newcomer)
        if match["output"]:
            shown = match["output"].strip().removeprefix("```text\n").removesuffix("```")
            assert_alike(output, shown)
            checked += 1
    assert bool(checked) is (path.relative_to(DOCS.parent).as_posix()[5:] in outputs.PAGES)


def assert_alike(output, shown):
    """Equal texts, whose numbers may differ a little."""
    assert NUMBER.sub("#", output).split() == NUMBER.sub("#", shown).split()
    for found, expected in zip(NUMBER.findall(output), NUMBER.findall(shown), strict=True):
        values = [float(text.replace(",", "")) for text in (found, expected)]
        absolute = ABSOLUTE if "." not in expected else 0.05
        assert math.isclose(*values, rel_tol=RELATIVE, abs_tol=absolute), (output, shown)


def test_a_wrong_output_is_noticed():
    assert_alike("0.951 of 3\n", "0.949 of 3")
    for output in ("0.951 for 3", "0.951", "0.4 of 3"):
        with pytest.raises((AssertionError, ValueError)):
            assert_alike(output, "0.951 of 3")


def test_a_program_that_fails_is_noticed():
    with pytest.raises(ZeroDivisionError):
        outputs.printed("for k in (1, 0):\n    1 / k\nprint(k)\n", outputs.Newcomer())
    with pytest.raises(SyntaxError, match="not complete"):
        outputs.printed("print(\n", outputs.Newcomer())


def test_outputs_are_put_below_their_programs():
    page = (
        "a\n\n```python\nx = 2\nx + 1\n```\n\n```text\nold\n```\n\n```python\ny = x\n```\n"
    )
    made = outputs.with_outputs(page, outputs.Newcomer())
    assert made == page.replace("old", "3")


# --- with other packages --------------------------------------------------------------

BLOCKS = [
    match["program"] for match in outputs.BLOCK.finditer(ECOSYSTEM.read_text("utf-8"))
]
PACKAGES = {
    "shap": "shap",
    "optuna": "optuna",
    "mlflow-skinny": "mlflow",
    "imbalanced-learn": "imblearn",
    "mapie": "mapie",
    "skrub": "skrub",
    "dask-ml": "dask_ml",
    "fairlearn": "fairlearn",
}


@pytest.fixture(scope="module")
def shared():
    """What the first program of the page makes."""
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(BLOCKS[0], names)
    return names


def test_every_package_of_the_page_can_be_installed_and_is_tested():
    listed = re.findall(r"^([\w-]+)>=", (DOCS / "ecosystem.txt").read_text("utf-8"), re.M)
    assert listed == list(PACKAGES)
    assert len(BLOCKS) == 1 + len(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES.values())
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("folder")
def test_works_with(shared, package, capsys):
    pytest.importorskip(package)
    (block,) = [b for b in BLOCKS[1:] if re.search(rf"^(import|from) {package}\b", b, re.M)]
    names = dict(shared)
    exec(block, names)
    printed = capsys.readouterr().out
    check = CHECKS[package]
    assert check(names, printed), printed


CHECKS = {
    "shap": lambda names, _: np.allclose(
        names["values"].values.sum(axis=1) + names["values"].base_values,
        names["probability"](names["X_test"].to_numpy()[:2]),
        atol=1e-6,
    ),
    "optuna": lambda names, _: len(names["study"].trials) == 3,
    "mlflow": lambda _, printed: printed.endswith("True\n"),
    "imblearn": lambda names, _: names["sampled"].score(names["X"], names["y"]) > 0.9,
    "mapie": lambda _, printed: float(printed) > 0.85,
    "skrub": lambda _, printed: float(printed) > 0.8,
    "dask_ml": lambda _, printed: printed == "(569,)\n",
    "fairlearn": lambda names, _: names["frame"].by_group.min() > 0.8,
}
