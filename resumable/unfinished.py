"""Warn if a program ends, or drops a session, before the files are uploaded, so that none is lost in silence.

Nothing here takes a lock or holds the session, because it may run wherever the garbage collector does.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
import weakref
from collections.abc import Mapping
from itertools import count
from typing import Any

from .errors import UnfinishedUpload

__all__ = ["tell_all", "watch"]

logger = logging.getLogger("resumable")

MOST_NAMES = 5
LONGEST_NAME = 100

_numbers = count()
_watched: dict[int, weakref.finalize[..., Any]] = {}


def watch(session: Any, files: Mapping[int, str]) -> None:
    """Warn if ``files``, by their names, are still there when the session is not. Called by its constructor, whose
    caller the warning names."""
    frame = sys._getframe(2)
    number = next(_numbers)
    place = frame.f_code.co_filename, frame.f_lineno
    finalizer = weakref.finalize(session, _tell, "its session was dropped", number, files, place, os.getpid())
    finalizer.atexit = False
    _watched[number] = finalizer


def tell_all() -> None:
    """Warn of every session that is left at the end of the program. Raises the first warning that is turned into an
    error."""
    raised = None
    for finalizer in list(_watched.values()):
        detached = finalizer.detach()
        if detached is not None:
            _, tell, (_, *facts), _ = detached
            try:
                tell("the program ended", *facts)
            except UnfinishedUpload as error:
                raised = raised or error
    if raised is not None:
        raise raised


def _tell(when: str, number: int, files: Mapping[int, str], place: tuple[str, int], process: int) -> None:
    _watched.pop(number, None)
    names = list(files.values())
    # The child of a fork has none of the session's threads: the upload is its parent's.
    if not names or os.getpid() != process:
        return
    shown = ", ".join(
        repr(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…") for name in names[:MOST_NAMES]
    )
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    what = "1 file was" if len(names) == 1 else f"{len(names)} files were"
    text = f"{what} not uploaded when {when}: {shown}{more}; call join() of the session, or use it in a with block"
    logger.warning("%s", text)
    warnings.warn_explicit(UnfinishedUpload(text, names), None, *place)
