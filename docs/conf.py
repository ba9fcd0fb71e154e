"""How Sphinx builds this documentation: ``make docs``."""

from __future__ import annotations

import resumable

project = "resumable"
author = "the resumable authors"
version = release = resumable.__version__
extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"resumable {release}"
highlight_language = "text"
# They are what applications bring themselves.
autodoc_mock_imports = ["django", "flask"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Examples, which are nowhere.
linkcheck_ignore = [r"https?://(127\.0\.0\.1|localhost|\w+\.invalid|(\w+\.)?example(\.com)?)([:/]|$)"]
