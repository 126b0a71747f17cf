"""Sphinx: how the pages of docs/ become a site."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "Textmill"
copyright = "The Textmill authors"
version = release = version_of("textmill")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
smartquotes = False  # "" is a value, not a quotation
exclude_patterns = ["_build"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "code"  # single backticks, as in Markdown
napoleon_use_ivar = True  # attributes are told once
