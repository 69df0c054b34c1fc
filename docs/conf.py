"""Configuration of the documentation; ``make docs`` builds it."""

import os
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

import api
import architecture
import literature
import mlpclassifier

import sksparse_mlp

# Estimators in the gallery link to the reference beside it.
os.environ["SKSPARSE_MLP_DOCUMENTATION"] = ".."

project = "sksparse-mlp"
author = copyright = "The sksparse-mlp developers"
version = release = sksparse_mlp.__version__
extensions = [
    "mathml",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
# The last is a part of the front page.
exclude_patterns = ["_build", "headline.md"]
templates_path = ["_templates"]
default_role = "literal"
smartquotes = False
toc_object_entries_show_parents = "hide"
nitpick_ignore_regex = [
    ("py:.*", r"(sklearn|numpy|scipy|matplotlib|pandas|joblib|dask|distributed)\..*")
]

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = f"sksparse-mlp {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["tables.js"]
html_sidebars = {
    page: []
    for page in (
        "index",
        "installation",
        "start",
        "settings",
        "tables",
        "mlpclassifier",
        "benchmarks",
    )
}
html_favicon = "_static/logo.svg"
html_logo = "_static/logo.svg"
html_context = {"default_mode": "auto"}
html_math_renderer = "mathml"
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "sksparse-mlp"},
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "header_links_before_dropdown": 8,
    # Wide tables, and the lines of programs, take the place of a page's own contents.
    "secondary_sidebar_items": {
        "**": ["page-toc"],
        **{page: [] for page in ("defaults", "out_of_the_box", "settings")},
        **{
            f"gallery/{path.stem}": []
            for path in (FOLDER.parent / "examples").glob("plot_*.py")
        },
        **{f"literature/{path.stem}": [] for path in literature.RESULTS.glob("*.md")},
    },
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "ignore_pattern": r"demo\.py",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("sksparse_mlp",),
    "backreferences_dir": "api/backreferences",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "matplotlib_animations": False,
    "reset_modules": ("matplotlib", "pictures.enlarge"),
}

# In the type of a parameter or attribute: a name that ends like a link of reStructuredText.
FITTED_NAME = re.compile(r"(?<![`\w])(\w+_)(?=[,)\] ])")
TYPE = re.compile(r"^\S.*( : | of shape )")
LABEL = re.compile(r":(?:ref|term):`([^`<]+?)(?:\s*<[^>]+>)?`")


def as_restructured_text(app, what, name, obj, options, lines):
    """What numpydoc would pass on as it is, and links to pages that are not ours."""
    for number, line in enumerate(lines):
        # Docstrings inherited from scikit-learn refer to labels of its own pages.
        line = LABEL.sub(r"\1", line)
        if TYPE.match(line):
            name, colon, kind = line.rpartition(" : ")
            line = name + colon + FITTED_NAME.sub(r"``\1``", kind)
        lines[number] = line


def write_pages(app, config):
    """Write the pages that are made from the code and the committed results."""
    api.write(FOLDER / "api")
    architecture.write(FOLDER)
    literature.write(FOLDER / "literature")
    mlpclassifier.write(FOLDER / "mlpclassifier.md")


def setup(app):
    app.connect("config-inited", write_pages)
    # Before numpydoc.
    app.connect("autodoc-process-docstring", as_restructured_text, priority=100)
