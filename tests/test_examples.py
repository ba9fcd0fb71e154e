"""Every example is run as a user would run it, against a real receiver, and what arrives is compared byte by byte."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.program import can_fork, run_script

from resumable.receiver import Receiver, Server

pytestmark = pytest.mark.once

EXAMPLES = Path(__file__).parent.parent / "examples"
Finished = subprocess.CompletedProcess[str]
Example = Callable[..., Finished]
MOUNTED = {"django_receiver", "fastapi_receiver", "flask_receiver"}
"""Those that are tested in test_mounting.py."""

WINDOWS = {"qt_window", "tk_window"}
"""Those that are tested in the folder windows."""

TESTED = {
    "asyncio_upload",
    "custom_session",
    "dask_cluster",
    "demo",
    "events",
    "plugin",
    "progress_bar",
    "resume",
    "simple",
}


@pytest.fixture
def example(run: Example, tmp_path: Path) -> Example:
    """``example(name, *arguments, **environment)`` runs an example; no handler of it may have raised."""

    def example(name: str, *arguments: str, **environment: str) -> Finished:
        path = EXAMPLES / f"{name}.py"
        if can_fork(os.environ):
            finished = run_script(path, *arguments, cwd=tmp_path, env={**os.environ, **environment})
        else:
            finished = run(path, *arguments, **environment)
        assert "Traceback" not in finished.stderr, finished.stderr
        return finished

    return example


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A file of eleven chunks and a bit."""
    path = tmp_path / "video.mp4"
    path.write_bytes(os.urandom(11 * 1024 * 1024 + 12345))
    return path


def test_there_is_a_test_for_every_example() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == TESTED | MOUNTED | WINDOWS


@pytest.mark.parametrize("name", sorted(TESTED - {"demo"}))
def test_an_example_without_arguments_says_how_to_call_it(name: str, example: Example) -> None:
    ran = example(name)
    assert ran.returncode == 1
    assert f"python examples/{name}.py URL" in ran.stderr


def test_simple_uploads_and_the_second_run_finds_everything_there(
    example: Example, video: Path, receiver_url: str, received: Path
) -> None:
    first = example("simple", receiver_url, str(video))
    assert first.stdout == f"video.mp4: {video.stat().st_size} bytes, 0 of them were there already\n", first.stderr
    assert (received / "video.mp4").read_bytes() == video.read_bytes()
    second = example("simple", receiver_url, str(video))
    assert f"{video.stat().st_size} of them were there already" in second.stdout


def test_simple_says_what_failed(example: Example, video: Path, tmp_path: Path) -> None:
    with Server(Receiver(tmp_path / "in", token="right")) as server:
        ran = example("simple", server.url, str(video))
    assert ran.returncode == 1
    assert "'video.mp4'" in ran.stderr
    assert "401" in ran.stderr


def test_progress_bar_ends_full(example: Example, video: Path, receiver_url: str, received: Path) -> None:
    ran = example("progress_bar", receiver_url, str(video))
    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch(r"video\.mp4 #{30} 100% +[\d.]+ MB/s.*", ran.stdout.splitlines()[-1])
    assert (received / "video.mp4").read_bytes() == video.read_bytes()


def test_events_shows_them_in_order(example: Example, video: Path, receiver_url: str, received: Path) -> None:
    ran = example("events", receiver_url, str(video))
    assert ran.returncode == 0, ran.stderr
    seen = [line.split()[0] for line in ran.stdout.splitlines()]
    assert seen[0] == "chunking_start"
    assert seen.index("file_added") < seen.index("chunk_success") < seen.index("file_success")
    assert seen.count("chunk_success") == 11
    assert seen[-1] == "complete"
    assert (received / "video.mp4").read_bytes() == video.read_bytes()


def test_resume_sends_only_what_is_missing(example: Example, video: Path, receiver_url: str, received: Path) -> None:
    ran = example("resume", receiver_url, str(video))
    assert ran.returncode == 0, ran.stderr
    confirmed, size, skipped, sent = (int(number) for number in re.findall(r"\d+", ran.stdout))
    assert 0 < confirmed <= skipped <= size == video.stat().st_size
    assert skipped + sent == size
    assert (received / "video.mp4").read_bytes() == video.read_bytes()


