"""The documentation site: Sphinx over the same Markdown that the repository shows.

Its source folder is the repository's root, so that every relative link leads to the same file in
both. Pages that come from the program itself (the commands, the public functions) are made of it
while the site is built.
"""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from commands import COMMANDS_MARK, commands_page  # noqa: E402
from reference import REFERENCE_MARK, reference_page  # noqa: E402

project = "napari-tem-rf"
author = "The napari-tem-rf developers"
copyright = author  # noqa: A001 - Sphinx's name
release = version = installed_version("napari-tem-rf")

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "docs/**.md",
    "sample_data/README.md",
]
exclude_patterns = [".*", "build", "dist", "src", "tests"]
templates_path = ["_templates"]

# headings have the anchors that the repository's pages give them
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "tasklist"]
# what is no page of the site is still a file of the repository
suppress_warnings = ["myst.header"]

# an option is not to become a dash
smartquotes = False
default_role = "code"
autodoc_typehints = "none"
numpydoc_show_class_members = False

html_theme = "furo"
html_title = "napari-tem-rf"
html_static_path = ["_static"]
html_css_files = ["wider.css"]
# the pages lie in docs/, as in the repository: the front door leads there
html_additional_pages = {"index": "front_door.html"}
html_show_sourcelink = False
html_copy_source = False


def _fill_in(_app: Any, _name: str, source: list[str]) -> None:
    """Put what is made of the program into the pages that have a mark for it."""
    for mark, page in ((COMMANDS_MARK, commands_page), (REFERENCE_MARK, reference_page)):
        if mark in source[0]:
            source[0] = source[0].replace(mark, page())


def setup(app: Any) -> None:
    """Register what fills pages in."""
    app.connect("source-read", _fill_in)
