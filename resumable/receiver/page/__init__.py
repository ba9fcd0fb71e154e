"""The page for people: the uploads in progress and done, and a place to drop files on.

The page, its style and its scripts are files beside this module. They hold no data and send requests only to the
receiver that they come from. The policy that is sent with them makes the browser refuse anything else: inline scripts,
other sites, frames around the page, and text that becomes markup.
"""

from __future__ import annotations

import html
import string
from functools import lru_cache
from importlib import resources

from ..messages import Response

__all__ = ["page_response"]

_PARTS = {
    "/": "page.html",
    "/page.css": "page.css",
    "/page.js": "page.js",
    "/queue.js": "queue.js",
    "/rows.js": "rows.js",
    "/words.js": "words.js",
}
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


def page_response(path: str, title: str) -> Response | None:
    """Return the page for the path ``/``, or one of its parts; None for other paths."""
    return _response(_PARTS[path], title) if path in _PARTS else None


@lru_cache(64)
def _response(name: str, title: str) -> Response:
    content = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    if name == _PARTS["/"]:
        content = string.Template(content).substitute(title=html.escape(title))
    content_type = f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8"
    return Response(
        200,
        content.encode(),
        (
            ("Content-Type", content_type),
            ("Content-Security-Policy", _POLICY),
            ("Referrer-Policy", "no-referrer"),
            ("X-Frame-Options", "DENY"),
        ),
    )
