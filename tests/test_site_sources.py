"""What the documentation is made from: it covers everything and its start page runs."""

import importlib
import inspect
import pkgutil
import re
from code import InteractiveConsole

import pytest
from pages import DOCS, program
from sklearn.neural_network import MLPClassifier

import sksparse_mlp
from sksparse_mlp import SparseMLPClassifier

PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Newcomer(InteractiveConsole):
    """Someone who pastes lines into Python, and gives up at the first error."""

    def showtraceback(self):
        raise

    def showsyntaxerror(self, *args, **kwargs):
        raise


@pytest.mark.usefixtures("capsys")
def test_five_minute_start_runs_line_by_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    blocks = PROGRAM.findall((DOCS / "start.md").read_text())
    assert len(blocks) > 5
    newcomer = Newcomer()
    for block in blocks:
        for line in block.splitlines():
            incomplete = newcomer.push(line)
        assert not incomplete, block
    assert (
        newcomer.locals["search"].score(
            newcomer.locals["X_test"], newcomer.locals["y_test"]
        )
        > 0.9
    )
    assert (tmp_path / "activity.png").stat().st_size > 1000


def public_classes_and_functions():
    """Those in the ``__all__`` of every module that is public."""
    for found in pkgutil.walk_packages(sksparse_mlp.__path__, "sksparse_mlp."):
        if not re.search(r"\._|\.core\b", found.name):
            module = importlib.import_module(found.name)
            yield from (
                (found.name, name)
                for name in getattr(module, "__all__", ())
                if inspect.isclass(vars(module)[name])
                or inspect.isroutine(vars(module)[name])
            )
    yield from (("sksparse_mlp", name) for name in sksparse_mlp.__all__ if name[0] != "_")


def entries(page):
    """Module and name of all that the reference lists."""
    module, listed = None, set()
    for line in page.splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split()[-1]
        elif re.fullmatch(r"   \w+", line):
            listed.add((module, line.strip()))
    return listed


def test_reference_lists_every_public_class_and_function():
    assert set(public_classes_and_functions()) <= entries(program("api").page())


@pytest.mark.parametrize(
    "family", ["activations", "schedules", "initializers", "losses", "topology"]
)
def test_reference_names_every_registered_class(family):
    page = program("api").page()
    module = importlib.import_module(f"sksparse_mlp.{family}")
    registries = [value for name, value in vars(module).items() if name.isupper()]
    members = [
        item for value in registries if isinstance(value, dict) for item in value.items()
    ]
    assert members
    for name, cls in members:
        assert f"``{name!r}``: :class:`{cls.__name__}`" in page


def test_table_has_every_parameter_of_both_classes():
    comparison = program("mlpclassifier")
    parameters = {
        f"`{name}`"
        for cls in (MLPClassifier, SparseMLPClassifier)
        for name in inspect.signature(cls).parameters
    }
    rows = comparison.rows()
    assert {row[0] for row in rows} == parameters
    assert {f"`{name}`" for name in comparison.REMARKS} == parameters
    assert all(all(row) for row in rows)


def test_table_says_where_defaults_differ():
    rows = {row[0]: row[1:3] for row in program("mlpclassifier").rows()}
    assert rows["`alpha`"] == ["`0.0001`", f"`{SparseMLPClassifier().alpha}`"]
    assert rows["`zeta`"][0] == rows["`max_fun`"][1] == "-"


def test_every_page_of_results_is_taken_over(tmp_path):
    literature = program("literature")
    literature.write(tmp_path / "literature")
    names = {
        path.name for path in literature.RESULTS.iterdir() if path.suffix in {".md", ".png"}
    }
    assert {path.name for path in (tmp_path / "literature").iterdir()} == names
    assert (
        "](/literature/selection.md)"
        in (tmp_path / "literature/recommended.md").read_text()
    )
