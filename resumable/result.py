"""What became of the files of a run."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from .errors import FileRejected
from .file import ResumableFile

__all__ = ["Result"]

_MOST_SHOWN = 10
"""Reasons that a notebook shows."""


class Result(NamedTuple):
    """The result of a run: what became of its files. True if all of them succeeded.

    ``errors`` are those of the failed files, in the same order. ``skipped`` are the files that ``add_files`` and
    ``add_directory`` left out, each as the FileRejected that says why.
    """

    succeeded: tuple[ResumableFile, ...] = ()
    failed: tuple[ResumableFile, ...] = ()
    cancelled: tuple[ResumableFile, ...] = ()
    skipped: tuple[FileRejected, ...] = ()

    @property
    def errors(self) -> tuple[Exception, ...]:
        """The exceptions of the failed files; none in a pickled copy, in which files are plain records."""
        errors = (getattr(file, "error", None) for file in self.failed)
        return tuple(error for error in errors if error is not None)

    def __bool__(self) -> bool:
        return not self.failed and not self.cancelled and not self.skipped

    def _repr_html_(self) -> str:
        """Return what a notebook shows: how many files ended how, and what kept others from it."""
        counts = [(name, len(getattr(self, name))) for name in self._fields]
        rows = [
            f"<tr><th>{name}</th><td>{number}</td></tr>" for name, number in counts if number or name == "succeeded"
        ]
        reasons = [str(reason) for reason in (*self.errors, *self.skipped)]
        shown = [f"<li>{escape(reason)}</li>" for reason in reasons[:_MOST_SHOWN]]
        if len(reasons) > _MOST_SHOWN:
            shown.append(f"<li>and {len(reasons) - _MOST_SHOWN} more</li>")
        return f"<table>{''.join(rows)}</table>" + (f"<ul>{''.join(shown)}</ul>" if shown else "")
