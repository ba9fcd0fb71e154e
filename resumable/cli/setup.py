"""The command ``resumable setup``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import ShellComplete, get_completion_class

from .manual import page
from .params.command import Command, Option

__all__ = ["command"]

_COMPLETIONS = {
    "bash": "bash-completion/completions/resumable",
    "zsh": "zsh/site-functions/_resumable",
    "fish": "fish/vendor_completions.d/resumable.fish",
}
"""Where each shell looks for completions, below the directory for data."""


@click.command(
    cls=Command,
    short_help="Install manual pages and shell completion.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.pass_context
def command(context: click.Context, /, prefix: str | None) -> int:
    """Install the manual pages (man resumable) and shell completion for bash, zsh and fish, for this user.

    Run it again after an upgrade. The names of the files that it writes are printed.
    """
    group = context.find_root().command
    assert isinstance(group, click.Group)
    data = (
        Path(prefix, "share") if prefix else Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    )
    for path, text in _files(group, context):
        try:
            (data / path).parent.mkdir(parents=True, exist_ok=True)
            (data / path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"cannot write {str(data / path)!r}: {error.strerror}; see --prefix") from None
        click.echo(data / path)
    zsh = (data / _COMPLETIONS["zsh"]).parent
    click.echo(f"For zsh add this line to ~/.zshrc, before compinit:  fpath+=({zsh})", err=True)
    return 0


def _files(group: click.Group, context: click.Context) -> Iterator[tuple[str, str]]:
    """Yield the path of each file, below the directory for data, and what is in it."""
    yield "man/man1/resumable.1", page(group, "resumable")
    for name in group.list_commands(context):
        each = group.get_command(context, name)
        assert each is not None
        yield f"man/man1/resumable-{name}.1", page(each, f"resumable-{name}")
    for shell, path in _COMPLETIONS.items():
        complete = get_completion_class(shell)
        assert complete is not None
        # That of bash itself would look for bash.
        yield path, ShellComplete.source(complete(group, {}, "resumable", "_RESUMABLE_COMPLETE"))


command.params.append(
    Option(
        "--prefix",
        type=click.Path(file_okay=False),
        metavar="DIR",
        help="Install below this directory, such as /usr/local, instead of ~/.local.",
    )
)
