"""How Sphinx builds the manual: `make docs`."""

import re

import enc

project = "enc"
release = version = enc.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
exclude_patterns = ["_build"]

# Headings are anchors as on GitHub, so that a link works there and here. A broken one is a warning.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]

default_role = "literal"  # docstrings write `code`
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "inherited-members": False}
python_maximum_signature_line_length = 90

smartquotes = False  # `--strict` in a docstring is no dash

highlight_language = "none"  # of blocks that name none

html_theme = "furo"
html_title = f"enc {release}"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False


def _escape(_app, _kind, _name, _object, _options, lines):
    """Docstrings write shapes as [rows, *shape]; the star begins no emphasis."""
    lines[:] = [re.sub(r"(?<![*`])\*(?=(?:spec\.)?shape)", r"\*", line) for line in lines]


def _skip(_app, _kind, name, _object, skip, _options):
    """Methods that scikit-learn makes for every estimator are told in its own manual."""
    return True if re.fullmatch(r"set_\w+_request", name) else skip


def setup(app):
    """Sphinx calls this."""
    app.connect("autodoc-process-docstring", _escape)
    app.connect("autodoc-skip-member", _skip)
