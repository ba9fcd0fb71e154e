"""The servers: one record each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from resumable import dialects

__all__ = ["SERVERS", "Record"]


@dataclass(frozen=True)
class Record:
    """What the tests have to know about one server.

    ``kind`` says how it is installed and started (see ``bench.py``), ``path`` where it takes uploads, and ``options``
    what a client needs beside the defaults. ``sdists`` are the packages of a lock that come without a wheel.

    ``done`` matches finished files below the server's folder, ``named`` gives the name of one from the name and the
    size of what was sent. ``chunked`` servers leave the chunks as they came, and hand them out one after the other.

    What is known of it: whether it can take an ``empty`` file; whether it still knows the chunks of a finished file
    (``remembers``); whether the first file of a name stays, and the next one of that name is acknowledged and dropped
    (``keeps_first``); by what it ``tells_apart`` two files; whether it wants a ``log_in``.
    """

    name: str
    kind: str
    package: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sdists: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    done: str = "done/*"
    chunked: bool = False
    named: Callable[[str, int], str] = lambda name, size: name
    empty: bool = True
    remembers: bool = False
    keeps_first: bool = False
    tells_apart: str = "names"
    log_in: bool = False

    def contents(self, root: Path) -> Iterator[tuple[str, bytes]]:
        """The name and the bytes of each finished file; of a chunked server the identifier and what is there so far."""
        if self.chunked:
            yield from _joined(root.glob(self.done))
            return
        for path in sorted(root.glob(self.done)):
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts):
                yield path.name, path.read_bytes()


def _joined(paths: Iterator[Path]) -> Iterator[tuple[str, bytes]]:
    chunks: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in paths:
        if match := re.fullmatch(r"(?:resumable|flow)-(.+)\.(\d+)", path.name):
            chunks[match[1]][int(match[2])] = path
    for identifier, numbered in chunks.items():
        yield identifier, b"".join(numbered[number].read_bytes() for number in sorted(numbered))


def _with_size(name: str, size: int) -> str:
    return f"{size}_{name}"


_FLOW = MappingProxyType({name: value for name, value in dialects.FLOWJS.items() if name.endswith("_parameter_name")})

SERVERS: Mapping[str, Record] = MappingProxyType(
    {
        record.name: record
        for record in [
            Record(
                "node-sample",
                "node",
                "resumablejs 1.1.0",
                "/upload",
                tells_apart="identifiers",
                done="chunks/*",
                chunked=True,
                empty=False,
                remembers=True,
            ),
            Record("php-sample", "php", "resumablejs 1.1.0", "/", done="temp/*"),
            Record(
                "django-resumable",
                "python",
                "django-resumable 0.2.0",
                "/upload/",
                sdists=("django-resumable",),
                done="done/*",
                named=_with_size,
                tells_apart="names and sizes",
                remembers=True,
                keeps_first=True,
            ),
            Record(
                "django-resumable-async-upload",
                "python",
                "django-resumable-async-upload 0.1.5",
                "/admin_resumable/upload/",
                done="media/done/*",
                named=_with_size,
                tells_apart="names and sizes",
                log_in=True,
            ),
            Record(
                "django-admin-resumable-js",
                "python",
                "django-admin-resumable-js 3.0",
                "/admin_resumable/admin_resumable/",
                done="media/admin_uploaded/*",
                named=_with_size,
                tells_apart="names and sizes",
                log_in=True,
            ),
            Record("dash-uploader", "python", "dash-uploader 0.6.1", "/API/resumable", sdists=("dash-uploader",)),
            Record(
                "dash-resumable-upload",
                "python",
                "dash-resumable-upload 0.0.3",
                "/upload_resumable",
                sdists=("dash-resumable-upload",),
                keeps_first=True,
            ),
            Record("python-resumable", "python", "python-resumable 0.1.2", "/uploads"),
            Record("flowjs-tornado", "python", "flowjs 0.1.1", "/upload", options=_FLOW, tells_apart="identifiers"),
            Record(
                "flowjs-node-sample",
                "node",
                "@flowjs/flow.js 2.14.1",
                "/upload",
                tells_apart="identifiers",
                options=_FLOW,
                done="chunks/*",
                chunked=True,
                empty=False,
                remembers=True,
            ),
            Record("go", "go", "Go 1.27", "/upload", done="done/*/*", tells_apart="identifiers"),
            Record(
                "nginx",
                "nginx",
                "resumable behind nginx",
                "/",
                settings=("client_max_body_size 8m;",),
                done="done/**/*",
                tells_apart="identifiers",
                remembers=True,
            ),
        ]
    }
)
