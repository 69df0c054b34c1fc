"""Bring the committed results of the benchmarks into the documentation."""

import re
import shutil
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "benchmarks" / "literature" / "results"
LINK = re.compile(r"\]\((\w+\.md)\)")


def write(folder):
    """Copy every page of results, with its pictures.

    Links count from the top of the documentation, so that pages can be included in others.
    """
    folder.mkdir(exist_ok=True)
    for path in RESULTS.glob("*.png"):
        shutil.copy2(path, folder)
    for path in RESULTS.glob("*.md"):
        text = LINK.sub(rf"](/{folder.name}/\1)", path.read_text())
        (folder / path.name).write_text(text)
