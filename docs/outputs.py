"""Run the programs of pages, and keep below each what it prints.

``python docs/outputs.py`` does so for all pages; the tests compare what is kept with what
is printed now, numbers with some tolerance.
"""

import io
import os
import re
import tempfile
from code import InteractiveConsole
from contextlib import chdir, redirect_stdout
from pathlib import Path

FOLDER = Path(__file__).parent
PAGES = ["start.md", "guide/without_tuning.md", "guide/density.md"]
# A program, and perhaps what it printed.
BLOCK = re.compile(
    r"^```python\n(?P<program>.*?)^```$(?P<output>\n\n^```text\n.*?^```$)?",
    re.MULTILINE | re.DOTALL,
)


class Newcomer(InteractiveConsole):
    """Someone who pastes lines into Python, and gives up at the first error."""

    def showtraceback(self):
        raise

    def showsyntaxerror(self, *args, **kwargs):
        raise


def printed(program, newcomer):
    """What Python prints where the lines of a program are pasted into it."""
    stream = io.StringIO()
    with redirect_stdout(stream):
        # A line that ends a block of deeper ones needs an empty one before it.
        lines, deep = program.splitlines(), False
        for line in [*lines, ""]:
            if deep and line and not line[0].isspace() and line[0] not in ")]}":
                newcomer.push("")
            deep = newcomer.push(line)
    if deep:
        raise SyntaxError(f"The program is not complete:\n{program}")
    return stream.getvalue()


def with_outputs(text, newcomer):
    """A page with what its programs print now."""

    def block(match):
        program = match["program"]
        output = printed(program, newcomer)
        shown = f"\n\n```text\n{output.rstrip()}\n```" if output else ""
        return f"```python\n{program}```{shown}"

    return BLOCK.sub(block, text)


def main():
    os.environ["MPLBACKEND"] = "Agg"
    for name in PAGES:
        path = FOLDER / name
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            text = with_outputs(path.read_text("utf-8"), Newcomer())
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
