"""Say in one line what code of the user raised, and where."""

from __future__ import annotations

import os

from .errors import redact_url

__all__ = ["describe_raised", "showable"]

_LONGEST = 200
_PACKAGE = os.path.dirname(__file__) + os.sep
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_IMPORTING = "<frozen ", os.path.join(_LIBRARY, "importlib", "")


def describe_raised(error: BaseException) -> str:
    """Return what code of the user raised, and where: ``ValueError: no (report.py:12)``.

    It is one line, without what may be secret in URLs.
    """
    raised = showable(error)
    text = redact_url(str(raised).partition("\n")[0])[:_LONGEST]
    text = f"{type(raised).__name__}: {text}" if text else type(raised).__name__
    place = _place_of(error)
    return f"{text} ({place})" if place else text


def showable(error: BaseException) -> BaseException:
    """Return the exception, or one in its place that names its type if its own text cannot be had."""
    try:
        f"{error}{error!r}"
    except Exception:
        # Code of the user makes it.
        return RuntimeError(f"{type(error).__name__}, which cannot be shown")
    return error


def _place_of(error: BaseException) -> str:
    """Return file and line of the innermost frame that is the user's; of a library's, if no other is there."""
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith((_PACKAGE, *_IMPORTING)):
            frames.append((file.startswith(_LIBRARY) or "site-packages" in file, file, traceback.tb_lineno))
        traceback = traceback.tb_next
    own = [frame for frame in frames if not frame[0]]
    _, file, line = own[-1] if own else frames[0] if frames else (True, "", 0)
    return f"{os.path.basename(file)}:{line}" if file else ""
