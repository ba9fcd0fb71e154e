"""The program: its commands, each loaded when it is needed, and its exit code."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
from collections.abc import Sequence

import click

from .. import __version__
from .interruption import Interrupted
from .output import json_events, report, stats
from .output.exit_codes import ExitCode
from .output.resume_command import program
from .params import usage

__all__ = ["COMMANDS", "group", "run"]

COMMANDS = ("upload", "status", "watch", "serve", "demo", "doctor", "conformance", "plugins", "setup")


class Group(click.Group):
    """The commands. Each is the ``command`` of the module that has its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f".{cmd_name}", __package__).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is named first. Raises UsageError, with the name that may have been meant."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}"
            if args[0] == "help":
                meant = "did you mean --help?"
            ctx.fail(f"there is no command {args[0]!r}; {meant}")
        return super().resolve_command(ctx, args)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="resumable", message="%(prog)s %(version)s")
def group() -> None:
    """Upload files in chunks, and resume after a lost connection, a crash or a reboot."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name, say on stderr what is wrong with them, and return the exit code."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = group.main(typed, prog_name=program(), standalone_mode=False, obj=typed)
    except click.ClickException as clicks:
        error = usage.worded(clicks)
        error.show()
        return _never_begun(typed, error.exit_code, error.format_message())
    except click.Abort:
        return _never_begun(typed, 130, "Ctrl-C")
    except Interrupted as stop:
        return _never_begun(typed, stop.exit_code, str(stop))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            # The command could not even be loaded.
            reason = "this process may open too few files: raise the limit with ulimit -n"
        elif isinstance(error, FileNotFoundError) and not _has_working_directory():
            reason = "the working directory does not exist any more: change to another one with cd"
        else:
            raise
        print(f"failed: {reason}", file=sys.stderr)
        return _never_begun(typed, ExitCode.USAGE, reason)
    return code if isinstance(code, int) else 0


def _has_working_directory() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _never_begun(typed: Sequence[str], code: int, reason: str) -> int:
    """End the output of ``--json`` with a result, as if the command had begun. Return the code."""
    if "--json" not in typed:
        return code
    if typed[0] == "conformance":
        json_events.JsonEvents().finish({"exit_code": code, "reason": reason})
    else:
        facts = report.facts(code, stats.RunStats(), (), 0)
        json_events.JsonEvents().finish({**facts, "errors": [reason]})
    return code
