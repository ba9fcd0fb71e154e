"""Lint and types, documentation, the tests with their coverage, and the tests of what differs between Pythons.

The steps run beside each other. What a step says is shown in one piece when it has ended, and at the end there is one
line for each. A step that takes too long is ended with all that it has started, and the others still run.

If very few tests failed, and nothing else did, these are run once more when all else has ended. Whatever passes then is
shown as flickering, with what it said when it failed.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.13t", "3.14t")
"""The Pythons to test on, those without a global lock last. All but the first four may be missing without a word."""
SUPPORTED = VERSIONS[:4]
DIFFERING = ("core", "protocol", "session", "transport", "receiver", "cli", "test_packaging.py")
"""The tests of what differs between Pythons; all others run on one.

Those with parameters vary the data, which Pythons treat alike: the first and the last of them run on each.
"""
FOREIGN = "node-sample python-resumable"
"""The servers of others to upload to: one in JavaScript, one in Python; ``make nightly`` takes all."""
PROGRAMS = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "npm": "npm",
    "nginx": "nginx",
    "systemd-analyze": "systemd",
    "Xvfb": "xvfb libegl1 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxkbcommon-x11-0",
}
"""The programs that tests in a browser, of windows and of pages need, and Debian's packages with each."""
WORKERS = min(4 * (os.cpu_count() or 1), 16)
"""How many of all tests run at once, most of which wait most of the time: a third more than in ``make test``, since the
processors are shared with the other steps."""
ASIDE = 4
"""The priority (nice) of steps that give way to the others."""
BROWSER = "browser"
FEW = 10
"""The most tests that may fail, in all steps together, to be run again."""


@dataclass(frozen=True)
class Step:
    """One command. It waits for the steps that ``after`` names, whatever becomes of them."""

    name: str
    command: Sequence[str]
    after: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limit: float = 3000
    """Seconds after which it is ended."""
    aside: bool = False
    """Whether it leaves the processors to the others, which take longer."""
    failures: str = ""
    """The file into which pytest writes the tests that failed and what they said, if that is all that went wrong."""
    again: Sequence[str] = ()
    """The command for those tests alone. The file with their names, one on each line, is to be added."""


@dataclass(frozen=True)
class Ended:
    """What became of a step: its exit status, None if it was ended, the seconds it took, those of them that a processor
    worked for it, whatever else the machine did, and what it said."""

    step: Step
    status: int | None
    seconds: float
    worked: float
    output: str

    flickered: Mapping[str, str] = field(default_factory=dict)
    """The tests that failed and then passed, with what they said when they failed."""

    @property
    def passed(self) -> bool:
        return self.status == 0 or bool(self.flickered)

    def __str__(self) -> str:
        how = "FLICKER" if self.flickered else {0: "ok", None: "TIMEOUT"}.get(self.status, "FAILED")
        counts = re.findall(r"^(?:=+ )?(\d+ (?:passed|failed).*?) in [\d.]+s", self.output, re.MULTILINE)
        times = f"{self.seconds:5.0f} s {self.worked:5.0f} s"
        return "  ".join([f"{how:8}{times}  {self.step.name}", *(f"({count})" for count in counts[-1:])])


