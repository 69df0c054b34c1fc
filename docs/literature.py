"""Bring the committed results of the benchmarks into the documentation."""

import ast
import re
import shutil
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "benchmarks" / "literature" / "results"
LINK = re.compile(r"\]\((\w+\.md)\)")
# A configuration, as the pages of results have it.
RECIPE = re.compile(
    r"^- (?P<name>[^\n`]+): `\{(?P<parameters>'hidden.*?|'solver.*?)\}`$", re.M
)
WORDS = """\
*Document*, *aim*, *met* and other words of these tables are in the
[glossary](/guide/glossary.md).
"""


IMPORTS = """\
```python
import numpy as np

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import AllReLU, SoftThreshold
```

"""


def written(value):
    """The source of a value, as the style of this project has it."""
    return ast.unparse(value).replace("'", '"').replace("inf", "np.inf")


def recipe(match):
    """A configuration as a call that can be pasted."""
    parameters = ast.parse(f"{{{match['parameters']}}}", mode="eval").body
    lines = [
        f"    {ast.literal_eval(name)}={written(value)},\n"
        for name, value in zip(parameters.keys, parameters.values, strict=True)
    ]
    call = f"SparseMLPClassifier(\n{''.join(lines)})"
    return f"{match['name']}:\n\n```python\n{call}\n```"


def page(text):
    """A page of results as the documentation has it."""
    title, rest = text.split("\n", 1)
    first = RECIPE.search(rest)
    if first:
        rest = rest[: first.start()] + IMPORTS + rest[first.start() :]
    return f"{title}\n\n{WORDS}{RECIPE.sub(recipe, rest)}"


def write(folder):
    """Copy every page of results, with its pictures.

    Links count from the top of the documentation, so that pages can be included in others.
    """
    folder.mkdir(exist_ok=True)
    for path in RESULTS.glob("*.png"):
        shutil.copy2(path, folder)
    for path in RESULTS.glob("*.md"):
        text = LINK.sub(rf"](/{folder.name}/\1)", path.read_text())
        (folder / path.name).write_text(page(text))
