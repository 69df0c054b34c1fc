"""``docs/families.md`` is what ``docs/families.py`` makes of the registries."""

from pages import DOCS, program


def test_committed_page_is_what_the_registries_give():
    assert program("families").page() == (DOCS / "families.md").read_text()
