"""What the documentation says of the families is what the registries hold."""

import ast
import inspect
import re
from pathlib import Path

import pandas as pd
import pytest
from everything import REGISTRIES

import sksparse_mlp
from sksparse_mlp import (
    SparseMLPClassifier,
    SparseMLPRegressor,
    activations,
    callbacks,
    datasets,
    distributed,
    initializers,
    losses,
    schedules,
    topology,
)

README = Path(__file__).parents[1] / "README.md"


by_network = pytest.mark.parametrize(
    "network", [SparseMLPClassifier, SparseMLPRegressor], ids=lambda cls: cls.__name__
)


def parameter_entry(network, name):
    """The docstring's lines about one parameter."""
    doc = inspect.getdoc(network)
    entry = doc.split(f"\n{name} : ")[1]
    return entry.split("\n\n" if name != "learning_rate" else "\n\nlearning_rate_init")[0]


@pytest.mark.parametrize("parameter", REGISTRIES)
def test_docstring_names_every_member(parameter):
    entry = parameter_entry(SparseMLPClassifier, parameter)
    for name in REGISTRIES[parameter]:
        assert f'"{name}"' in entry


@by_network
def test_docstring_names_every_parameter_and_its_default(network):
    doc = inspect.getdoc(network)
    for name, parameter in inspect.signature(network).parameters.items():
        if name.startswith("beta_"):
            assert "beta_1, beta_2 : float, default=0.9, 0.999" in doc
            continue
        header = parameter_entry(network, name).splitlines()[0]
        shown = header.rsplit("default=", 1)[1]
        assert ast.literal_eval(shown) == parameter.default, name


@by_network
def test_docstring_names_every_fitted_attribute(mlp, binary, network):
    doc = inspect.getdoc(network).split("Attributes\n---")[1].split("See Also\n---")[0]
    lines = re.findall(r"^(\w[\w, ]*) : ", doc, re.MULTILINE)
    documented = {name for line in lines for name in line.split(", ")}
    X = pd.DataFrame(binary[0], columns=[f"x{k}" for k in range(12)])
    model = mlp(network, n_features_to_select=3).fit(X, binary[1])
    names = (name for name in dir(model) if name[0] != "_" and name[-1] == "_")
    assert documented == {name for name in names if hasattr(model, name)}
    assert "$" not in inspect.getdoc(network)


def test_networks_share_all_parameters_but_a_few():
    classifier, regressor = (
        {name: p.default for name, p in inspect.signature(cls).parameters.items()}
        for cls in (SparseMLPClassifier, SparseMLPRegressor)
    )
    own = {name: regressor.pop(name) for name in ("loss", "quantile")}
    assert own == {"loss": "squared_error", "quantile": 0.5}
    differing = {"alpha", "dropout", "learning_rate_init"}
    assert {n for n in regressor if regressor[n] != classifier[n]} == differing
    assert classifier.keys() == {*regressor, "class_weight"}


@pytest.mark.parametrize(
    "module",
    [
        sksparse_mlp,
        activations,
        callbacks,
        schedules,
        topology,
        initializers,
        losses,
        datasets,
        distributed,
    ],
)
def test_readme_names_everything_public(module):
    readme = README.read_text()
    for name in module.__all__:
        assert f"`{name}`" in readme or name == "__version__"


def test_registries_hold_every_public_class():
    for family, registry in (
        (activations, activations.ACTIVATIONS),
        (schedules, schedules.ZETA_SCHEDULES),
        (topology, topology.GROWTHS | topology.PRUNINGS),
        (initializers, initializers.INITIALIZERS),
        (losses, losses.LOSSES),
    ):
        public = {name for name in family.__all__ if inspect.isclass(vars(family)[name])}
        assert {cls.__name__ for cls in registry.values()} == public


def test_version_is_in_the_changelog_or_unreleased():
    changelog = (README.parent / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in changelog or f"## [{sksparse_mlp.__version__}]" in changelog
