"""Upload one-byte chunks to a transport that answers at once, and print the figures: what is left is our own work."""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from typing import Any, NamedTuple

from figures import measured

import resumable.session
from resumable import Resumable
from resumable.attempts.runner import LeaseRunner
from resumable.transport.base import Reply, Request
from resumable.transport.control import RequestControl

STEPS = 80
"""Steps of the fixed piece of plain Python that are counted as one chunk, which then takes 60 µs on the machine of the
first figures: commit 5ea0067, whose own bookkeeping was 55 µs there, takes 0.92 of it elsewhere, too."""

ROUNDS = 4000
"""How often the steps are run."""


class Record(NamedTuple):
    """A small record."""

    name: str
    number: int


class Table:
    """A table behind a lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.records: dict[int, Record] = {}

    def put(self, number: int) -> None:
        """Enter a record."""
        with self.lock:
            self.records[number % 64] = Record("record", number)

    def get(self, number: int) -> str:
        """Look a record up."""
        record = self.records.get(number % 64)
        return "" if record is None else record.name


def plain_python() -> float:
    """Return the seconds of processor time that the fixed piece takes for a chunk, which says how fast this machine is
    now: calls, attributes, records, a dictionary, a lock."""
    table = Table()
    began = time.thread_time()
    for number in range(ROUNDS * STEPS):
        table.put(number)
        table.get(number)
    return (time.thread_time() - began) / ROUNDS


class Nowhere:
    """A transport without a network. With `reading`, the body is read from the file, as it would be to be sent."""

    def __init__(self, *, reading: bool) -> None:
        self._reading = reading

    def send(self, request: Request, control: RequestControl) -> Reply:
        """The server has stored it."""
        if self._reading and request.body is not None:
            for _ in request.body:
                pass
        return Reply(200, {}, "")

    def close(self) -> None:
        """Nothing is open."""


class Timed(LeaseRunner):
    """Adds up the processor time of making requests: reading, the form, the parameters, the URL."""

    seconds = 0.0

    def perform(self, *transfer: Any) -> Any:
        """Return the outcome of the lease."""
        began = time.thread_time()
        try:
            return super().perform(*transfer)
        finally:
            Timed.seconds += time.thread_time() - began


def main() -> None:
    """Upload a file of as many bytes as there are chunks, and fail unless every chunk was reported."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--chunks", type=int, required=True)
    parser.add_argument("--reading", action="store_true", help="read the chunks")
    arguments = parser.parse_args()
    with open(arguments.path, "wb") as file:
        file.truncate(arguments.chunks)
    reported = itertools.count()

    def count(*subject: object) -> None:
        next(reported)

    transport = Nowhere(reading=arguments.reading)
    plain = plain_python()
    with measured() as figures:
        resumable.session.LeaseRunner = Timed  # type: ignore[misc]
        with Resumable("http://127.0.0.1/", chunk_size=1, test_chunks=False, transport=transport) as session:
            session.on("chunk_success", count)
            session.add_file(arguments.path)
        figures.update(performing=Timed.seconds, plain=plain)
    if (chunks := next(reported)) != arguments.chunks:
        raise SystemExit(f"{chunks} chunks were reported, not {arguments.chunks}")


if __name__ == "__main__":
    main()
