"""``docs/families.md`` is what ``docs/families.py`` makes of the registries."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_committed_page_is_what_the_registries_give():
    spec = importlib.util.spec_from_file_location("families", DOCS / "families.py")
    families = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(families)
    assert families.page() == (DOCS / "families.md").read_text()
