"""Find out what is at the path of a request, and which methods it takes."""

from __future__ import annotations

from urllib.parse import quote

from .messages import Refusal, Request, Response
from .page import page_response

__all__ = ["DISCARD", "HEALTH", "LISTING", "METRICS", "TESTS", "UPLOADS", "Routes"]

TESTS = ("GET", "HEAD")
UPLOADS = ("POST", "PUT", "PATCH")
DISCARD = "DELETE"

HEALTH = "/healthz"
LISTING = "/uploads"
METRICS = "/metrics"


class Routes:
    """The paths of one receiver. ``page_title`` is the title of its page, None if it has no page.

    ``deletes`` says whether clients may remove uploads, and ``metrics`` whether it shows its metrics.
    """

    def __init__(self, *, page_title: str | None, deletes: bool, metrics: bool) -> None:
        self._page_title = page_title
        self._uploads = (*TESTS, *UPLOADS, *((DISCARD,) if deletes else ()))
        self._only_read = {LISTING, HEALTH, *((METRICS,) if metrics else ())}

    def methods(self, request: Request) -> tuple[str, ...]:
        """Return the methods that the path takes. Raises :class:`Refusal` (404) if there is nothing at it."""
        path, mount = request.path, request.mount.rstrip("/")
        if path in ("", "/"):
            return self._uploads
        if path in self._only_read or self._page(path) is not None:
            return TESTS
        raise Refusal(404, f"There is nothing at {mount + path!r}: send uploads to {mount + '/'!r}.")

    def page_part(self, request: Request) -> Response | None:
        """Return the page or a part of it, None for other requests. It holds no data, and so needs no token."""
        if self._page_title is None or request.method not in TESTS or request.query or request.content_length:
            return None
        mount = request.mount.strip("/")
        if mount and not request.path:
            # The parts of the page have relative names, so its path must end with a slash.
            return Response(308, headers=(("Location", f"/{quote(mount)}/"),))
        return self._page(request.path or "/")

    def _page(self, path: str) -> Response | None:
        return None if self._page_title is None else page_response(path, self._page_title)
