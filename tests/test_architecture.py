"""Imports go down only, and jitted functions are cached, at the bottom of core."""

import ast
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest
from numba import config
from numba.core.caching import NullCache
from numba.extending import is_jitted

import sksparse_mlp
from sksparse_mlp.core import addresses, kernels, simd, spinning

ROOT = Path(sksparse_mlp.__file__).parent
FILES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path
    for path in ROOT.rglob("*.py")
}
CORE = {module for module in FILES if module.startswith("sksparse_mlp.core.")}
compiled = pytest.mark.skipif(config.DISABLE_JIT, reason="compilation is switched off")
FAMILIES = ("activations", "edge_of_chaos", "initializers", "schedules", "topology")


def imports_of(module):
    """Full names of what a module imports, wherever in its text."""
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in FILES else node.module for name in names)


GRAPH = {module: set(imports_of(module)) for module in FILES}


def own_imports(module):
    return {name for name in GRAPH[module] if name.split(".")[0] == "sksparse_mlp"}


def uses(module, package):
    return any(name.split(".")[0] == package for name in GRAPH[module])


def test_imports_go_down_only():
    # Raises CycleError where two modules need each other.
    TopologicalSorter(GRAPH).prepare()
    chain = [
        "estimators._classifier",
        "estimators._mlp",
        "estimators._assembly",
        "core.training",
        "core.evolution",
        "core.network",
        "core.layer",
        "core.kernels",
    ]
    names = [f"sksparse_mlp.{name}" for name in chain]
    assert all(lower in GRAPH[upper] for upper, lower in pairwise(names))
    # The two networks share all that is below them, and nothing beside them.
    assert "sksparse_mlp.estimators._mlp" in GRAPH["sksparse_mlp.estimators._regressor"]
    assert (
        "sksparse_mlp.estimators._classifier"
        not in GRAPH["sksparse_mlp.estimators._regressor"]
    )
    assert (
        "sksparse_mlp.estimators._regressor"
        not in GRAPH["sksparse_mlp.estimators._classifier"]
    )


def test_core_knows_only_itself():
    for module in CORE:
        assert not uses(module, "sklearn"), module
        assert own_imports(module) <= CORE, module


def test_data_sets_are_a_leaf():
    package = {module for module in FILES if module.startswith("sksparse_mlp.datasets")}
    for module in package:
        assert own_imports(module) <= package, module
    for module in FILES.keys() - package:
        assert not own_imports(module) & package, module


def test_only_the_leaf_for_clusters_uses_dask():
    package = {module for module in FILES if module.startswith("sksparse_mlp.distributed")}
    users = {m for m in FILES if uses(m, "dask") or uses(m, "distributed")}
    assert users
    assert users <= package
    for module in FILES.keys() - package:
        assert not own_imports(module) & package, module


@pytest.mark.parametrize("family", FAMILIES)
def test_families_use_only_the_bottom_of_core(family):
    allowed = {f"sksparse_mlp.core.{name}" for name in ("kernels", "layer", "sampling")}
    # What the families need of each other; test_imports_go_down_only forbids circles.
    allowed |= {
        f"sksparse_mlp.{name}"
        for name in ("activations", "edge_of_chaos", "_names", "_sklearn")
    }
    assert own_imports(f"sksparse_mlp.{family}") <= allowed


def test_only_the_bottom_of_core_uses_numba():
    assert {module for module in FILES if uses(module, "numba")} == {
        addresses.__name__,
        "sksparse_mlp.core.compiling",
        kernels.__name__,
        simd.__name__,
        spinning.__name__,
    }
    for module in (addresses, simd, spinning):
        assert not own_imports(module.__name__)
    users = {module for module in FILES if spinning.__name__ in GRAPH[module]}
    names = ("kernels", "program", "workers")
    assert users == {f"sksparse_mlp.core.{name}" for name in names}


def functions_of(module):
    own = [
        f for f in vars(module).values() if getattr(f, "__module__", "") == module.__name__
    ]
    return [f for f in own if callable(f)]


def assert_cached(function):
    assert not isinstance(function._cache, NullCache), function.__name__
    assert function.targetoptions["nogil"], function.__name__


@compiled
def test_every_function_of_kernels_is_jitted_cached_and_shows_nan():
    assert functions_of(kernels)
    for function in functions_of(kernels):
        assert_cached(function)
        flags = function.targetoptions["fastmath"] or set()
        assert not {"nnan", "ninf"} & flags, function.__name__


@compiled
def test_every_loop_of_spinning_is_jitted_and_cached():
    jitted = [f for f in functions_of(spinning) if is_jitted(f)]
    names = {function.__name__ for function in jitted}
    assert names == {"count", "has_reached", "count_and_wait", "meet"}
    for function in jitted:
        assert_cached(function)
