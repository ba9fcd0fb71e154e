"""What a check is, and what checks are written with."""

from __future__ import annotations

import secrets
import threading
import unittest
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

import requests

from ...protocol.parameters import ChunkFacts
from ...protocol.plan import ChunkPlan
from ..bodies import CutBody, GatedBody
from ..target import Answer, Target

__all__ = [
    "Check",
    "CheckFailed",
    "CheckSkipped",
    "Sample",
    "Severity",
    "accepted",
    "at_once",
    "check",
    "need_files",
    "refused",
]

_NOTHING: Mapping[str, str] = MappingProxyType({})


class CheckFailed(AssertionError):
    """The server does not do what a check claims; the message says what it did."""


class CheckSkipped(unittest.SkipTest):
    """A check says nothing about this server; the message says why. pytest and unittest show it as skipped."""


class Severity(Enum):
    """How bad it is if a check fails."""

    MUST = "must"
    """Uploads fail, or files are lost or damaged."""
    SHOULD = "should"
    """Some uploads fail, or take longer than needed, and whoever sends them notices."""


@dataclass(frozen=True)
class Check:
    """One claim about a server.

    ``sentence`` is what holds of a server that passes, ``needs`` what one that does not would need. ``after`` names the
    checks that have to pass before this one can say anything. Calling it with a target returns if the claim holds, and
    raises CheckFailed or CheckSkipped.
    """

    name: str
    severity: Severity
    sentence: str
    needs: str
    after: tuple[str, ...]
    function: Callable[[Target], None]

    def __call__(self, target: Target) -> None:
        """Check the server. Raises CheckFailed and CheckSkipped."""
        try:
            self.function(target)
        except requests.RequestException as error:
            raise CheckFailed(f"no answer: {target.failure(error)}") from error


def check(
    name: str, severity: Severity, sentence: str, needs: str, *after: str
) -> Callable[[Callable[[Target], None]], Check]:
    """Make a check of the function that follows."""
    return lambda function: Check(name, severity, sentence, needs, after, function)


