"""What the documentation says of the families is what the registries hold."""

import ast
import inspect
from pathlib import Path

import pytest

import sksparse_mlp
from sksparse_mlp import (
    SparseMLPClassifier,
    activations,
    callbacks,
    datasets,
    initializers,
    schedules,
    topology,
)
from sksparse_mlp.core import learning_rates, optimizers

README = Path(__file__).parents[1] / "README.md"
REGISTRIES = {
    "activation": activations.ACTIVATIONS,
    "zeta_schedule": schedules.ZETA_SCHEDULES,
    "growth": topology.GROWTHS,
    "pruning": topology.PRUNINGS,
    "init": initializers.INITIALIZERS,
    "learning_rate": learning_rates.LEARNING_RATES,
    "solver": optimizers.OPTIMIZERS,
}


def parameter_entry(name):
    """The docstring's lines about one parameter."""
    doc = inspect.getdoc(SparseMLPClassifier)
    entry = doc.split(f"\n{name} : ")[1]
    return entry.split("\n\n" if name != "learning_rate" else "\n\nlearning_rate_init")[0]


@pytest.mark.parametrize("parameter", REGISTRIES)
def test_docstring_names_every_member(parameter):
    entry = parameter_entry(parameter)
    for name in REGISTRIES[parameter]:
        assert f'"{name}"' in entry


def test_docstring_names_every_parameter_and_its_default():
    doc = inspect.getdoc(SparseMLPClassifier)
    for name, parameter in inspect.signature(SparseMLPClassifier).parameters.items():
        if name.startswith("beta_"):
            assert "beta_1, beta_2 : float, default=0.9, 0.999" in doc
            continue
        header = parameter_entry(name).splitlines()[0]
        shown = header.rsplit("default=", 1)[1]
        assert ast.literal_eval(shown) == parameter.default, name


@pytest.mark.parametrize(
    "module", [activations, callbacks, schedules, topology, initializers, datasets]
)
def test_readme_names_everything_public(module):
    readme = README.read_text()
    for name in module.__all__:
        assert f"`{name}`" in readme


def test_registries_hold_every_public_class():
    for family, registry in (
        (activations, activations.ACTIVATIONS),
        (schedules, schedules.ZETA_SCHEDULES),
        (topology, topology.GROWTHS | topology.PRUNINGS),
        (initializers, initializers.INITIALIZERS),
    ):
        public = {name for name in family.__all__ if inspect.isclass(vars(family)[name])}
        assert {cls.__name__ for cls in registry.values()} == public


def test_version_is_in_the_changelog_or_unreleased():
    changelog = (README.parent / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in changelog or f"## [{sksparse_mlp.__version__}]" in changelog
