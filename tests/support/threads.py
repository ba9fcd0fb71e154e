"""Where the threads of sessions are, which nobody has to guess from the time that has passed."""

from __future__ import annotations

import gc
import socket
import sys
import threading
import time
from types import FrameType

from resumable.transport import fast_path

from .scripted_server import PATIENCE

__all__ = [
    "awaits_an_answer",
    "current_frames",
    "threads_of_sessions",
    "wait_until_answers_are_awaited",
    "wait_until_threads_are_gone",
]


def current_frames() -> dict[int, FrameType]:
    """Return where each thread is, by its ident.

    The garbage collector is off meanwhile: if it runs inside the call, CPython 3.11 can wait for itself for ever.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if collecting:
            gc.enable()


def awaits_an_answer(frame: FrameType) -> bool:
    """Return whether a thread that is there reads from the socket to which its request was written."""
    place = frame.f_code.co_filename, frame.f_code.co_name
    return place in ((socket.__file__, "readinto"), (fast_path.__file__, "_first"), (fast_path.__file__, "_read"))


def threads_of_sessions() -> list[threading.Thread]:
    """The threads that sessions have started and that are alive."""
    names = ("resumable-worker", "resumable-events", "resumable-completion", "resumable-checksum")
    return [thread for thread in threading.enumerate() if thread.name.startswith(names)]


def wait_until_threads_are_gone() -> None:
    """Return when no session has a thread any more, not even one that a thread started as its last act."""
    deadline = time.monotonic() + PATIENCE
    while threads := threads_of_sessions():
        assert time.monotonic() < deadline, threads
        threads[0].join(0.1)


def wait_until_answers_are_awaited(count: int = 1) -> None:
    """Return when so many workers have sent their request and read from their socket, which nobody else can see."""
    deadline = time.monotonic() + PATIENCE
    passing = threading.Event()
    while not passing.wait(0.001):
        frames = current_frames()
        workers = [frames.get(thread.ident or 0) for thread in threads_of_sessions() if "worker" in thread.name]
        reading = [frame for frame in workers if frame is not None and awaits_an_answer(frame)]
        if len(reading) >= count:
            return
        assert time.monotonic() < deadline, workers
