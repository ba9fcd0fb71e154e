"""The reason in what a server says to people."""

from __future__ import annotations

import pytest

from resumable.protocol.pages import summary, without_markup


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (
            "<html><head><title>ValueError: no folder // Werkzeug Debugger</title></head><h1>ValueError</h1>",
            "ValueError: no folder",
        ),
        (
            "<html><title>Error</title><body><p>The disk is full.</p><p>Tell the people there.</p><p>Or else.</p>",
            "The disk is full. Tell the people there.",
        ),
        (
            "<html><title>Not allowed</title><body><p>Not allowed.</p><p>Only members may send files.</p>",
            "Not allowed: Only members may send files.",
        ),
        ("<html><title></title><body></body></html>", ""),
    ],
    ids=["a debugger", "two sentences of three", "what the title says already", "nothing"],
)
def test_a_page_says_its_title_and_what_it_says_besides(page: str, said: str) -> None:
    assert summary(page) == said


def test_what_has_no_markup_stays_as_it_is() -> None:
    assert without_markup("a < b,\nand more") == "a < b,\nand more"
    assert without_markup("<b>full</b>\n disk") == "full disk"
