"""The program around the commands: its help, its version, its completion, and its page in the documentation."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from support.command import ROOT, Run
from support.sizes import sized

import resumable
from resumable.__main__ import main
from resumable.cli.app import COMMANDS, group
from resumable.cli.output.exit_codes import MEANINGS, SUMMARY
from resumable.cli.params.command import Command

PROGRAM = "import sys; from resumable.__main__ import main; sys.argv[0] = 'resumable'; sys.exit(main())"


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What an interpreter of its own says."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_names_every_command(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.split("Commands:")[1].splitlines()[1:]] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_fits_eighty_columns(name: str, run: Run) -> None:
    for flag in ("-h", "--help"):
        ran = run(name, flag)
        assert ran.code == 0
        assert all(len(line) <= 80 for line in ran.out.splitlines())


@pytest.mark.parametrize("name", ["upload", "status", "watch"])
def test_the_short_help_fits_on_a_screen_and_names_the_full_one(name: str, run: Run) -> None:
    short, full = run(name, "--help").out, run(name, "--help-all").out
    lines = short.splitlines()
    # The usage names the program, which has a long name in tests.
    assert len(lines) - lines.index("") <= 22
    assert short.count(f"\n  resumable {name} ") + short.count(f"| resumable {name} ") == 3
    assert "Exit codes: 0 done" in short
    assert "--help-all" in short
    assert "--total-chunks-parameter-name" in full
    assert "--total-chunks-parameter-name" not in short


@pytest.mark.parametrize("name", ["upload", "status", "watch"])
def test_the_examples_of_the_help_are_commands(name: str) -> None:
    context = click.Context(group, help_option_names=["-h", "--help"])
    command = group.get_command(context, name)
    assert isinstance(command, Command)
    for example in command.examples:
        words = shlex.split(example.rpartition("| ")[2].partition(" &&")[0])
        assert words[:2] == ["resumable", name]
        values, _, _ = command.make_parser(context).parse_args(words[2:])
        assert len(values["words"]) >= 2


def test_the_short_help_knows_every_exit_code() -> None:
    named = {int(number) for number in re.findall(r"\b[0-9]+\b", SUMMARY)}
    assert named == {int(code) for code in MEANINGS} - {129, 143}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("uplaod", "did you mean 'upload'?"), ("help", "did you mean --help?"), ("xyz", "there are upload, ")],
)
def test_a_command_that_is_not_there_is_answered_with_one_that_is(typed: str, meant: str, run: Run) -> None:
    ran = run(typed)
    assert ran.code == 2
    assert f"there is no command '{typed}'; {meant}" in ran.text
    assert [event["event"] for event in run(typed, "--json").events] == ["result"]


def test_setup_installs_manual_pages_and_completion(run: Run, tmp_path: Path) -> None:
    ran = run("setup")
    assert ran.code == 0, ran.err
    written = [Path(line) for line in ran.out.splitlines()]
    data = tmp_path / ".local" / "share"
    assert {path.relative_to(data).parts[0] for path in written} == {"man", "bash-completion", "zsh", "fish"}
    assert {path.name for path in written if path.suffix == ".1"} == {
        "resumable.1",
        *(f"resumable-{name}.1" for name in COMMANDS),
    }
    for path in written:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".1":
            assert text.startswith(".TH ")
            assert {'.SH "NAME"', '.SH "SYNOPSIS"', '.SH "EXIT STATUS"'} <= {*text.splitlines()}
            # Each other line that begins with a dot is one of these, or it was meant as text.
            assert {line.split()[0] for line in text.splitlines() if line[:1] in ".'"} <= {".TH", ".SH", ".TP", ".PP"}
        else:
            assert "_RESUMABLE_COMPLETE" in text
    other = run("setup", "--prefix", str(tmp_path / "other"))
    assert len(other.out.splitlines()) == len(written)
    (tmp_path / "file").touch()
    assert run("setup", "--prefix", str(tmp_path / "file" / "below")).code == 2


def test_no_arguments_is_a_question_for_help(run: Run) -> None:
    ran = run()
    assert ran.code == 2
    assert "Usage: " in ran.err


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_told_without_loading_anything_for_it(flag: str, run: Run) -> None:
    assert run(flag).out == f"resumable {resumable.__version__}\n"
    loaded = "import sys, resumable; before = set(sys.modules); sys.argv = ['resumable', sys.argv[1]]\n"
    loaded += "from resumable.__main__ import main; main()\n"
    loaded += "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}"
    loaded += " - {'resumable', *sys.builtin_module_names}))"
    assert python("-c", loaded, flag).stdout == f"resumable {resumable.__version__}\n[]\n"


@pytest.mark.parametrize(
    ("arguments", "code", "out"), [(["--version"], 0, "resumable "), (["upload", "--help"], 0, "Usage: "), ([], 2, "")]
)
def test_a_script_gets_the_exit_code(
    arguments: list[str], code: int, out: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["resumable", *arguments])
    assert main() == code
    assert capsys.readouterr().out.startswith(out)


def test_ctrl_c_before_there_is_a_command_is_an_exit_code_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pressed:
        """Arguments whose second reader is interrupted."""

        read = False

        def __getitem__(self, item: object) -> list[str]:
            if self.read:
                raise KeyboardInterrupt
            self.read = True
            return []

    monkeypatch.setattr(sys, "argv", Pressed())
    assert main() == 130


@pytest.mark.programs
def test_python_runs_the_package() -> None:
    assert python("-m", "resumable", "--version").stdout == f"resumable {resumable.__version__}\n"


@pytest.mark.parametrize("package", ["click", "rich", "pathspec"])
def test_without_the_extra_one_line_says_what_to_install(package: str) -> None:
    wanted = ["upload", "--exclude", "*.tmp", str(Path(__file__).parent), "http://127.0.0.1:9/"]
    ran = python("-c", f"import sys; sys.modules['{package}'] = None; sys.argv[1:] = {wanted}; {PROGRAM}")
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr == (
        f"the command resumable needs the package {package!r}; install it with: pip install 'resumable[cli]'\n"
    )


def test_an_extra_may_be_installed_in_part(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pathspec", None)
    ran = run("upload", "--exclude", "*.tmp", "a.bin", "http://127.0.0.1:9/")
    assert ran.code == 2
    assert ran.err == (
        "the command resumable needs the package 'pathspec'; install it with: pip install 'resumable[cli]'\n"
    )
    monkeypatch.setitem(sys.modules, "resumable.cli.app", None)
    with pytest.raises(ModuleNotFoundError, match=r"resumable\.cli\.app"):
        run("upload")


def test_a_module_of_ours_that_is_missing_is_no_matter_of_extras() -> None:
    ran = python("-c", f"import sys; sys.modules['resumable.cli.app'] = None; sys.argv[1:] = ['--help']; {PROGRAM}")
    assert ran.returncode == 1
    assert "pip install" not in ran.stderr


@pytest.mark.once
def test_without_the_server_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    ran = python(
        "-c", f"import sys; sys.modules['cheroot'] = None; sys.argv[1:] = ['serve', {str(tmp_path)!r}]; {PROGRAM}"
    )
    assert ran.returncode == 2
    assert "install it with: pip install 'resumable[server]'" in ran.stderr
    assert "Traceback" not in ran.stderr


COMPLETING = """
import os, sys
from resumable.__main__ import main
_, *lines = sys.argv
sys.argv = ["resumable"]
for line in lines:
    os.environ.update(COMP_WORDS=line, COMP_CWORD=str(line.count(" ")))
    try:
        main()
    except SystemExit:
        print()
