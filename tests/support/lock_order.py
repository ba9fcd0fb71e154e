"""A program that uploads in many ways, and prints which lock of the package was taken while which other was held.

Run by ``test_locks.py`` in an interpreter of its own, for locks have to be watched before the package makes any.
"""

from __future__ import annotations

import io
import re
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGE = Path(sys.argv[1])
REAL = {name: getattr(threading, name) for name in ("Lock", "RLock", "Condition")}
SEEN: set[tuple[str, str]] = set()
HELD = threading.local()


class Watched:
    """A lock that notes what its thread holds when it is waited for."""

    def __init__(self, name: str, lock: Any) -> None:
        self._name = name
        self._lock = lock

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        held = self._held()
        if blocking:
            SEEN.update((each, self._name) for each in held if each != self._name)
        taken: bool = self._lock.acquire(blocking, timeout)
        if taken:
            held.append(self._name)
        return taken

    def release(self) -> None:
        self._held().remove(self._name)
        self._lock.release()

    def locked(self) -> bool:
        return bool(self._lock.locked())

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    @staticmethod
    def _held() -> list[str]:
        held: list[str] = HELD.__dict__.setdefault("names", [])
        return held


def name_of(frame: FrameType) -> str | None:
    """The name of the attribute or the variable to which the caller assigns a lock; None outside of the package."""
    path = Path(frame.f_code.co_filename)
    if PACKAGE not in path.parents:
        return None
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    line = path.read_text(encoding="utf-8").splitlines()[frame.f_lineno - 1]
    found = re.search(r"(self\.)?(\w+) = threading", line)
    assert found, f"{path}:{frame.f_lineno} makes a lock that has no name"
    if not found[1]:
        return f"{module}.{found[2]}"
    classes = type(frame.f_locals["self"]).__mro__
    made = next(cls for cls in classes if getattr(vars(cls).get("__init__"), "__code__", None) is frame.f_code)
    return f"{module}.{made.__name__}.{found[2]}"


def watched(kind: str, *arguments: Any) -> Any:
    name = name_of(sys._getframe(2))
    if name is None or name.endswith(".gate"):  # a gate is closed by one thread and opened by another
        return REAL[kind](*arguments)
    if kind == "Condition":
        return REAL["Condition"](*(arguments or (Watched(name, REAL["Lock"]()),)))
    return Watched(name, REAL[kind]())


threading.Lock = lambda: watched("Lock")  # type: ignore[assignment]
threading.RLock = lambda: watched("RLock")
threading.Condition = lambda lock=None: watched("Condition", *([] if lock is None else [lock]))  # type: ignore[assignment, misc]

import requests  # noqa: E402

from resumable import Resumable, ResumableError  # noqa: E402
from resumable.receiver import Receiver, Server  # noqa: E402


def ignore(*_: Any) -> None:
    """A handler, which may be called before it is taken away again."""


class Auth(requests.auth.AuthBase):
    """Renews its credentials after a 401, and looks at the session while it does."""

    def __init__(self) -> None:
        self.session: Any = None
        self.times = 0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        self.times += 1
        self.session.on("file_success", ignore).off()
        assert self.session.progress() >= 0
        request.headers["Authorization"] = "Bearer expired" if self.times % 2 else "Bearer secret"
        return request


def upload(url: str, *, name: str, **options: Any) -> None:
    """Upload, with handlers that come early and late and call back."""
    with Resumable(url, chunk_size=1000, throttle_progress_callbacks=0, **options) as session:
        if isinstance(session.options.session, requests.Session):
            session.options.session.auth.session = session
        session.on("catch_all", lambda event, *arguments: session.progress())
        file = session.add_file(io.BytesIO(bytes(9500)), relative_path=name)
        session.pause()
        other = session.add_file(bytes(5000), relative_path=f"other-{name}")
        session.resume()
        file.wait(30)
        for event in ("chunk_success", "success"):
            file.on(event, lambda chunk: chunk.number if hasattr(chunk, "number") else None)
        other.wait(30)
        session.join(30)
        session.add_file(bytes(50_000), relative_path=f"cancelled-{name}").cancel()
        session.cancel()


def main() -> None:
    known: set[int] = set()

    def headers(file: Any, chunk: Any) -> dict[str, str]:
        file.progress()
        file.resumable_obj.on("file_success", ignore).off()
        expired = chunk.index not in known
        known.add(chunk.index)
        return {"Authorization": "Bearer expired" if expired else "Bearer secret"}

    with Server(Receiver(sys.argv[2], token="secret")) as server:
        upload(server.url, name="hook", headers=headers, simultaneous_uploads=1)
        account = requests.Session()
        account.auth = Auth()
        upload(server.url, name="auth", session=account, simultaneous_uploads=1)
        upload(server.url, name="slow", headers={"Authorization": "Bearer secret"}, limit_rate=2**20)
        upload(server.url, name="manual", headers={"Authorization": "Bearer secret"}, deliver="manual")
        upload(server.url, name="posted", headers={"Authorization": "Bearer secret"}, deliver=lambda call: call())
        try:
            upload(server.url, name="refused", session=requests.Session)
        except ResumableError:
            pass
    assert known
    for pair in sorted(SEEN):
        print(*pair)


main()
