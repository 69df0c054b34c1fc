"""Make the API reference of every public name, found in the package itself.

A module is public if it has an ``__all__`` and no part of its path is private. The bases
of a family, which users derive from, are public without being in ``__all__``.
"""

import inspect
import pkgutil
from importlib import import_module

import sksparse_mlp

PROLOGUE = """\
API reference
=============

Every public name, by module. Whatever may be given by name is also in the tables of the
:doc:`families </families>`.
"""


def public_modules():
    """Names of the modules whose names are public, the package first."""
    found = pkgutil.walk_packages(sksparse_mlp.__path__, "sksparse_mlp.")
    names = sorted(module.name for module in found)
    public = [name for name in names if "._" not in name and ".core" not in name]
    return [
        name
        for name in ["sksparse_mlp", *public]
        if hasattr(import_module(name), "__all__")
    ]


def bases(module):
    """Public classes of a module that are not in its ``__all__`` but below one that is."""
    classes = [vars(module)[name] for name in module.__all__]
    found = {
        base.__name__
        for cls in classes
        if inspect.isclass(cls)
        for base in cls.__mro__
        if base.__module__ == module.__name__ and not base.__name__.startswith("_")
    }
    return sorted(found - set(module.__all__))


def documented(module):
    """Names of the classes and functions of a public module, which have a page each."""
    names = [name for name in module.__all__ if callable(vars(module)[name])]
    return sorted(names, key=str.lower) + bases(module)


def data(module):
    """Names in ``__all__`` of what is neither class nor function."""
    return [
        name
        for name in module.__all__
        if not name.startswith("__") and not callable(vars(module)[name])
    ]


def registries(module):
    """The families of a module: dicts of classes by the names that parameters take."""
    return {
        name: members
        for name, members in vars(module).items()
        if name.isupper() and isinstance(members, dict)
        if all(
            inspect.isclass(cls) and cls.__name__ in module.__all__
            for cls in members.values()
        )
    }


def registry(name, members):
    """Its entry in the reference."""
    classes = ", ".join(
        f"``{key!r}``: :class:`{cls.__name__}`" for key, cls in members.items()
    )
    return f".. py:data:: {name}\n\n   {classes}.\n"


def section(module_name):
    """The part of the reference about one module."""
    module = import_module(module_name)
    lines = [
        module_name,
        "-" * len(module_name),
        "",
        f".. automodule:: {module_name}",
        "",
        f".. currentmodule:: {module_name}",
        "",
        *(registry(name, members) for name, members in registries(module).items()),
        *(f".. autodata:: {name}\n   :no-value:\n" for name in data(module)),
        ".. autosummary::",
        "   :toctree: .",
        "   :nosignatures:",
        "",
        *(f"   {name}" for name in documented(module)),
    ]
    return "\n".join(lines) + "\n"


def page():
    """The index of the reference as reStructuredText; autosummary makes the other pages."""
    return "\n".join([PROLOGUE, *map(section, public_modules())])


def write(folder):
    """Write the index, unless it is there as it shall be, and remove what it has not."""
    folder.mkdir(exist_ok=True)
    names = {
        f"{m}.{name}" for m in public_modules() for name in documented(import_module(m))
    }
    for path in folder.glob("*.rst"):
        if path.stem not in names | {"index"}:
            path.unlink()
    index = folder / "index.rst"
    if not index.exists() or index.read_text() != page():
        index.write_text(page())
