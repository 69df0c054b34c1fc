"""Write ``bibliography.md``, what is cited anywhere, from ``paper.bib``.

Run as ``python docs/bibliography.py``; a test holds the page to the entries, and the
entries to what docstrings and pages cite.
"""

import re
from pathlib import Path

PAGE = Path(__file__).with_name("bibliography.md")
SOURCE = Path(__file__).parents[1] / "paper.bib"
ENTRY = re.compile(r"@(\w+)\{(\w+),\n(.*?)\n\}", re.DOTALL)
FIELD = re.compile(r"^ *(\w+) = \{(.*)\},?$", re.MULTILINE)
# How works are called that no journal or conference has published.
KINDS = {"mastersthesis": "thesis", "phdthesis": "dissertation", "techreport": "report"}

PROLOGUE = """\
# Bibliography

Made by `python docs/bibliography.py` from `paper.bib`: every document and method that the
package, its docstrings or these pages cite. Works without a DOI have none that we know of.
"""


def entries():
    """The fields of every entry of ``paper.bib``, by its key."""
    found = ENTRY.findall(SOURCE.read_text(encoding="utf-8"))
    return {key: {"kind": kind, **dict(FIELD.findall(body))} for kind, key, body in found}


def surnames(entry):
    """Of the authors, as they are cited."""
    names = [name.split(",")[0] for name in entry["author"].split(" and ")]
    return names if "others" not in names else [*names[:-1], "et al."]


def line(entry):
    """One work as Markdown."""
    names = surnames(entry)
    who = ", ".join(names).replace(", et al.", " et al.")
    where = entry.get("journal") or entry.get("booktitle") or KINDS[entry["kind"]]
    volume = f" {entry['volume']}" if "volume" in entry else ""
    parts = [who, f"*{entry['title']}*", f"{where}{volume}, {entry['year']}"]
    if "doi" in entry:
        parts.append(f"[doi:{entry['doi']}](https://doi.org/{entry['doi']})")
    return "- " + ", ".join(parts) + "."


def page():
    """The whole page, by first author and year."""
    works = sorted(entries().values(), key=lambda e: (surnames(e)[0], e["year"]))
    return "\n".join([PROLOGUE, *map(line, works)]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
