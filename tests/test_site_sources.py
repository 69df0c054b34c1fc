"""What the documentation is made from: it covers everything, and says what is true."""

import importlib
import inspect
import pkgutil
import re
import warnings

import numpy as np
import pytest
from pages import DOCS, program
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import sksparse_mlp
from sksparse_mlp import SparseMLPClassifier


def test_recipes_are_calls_that_can_be_pasted():
    literature = program("literature")
    page = literature.page((literature.RESULTS / "recommended.md").read_text("utf-8"))
    imports, *calls = program("outputs").BLOCK.findall(page)
    names = {}
    exec(imports[0], names)
    networks = [eval(call[0], names) for call in calls]
    assert len(networks) > 8
    assert all(isinstance(network, SparseMLPClassifier) for network in networks)
    for network in networks:
        assert network._validate_params() is None
    assert networks[0].n_features_to_select == 20


def test_words_of_the_tables_are_explained():
    glossary = (DOCS / "guide" / "glossary.md").read_text("utf-8")
    for word in (
        "aim",
        "document",
        "within two",
        "zeta",
        "SET",
        "RigL",
        "LiSET",
        "epsilon",
    ):
        assert f"\n{word}\n: " in glossary
    terms = re.findall(r"^(\S.*)\n: ", glossary, re.MULTILINE)
    assert terms == sorted(terms, key=str.lower)


def test_settings_of_the_dense_class_make_a_network_like_its():
    X, y = load_digits(return_X_y=True)
    dense = MLPClassifier(max_iter=30, n_iter_no_change=30, random_state=0)
    settings = program("mlpclassifier").drop_in() | {"max_iter": 30, "n_iter_no_change": 30}
    sparse = SparseMLPClassifier(**settings, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        dense.fit(X / 16, y)
    sparse.fit(X / 16, y)
    assert sparse.n_connections_.tolist() == [coef.size for coef in dense.coefs_]
    assert all(record["n_grown"] == 0 for record in sparse.history_)
    ours, theirs = (np.array(model.loss_curve_) for model in (sparse, dense))
    assert np.all(np.abs(np.log(ours / theirs)) < 0.2)


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


def test_readme_leads_to_every_page_of_results():
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    pages = program("literature").RESULTS.glob("*.md")
    assert [
        page.name for page in pages if f"literature/results/{page.name})" not in readme
    ] == []