class Sample:
    """A file that is sent to the server chunk by chunk. Its identifier is new, and its bytes are found nowhere else.

    ``size`` is in bytes. ``force`` cuts it as ``forceChunkSize`` does: the last chunk is short, not long.
    """

    def __init__(
        self,
        target: Target,
        size: int,
        *,
        force: bool = False,
        content: bytes | None = None,
        name: str | None = None,
        relative_path: str | None = None,
        identifier: str | None = None,
    ) -> None:
        key = secrets.token_hex(6)
        # Plain text, so that only the checks that are about names and bytes depend on how they are treated.
        self.content = secrets.token_hex(size // 2 + 1)[:size].encode() if content is None else content
        self.plan = ChunkPlan(len(self.content), target.chunk_size, force)
        self.count = self.plan.count
        self.identifier = f"{len(self.content)}-check-{key}" if identifier is None else identifier
        self.name = f"check-{key}.bin" if name is None else name
        self.relative_path = relative_path or self.name
        self._target = target
        self._acknowledged: set[int] = set()

    @classmethod
    def of(cls, target: Target, chunks: float, **settings: Any) -> Sample:
        """Return a sample whose size is so many times that of a chunk."""
        return cls(target, int(chunks * target.chunk_size), **settings)

    def data(self, number: int) -> bytes:
        """Return the bytes of a chunk."""
        start, stop = self.plan.span(number - 1)
        return self.content[start:stop]

    def parameters(self, number: int, changed: Mapping[str, str] = _NOTHING) -> list[tuple[str, str]]:
        """Return what a request says about a chunk; ``changed`` are fields of ChunkFacts that are wrong on purpose."""
        size = len(self.data(number)) if number <= self.count else 0
        facts = ChunkFacts(
            number, self._target.chunk_size, size, len(self.content), "", self.identifier, self.name,
            self.relative_path, self.count,
        )  # fmt: skip
        names = self._target.names
        return [(names.namespace + name, value) for name, value in names.standard(facts._replace(**changed))]  # type: ignore[arg-type]

    def ask(self, number: int, session: requests.Session | None = None) -> Answer:
        """Ask whether the server has the chunk."""
        return self._target.test(f"test of {self._of(number)}", self.parameters(number), session)

    def send(
        self, number: int, *, data: bytes | None = None, changed: Mapping[str, str] = _NOTHING, **how: Any
    ) -> Answer:
        """Send the chunk. ``data`` are other bytes than those of the chunk; ``how`` is for :meth:`Target.upload`."""
        answer = self._target.upload(
            f"of {self._of(number)}",
            self.parameters(number, changed),
            self.data(number) if data is None else data,
            self.name,
            **how,
        )
        if answer.accepted:
            self._acknowledged.add(number)
            self._target.sent[self.name] = len(self._acknowledged) == self.count
        return answer

    def deliver(self, *numbers: int, **how: Any) -> None:
        """Send these chunks, or all, one after the other. Raises CheckFailed if one is not accepted."""
        for number in numbers or range(1, self.count + 1):
            accepted(self.send(number, **how))

    def cut(self, number: int) -> None:
        """Send half of a request, and close the connection."""
        with self._target.same_client() as session:
            try:
                self.send(number, body=CutBody, session=session)
            except requests.ConnectionError:
                return
        raise CheckSkipped("the server answered before the request was whole")

    def expect_whole(self) -> None:
        """Raise CheckFailed if the file is not at the server, and that can be seen."""
        if not self._target.has(self.content):
            raise CheckFailed(
                f"all {self.count} chunks were accepted, and no file with these bytes is there"
                if self.count > 1
                else "the chunk was accepted, and no file with these bytes is there"
            )

    def expect_stored(self, *numbers: int, session: requests.Session | None = None) -> None:
        """Raise CheckFailed if the server does not say that it has these chunks."""
        for number in numbers:
            answer = self.ask(number, session)
            if not self._target.succeeded(answer):
                raise CheckFailed(f"{answer}, though the chunk was accepted")

    def expect_missing(self, *numbers: int, session: requests.Session | None = None) -> None:
        """Raise CheckFailed if the server says that it has one of these chunks, which it cannot have."""
        for number in numbers:
            answer = self.ask(number, session)
            if self._target.succeeded(answer):
                raise CheckFailed(f"{answer}, though the chunk was not sent")

    def _of(self, number: int) -> str:
        return f"chunk {number} of {self.count}"


def accepted(answer: Answer) -> None:
    """Raise CheckFailed if a chunk was not accepted."""
    if not answer.accepted:
        raise CheckFailed(str(answer))


def refused(target: Target, answer: Answer, why: str) -> None:
    """Raise CheckFailed if a request that makes no sense was accepted."""
    if target.succeeded(answer):
        raise CheckFailed(f"{answer}, though {why}")


def need_files(target: Target) -> None:
    """Raise CheckSkipped if nobody can tell which files are at the server."""
    if not target.sees_files:
        raise CheckSkipped("which files are at the server is not known")


def at_once(target: Target, sample: Sample, numbers: Iterable[int]) -> None:
    """Send these chunks so that they all become whole at the server at the same time.

    One that is refused for the moment is sent again, as clients do. Raises CheckFailed if one is refused for good.
    """
    wanted = list(numbers)
    gate = threading.Barrier(len(wanted), timeout=10)
    answers: list[Answer | requests.RequestException | threading.BrokenBarrierError] = []

    def send(number: int) -> None:
        try:
            with target.same_client() as session:
                answers.append(sample.send(number, body=lambda data: GatedBody(data, gate), session=session))
        except (requests.RequestException, threading.BrokenBarrierError) as error:
            gate.abort()
            answers.append(error)

    threads = [threading.Thread(target=send, args=(number,), daemon=True) for number in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        if isinstance(answer, requests.RequestException):
            raise answer
        if isinstance(answer, Answer) and not answer.accepted and answer.status in target.permanent_errors:
            raise CheckFailed(f"{len(wanted)} requests at once: {answer}")
    if not all(isinstance(answer, Answer) and answer.accepted for answer in answers):
        sample.deliver(*dict.fromkeys(wanted))
