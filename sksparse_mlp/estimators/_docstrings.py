"""Docstrings of classes that share sections with their bases."""

import ast
import inspect
import re
from functools import partial
from string import Template

HEADING = re.compile(r"^([A-Z][a-z ]+)\n-+\n", re.MULTILINE)
# The line that names one parameter and its default.
DEFAULT = re.compile(r"^(?P<name>\w+) : .*, default=(?P<default>.+)$", re.MULTILINE)


def with_shared_sections(cls: type) -> type:
    """Fill in the sections that a class shares with its bases.

    A decorator: where the class's docstring says ``$parameters``, the entries stand that
    the nearest of its bases has below the heading "Parameters", and so on.
    """
    sections: dict[str, str] = {}
    for base in reversed(cls.__mro__[1:]):
        sections |= _sections(inspect.cleandoc(base.__doc__ or ""))
    doc = Template(inspect.cleandoc(cls.__doc__ or "")).substitute(sections)
    cls.__doc__ = DEFAULT.sub(partial(_with_own_default, inspect.signature(cls)), doc)
    return cls


def _with_own_default(signature: inspect.Signature, found: re.Match[str]) -> str:
    """The line of a parameter, with the default that it has in this class."""
    line, name, shown = found[0], found["name"], found["default"]
    if name not in signature.parameters:
        return line
    default = signature.parameters[name].default
    try:
        is_own = ast.literal_eval(shown) != default
    except (ValueError, SyntaxError):
        return line
    return line.replace(f"default={shown}", f"default={default!r}") if is_own else line


def _sections(doc: str) -> dict[str, str]:
    """What a docstring has below each of its headings, which are written small."""
    parts = HEADING.split(doc)
    return {
        heading.lower(): body.strip()
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }
