"""A program in a real pseudo-terminal of 80 columns and 24 lines, and what a person sees on it."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import pexpect
import pyte
from pexpect import fdpexpect

from .program import Program, can_fork

__all__ = ["COLUMNS", "LINES", "Terminal"]

COLUMNS, LINES = 80, 24
COMMAND = [sys.executable, "-m", "resumable"]
ROOT = str(Path(__file__).parent.parent.parent)


class Terminal:
    """``resumable``, or another program, in a terminal. ``output`` is every byte that it wrote until now."""

    def __init__(self, arguments: Sequence[str], cwd: Path, *, program: Sequence[str] = (), **environment: str) -> None:
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self.output = b""
        self.shots: list[str] = []
        inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        inherited.pop("NO_COLOR", None)
        environment = {**inherited, "TERM": "xterm-256color", "PYTHONPATH": ROOT, **environment}
        self._forked: Program | None = None
        if not program and can_fork(environment):
            ours, theirs = os.openpty()
            try:
                fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
                self._forked = Program(*arguments, cwd=cwd, env=environment, terminal=theirs)
            finally:
                os.close(theirs)
            self._child = fdpexpect.fdspawn(ours)
        else:
            name, *first = program or COMMAND
            self._child = pexpect.spawn(
                name, [*first, *arguments], cwd=str(cwd), dimensions=(LINES, COLUMNS), env=environment
            )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._forked:
            self._forked.kill()
            self._forked.wait(60)
            self._child.close()
        else:
            self._child.close(force=True)

    @property
    def text(self) -> str:
        """What stands on the screen now."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    @property
    def plain(self) -> str:
        """Everything that was written, without the sequences that move the cursor and change the colours."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", self.output.decode("utf-8", "replace"))

    def read(self) -> bool:
        """Some more of what it writes is on the screen; False at its end."""
        try:
            data: bytes = self._child.read_nonblocking(65536, timeout=60)
        except pexpect.EOF:
            return False
        self.output += data
        # Terminals do not show what is echoed of Ctrl-C without its "^C", not even inside a sequence.
        self._stream.feed(data.replace(b"\x03", b""))
        if not self.shots or self.shots[-1] != self.text:
            self.shots.append(self.text)
        return True

    def until(self, seen: Callable[[str], object]) -> str:
        """The first screen for which ``seen`` holds. Fails where the program ends before."""
        deadline = time.monotonic() + 60
        while not seen(self.text):
            assert self.read(), f"it ended without it:\n{self.text}"
            assert time.monotonic() < deadline, f"it was not seen in time:\n{self.text}"
        return self.text

    def press(self, key: str) -> None:
        """Press Ctrl and this key; ``"c"`` is Ctrl-C."""
        self._child.send(bytes([ord(key) - ord("a") + 1]))

    def type(self, text: str) -> None:
        """A line is typed."""
        self._child.sendline(text)

    def end(self) -> int:
        """The exit code, once it has ended."""
        while self.read():
            pass
        if self._forked:
            return self._forked.wait(60)
        self._child.close()
        code: int | None = self._child.exitstatus
        return -int(self._child.signalstatus) if code is None else code
