"""Any text, for tests that Hypothesis makes up.

What Hypothesis takes by itself is the same, but it first finds out what UTF-8 can encode, letter by letter, which takes
seconds.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["LETTERS", "texts"]

LETTERS = st.characters(exclude_categories=["Cs"])


def texts(**limits: Any) -> st.SearchStrategy[str]:
    """Any text that is well formed."""
    return st.text(LETTERS, **limits)
