"""Credentials: tokens from files and environment variables, never from the command line, where others can read them."""

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
    """Return ``--token-file`` and ``--token-env``."""
    return [
        Option(
            "--token-file",
            type=click.Path(dir_okay=False),
            section=ACCESS,
            help="File whose first line is the token (Authorization: Bearer). It is read again for each request.",
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


def token_of(file: str | None, variable: str | None) -> str | None:
    """Return the token, or None without a flag. Raises OSError, and ValueError if the token is empty."""
    if file is not None and variable is not None:
        raise ValueError("pass either --token-file or --token-env, not both")
    if variable is not None:
        token = os.environ.get(variable, "").strip()
        if not token:
            raise ValueError(f"--token-env: the environment variable {variable} is not set, or is empty")
        return token
    return None if file is None else _first_line(file)


def _first_line(path: str) -> str:
    """Return the first line of the file. Raises OSError, and ValueError if it is empty."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    if not lines or not lines[0].strip():
        raise ValueError(f"--token-file: the first line of {path!r} is empty")
    return lines[0].strip()


def authorised(headers: Mapping[str, str], file: str | None, variable: str | None) -> Any:
    """Add the token to the headers, and return them as the option ``headers`` takes them.

    A file is read for each request, so that a renewed token is used. Raises what :func:`token_of` raises.
    """
    token = token_of(file, variable)
    if token is None:
        return headers
    if file is None:
        return {**headers, "Authorization": f"Bearer {token}"}
    renewed: Callable[[], str] = lambda: _first_line(file)  # noqa: E731
    return lambda file, chunk: {**headers, "Authorization": f"Bearer {renewed()}"}
