"""What ``deliver`` takes for windows: handlers run on their thread, a little in each turn, and never keep a program."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, ScriptedServer, Store, holding
from support.waiting import eventually

from resumable import Resumable

from .driver import Driver

pytestmark = pytest.mark.once

Open = Callable[[str], Driver]


def test_functions_wait_for_the_loop_and_run_in_order_on_its_thread(window: Open) -> None:
    driver = window("http://127.0.0.1:9/")
    loop, called = driver.loop(), []

    def give() -> None:
        for number in range(2000):
            loop(lambda number=number: called.append((number, threading.current_thread())))
        loop(driver.quit)

    thread = threading.Thread(target=give)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "who gives a function does not wait for the loop"
    assert called == []
    driver.run()
    assert [number for number, _ in called] == list(range(2000))
    assert {thread for _, thread in called} == {threading.main_thread()}


def test_a_session_goes_on_before_the_loop_runs_and_while_handlers_raise(window: Open, caplog: Any) -> None:
    with ScriptedServer(behave=Store()) as server:
        driver = window(server.url)
        failed, heard = [], []

        def raises(file: Any) -> None:
            raise ValueError("of the handler")

        session = Resumable(server.url, deliver=driver.loop(), chunk_size=10)
        session.on("file_success", raises)
        session.on("file_success", heard.append)
        session.on("handler_error", lambda event, handler, error: failed.append(error))
        for number in range(3):
            session.add_file(bytes(100), relative_path=f"{number}.bin")
        eventually(lambda: all(file.is_complete() for file in session.files))
        assert heard == [], "nobody else calls the handlers"
        driver.until(lambda: len(heard) == len(failed) == 3)
        session.close()


def test_slow_handlers_leave_the_window_its_turns(window: Open) -> None:
    with ScriptedServer(behave=Store()) as server:
        driver = window(server.url)
        handled: list[int] = []
        most = 0

        def tick() -> None:
            nonlocal most
            most = max(most, len(handled))
            handled.clear()

        driver.every_millisecond(tick)
        session = Resumable(server.url, deliver=driver.loop(), chunk_size=1, test_chunks=False)
        session.on("chunk_success", lambda chunk: (handled.append(1), threading.Event().wait(0.004)))
        session.on("complete", lambda: driver.quit())
        session.add_file(bytes(300), relative_path="300.bin")
        driver.run()
        session.close()
        # Of 5 ms in a batch and 10 ms in a turn; a batch without a limit of time would have 64.
        assert 0 < most < 10


def test_a_window_that_is_gone_keeps_nobody(window: Open) -> None:
    with ScriptedServer(behave=Store()) as server:
        driver = window(server.url)
        session = Resumable(server.url, deliver=driver.loop(), chunk_size=1, test_chunks=False)
        session.on("chunk_success", lambda chunk: None)
        driver.close()
        session.add_file(bytes(2000), relative_path="2000.bin")
        assert session.join(PATIENCE), "more events than may wait do not keep the upload"
        session.close()


PROGRAM = """
import sys
from windows.driver import TOOLKITS
driver = TOOLKITS[sys.argv[1]](sys.argv[1], sys.argv[2])
driver.window.add([sys.argv[3]])
driver.every_millisecond(lambda: {end} if driver.window.session.bytes_sent else None)
driver.run()
print("closed", flush=True)
"""


@pytest.mark.parametrize("end", ["driver.close()", "driver.quit()"])
def test_closing_a_window_in_an_upload_ends_the_program(
    end: str, toolkit: str, tmp_path: Path, plain_environment: dict[str, str]
) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(3_000_000))
    with ScriptedServer(behave=holding) as server:
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(end=end), toolkit, server.url, str(tmp_path / "a.bin")],
            env=plain_environment,
            capture_output=True,
            text=True,
            # The held requests would keep it until the time-out of the server's answer.
            timeout=PATIENCE / 2,
        )
    assert ran.stdout == "closed\n", ran.stderr
    assert ran.returncode == 0
    assert "Traceback" not in ran.stderr
    assert ("UnfinishedUpload" in ran.stderr) == (end == "driver.quit()")


def test_what_is_imported_decides_which_package_of_qt_is_used(toolkit: str) -> None:
    if toolkit == "tk":
        program = "import sys, resumable.adapters.tk, resumable.adapters.qt; print(*sys.modules)"
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
        assert not {"tkinter", "PySide6", "PyQt6"} & set(ran.stdout.split())
        return
    program = f"import sys, {toolkit}.QtCore; from resumable.adapters.qt import QtLoop; QtLoop(); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert {"PySide6", "PyQt6"} & set(ran.stdout.split()) == {toolkit}
