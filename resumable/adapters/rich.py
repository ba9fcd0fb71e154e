"""Progress of rich: the columns, and a ``Progress`` that follows sessions: ``resumable[cli]`` brings rich."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from ..core.states import FileState
from ..units import duration, rate, remaining, strip_control
from .callback import follow
from .run import FilesOfRun

if TYPE_CHECKING:
    from ..file import ResumableFile
    from ..session import Resumable

__all__ = ["SpeedColumn", "StateColumn", "TimeLeftColumn", "UploadProgress"]


class SpeedColumn(ProgressColumn):
    """The speed, without what the server had already."""

    def render(self, task: Task) -> Text:
        """Return the speed of the file, or of the session."""
        return Text(rate(task.fields["subject"].speed), "progress.data.speed", justify="right")


class TimeLeftColumn(ProgressColumn):
    """The time that remains."""

    def render(self, task: Task) -> Text:
        """Return the time that remains of the file, or of the session."""
        return Text(remaining(task.fields["subject"].time_remaining), "progress.remaining")


class StateColumn(ProgressColumn):
    """What keeps the upload from moving: a pause, or the wait for the next attempt. Empty while it moves."""

    def render(self, task: Task) -> Text:
        """Return the state of the file, or of the session, in words."""
        subject = task.fields["subject"]
        waits = subject.retry_in
        if waits is not None:
            return Text(f"next try in {duration(waits)}", "yellow")
        state = subject.state.value
        return Text(state if state in ("cancelled", "error", "paused") else "", "yellow")


class UploadProgress(Progress):
    """A row for each file, or one for all of them (``total=True``). It starts with the first file and stops with the
    run, with the last one if it follows several sessions, unless a ``with`` block of its own says when.

    An object is a plugin (``Resumable(url, plugins=[UploadProgress()])``) or is given as ``on_progress`` or
    ``progress`` of :func:`~resumable.upload`. ``columns`` and ``options`` are those of ``rich.progress.Progress``.
    """

    name = "rich"

    def __init__(self, *columns: str | ProgressColumn, total: bool = False, **options: Any) -> None:
        # Before the base class, which draws at once.
        self._all = total
        self._rows: dict[Any, TaskID] = {}
        self._files: WeakKeyDictionary[Resumable, FilesOfRun] = WeakKeyDictionary()
        self._started_here = False
        super().__init__(*columns, **options)

    @classmethod
    def get_default_columns(cls) -> tuple[ProgressColumn, ...]:
        """Return a name, a bar, the size, the speed, the time that remains, and why nothing moves."""
        return (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            SpeedColumn(),
            TimeLeftColumn(),
            StateColumn(),
        )

    def attach(self, session: Resumable) -> None:
        """Follow the session: see :class:`~resumable.hooks.Plugin`."""
        follow(session, self)
        for event in ("complete", "cancel"):
            session.on(event, lambda *_: self._finish(session))

    def __call__(self, file: ResumableFile) -> None:
        """Note that the file moved. What is shown is read whenever rich draws."""
        session = file.resumable_obj
        files = self._files.setdefault(session, FilesOfRun())
        begins = files.add(file)
        key = session if self._all else file
        if key not in self._rows:
            if not begins:
                return
            self._rows[key] = self.add_task(strip_control(file.relative_path), subject=key)
            if not self.live.is_started:
                self._started_here = True
                self.start()
        if self._all:
            self.update(self._rows[key], description=files.in_words(file))
        self._look(key, self._rows[key])
        if file.state is FileState.CANCELLED and files.ended:
            self._finish(session)

    def _look(self, subject: Any, row: TaskID) -> None:
        size = subject.get_size() if self._all else subject.part_size
        self.update(row, total=size, completed=subject.bytes_transferred)

    def get_renderables(self) -> Any:
        """Return what rich draws, with the progress of now. A thread of rich calls this, perhaps while others end."""
        for subject, row in list(self._rows.items()):
            self._look(subject, row)
        return super().get_renderables()

    def finish(self) -> None:
        """Leave the rows as they are, and begin new ones for what comes."""
        for session in list(self._files):
            self._finish(session)

    def _finish(self, session: Resumable) -> None:
        """Leave the rows of one session as they are. With the last of them the drawing stops."""
        for subject, row in list(self._rows.items()):
            if session in (subject, getattr(subject, "resumable_obj", None)):
                self._look(subject, row)
                del self._rows[subject]
        if session in self._files:
            self._files[session].clear()
        if self._started_here and not self._rows:
            self._started_here = False
            self.stop()
