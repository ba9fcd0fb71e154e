"""Print how far apart things are in the package: the frames between ends of it, and its calls for each chunk.

The frames are those of the package alone, from the first function to the last before the end. The calls are what
``sys.setprofile`` sees of the package's own code while chunks are sent one after the other, without tests and without
a handler: what a run of many chunks makes more than a run of few. A generator that goes on counts as a call.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import resumable
from resumable import Resumable
from resumable.core.session import SessionCore

PACKAGE = Path(resumable.__file__).parent
SERVER = Path(__file__).with_name("server.py")

FEW, MANY = 50, 250
"""Chunks of the two runs that are compared."""

CHUNK = 4096
"""Bytes of a chunk."""


def named(code: CodeType) -> str:
    """Return the module and the name of the function."""
    module = ".".join(Path(code.co_filename).relative_to(PACKAGE).with_suffix("").parts)
    return f"{module}:{getattr(code, 'co_qualname', code.co_name)}"


def ours(code: CodeType) -> bool:
    """Return whether the code is of the package."""
    return code.co_filename.startswith(f"{PACKAGE}/")


def upload(target: str, path: Path, chunks: int, profile: Callable[..., Any] | None, handler: Any = None) -> None:
    """Upload a file of so many chunks, while every call of every thread is shown to the profile function."""
    with path.open("wb") as file:
        file.truncate(chunks * CHUNK)
    threading.setprofile(profile)  # type: ignore[arg-type]
    sys.setprofile(profile)
    try:
        with Resumable(target, chunk_size=CHUNK, simultaneous_uploads=1, test_chunks=False) as session:
            if handler is not None:
                session.on("chunk_success", handler)
            session.add_file(path)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def calls(target: str, path: Path, chunks: int) -> Counter[str]:
    """Return how often each function of the package was called in a run of so many chunks."""
    counted: Counter[CodeType] = Counter()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and ours(frame.f_code):
            counted[frame.f_code] += 1

    upload(target, path, chunks, profile)
    return Counter({named(code): count for code, count in counted.items()})


def stack(frame: FrameType | None) -> list[str]:
    """Return the functions of the package that are running, the outermost first."""
    found = []
    while frame is not None:
        if ours(frame.f_code):
            found.append(named(frame.f_code))
        frame = frame.f_back
    return found[::-1]


def ways(target: str, path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield what lies between two ends of the package."""
    found: dict[str, list[str]] = {}

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code is SessionCore.add.__code__:
            found["from add_file to the core"] = stack(frame.f_back)
        elif event == "c_call" and getattr(argument, "__name__", "") in ("send", "sendall", "sendmsg"):
            found.setdefault("from the worker to the socket", stack(frame))

    def handler(chunk: object) -> None:
        found.setdefault("from the event thread to the handler", stack(sys._getframe(1)))

    upload(target, path, 3, profile, handler)
    yield from found.items()


def main() -> None:
    """Print the frames, the calls for each chunk, and with ``--functions`` which."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--functions", action="store_true", help="list every function that a chunk calls")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "file.bin"
        with subprocess.Popen([sys.executable, SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            target = f"http://127.0.0.1:{int(server.stdout.readline())}/up"
            upload(target, path, 3, None)
            for title, functions in ways(target, path):
                print(f"{title}: {len(functions)} frames\n    " + "\n    ".join(functions))
            few, many = calls(target, path, FEW), calls(target, path, MANY)
            server.stdin.close()
    each = {name: (many[name] - few[name]) / (MANY - FEW) for name in many}
    steady = {name: count for name, count in each.items() if count >= 0.5}
    modules = {name.partition(":")[0] for name in steady}
    print(f"calls for each chunk: {sum(each.values()):.0f}, of {len(steady)} functions in {len(modules)} modules")
    if arguments.functions:
        for name, count in sorted(each.items(), key=lambda item: (-item[1], item[0])):
            if count:
                print(f"{count:8.2f}  {name}")


if __name__ == "__main__":
    main()
