"""Credentials: tokens from files and environment variables, never from the command line, where others can read them."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from ...special_files import refuse_special_file
from .command import ACCESS, Option

__all__ = [
    "NO_TOKEN",
    "TOKEN_FILE",
    "Token",
    "authorised",
    "certificate_flag",
    "certificates",
    "token_flags",
    "token_of",
    "typed_token",
]

TOKEN_FILE = "RESUMABLE_TOKEN_FILE"
"""The environment variable that names a file with a token."""

_BUNDLE = "REQUESTS_CA_BUNDLE"


class Token(NamedTuple):
    """Where the token is: in a file, or in an environment variable. ``origin`` is what said so, for messages."""

    file: str | None = None
    variable: str | None = None
    origin: str = ""


NO_TOKEN = Token()


def token_flags(*, environment: bool = False) -> list[click.Option]:
    """Return ``--token-file`` and ``--token-env``. ``environment``: a variable may name the file instead."""
    variable: dict[str, Any] = {"envvar": TOKEN_FILE, "show_envvar": True} if environment else {}
    return [
        Option(
            "--token-file",
            type=click.Path(dir_okay=False),
            section=ACCESS,
            brief="File with the token for the server.",
            help="File whose first line is the token (Authorization: Bearer). It is read again for each request.",
            **variable,
        ),
        Option(
            "--token-env",
            metavar="NAME",
            section=ACCESS,
            help="Name of the environment variable that holds the token.",
        ),
    ]


def certificate_flag() -> click.Option:
    """Return ``--cacert``."""
    return Option(
        "--cacert",
        type=click.Path(exists=True, dir_okay=False),
        section=ACCESS,
        help="File of certificates (PEM) to trust instead of the usual ones.",
    )


@contextmanager
def certificates(file: str | None) -> Iterator[None]:
    """Trust only the certificates in the file, if there is one, within this block.

    Raises BadParameter if the file holds no certificate.
    """
    before = os.environ.get(_BUNDLE)
    try:
        if file is not None:
            refuse_special_file(file)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError as error:
        why = "it contains no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise click.BadParameter(f"{file!r} cannot be used: {why}", param_hint="--cacert") from None
    # A requests.Session with such a file would be slower than the connections of the library.
    if file is not None:
        os.environ[_BUNDLE] = os.path.abspath(file)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_BUNDLE] = before
        elif file is not None:
            del os.environ[_BUNDLE]


def typed_token(context: click.Context, values: Mapping[str, Any]) -> Token:
    """Return where the flags, or else the environment, say that the token is.

    Raises UsageError if two flags were typed.
    """
    file, variable = values["token_file"], values["token_env"]
    from_environment = context.get_parameter_source("token_file") is ParameterSource.ENVIRONMENT
    if variable is not None:
        if file is not None and not from_environment:
            raise click.UsageError("pass either --token-file or --token-env, not both", context)
        return Token(None, variable, "--token-env")
    return Token(file, None, TOKEN_FILE if from_environment else "--token-file") if file is not None else NO_TOKEN


def token_of(token: Token) -> str | None:
    """Return the token itself, or None if there is none. Raises ValueError if it cannot be read, or is empty."""
    if token.variable is not None:
        value = os.environ.get(token.variable, "").strip()
        if not value:
            raise ValueError(f"{token.origin}: the environment variable {token.variable} is not set, or is empty")
        return value
    if token.file is None:
        return None
    try:
        return _first_line(token.file)
    except OSError as error:
        raise ValueError(f"{token.origin}: {error.strerror}: {token.file!r}") from None
    except ValueError as error:
        raise ValueError(f"{token.origin}: {error}") from None


def _first_line(path: str) -> str:
    """Return the first line of the file. Raises OSError, and ValueError if it is empty or no text."""
    try:
        refuse_special_file(path)
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path!r} is not a text in UTF-8") from None
    if not lines or not lines[0].strip():
        raise ValueError(f"the first line of {path!r} is empty")
    return lines[0].strip()


def authorised(headers: Mapping[str, str], token: Token) -> Any:
    """Add the token to the headers, and return them as the option ``headers`` takes them.

    A file is read for each request, so that a renewed token is used, and a pipe once. Raises what :func:`token_of`
    raises.
    """
    value, path = token_of(token), token.file
    if value is None:
        return headers
    if path is None or not os.path.isfile(path):  # a pipe gives it once
        return {**headers, "Authorization": f"Bearer {value}"}
    renewed: Callable[[], str] = lambda: _first_line(path)  # noqa: E731
    return lambda file, chunk: {**headers, "Authorization": f"Bearer {renewed()}"}
