"""Every exception that this package raises.

::

    ResumableError
    ├── UsageError
    │   ├── OptionError (ValueError)        an option has a value that is not allowed
    │   ├── UnknownOption (TypeError)       there is no option of this name
    │   ├── UnknownEvent (ValueError)       there is no event of this name
    │   ├── PluginError (RuntimeError)      a plugin cannot be imported, made or attached
    │   └── StateError (RuntimeError)       the call is not possible in this state; nothing was changed
    ├── FileRejected (ValueError)           a file that the options refuse was not added
    ├── SourceError (OSError)               a source is missing, unreadable, or not a file
    │   └── SourceChanged                   a source changed while it was being sent
    ├── UploadError                         a file was not uploaded; has .file .chunk .status .body .attempts .hint
    │   ├── TransportError                  there was no usable answer, and another attempt cannot help
    │   ├── ServerRefused                   the server refused, and will do so again
    │   │   ├── AuthenticationRefused       401, 403, 407, or a log-in page
    │   │   └── RedirectRefused             the server redirected to elsewhere
    │   ├── RetriesExhausted                all attempts failed
    │   ├── IncompleteUpload                the server acknowledged every chunk but does not have the whole file
    │   └── HookError                       one of your hooks raised
    ├── UploadFailed                        a run ended with failed files; has .errors and .result
    ├── UploadCancelled                     what was waited for was cancelled
    ├── WaitTimeout (TimeoutError)          what was waited for is still going on
    ├── BlockedLoop (RuntimeWarning)        a warning: a call blocks the asyncio loop that runs on its thread
    └── UnfinishedUpload (RuntimeWarning)   a warning: files were left behind that were not uploaded

All of them can be pickled. A file or chunk that an exception carries is unpickled as a plain record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from types import FunctionType, MethodType
from typing import Any
from urllib.parse import unquote

__all__ = [
    "AuthenticationRefused",
    "BlockedLoop",
    "FileRejected",
    "HookError",
    "IncompleteUpload",
    "OptionError",
    "PluginError",
    "RedirectRefused",
    "ResumableError",
    "RetriesExhausted",
    "ServerRefused",
    "SourceChanged",
    "SourceError",
    "StateError",
    "TransportError",
    "UnfinishedUpload",
    "UnknownEvent",
    "UnknownOption",
    "UploadCancelled",
    "UploadError",
    "UploadFailed",
    "UsageError",
    "WaitTimeout",
    "redact_option",
    "redact_url",
]

_LONGEST_VALUE = 200
_URLS = ("target", "test_target")
_PRIVATE = ("headers", "query", "redirect_origins", "session", "transport")

# The second form is for a password that holds a character which would end the host.
_USERINFO = re.compile(r"(^|//)(?:[^/?#]*@|[^/?#:\[]*:(?![0-9]*(?:[/?#]|$)).*@)")
_CANCELLED = {
    "closed": "the session was closed; another session that adds the file sends the missing chunks",
    "fail_fast": "another file failed, and fail_fast is True",
    "removed": "it was removed from the session",
    "replaced": "another file took its place, and max_files is 1",
}

_PARAMETER = re.compile(r"(?<=[?&;#])([^=&;#]*)=[^&;#]*")
_SECRET = re.compile(
    "auth|bearer|credential|csrf|jwt|key|pass|pwd|secret|session|sig|token|^(?:code|pin|sid)$", re.IGNORECASE
)


class ResumableError(Exception):
    """The base class of all exceptions of this package."""

    def __reduce__(self) -> Any:
        # Exception pickles by calling the class with .args, which fits no class with a signature of its own.
        return _restored, (type(self), self.args, self._state(), _portable(self.__cause__))

    def _state(self) -> dict[str, Any]:
        return self.__dict__


def _restored(
    cls: type[ResumableError], args: tuple[Any, ...], state: dict[str, Any], cause: BaseException | None
) -> ResumableError:
    error = cls.__new__(cls, *args)
    error.args = args
    for name, value in state.items():
        setattr(error, name, value)
    error.__cause__ = cause
    return error


def _portable(cause: BaseException | None) -> BaseException | None:
    """Return the cause, or, if it does not survive pickling, an exception that says its type and text."""
    if isinstance(cause, ResumableError):
        return cause
    # Only pickling needs it.
    import pickle

    try:
        pickle.loads(pickle.dumps(cause))
    except Exception:
        return RuntimeError(f"{type(cause).__name__}: {cause}")
    return cause


class UsageError(ResumableError):
    """A call was wrong; nothing was changed and nothing was sent."""


class OptionError(UsageError, ValueError):
    """An option has a value that is not allowed. ``option`` names it; the value is not kept if it may be secret."""

    def __init__(self, option: str, value: Any, allowed: str) -> None:
        joint = ";" if set(",;") & set(allowed) else ","
        super().__init__(f"{option} must be {allowed}{joint} got {redact_option(option, value)}")
        self.option = option


class UnknownOption(UsageError, TypeError):
    """There is no option of this name. ``option`` is the name."""

    def __init__(self, option: str, near: Sequence[str] = (), advice: str | None = None) -> None:
        super().__init__(f"there is no option {option!r}" + (f"; {advice}" if advice else _did_you_mean(near)))
        self.option = option


class UnknownEvent(UsageError, ValueError):
    """There is no event of this name. ``event`` is the name."""

    def __init__(self, event: str, near: Sequence[str] = ()) -> None:
        super().__init__(f"there is no event {event!r}" + _did_you_mean(near))
        self.event = event


class PluginError(UsageError, RuntimeError):
    """A plugin cannot be imported, made or attached. ``plugin`` is its name, ``package`` the package that has it,
    with its version, None if none has; ``__cause__`` is what it raised, if it did."""

    def __init__(self, plugin: str, package: str | None, problem: str) -> None:
        whose, advice = (f" of {package}", f"update {package}") if package else ("", "fix it")
        super().__init__(f"the plugin {plugin!r}{whose} {problem}; {advice}, or leave the plugin out")
        self.plugin = plugin
        self.package = package


class StateError(UsageError, RuntimeError):
    """The call is not possible in this state; nothing was changed."""

    def __init__(self, call: str, state: str) -> None:
        super().__init__(f"cannot {call}: {state}")
        self.call = call
        self.state = state


class FileRejected(ResumableError, ValueError):
    """A file was not added. ``option`` names what refused it, ``reason`` says why, ``source`` is the file as it was
    given, as text."""

    def __init__(self, source: str, option: str, reason: str) -> None:
        super().__init__(f"{source!r} was not added: {reason}")
        self.source = source
        self.option = option
        self.reason = reason


class SourceError(ResumableError, OSError):
    """A source is missing, unreadable, or not a file. ``source`` is its name; ``errno`` is kept if there is one."""

    def __init__(self, source: str, reason: str, *, errno: int | None = None) -> None:
        super().__init__(f"cannot read {source!r}: {reason}")
        self.errno = errno
        self.source = source

    def _state(self) -> dict[str, Any]:
        # OSError keeps errno beside the __dict__.
        return {**self.__dict__, "errno": self.errno}


class SourceChanged(SourceError):
    """A source changed while it was being sent. What the server has may be a mixture, so the upload failed."""

    def __init__(self, source: str, change: str) -> None:
        super().__init__(
            source, f"it changed while it was being sent ({change}); add it again when nothing writes to it any more"
        )


class UploadError(ResumableError):
    """A file was not uploaded.

    ``file`` and ``chunk`` are the handles (``chunk`` is None if no chunk is to blame), ``status`` the HTTP status or
    None, ``body`` the beginning of the server's answer, ``attempts`` how often the chunk was sent. The message ends
    with ``ending``, why no other attempt followed, and ``hint``, what to do about it, unless they are None.
    """

    def __init__(
        self,
        message: str,
        *,
        file: Any = None,
        chunk: Any = None,
        status: int | None = None,
        body: str = "",
        attempts: int = 0,
        ending: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.file = file
        self.chunk = chunk
        self.status = status
        self.body = body
        self.attempts = attempts
        self.ending = ending
        self.hint = hint

    def __str__(self) -> str:
        text = super().__str__()
        if self.ending:
            text = f"{text} ({self.ending})"
        return f"{text}; {self.hint}" if self.hint else text


class TransportError(UploadError):
    """There was no usable answer, and another attempt cannot help: a bad certificate, an unknown host."""


class ServerRefused(UploadError):
    """The server refused, and will do so again."""


class AuthenticationRefused(ServerRefused):
    """The credentials are missing or not accepted: 401, 403, 407 from a proxy, or a log-in page."""


class RedirectRefused(ServerRefused):
    """The server redirected in a way that would lose the chunk or give credentials to another origin."""


class RetriesExhausted(UploadError):
    """All attempts failed. ``__cause__`` is the last failure if it was one of the network."""


class IncompleteUpload(UploadError):
    """The server acknowledged every chunk but does not have the whole file: it lost some, or several servers without a
    common store answer in turn.

    The server that was asked last has ``stored`` of ``total`` chunks; None if it does not say how many. ``retry()`` of
    the file sends the others.
    """

    def __init__(self, message: str, *, stored: int | None, total: int, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.stored = stored
        self.total = total


class HookError(UploadError):
    """A hook raised, or returned a value that is not allowed. ``__cause__`` is what it raised; ``hook`` is its name,
    and ``plugin`` that of the plugin which raised, None for one of the options."""

    def __init__(self, message: str, *, hook: str, plugin: str | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.hook = hook
        self.plugin = plugin


class UploadFailed(ResumableError):
    """A run ended with failed files. ``errors`` has the exception of each, ``result`` the outcome of all files."""

    def __init__(self, errors: Iterable[BaseException], result: Any = None) -> None:
        self.errors = tuple(errors)
        self.result = result
        first = str(self.errors[0]) if self.errors else "nothing"
        others = len(self.errors) - 1
        more = f" (and {others} more file{'s' if others > 1 else ''})" if others > 0 else ""
        super().__init__(first + more)


class UploadCancelled(ResumableError):
    """A file that somebody waited for was cancelled. ``reason`` is that of its event ``file_cancelled``."""

    def __init__(self, message: str, reason: str = "cancelled") -> None:
        why = _CANCELLED.get(reason)
        super().__init__(f"{message}: {why}" if why else message)
        self.reason = reason


class WaitTimeout(ResumableError, TimeoutError):
    """``timeout`` seconds passed, and what was waited for has not happened. Nothing was changed, except that a run that
    was joined ends when no file is open any more."""


class BlockedLoop(ResumableError, RuntimeWarning):
    """A warning: a call blocks the asyncio loop of its thread. The message names what to await instead."""


class UnfinishedUpload(ResumableError, RuntimeWarning):
    """A warning: a program ended, or a session was garbage-collected, before its files were uploaded.

    ``files`` are their relative paths. There is no warning after ``join()``, a ``with`` block, ``cancel()`` or
    ``close()``.
    """

    def __init__(self, message: str, files: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.files = tuple(files)


def redact_option(option: str, value: Any) -> str:
    """Return the value of an option as it may be shown: only its type if it may hold a secret."""
    if option in _URLS and isinstance(value, str):
        return repr(redact_url(value))
    if option in _URLS or option in _PRIVATE:
        return f"<{type(value).__name__}>"
    if isinstance(value, (FunctionType, MethodType)):
        return f"{value.__qualname__}()"
    try:
        text = repr(value)
    except Exception:
        # Code of the user makes it, and Python does not write the longest numbers.
        return f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def redact_url(url: str) -> str:
    """Return the URL as it may be shown: without user and password, and with ``***`` for the value of each parameter
    whose name suggests a secret (token, key, signature, password, …). Text that is no URL is accepted, too.
    """
    url = _USERINFO.sub(r"\1", url)
    return _PARAMETER.sub(lambda found: f"{found[1]}=***" if _SECRET.search(unquote(found[1])) else found[0], url)


def _did_you_mean(near: Sequence[str]) -> str:
    return f"; did you mean {near[0]!r}?" if near else ""