class Run:
    """Runs steps, each in a thread and a session of its own."""

    def __init__(self, steps: Sequence[Step], folder: Path) -> None:
        self._steps = steps
        self._folder = folder
        self._done = {step.name: threading.Event() for step in steps}
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._stopped = False
        self.ended: list[Ended] = []

    def go(self) -> list[Ended]:
        """Run all steps to their ends, and return what became of them in the order in which they ended."""
        threads = [threading.Thread(target=self._follow, args=(step,), daemon=True) for step in self._steps]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:
            self._stop()
            for thread in threads:
                thread.join(20)
        return self.ended

    def _follow(self, step: Step) -> None:
        try:
            for name in step.after:
                self._done[name].wait()
            self._perform(step)
        finally:
            self._done[step.name].set()

    def _perform(self, step: Step) -> None:
        began = time.monotonic()
        if step.failures:
            (ROOT / step.failures).unlink(missing_ok=True)
        path = self._folder / re.sub(r"\W+", "-", step.name)
        with path.open("wb") as output:
            with self._lock:
                if self._stopped:
                    return
                print(f"-- begins: {step.name}", flush=True)
                process = subprocess.Popen(
                    step.command,
                    cwd=ROOT,
                    env={**os.environ, **step.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._running.add(process.pid)
                if step.aside:
                    give_way(process)
            status, worked = wait(process, step.limit)
            end_group(process)
        ended = Ended(
            step, status, time.monotonic() - began, worked, path.read_text(encoding="utf-8", errors="replace")
        )
        with self._lock:
            self._running.discard(process.pid)
            self.ended.append(ended)
            print(f"\n== {step.name}\n{ended.output.rstrip()}\n{ended}\n", flush=True)

    def _stop(self) -> None:
        """End what still runs, because somebody wants the whole to end."""
        with self._lock:
            self._stopped = True
            for pid in self._running:
                signal_group(pid, signal.SIGTERM)


def run_again(ended: Sequence[Ended], folder: Path) -> list[Ended]:
    """Run the tests that failed once more, if they are few and nothing else failed, and return what became of all.

    Call this when nothing else is running.
    """
    failed = {each.step.name: failures(each.step) for each in ended if not each.passed}
    if not all(failed.values()) or sum(map(len, failed.values())) > FEW:
        return list(ended)
    results = []
    for each in ended:
        if tests := failed.get(each.step.name):
            names = folder / "again"
            names.write_text("\n".join(tests), encoding="utf-8")
            *command, arguments = each.step.again
            step = replace(
                each.step, name=f"{each.step.name}, again", after=(), command=[*command, f"{arguments}@{names}"]
            )
            (second,) = Run([step], folder).go()
            if second.status == 0:
                each = replace(each, flickered=tests)
            results.append(second)
        results.append(each)
    return results


def failures(step: Step) -> dict[str, str]:
    """The tests of the step that failed, with what they said; nothing if the tests did not come to their end."""
    path = ROOT / step.failures
    if not step.failures or not path.exists():
        return {}
    read: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return read


def tell_flickers(ended: Sequence[Ended]) -> None:
    """Print which tests failed at first and passed later, the order in which they ran, and what they said."""
    order = f"RESUMABLE_SEED={os.environ['RESUMABLE_SEED']}" if "RESUMABLE_SEED" in os.environ else "in the usual order"
    for each in ended:
        for test, said in each.flickered.items():
            print(f"\n!! flickered: {test}  ({each.step.name}, {order})\n{said}")


def give_way(process: subprocess.Popen[bytes]) -> None:
    """Let the processors work for what others want before they work for this process, and for what it starts."""
    with suppress(OSError):  # it has ended already
        os.setpriority(os.PRIO_PGRP, process.pid, ASIDE)
        # Linux may weigh sessions against each other, and then the priority of a process counts within its own alone.
        autogroup = Path(f"/proc/{process.pid}/autogroup")
        if autogroup.exists():
            autogroup.write_text(str(ASIDE), encoding="ascii")


def wait(process: subprocess.Popen[bytes], limit: float) -> tuple[int | None, float]:
    """Return the exit status of the process, None if the limit comes first, and the processor seconds it took."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage.ru_utime + usage.ru_stime
        time.sleep(0.05)
    return None, 0.0


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process, and whatever it has left behind."""
    if process.poll() is None:
        signal_group(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            pass
    signal_group(process.pid, signal.SIGKILL)
    process.wait()


def signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass


def version(python: str) -> str:
    """The version of an interpreter that can make virtual environments, such as 3.13 or 3.13t; "" if there is none."""
    # A name on PATH proves nothing, for version managers put stubs there.
    code = (
        "import ensurepip, ssl, sys, sysconfig, venv;"
        "print('%d.%d' % sys.version_info[:2] + 't' * bool(sysconfig.get_config_var('Py_GIL_DISABLED')))"
    )
    try:
        ran = subprocess.run([python, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip()


def pythons() -> dict[str, str]:
    """The interpreters that are here, by their versions; the first one is the default."""
    managed = os.path.expanduser("~/.pyenv/versions")
    default = os.environ.get("PYTHON", "python3")
    found = {version(default): default}
    for wanted in VERSIONS:
        number, threads = wanted.rstrip("t"), wanted[len(wanted.rstrip("t")) :]
        for candidate in (f"python{wanted}", *sorted(glob.glob(f"{managed}/{number}.*{threads}/bin/python"))):
            if wanted not in found and version(candidate) == wanted:
                found[wanted] = candidate
    return {name: path for name, path in found.items() if name in VERSIONS}


def steps(found: Mapping[str, str]) -> list[Step]:
    """All that is to be done with these interpreters."""
    default, *others = found
    made = f"environment, Python {default}"
    tested = f"tests and coverage, Python {default}"
    python = f"PYTHON={found[default]}"
    planned = [
        Step(BROWSER, browser(), environment={"DEBIAN_FRONTEND": "noninteractive"}, limit=600),
        Step(made, ["make", "environment", "compiled", python]),
        tests(tested, ["coverage"], [python, f"WORKERS={WORKERS}"], "--durations=15", [made, BROWSER]),
    ]
    # Tests that measure time would wait for the end of all others. Plain asserts do not say what differs, but need no
    # time to prepare.
    few = "-m 'not once and not timed' --first-and-last --assert=plain"
    differing = " ".join([few, *(f"tests/{name}" for name in DIFFERING)])
    for position, other in enumerate(others):
        environment = f"environment, Python {other}"
        common = [f"PYTHON={found[other]}", f"VENV=.venv-{other}", "EXTRA=pythons"]
        # One after another, for each is built in the project's own folder.
        before = [f"environment, Python {others[position - 1]}"] if position else []
        planned.append(Step(environment, ["make", f".venv-{other}/pythons", *common], after=before))
        # Without workers for the same reason.
        step = tests(f"tests, Python {other}", ["test"], [*common, "WORKERS=0"], differing, after=[environment])
        planned.append(replace(step, aside=True))
    planned += [
        # What mypy would keep for a next time takes a fifth of its own, and there is none.
        Step("lint and types", ["make", "lint", python], after=[made], environment={"MYPY_CACHE_DIR": os.devnull}),
        Step("documentation", ["make", "docs", python], after=["lint and types"]),
        Step(
            "servers of others",
            ["make", "interop", python, f"SERVERS={FOREIGN}"],
            after=["documentation", BROWSER],
            # Not what an earlier run has left: they have to be installed.
            environment={"RESUMABLE_SERVERS": "build/servers"},
        ),
        Step("windows", ["make", "windows", python, "WORKERS=0"], after=["servers of others"]),
        Step("object stores of others", ["make", "stores", python, "WORKERS=0"], after=["windows"]),
        Step("fuzz", ["make", "fuzz", python, "FOR=10"], after=["object stores of others"]),
        tests("the oldest requests", ["oldest"], [python, "WORKERS=0"], few, after=["fuzz"]),
    ]
    return planned


def tests(name: str, targets: Sequence[str], settings: Sequence[str], arguments: str, after: Sequence[str]) -> Step:
    """A step of tests, of which those that fail can be run again."""
    failures = f"build/failed/{re.sub(r'[^0-9A-Za-z]+', '-', name)}.json"
    again = {
        "coverage": ["measured", "gates"],
        "oldest": ["test", "VENV=.venv-oldest", "EXTRA=oldest"],
    }.get(targets[0], targets)
    return Step(
        name,
        ["make", *targets, *settings, f"ARGS={arguments} --failures={failures}"],
        after=after,
        failures=failures,
        again=["make", *again, *settings, "WORKERS=0", "ARGS="],
    )


def browser() -> list[str]:
    """The command that installs what tests in a browser need and is not here, if that can be done."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if not missing or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return ["true"]
    return ["sh", "-ec", f"apt-get -qq update; apt-get -qq install {' '.join(missing)}"]


def bring_uv(python: str) -> None:
    """Put uv on the path, if it can be had. Without it make takes pip, which needs five times as long."""
    if shutil.which("uv") is not None:
        return
    folder = ROOT / "build" / "uv"
    command = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--upgrade", "--target", folder, "uv"]
    if subprocess.run(command, check=False).returncode == 0:
        os.environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"


def main() -> int:
    began = time.monotonic()
    found = pythons()
    if not found:
        print("There is no Python 3.10, 3.11, 3.12 or 3.13 here that can make virtual environments.", file=sys.stderr)
        return 1
    # With CI set no test is skipped because something is not installed: it fails.
    os.environ.update(CI=os.environ.get("CI") or "true", PIP_DISABLE_PIP_VERSION_CHECK="1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bring_uv(next(iter(found.values())))
    planned = steps(found)
    with tempfile.TemporaryDirectory(prefix="resumable-ci-") as folder:
        ended = run_again(Run(planned, Path(folder)).go(), Path(folder))
    names = [step.name for step in planned]
    print(f"== summary: {'time':>6}, {'work':>5}")
    for each in sorted(ended, key=lambda each: names.index(each.step.name) if each.step.name in names else len(names)):
        print(each)
    tell_flickers(ended)
    for name in SUPPORTED:
        if name not in found:
            print(f"absent           tests, Python {name}")
    print(f"{'':8}{time.monotonic() - began:5.0f} s {sum(each.worked for each in ended):5.0f} s  in all")
    return int(len(ended) < len(planned) or not all(each.passed for each in ended))


if __name__ == "__main__":
    sys.exit(main())
