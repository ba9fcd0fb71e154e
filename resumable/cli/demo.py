"""The command ``resumable demo``."""

from __future__ import annotations

import click

from .params.command import Command

__all__ = ["command"]


@click.command(
    cls=Command,
    short_help="Show an upload over a connection that breaks.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def command() -> int:
    """Start a receiver on this machine, upload files to it over a connection that breaks, and compare what arrived.

    It takes a few seconds, listens on the loopback address only, and leaves nothing behind.
    """
    try:
        from .demonstration import demonstrate
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is missing; install it with: pip install 'resumable[server]'") from None
    except ImportError as error:
        raise click.UsageError(str(error)) from None
    return demonstrate()
