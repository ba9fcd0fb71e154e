"""Make the bytes around a chunk: the head and the tail of a multipart form, and base64 in place of the bytes.

A form is written as head, chunk, tail, so that the chunk itself is streamed and never copied into a body. The
reference is what Chromium writes for a FormData: each field a part without a content type, the file part last, its
name with only the quote, CR and LF escaped and the rest in raw UTF-8.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from .parameters import Pairs, well_formed

__all__ = ["Form", "base64_length", "base64_prefix", "boundary", "encode_form"]

_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class Form(NamedTuple):
    """A multipart form with a hole: ``head + the chunk + tail`` is the whole body, sent as ``content_type``.

    With a ``trailer`` there is another hole behind the chunk, for its hash: ``head + the chunk + trailer + the hash +
    tail``.
    """

    content_type: str
    head: bytes
    tail: bytes
    trailer: bytes = b""


def boundary() -> str:
    """Return a new boundary, of 128 random bits so that no chunk needs to be searched for it."""
    return "----resumable" + os.urandom(16).hex()


def encode_form(
    fields: Pairs,
    *,
    file_field: str,
    file_name: str | None,
    content_type: str,
    boundary: str,
    prefix: str = "",
    digest_field: str | None = None,
) -> Form:
    """Return the form of one chunk.

    If ``file_name`` is None, the chunk is a plain field that begins with ``prefix`` (``chunkFormat: 'base64'``).
    ``digest_field`` is the name of the field behind the chunk, for its hash.
    """
    lines = [_field(boundary, name, value) for name, value in fields]
    opening = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(file_field)}"'
    if file_name is None:
        lines.append(f"{opening}\r\n\r\n{prefix}")
    else:
        lines.append(f'{opening}; filename="{_quoted(file_name)}"\r\nContent-Type: {content_type}\r\n\r\n')
    return Form(
        content_type=f"multipart/form-data; boundary={boundary}",
        head=_joined(lines),
        tail=f"\r\n--{boundary}--\r\n".encode("ascii"),
        trailer=b"" if digest_field is None else _joined(("\r\n", _field(boundary, digest_field, "")))[:-2],
    )


def base64_prefix(content_type: str) -> str:
    """Return what a base64 chunk begins with, because it is sent as a data URL."""
    return f"data:{content_type};base64,"


def base64_length(size: int) -> int:
    """Return how many characters base64 makes of ``size`` bytes."""
    return (size + 2) // 3 * 4


@lru_cache(maxsize=1024)
def _field(boundary: str, name: str, value: str) -> str:
    # A browser sends every line break of a form field as CR LF (HTML, "constructing an entry list").
    value = value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'


@lru_cache(maxsize=1024)
def _quoted(name: str) -> str:
    return name.translate(_ESCAPES)


def _joined(lines: Iterable[str]) -> bytes:
    text = "".join(lines)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return well_formed(text).encode("utf-8")
