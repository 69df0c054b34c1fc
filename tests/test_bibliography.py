"""Every work that is cited has its entry, and entries say where the work is."""

import re

import pytest
from pages import DOCS, program

import sksparse_mlp

ROOT = DOCS.parent
PACKAGE = sorted((ROOT / "sksparse_mlp").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "paper.md", *DOCS.rglob("guide/*.md")]
PAGES += [path for path in DOCS.glob("*.md") if path.stem != "bibliography"]
# "Mocanu et al. 2018", "Kingma and Ba, 2014", "Guyon, *Design of ..*, 2003".
NAME = r"(?<![\w-])([A-Z][a-z]+(?:[A-Z][a-z]+)?)"
MORE = r"(?:,? (?:et al\.|(?:and )?[A-Z][a-z]+))*"
TITLE = r"(?:\*[^*]+\*,?[^,\d]{0,60}\d{0,3},? )?"
CITED = re.compile(rf"{NAME}{MORE},? {TITLE}\(?((?:19|20)\d\d)\b")
KEYED = re.compile(r"@(\w+\d{4})\b")
# Words before a year that are no names.
NO_NAMES = {
    "Benchmark",
    "Challenge",
    "Copyright",
    "December",
    "Epoch",
    "Intel",
    "January",
    "Jan",
    "November",
    "October",
    "Python",
    "Since",
    "Turbo",
    "Version",
    "In",
}
bibliography = program("bibliography")
ENTRIES = bibliography.entries()


def citations(text):
    """Surname of the first author and year of what a text cites."""
    for name, year in CITED.findall(" ".join(text.split())):
        if name not in NO_NAMES:
            yield name.replace(" ", "").lower(), year


@pytest.mark.parametrize("path", [*PACKAGE, *PAGES], ids=lambda p: p.stem)
def test_what_is_cited_has_an_entry(path):
    text = path.read_text(encoding="utf-8")
    known = {(bibliography.surnames(e)[0].lower(), e["year"]) for e in ENTRIES.values()}
    assert set(citations(text)) - known == set()
    if path.name == "paper.md":
        assert set(KEYED.findall(text)) - ENTRIES.keys() == set()


def test_titles_in_docstrings_are_those_of_the_entries():
    titles = {entry["title"].lower() for entry in ENTRIES.values()}
    found = set()
    for path in PACKAGE:
        text = " ".join(path.read_text(encoding="utf-8").split())
        for section in text.split("References ----------")[1:]:
            end = section.find('"""')
            found |= {title.lower() for title in re.findall(r"\*([^*]+)\*,", section[:end])}
    assert len(found) > 8
    assert found <= titles


def test_citations_are_recognised():
    text = "(Mocanu et al. 2018), Kingma and Ba, 2014; Guyon, *Design of it*, 2003."
    assert set(citations(text)) == {
        ("mocanu", "2018"),
        ("kingma", "2014"),
        ("guyon", "2003"),
    }


def test_keys_are_names_and_years():
    for key, entry in ENTRIES.items():
        # Of one year's works the second has a letter too.
        assert re.sub("(?<=\\d)[b-z]$", "", key) == (
            bibliography.surnames(entry)[0].lower() + entry["year"]
        )
        assert re.fullmatch(r"10\.\d{4,}/\S+", entry.get("doi", "10.0000/none"))


def test_committed_page_is_what_the_entries_give():
    made = bibliography.page()
    assert made == bibliography.PAGE.read_text(), "run: python docs/bibliography.py"
    assert sksparse_mlp.__name__ not in made
