"""Everything public has types, and docstrings in numpydoc's format with examples."""

import ast
import doctest
import importlib
import inspect
import pkgutil
from dataclasses import fields, is_dataclass

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

import sksparse_mlp

# What numpydoc asks for and this project does not.
NOT_ASKED = {
    "EX01": "methods are shown in the examples of their classes; these are tested below",
    "ES01": "one sentence may say it all",
    "GL01": "the summary begins where the docstring does",
    "GL02": "the formatter places quotes",
    "PR03": "parameters that belong together are described together",
    "PR07": "the type may say it all",
    "RT02": "scikit-learn's style names what is returned: `self : Class`",
    "RT03": "the type may say it all",
    "SA01": "not everything has relatives",
    "SA04": "the relatives' names may say it all",
    "SS02": "activations begin with their formulas",
    "SS05": "what returns a value may be named by it",
}


def public_modules():
    """The package and its modules that have a public name and say what is public."""
    found = pkgutil.walk_packages(sksparse_mlp.__path__, "sksparse_mlp.")
    names = [module.name for module in found if not {"_", "core"} & _first(module.name)]
    modules = [sksparse_mlp, *map(importlib.import_module, names)]
    return [module for module in modules if hasattr(module, "__all__")]


def _first(name):
    """Whether parts of a name are private: their first characters, or themselves."""
    return {part[0] for part in name.split(".")} | set(name.split("."))


def public_objects():
    """Public classes and functions by name, with the bases that users derive from."""
    for module in public_modules():
        members = {name: vars(module)[name] for name in module.__all__}
        classes = [member for member in members.values() if inspect.isclass(member)]
        ancestors = {base for cls in classes for base in cls.__mro__}
        members |= {
            base.__name__: base
            for base in sorted(ancestors, key=lambda base: base.__name__)
            if base.__module__ == module.__name__ and not base.__name__.startswith("_")
        }
        for name, member in members.items():
            if inspect.isclass(member) or inspect.isroutine(member):
                yield f"{module.__name__}.{name}", member


def documented_methods(cls):
    """Names of the public methods and properties that a class documents.

    Those of its private bases are its own; those that inherit a docstring are documented
    where this is.
    """
    own = [cls, *(base for base in cls.__mro__ if is_private(base))]
    members = {name: member for base in own[::-1] for name, member in vars(base).items()}
    for name, member in members.items():
        kinds = property | classmethod | staticmethod
        is_one = inspect.isfunction(member) or isinstance(member, kinds)
        inherited = any(name in vars(base) for base in cls.__mro__ if base not in own)
        if is_one and not name.startswith("_") and (member.__doc__ or not inherited):
            yield name


def is_private(cls):
    """Whether a class of this package is not public by itself."""
    is_ours = cls.__module__.split(".")[0] == sksparse_mlp.__name__
    return is_ours and cls not in OBJECTS.values()


OBJECTS = dict(public_objects())
METHODS = [
    f"{name}.{method}"
    for name, member in OBJECTS.items()
    if inspect.isclass(member)
    for method in documented_methods(member)
]
NAMES = [*OBJECTS, *METHODS]
# Examples are those of their members.
BASES = {"Activation", "Growth", "Initializer"}
# Methods whose arguments are those of scikit-learn's callback protocol.
HOOKS = {"setup", "teardown", "on_fit_task_begin", "on_fit_task_end"}


def is_described_elsewhere(name):
    """Whether parameters are attributes of a data class, or those of a protocol."""
    return is_dataclass(OBJECTS.get(name)) or name.rsplit(".", 1)[1] in HOOKS


def function_of(name):
    """The function behind a public name, of classes that which makes instances."""
    if name in OBJECTS:
        member = OBJECTS[name]
        return member.__init__ if inspect.isclass(member) else member
    cls, method = name.rsplit(".", 1)
    member = inspect.getattr_static(OBJECTS[cls], method)
    return getattr(member, "fget", getattr(member, "__func__", member))


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_are_complete(name):
    not_asked = {*NOT_ASKED, *(["PR01"] if is_described_elsewhere(name) else [])}
    errors = validate(name)["errors"]
    assert [error for error in errors if error[0] not in not_asked] == []


@pytest.mark.parametrize("name", [n for n in NAMES if inspect.isfunction(function_of(n))])
def test_signatures_have_types(name):
    signature = inspect.signature(function_of(name))
    untyped = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
    ]
    assert untyped == []
    returns_nothing = name in OBJECTS and inspect.isclass(OBJECTS[name])
    assert returns_nothing or signature.return_annotation is not signature.empty


@pytest.mark.parametrize("name", [n for n in NAMES if inspect.isfunction(function_of(n))])
def test_documented_defaults_are_those_of_the_signature(name):
    doc = inspect.getdoc(OBJECTS[name] if name in OBJECTS else function_of(name))
    documented = {}
    for entry in NumpyDocString(doc)["Parameters"]:
        names, text = entry.name.split(", "), entry.type.partition("default=")[2]
        if text:
            value = ast.literal_eval(text)
            one_each = len(names) > 1 and isinstance(value, tuple)
            values = value if one_each else [value] * len(names)
            documented |= dict(zip(names, values, strict=True))
    parameters = inspect.signature(function_of(name)).parameters
    defaults = {part: parameters[part].default for part in documented}
    assert documented == defaults


@pytest.mark.parametrize("name", [n for n in OBJECTS if is_dataclass(OBJECTS[n])])
def test_data_classes_describe_their_fields(name):
    entries = NumpyDocString(inspect.getdoc(OBJECTS[name]))["Attributes"]
    described = [part for entry in entries for part in entry.name.split(", ")]
    assert described == [field.name for field in fields(OBJECTS[name])]


@pytest.mark.parametrize("name", [n for n in OBJECTS if n.rsplit(".", 1)[1] not in BASES])
def test_public_classes_and_functions_have_examples(name):
    assert ">>> " in OBJECTS[name].__doc__


def is_missed(name):
    """Whether pytest's doctests miss a method, as its class reports another module."""
    cls, method = name.rsplit(".", 1)
    function = function_of(name)
    return ">>> " in (function.__doc__ or "") and (
        function.__module__ != OBJECTS[cls].__module__ and method in vars(OBJECTS[cls])
    )


@pytest.mark.parametrize("name", [n for n in METHODS if is_missed(n)])
def test_examples_of_methods_run(name):
    (example,) = doctest.DocTestFinder(recurse=False).find(
        function_of(name), name, module=False, globs={}
    )
    assert example.examples
    assert not doctest.DocTestRunner(verbose=False).run(example).failed