"""


@pytest.mark.once
@pytest.mark.programs
def test_the_shell_completes_commands_flags_and_files() -> None:
    offered = {
        "resumable ": "\n".join(f"plain,{name}" for name in COMMANDS),
        "resumable up": "plain,upload",
        "resumable upload --links s": "plain,skip",
        "resumable upload vid": "file,vid",
        "resumable serve inc": "dir,inc",
    }
    said = python("-c", COMPLETING, *offered, "resumable upload --ch", _RESUMABLE_COMPLETE="bash_complete").stdout
    *all_but_last, flags, _ = said.split("\n\n")
    assert dict(zip(offered, all_but_last, strict=True)) == offered
    assert "plain,--chunk-size" in flags.splitlines()


@pytest.mark.once
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_gets_its_script(shell: str) -> None:
    script = python("-c", PROGRAM, _RESUMABLE_COMPLETE=f"{shell}_source").stdout
    assert "_RESUMABLE_COMPLETE" in script
    page = (ROOT / "docs" / "reference" / "command-line.rst").read_text(encoding="utf-8")
    assert f"_RESUMABLE_COMPLETE={shell}_source resumable" in page
    if shutil.which(shell):
        subprocess.run([shell, "-n", "/dev/stdin"], input=script, text=True, check=True, timeout=60)


def module(path: Path) -> ModuleType:
    """The program at this path, as a module."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    made = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(made)
    return made


def test_the_reference_is_that_of_the_commands() -> None:
    page = (ROOT / "docs" / "reference" / "command-line.rst").read_text(encoding="utf-8")
    assert page == module(ROOT / "docs" / "commands.py").renewed(), "make tables writes it anew"


@pytest.mark.slow
@pytest.mark.once
def test_the_demo_is_the_one_of_the_examples(run: Run) -> None:
    ran = run("demo")
    assert ran.code == 0, ran.err
    assert "Everything arrived. What to type next:" in ran.out
    assert re.search(r" [1-9][0-9]* connections? cut on purpose\n", ran.out)
    retried = re.findall(r"file_retry     (.+): the connection broke, its chunks are sent again\n", ran.out)
    assert sorted(set(retried)) == sorted(retried) != [], "once for each file"
    assert ran.out.count("   same  ") == 5
    assert "-m resumable upload FILE URL" in ran.out


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"][: sized(1, 2)])
def test_no_encoding_of_a_terminal_stops_the_demo(encoding: str) -> None:
    ran = python(str(ROOT / "examples" / "demo.py"), PYTHONIOENCODING=encoding)
    assert ran.returncode == 0, ran.stderr
    assert "Everything arrived." in ran.stdout
    code = "import sys; from resumable.cli import main; sys.exit(sum(main([name, '--help']) for name in sys.argv[1:]))"
    assert python("-c", code, *COMMANDS, PYTHONIOENCODING=encoding).returncode == 0


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_the_bar_of_the_demo_is_made_of_what_the_terminal_has(encoding: str) -> None:
    code = "import sys; sys.stdout.isatty = lambda: True; from resumable.cli import demonstration"
    code += "; demonstration.demonstrate()"
    ran = python("-c", code, PYTHONIOENCODING=encoding)
    assert ran.returncode == 0, ran.stderr
    assert ("█" in ran.stdout) is (encoding == "utf-8")
    assert "\\u" not in ran.stdout
