"""Docstrings of classes that share sections with their bases."""

import inspect
import re
from string import Template

HEADING = re.compile(r"^([A-Z][a-z ]+)\n-+\n", re.MULTILINE)


def with_shared_sections(cls: type) -> type:
    """Fill in the sections that a class shares with its bases.

    A decorator: where the class's docstring says ``$parameters``, the entries stand that
    the nearest of its bases has below the heading "Parameters", and so on.
    """
    sections: dict[str, str] = {}
    for base in reversed(cls.__mro__[1:]):
        sections |= _sections(inspect.cleandoc(base.__doc__ or ""))
    cls.__doc__ = Template(inspect.cleandoc(cls.__doc__ or "")).substitute(sections)
    return cls


def _sections(doc: str) -> dict[str, str]:
    """What a docstring has below each of its headings, which are written small."""
    parts = HEADING.split(doc)
    return {
        heading.lower(): body.strip()
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }
