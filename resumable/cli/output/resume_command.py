"""The command that resumes the upload, as one types it, without its secrets."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence

from ...errors import redact_url

__all__ = ["LEFT_OUT", "command_again", "program"]

LEFT_OUT = "***"

_SHORT_HEADER = re.compile(r"-[a-zA-Z]*?H")


def program() -> str:
    """Return how this program is called: by its path if the shell would not find it by its name."""
    called = sys.argv[0]
    # A program that calls the command has no name of its own for it if it came as python -c or from the standard input.
    if os.path.basename(called) == "__main__.py" or called in ("", "-", "-c"):
        return f"{_typed(sys.executable)} -m resumable"
    return _typed(called)


def _typed(path: str) -> str:
    name = os.path.basename(path)
    found = shutil.which(name)
    # Links are not followed: the python of a virtual environment is one, and another program than what it leads to.
    return name if found and os.path.abspath(found) == os.path.abspath(path) else shlex.quote(path)


def command_again(arguments: Sequence[str]) -> str:
    """Return the program with these arguments, quoted for a shell. What may be secret in them becomes ``***``."""
    return f"{program()} {' '.join(map(_quoted, _shown(arguments)))}"


def _shown(arguments: Sequence[str]) -> Iterator[str]:
    hide: Callable[[str], str] | None = None
    for argument in arguments:
        if hide is not None:
            yield hide(argument)
            hide = None
            continue
        flag, equals, value = argument.partition("=")
        short = _SHORT_HEADER.match(argument) if not argument.startswith("--") else None
        if flag in ("--header", "--query"):
            secret = _header if flag == "--header" else _parameter
            hide = None if equals else secret
            yield f"{flag}={secret(value)}" if equals else argument
        elif short is not None:
            rest = argument[short.end() :]
            hide = None if rest else _header
            yield short.group() + (_header(rest) if rest else "")
        else:
            yield redact_url(argument) if "://" in argument else argument


def _quoted(argument: str) -> str:
    """Quote the argument for a shell. What would move the cursor, or is not text, is written in ASCII."""
    if argument.isprintable():
        return shlex.quote(argument)
    escaped = (
        chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}" for byte in os.fsencode(argument)
    )
    return f"$'{''.join(escaped)}'"


def _header(text: str) -> str:
    """Return a header without its value, which may be secret."""
    name, colon, _ = text.partition(":")
    return text if text.startswith("@") else f"{name}{colon} {LEFT_OUT}"


def _parameter(text: str) -> str:
    return redact_url(f"?{text}")[1:]
