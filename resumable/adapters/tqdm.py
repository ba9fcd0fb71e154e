"""Bars of tqdm, in terminals and notebooks: ``resumable[tqdm]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tqdm.auto import tqdm  # type: ignore[import-not-found, import-untyped, unused-ignore]

from ..core.states import TERMINAL, FileState
from ..units import duration, strip_control
from .callback import follow
from .run import FilesOfRun

if TYPE_CHECKING:
    from ..file import ResumableFile
    from ..session import Resumable

__all__ = ["Bars"]


class Bars:
    """A bar for each file, or one for all of them (``total=True``). In a notebook tqdm draws it there.

    An object is a plugin (``Resumable(url, plugins=[Bars()])``) or is given as ``on_progress`` or ``progress`` of
    :func:`~resumable.upload`. ``bar`` is another class of bars than ``tqdm.auto.tqdm``; ``options`` are its own. Bars
    move as often as ``throttle_progress_callbacks`` says.
    """

    name = "tqdm"

    def __init__(self, *, total: bool = False, bar: Any = tqdm, **options: Any) -> None:
        self._total = total
        self._make = bar
        self._options = {"unit": "B", "unit_scale": True, "unit_divisor": 1024, **options}
        self._bars: dict[Any, Any] = {}
        self._skipped: dict[Any, int] = {}
        self._files: WeakKeyDictionary[Resumable, FilesOfRun] = WeakKeyDictionary()

    def attach(self, session: Resumable) -> None:
        """Follow the session: see :class:`~resumable.hooks.Plugin`. Its bars end with the run."""
        follow(session, self)
        for event in ("complete", "cancel"):
            session.on(event, lambda *_: self._close(session))

    def __call__(self, file: ResumableFile) -> None:
        """Draw the file, or all of its session, as it is now."""
        session = file.resumable_obj
        files = self._files.setdefault(session, FilesOfRun())
        begins = files.add(file)
        # Read before the bytes: a file that ends between the two would otherwise leave a bar that is not full.
        state = file.state
        key: Any = session if self._total else file
        size = session.get_size() if self._total else file.part_size
        if key not in self._bars:
            if not begins:
                return
            self._bars[key] = self._make(total=size, desc=strip_control(file.relative_path), **self._options)
        bar = self._bars[key]
        if self._total:
            bar.set_description_str(files.in_words(file), refresh=False)
        bar.total = size
        self._move(bar, key)
        waits = key.retry_in
        bar.set_postfix_str("" if waits is None else f"next try in {duration(waits)}", refresh=waits is not None)
        if state in TERMINAL and not self._total:
            self._end(file, "" if state is FileState.SUCCESS else state.value)
        elif state is FileState.CANCELLED and files.ended:
            self._close(session)

    def _move(self, bar: Any, key: Any) -> None:
        # What the server had before does not count for the speed that tqdm shows.
        skipped = key.bytes_skipped
        there = max(skipped - self._skipped.get(key, 0), 0)
        self._skipped[key] = skipped
        bar.n += there
        bar.initial += there
        bar.last_print_n += there
        bar.update(key.bytes_transferred - bar.n)

    def _end(self, key: Any, postfix: str = "") -> None:
        bar = self._bars.pop(key)
        self._skipped.pop(key, None)
        if postfix:
            bar.set_postfix_str(postfix, refresh=False)
        bar.refresh()
        bar.close()

    def close(self) -> None:
        """Leave the bars as they are, and draw new ones for what comes."""
        for session in list(self._files):
            self._close(session)

    def _close(self, session: Resumable) -> None:
        """Leave the bars of one session as they are."""
        for key in [key for key in self._bars if session in (key, getattr(key, "resumable_obj", None))]:
            self._end(key)
        if session in self._files:
            self._files[session].clear()
