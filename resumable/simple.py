"""Uploads in one call."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from .adapters.callback import OnProgress, follow
from .errors import OptionError, UploadCancelled, WaitTimeout
from .plugins import lacking
from .result import Result
from .session import Resumable
from .sources.base import as_source_errors, expand_home
from .sources.shard import Shard
from .sources.url import find_urls, is_url

if TYPE_CHECKING:
    import threading

    from typing_extensions import Unpack

    from .hooks import Plugin
    from .static_types import UploadOptions

__all__ = ["add", "make_session", "upload"]

REDRAWN = 0.1
"""Seconds after which a bar moves."""

SLICE = 0.1
"""Seconds after which ``cancel`` is looked at again."""


def upload(
    source: Any,
    target: str | Callable[[list[str]], str],
    *,
    relative_path: str | PurePath | None = None,
    shard: tuple[int, int] | None = None,
    progress: bool | Plugin = False,
    on_progress: OnProgress | None = None,
    cancel: threading.Event | None = None,
    **options: Unpack[UploadOptions],
) -> Result:
    """Upload a source, or several in a list or tuple, and return the result once the server has them.

    A directory is uploaded with all its files. ``options`` are those of :class:`Resumable`. ``relative_path`` names a
    single source, such as bytes. With ``shard=(2, 8)`` only the second of eight shards is uploaded; the relative path
    of a file decides which shard it belongs to, so eight machines can share the files without knowing of each other.
    ``progress=True`` draws a bar, with tqdm or rich if they are installed; pass one of ``resumable.adapters`` to choose
    another. ``on_progress`` is called with each file that makes progress or ends. If another thread sets ``cancel``,
    the upload ends. Raises UploadFailed if a file failed, UploadCancelled, and what :meth:`Resumable.add_file` raises.
    """
    if cancel is not None and not callable(getattr(cancel, "is_set", None)):
        raise OptionError("cancel", cancel, "a threading.Event, or None")
    session = make_session(target, options, progress, on_progress)
    session._warn_of_blocking("upload()", "await resumable.upload_async(...)")
    with session:
        add(session, source, relative_path, shard, cancel)
        while True:
            try:
                return session.join(None if cancel is None else SLICE)
            except WaitTimeout:
                _raise_if_cancelled(cancel)


def make_session(
    target: str | Callable[[list[str]], str],
    options: UploadOptions,
    progress: bool | Plugin,
    on_progress: OnProgress | None,
) -> Resumable:
    """Return the session of an upload in one call. The other parameters are those of :func:`upload`."""
    if progress and progress is not True and (wanted := lacking(progress)):
        raise OptionError("progress", progress, f"True, False, or an object {wanted}")
    options.setdefault("auto_upload", False)
    if progress or on_progress is not None:
        options.setdefault("throttle_progress_callbacks", REDRAWN)
    session = Resumable(target, **options)
    if progress:
        (_bar() if progress is True else progress).attach(session)
    if on_progress is not None:
        follow(session, on_progress)
    return session


def _bar() -> Plugin:
    """Return the best bar that there is."""
    try:
        from .adapters.tqdm import Bars

        return Bars(total=True)
    except ImportError:
        pass
    try:
        from .adapters.rich import UploadProgress

        return UploadProgress(total=True)
    except ImportError:
        from .adapters.line import ProgressLine

        return ProgressLine()


def add(
    session: Resumable,
    source: Any,
    relative_path: str | PurePath | None,
    shard: tuple[int, int] | None,
    cancel: threading.Event | None,
) -> None:
    """Add what is to be uploaded. The other parameters are those of :func:`upload`."""
    sources = source if isinstance(source, (list, tuple)) else [source]
    if relative_path is not None and len(sources) != 1:
        raise TypeError("relative_path names one source; for several, use add_file() of a session")
    wanted = None if shard is None else Shard.of(shard)
    for item in sources:
        _raise_if_cancelled(cancel)
        if is_url(item):
            _add_urls(session, item, relative_path, wanted)
            continue
        path = _absolute(item) if isinstance(item, (str, os.PathLike)) else None
        name = None if path is None else os.path.basename(path)
        if path is not None and os.path.isdir(path):

            def select(below: str, is_directory: bool, name: str | None = name) -> bool:
                _raise_if_cancelled(cancel)
                return wanted is None or is_directory or wanted.takes(f"{name}/{below}" if name else below)

            session.add_directory(item, select=select)
            continue
        if wanted is not None:
            name = name if relative_path is None else PurePath(relative_path).as_posix()
            if name is None:
                raise TypeError("shard decides by the relative path of a file: pass relative_path for this source")
            if not wanted.takes(name):
                continue
        session.add_file(item, relative_path)


def _add_urls(session: Resumable, url: str, relative_path: str | PurePath | None, wanted: Shard | None) -> None:
    found = [(url, relative_path)] if relative_path is not None else [(one, path) for one, path, _ in find_urls(url)]
    for one, path in found:
        if wanted is None or wanted.takes(PurePath(path).as_posix()):
            session.add_file(one, path)


def _absolute(path: str | os.PathLike[str]) -> str:
    shown = expand_home(os.fsdecode(path))
    with as_source_errors(shown):
        return os.path.abspath(shown)


def _raise_if_cancelled(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise UploadCancelled("the upload was cancelled")
