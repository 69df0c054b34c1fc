"""Write ``architecture.md`` and ``rooms.svg``: where things are, from the imports.

Run as ``python docs/architecture.py``; a test holds what is committed to the code.
"""

import ast
from functools import cache
from pathlib import Path
from textwrap import dedent

FOLDER = Path(__file__).parent
PACKAGE = FOLDER.parent / "sksparse_mlp"
NAME = PACKAGE.name

# Modules at the root that are one room; folders and other modules are rooms themselves.
TOGETHER = {
    "families": (
        "activations",
        "edge_of_chaos",
        "initializers",
        "losses",
        "schedules",
        "topology",
    ),
    "foundations": ("_names", "_sklearn"),
}
# What a room is for, where no folder has a docstring that says it.
ABOUT = {
    "families": "What parameters take by name or instance: a member is a class and a line.",
    "foundations": "Names of classes, and what is private or missing in scikit-learn.",
}


@cache
def files():
    """Every module and its file."""
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


@cache
def tree(module):
    return ast.parse(files()[module].read_text(encoding="utf-8"))


def imported(module):
    """Full names of what a module imports, wherever in its text."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in files() else node.module for name in names)


def room(module):
    """The room that a module of the package is in; the root itself is named as it is."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] == "__init__":
        return NAME
    return next((room for room, names in TOGETHER.items() if parts[1] in names), parts[1])


def rooms():
    """Every room with its modules."""
    found = {}
    for module in files():
        found.setdefault(room(module), []).append(module)
    return found


def own(names):
    """Those of the names that are of this package."""
    return {name for name in names if name.split(".")[0] == NAME}


def uses():
    """The other rooms from which each room imports."""
    return {
        name: {room(other) for m in modules for other in own(imported(m))} - {name}
        for name, modules in rooms().items()
    }


def levels(graph):
    """The rooms of each level, from the bottom; a room is above all that it imports."""
    rank = {}
    while len(rank) < len(graph):
        ready = {n for n, below in graph.items() if n not in rank and below <= rank.keys()}
        if not ready:
            raise ValueError(f"Rooms import in a circle: {sorted(graph.keys() - rank)}.")
        rank |= {n: 1 + max((rank[b] for b in graph[n]), default=-1) for n in ready}
    return [sorted(n for n in rank if rank[n] == k) for k in range(max(rank.values()) + 1)]


def reach(name, graph):
    """All rooms below one."""
    return graph[name].union(*(reach(below, graph) for below in graph[name]))


def direct(graph):
    """The graph without imports that a longer way implies."""
    return {
        name: below - set().union(*(reach(other, graph) for other in below))
        for name, below in graph.items()
    }


# --- the picture ----------------------------------------------------------------------

WIDTH, ROW, BOX = 360, 78, (106, 42)
STYLE = """
.rooms { display: block; max-width: 30rem; width: 100%; margin-bottom: 1rem; }
.rooms { font: 13px sans-serif; }
.rooms rect, .rooms path { fill: none; stroke: currentColor; }
.rooms path { opacity: 0.6; }
.rooms text { fill: currentColor; text-anchor: middle; }
.rooms .small { font-size: 11px; opacity: 0.8; }
svg:root { color: #777; }
"""
ARROW = (
    '<marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
    '<path d="M1 1 7 4 1 7" style="fill: none; opacity: 1"/></marker>'
)


def places(graph):
    """Middle of each room's box; in a row, rooms stand above what they import."""
    rows, found = levels(graph), {}
    for height, row in enumerate(rows):

        def middle(name):
            xs = [found[below][0] for below in graph[name]]
            return sum(xs) / len(xs) if xs else 0

        step = WIDTH / len(row)
        y = ROW * (len(rows) - 1 - height) + BOX[1] / 2 + 2
        for k, name in enumerate(sorted(row, key=middle)):
            found[name] = step * (k + 0.5), y
    return found


def label(name):
    """The room's name, and how much there is in it."""
    modules = rooms()[name]
    n = len(modules)
    if name in TOGETHER:
        return name, f"{n} files at the root"
    is_folder = (PACKAGE / name).is_dir()
    return (f"{name}/", f"{n} files") if is_folder else (name, "public names")


def picture():
    """The rooms as SVG, in the colour of the text around it."""
    graph = direct(uses())
    at = places(graph)
    width, height = BOX
    parts = []
    for name, below in sorted(graph.items()):
        x, y = at[name]
        for other in sorted(below):
            to, foot = at[other]
            parts.append(
                f'<path d="M{x:.0f} {y + height / 2:.0f} {to:.0f} {foot - height / 2:.0f}"'
                ' marker-end="url(#tip)"/>'
            )
        first, second = label(name) if len(rooms()[name]) > 1 else (name, "1 file")
        parts.append(
            f'<rect x="{x - width / 2:.0f}" y="{y - height / 2:.0f}" width="{width}" '
            f'height="{height}" rx="6"/><text x="{x:.0f}" y="{y - 3:.0f}">{first}</text>'
            f'<text class="small" x="{x:.0f}" y="{y + 13:.0f}">{second}</text>'
        )
    bottom = max(y for _, y in at.values()) + height / 2 + 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="rooms" role="img" '
        f'viewBox="0 0 {WIDTH} {bottom:.0f}">\n<title>Rooms of the package; arrows lead to '
        f"what is imported</title>\n<style>{STYLE}</style>\n{ARROW}\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


# --- the page -------------------------------------------------------------------------

PROLOGUE = """\
# Where things are

Made by `python docs/architecture.py` from the imports and the docstrings of the modules.
Imports go down only: a room knows what is below it and nothing beside or above it.
Arrows lead to what is imported; those that a longer way implies are left out.

```{raw} html
:file: rooms.svg
```

A newcomer's way: what a parameter means stands in `estimators/_parameters.py`; how it
becomes an object that trains in `estimators/_assembly.py`; what happens per epoch in
`core/training.py`; what runs per update in `core/jitted`. `tests` has the same rooms
as the package.
"""


def summary(module):
    """The first paragraph of a module's docstring."""
    doc = dedent(ast.get_docstring(tree(module)) or "")
    return doc.split("\n\n")[0].replace("\n", " ")


def section(name):
    """A room with its files."""
    modules = rooms()[name]
    lines = [f"## {name}", ""]
    about = ABOUT.get(name) or summary(modules[0] if len(modules) == 1 else head(name))
    if len(modules) > 1:
        lines += [about, ""]
    lines += ["| file | what is there |", "| --- | --- |"]
    for module in modules:
        if module != head(name):
            path = files()[module].relative_to(PACKAGE)
            lines.append(f"| `{path.as_posix()}` | {summary(module)} |")
    return "\n".join(lines)


def head(name):
    """The module that makes a folder a room."""
    return f"{NAME}.{name}.__init__"


def page():
    """The map as Markdown."""
    names = [name for row in levels(uses())[::-1] for name in row]
    return "\n\n".join([PROLOGUE.rstrip(), *map(section, names)]) + "\n"


PAGES = {"architecture.md": page, "rooms.svg": picture}


def write(folder):
    """Write the page and the picture, unless they are there as they shall be."""
    for name, make in PAGES.items():
        path = folder / name
        if not path.exists() or path.read_text() != make():
            path.write_text(make())


if __name__ == "__main__":
    write(FOLDER)
