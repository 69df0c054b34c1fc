"""Rooms import downwards only, are small, and are drawn as they are."""

import ast
import importlib
from itertools import pairwise
from pathlib import Path

import pytest
from numba import config
from numba.core.caching import NullCache
from numba.extending import is_jitted
from pages import DOCS, program

from sksparse_mlp.core import (
    addresses,
    compilation,
    compiling,
    jitted,
    kernels,
    simd,
    spinning,
)

architecture = program("architecture")
FILES = architecture.files()
GRAPH = {module: set(architecture.imported(module)) for module in FILES}
compiled = pytest.mark.skipif(config.DISABLE_JIT, reason="compilation is switched off")

# What each room may import beside itself: the layout, which a new room joins here.
BELOW_ESTIMATORS = {"core", "foundations", "families", "serialization"}
BELOW_LEAVES = BELOW_ESTIMATORS | {"estimators", "sksparse_mlp"}
LAYOUT = {
    "core": set(),
    "foundations": set(),
    "families": {"core", "foundations"},
    "serialization": {"core", "foundations", "families"},
    "estimators": BELOW_ESTIMATORS,
    "_versions": {"core"},
    "sksparse_mlp": {"_versions", "estimators", "foundations"},
    "warmup": {"_versions", "core", "estimators"},
    "callbacks": BELOW_LEAVES | {"analysis"},
    "datasets": {"foundations"},
    "analysis": BELOW_LEAVES,
    "onnx": BELOW_LEAVES,
    "distributed": BELOW_LEAVES | {"callbacks"},
    # The types of all that can be fitted.
    "persistence": BELOW_LEAVES | {"analysis"},
}
# Of core, families know only its bottom: what activates, samples, compares and connects.
BOTTOM = ("kernels", "layer", "pairs", "paths", "sampling")
FOR_FAMILIES = {f"sksparse_mlp.core.{name}" for name in BOTTOM}
JITTED = f"{jitted.__name__}."
LONGEST_FILE, LONGEST_FUNCTION = 700, 60


def uses(module, package):
    return any(name.split(".")[0] == package for name in GRAPH[module])


def test_rooms_import_what_the_layout_allows():
    rooms = architecture.uses()
    assert rooms.keys() == LAYOUT.keys(), "say in LAYOUT what a new room may import"
    assert {name: below - LAYOUT[name] for name, below in rooms.items()} == {
        name: set() for name in rooms
    }


def test_imports_go_down_only():
    # Raises where modules import in a circle.
    architecture.levels({m: GRAPH[m] & FILES.keys() for m in FILES})
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


def is_private_or_new(name):
    """Whether another version of scikit-learn may lack what is imported by this name."""
    parts = name.split(".")
    return any(part.startswith("_") for part in parts) or parts[1] == "callback"


def scikit_learn_names(module):
    """Full names of what a module imports from scikit-learn."""
    for node in ast.walk(architecture.tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "sklearn":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from (name for name in names if name.startswith("sklearn."))


def test_one_place_has_all_private_names_of_scikit_learn():
    private = {m for m in FILES if any(map(is_private_or_new, scikit_learn_names(m)))}
    assert private == {"sksparse_mlp._sklearn"}


def test_core_knows_nothing_of_scikit_learn():
    assert not [m for m in architecture.rooms()["core"] if uses(m, "sklearn")]


def test_only_the_leaf_for_clusters_uses_dask():
    users = {m for m in FILES if uses(m, "dask") or uses(m, "distributed")}
    assert users
    assert users <= set(architecture.rooms()["distributed"])


def test_families_use_only_the_bottom_of_core():
    core = set(architecture.rooms()["core"])
    for module in architecture.rooms()["families"]:
        assert GRAPH[module] & core <= FOR_FAMILIES, module


def test_only_the_bottom_of_core_uses_numba():
    modules = (addresses, compilation, compiling, jitted.options, simd, spinning)
    bottom = {module.__name__ for module in modules}
    assert {module for module in FILES if uses(module, "numba")} == bottom
    for module in (addresses, simd, spinning):
        assert architecture.own(GRAPH[module.__name__]) <= {compilation.__name__}
    users = {module for module in FILES if spinning.__name__ in GRAPH[module]}
    names = ("jitted.updates", "program", "workers")
    assert users == {f"sksparse_mlp.core.{name}" for name in names}


def functions_of(*modules):
    return [
        f
        for module in modules
        for f in vars(module).values()
        if getattr(f, "__module__", "") == module.__name__ and callable(f)
    ]


def assert_cached(function):
    assert not isinstance(function._cache, NullCache), function.__name__
    assert isinstance(function._cache, compilation._Cache), function.__name__
    assert function.targetoptions["nogil"], function.__name__


@compiled
def test_every_function_of_kernels_is_jitted_cached_and_shows_nan():
    files = [importlib.import_module(name) for name in FILES if name.startswith(JITTED)]
    functions = functions_of(*files)
    assert {f for f in vars(kernels).values() if callable(f)} <= set(functions)
    for function in functions:
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


@compiled
def test_code_is_kept_with_the_files_of_all_that_is_compiled_into_it():
    files = {name for name, _, _ in compilation._stamp_of_all()}
    modules = [
        importlib.import_module(m) for m in FILES if m.startswith("sksparse_mlp.core")
    ]
    having = [m for m in modules if any(map(is_jitted, functions_of(m)))]
    assert {Path(module.__file__).name for module in having} <= files
    assert "simd.py" in files


def body_lines(function):
    """Lines of a function below its signature and its docstring."""
    body = function.body[ast.get_docstring(function) is not None :]
    return function.end_lineno - body[0].lineno + 1 if body else 0


def test_functions_are_short():
    lengths = {
        f"{module}:{node.lineno} {node.name}": body_lines(node)
        for module in FILES
        for node in ast.walk(architecture.tree(module))
        if isinstance(node, ast.FunctionDef)
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def test_files_are_short():
    lengths = {m: len(path.read_text().splitlines()) for m, path in FILES.items()}
    too_long = {m: n for m, n in lengths.items() if n > LONGEST_FILE}
    assert too_long == {}


def test_every_module_says_what_it_is_for():
    assert {m for m in FILES if not architecture.summary(m)} == set()


@pytest.mark.parametrize(
    ("name", "make"), [("architecture.md", "page"), ("rooms.svg", "picture")]
)
def test_map_is_what_the_code_gives(name, make):
    made = getattr(architecture, make)()
    assert made == (DOCS / name).read_text(), "run: python docs/architecture.py"
