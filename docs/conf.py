"""How Sphinx builds the site: `sphinx-build -W --keep-going -b html docs docs/_build/html`. It needs no network."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "pop3proto"
author = "the pop3proto authors"
project_copyright = author
release = version = version_of("pop3proto")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "drawings", "docstrings"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3  # links to headings, as the pages use them

html_theme = "furo"
html_title = "pop3proto"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

smartquotes = False  # docstrings speak of "" and of --options

# A docstring has code between single backticks; where it is a public name, it becomes a link.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # `CLIENT_MECHANISMS`, not its repr
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_use_rtype = False