def test_custom_session_is_let_in_with_the_right_token_only(example: Example, video: Path, tmp_path: Path) -> None:
    with Server(Receiver(tmp_path / "in", token="right")) as server:
        refused = example("custom_session", server.url, str(video), UPLOAD_TOKEN="wrong")
        assert refused.returncode == 1
        assert refused.stderr == "the server did not take the token\n"
        ran = example("custom_session", server.url, str(video), UPLOAD_TOKEN="right")
    assert ran.stdout == "uploaded\n", ran.stderr
    assert (tmp_path / "in" / "video.mp4").read_bytes() == video.read_bytes()


def test_asyncio_upload_says_how_far_it_is_and_ends(
    example: Example, video: Path, receiver_url: str, received: Path
) -> None:
    ran = example("asyncio_upload", receiver_url, str(video))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("video.mp4: uploaded\n")
    assert (received / "video.mp4").read_bytes() == video.read_bytes()


def test_plugin_keeps_its_journal(example: Example, video: Path, receiver_url: str, received: Path) -> None:
    ran = example("plugin", receiver_url, str(video))
    assert ran.returncode == 0, ran.stderr
    entry = json.loads(ran.stdout)
    assert (entry["what"], entry["file"], entry["bytes"]) == ("uploaded", "video.mp4", video.stat().st_size)
    assert (received / "video.mp4").read_bytes() == video.read_bytes()


EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=100, resources={"metadata": {"path": sys.argv[3]}}).execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.mark.slow
def test_the_notebook_runs_in_a_kernel_and_shows_what_it_promises(tmp_path: Path) -> None:
    for name in ("nbclient", "ipykernel", "ipywidgets"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    executed = tmp_path / "executed.ipynb"
    command = [sys.executable, "-c", EXECUTE, str(EXAMPLES / "notebook.ipynb"), str(executed), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    outputs = [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]
    assert [output for cell in outputs for output in cell if output["output_type"] == "error"] == []
    shown = json.dumps(outputs)
    assert "application/vnd.jupyter.widget-view+json" in shown, "the bar is one of the notebook"
    assert "<tr><th>succeeded</th><td>1</td></tr>" in shown
    assert "numbers.txt is there" in shown
    assert "BlockedLoop" not in shown
    source = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))
    assert not [cell for cell in source["cells"] if cell.get("outputs") or cell.get("execution_count")]


def test_demo_ends_with_the_hashes_compared(example: Example) -> None:
    ran = example("demo")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
def test_dask_sends_files_and_parts_though_a_worker_is_killed_on_the_way(tmp_path: Path) -> None:
    """Its workers are held at their first chunks until one of them is dead."""
    large, small = tmp_path / "large.bin", tmp_path / "small.bin"
    large.write_bytes(os.urandom(9 * 1024 * 1024 + 5))
    small.write_bytes(b"small")
    begun, killed = threading.Event(), threading.Event()
    published: list[str] = []

    def hold(record: Any, request: Any) -> None:
        begun.set()
        assert killed.wait(60)

    def note(record: Any, request: Any) -> None:
        published.append(record.relative_path)

    receiver = Receiver(tmp_path / "in", on_upload_started=hold, on_file_received=note)
    with Server(receiver) as server:
        command = [sys.executable, str(EXAMPLES / "dask_cluster.py"), server.url, "large.bin", "small.bin"]
        program = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        try:
            assert begun.wait(100)
            workers = [
                process
                for process in psutil.Process(program.pid).children(recursive=True)
                if "spawn_main" in " ".join(process.cmdline())
            ]
            assert len(workers) == 2
            workers[0].kill()
            killed.set()
            assert program.communicate(timeout=200)[0].splitlines() == [
                "large.bin: 2 of its parts sent, whole at the server",
                "small.bin: 1 of its parts sent, whole at the server",
            ]
        finally:
            killed.set()
            program.kill()
            program.wait()
    for path in (large, small):
        assert (tmp_path / "in" / path.name).read_bytes() == path.read_bytes()
    assert sorted(published) == ["large.bin", "small.bin"]
