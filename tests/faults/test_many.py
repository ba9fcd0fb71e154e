"""Many files, many runs, few resources."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from support.client import content
from support.scripted_server import Answer, Request, ScriptedServer, answer
from support.sizes import sized

from resumable import Resumable

pytestmark = pytest.mark.slow

FILES = sized(1000, 10_000)
RUNS = sized(100, 300)


def test_run_follows_run_without_a_worker_lost() -> None:
    # The workers of one run are just going when the next one begins.
    with (
        ScriptedServer(otherwise=answer()) as server,
        Resumable(server.url, test_chunks=False, simultaneous_uploads=4) as session,
    ):
        for run in range(RUNS):
            session.add_file(content(10), relative_path=f"{run}.bin")
            assert len(session.join(60).succeeded) == 1
    assert len(server.requests) == RUNS


def test_thousands_of_files_need_few_descriptors(tmp_path: Path, plain_environment: dict[str, str]) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.txt").write_bytes(b"%d" % number)
    text = """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        import os, sys
        from resumable import Resumable
        most = 0
        def look(file):
            global most
            most = max(most, len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0)
        with Resumable(sys.argv[1], simultaneous_uploads=8, test_chunks=False, auto_upload=False) as session:
            session.on("file_success", look)
            session.add_directory(sys.argv[2])
            result = session.join()
        print(len(result.succeeded), most)
        """
    with ScriptedServer(otherwise=answer()) as server:
        result = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(text), server.url, str(folder)],
            capture_output=True,
            text=True,
            env=plain_environment,
            check=False,
        )
    assert result.stderr == ""
    count, most = map(int, result.stdout.split())
    assert count == FILES
    assert most <= 40
    received = {request.parameters["resumableRelativePath"]: request.chunk for request in server.requests}
    assert received == {f"many/{number}.txt": b"%d" % number for number in range(FILES)}


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_source_that_cannot_be_opened_for_want_of_descriptors_is_tried_again(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "a.bin"
    path.write_bytes(content(30))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    errors: list[Any] = []

    def exhaust(request: Request) -> Answer:
        request.read()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        return (200,)

    def recover(error: Exception, attempt: int) -> bool:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        errors.append(error)
        return True

    options: dict[str, Any] = {"simultaneous_uploads": 1, "chunk_retry_interval": 0, "should_retry": recover}
    try:
        with (
            ScriptedServer(exhaust, otherwise=answer()) as server,
            Resumable(server.url, test_chunks=False, chunk_size=10, **options) as session,
        ):
            session.add_file(path)
            assert len(session.join(60).succeeded) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    said = f"cannot read {str(path)!r}: Too many open files (attempt 1 of 101); let this process open more files: "
    assert {str(error).partition(": ")[2] for error in errors} == {f"{said}ulimit -n"}
