"""Who we are: tokens out of files and environment variables, never out of the command line, where all can read them."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from .command import ACCESS, Option

__all__ = ["authorised", "certificate_flag", "certificates", "token_flags", "token_of"]

_BUNDLE = "REQUESTS_CA_BUNDLE"


def token_flags() -> list[click.Option]:
    """``--token-file`` and ``--token-env``."""
    return [
        Option(
            "--token-file",
            type=click.Path(dir_okay=False),
            section=ACCESS,
            help="A file whose first line is the token (Authorization: Bearer). It is read anew for each request.",
        ),
        Option(
            "--token-env",
            metavar="NAME",
            section=ACCESS,
            help="The environment variable that holds the token.",
        ),
    ]


def certificate_flag() -> click.Option:
    """``--cacert``"""
    return Option(
        "--cacert",
        type=click.Path(exists=True, dir_okay=False),
        section=ACCESS,
        help="A file of the certificates to trust, in place of the usual ones (PEM).",
    )


@contextmanager
def certificates(file: str | None) -> Iterator[None]:
    """In this block servers have to show a certificate that those in the file vouch for, where one is named.

    Raises BadParameter where there is none in it.
    """
    before = os.environ.get(_BUNDLE)
    try:
        if file is not None:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError as error:
        why = "there is no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise click.BadParameter(f"{file!r} cannot be used: {why}", param_hint="--cacert") from None
    # A session of ours with such a file would be a slower way to the network than the library's own.
    if file is not None:
        os.environ[_BUNDLE] = os.path.abspath(file)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_BUNDLE] = before
        elif file is not None:
            del os.environ[_BUNDLE]


def token_of(file: str | None, variable: str | None) -> str | None:
    """The token, or None where no flag names one. Raises OSError, and ValueError where there is none in it."""
    if file is not None and variable is not None:
        raise ValueError("--token-file and --token-env name two tokens; give one of them")
    if variable is not None:
        token = os.environ.get(variable, "").strip()
        if not token:
            raise ValueError(f"the environment variable {variable} (--token-env) is not set, or is empty")
        return token
    return None if file is None else _first_line(file)


def _first_line(path: str) -> str:
    """The first line of the file. Raises OSError, and ValueError where it is empty."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    if not lines or not lines[0].strip():
        raise ValueError(f"the first line of {path!r} (--token-file) is no token; it is empty")
    return lines[0].strip()


def authorised(headers: Mapping[str, str], file: str | None, variable: str | None) -> Any:
    """The headers with the token, as the option ``headers`` takes them. What comes out of a file is read for each
    request, so that a token that was renewed is used. Raises what :func:`token_of` raises."""
    token = token_of(file, variable)
    if token is None:
        return headers
    if file is None:
        return {**headers, "Authorization": f"Bearer {token}"}
    renewed: Callable[[], str] = lambda: _first_line(file)  # noqa: E731
    return lambda file, chunk: {**headers, "Authorization": f"Bearer {renewed()}"}
