"""HTML representations link to the API reference, wherever it is."""

import importlib
import inspect
import pkgutil
import re

import pytest
from sklearn.base import BaseEstimator, estimator_html_repr

import sksparse_mlp
from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPSelector,
    _sklearn,
    make_tabular_pipeline,
)
from sksparse_mlp.activations import GAReLU

SITE = "https://example.org/sksparse-mlp"


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv(_sklearn.DOCUMENTATION_VARIABLE, SITE + "/")


def public_estimators():
    """Module and class of all public estimators, families and analysers."""
    names = [
        found.name
        for found in pkgutil.walk_packages(sksparse_mlp.__path__, "sksparse_mlp.")
    ]
    for name in ["sksparse_mlp", *names]:
        if not re.search(r"\._|\.core\b", name):
            module = importlib.import_module(name)
            for member in getattr(module, "__all__", ()):
                cls = vars(module)[member]
                if inspect.isclass(cls) and issubclass(cls, BaseEstimator):
                    yield pytest.param(name, cls, id=f"{name}.{member}")


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(("module", "cls"), list(public_estimators()))
def test_page_of_the_reference(module, cls):
    # The link needs no parameters, which some classes have no defaults for.
    assert cls.__new__(cls)._get_doc_link() == f"{SITE}/api/{module}.{cls.__name__}.html"


@pytest.mark.usefixtures("site")
def test_representation_has_the_links():
    html = estimator_html_repr(SparseMLPSelector(SparseMLPClassifier()))
    assert f'href="{SITE}/api/sksparse_mlp.SparseMLPSelector.html"' in html
    assert f'href="{SITE}/api/sksparse_mlp.SparseMLPClassifier.html"' in html


def test_no_link_as_long_as_there_is_no_site(monkeypatch):
    monkeypatch.delenv(_sklearn.DOCUMENTATION_VARIABLE, raising=False)
    monkeypatch.setattr(_sklearn, "DOCUMENTATION_URL", "")
    assert GAReLU()._get_doc_link() == ""
    assert "Online documentation" not in estimator_html_repr(SparseMLPClassifier())


def test_the_published_site_is_the_default(monkeypatch):
    monkeypatch.delenv(_sklearn.DOCUMENTATION_VARIABLE, raising=False)
    monkeypatch.setattr(_sklearn, "DOCUMENTATION_URL", SITE)
    assert GAReLU()._get_doc_link() == f"{SITE}/api/sksparse_mlp.activations.GAReLU.html"


@pytest.mark.usefixtures("site")
def test_classes_of_others_have_no_page_here():
    class Own(SparseMLPClassifier):
        pass

    Own.__module__ = "elsewhere"
    assert Own()._get_doc_link() == ""


@pytest.mark.usefixtures("site")
def test_steps_that_are_not_public_have_no_page():
    step = make_tabular_pipeline()[0]
    assert step._get_doc_link() == ""
    assert SITE not in estimator_html_repr(step)
