"""The flags that choose among the installed plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ...plugins import offers
from .command import TRANSFER, Option

__all__ = ["chosen_plugins", "plugin_flags"]


def plugin_flags() -> list[Option]:
    """Return ``--plugin`` and ``--no-plugin``."""
    return [
        Option(
            "--plugin",
            multiple=True,
            metavar="NAME",
            section=TRANSFER,
            help="Use this installed plugin and no others. May be given several times; resumable plugins lists them.",
        ),
        Option(
            "--no-plugin",
            multiple=True,
            metavar="NAME",
            section=TRANSFER,
            help="Leave this installed plugin out. May be given several times.",
        ),
    ]


def chosen_plugins(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the option ``plugins``, if these flags were typed. Raises UsageError for a name that is not installed."""
    wanted, unwanted = values.get("plugin", ()), values.get("no_plugin", ())
    if not wanted and not unwanted:
        return {}
    names = [offer.name for offer in offers()]
    for flag, given in (("--plugin", wanted), ("--no-plugin", unwanted)):
        for name in given:
            if name not in names:
                raise click.UsageError(f"{flag} {name}: there is no such plugin; {_listed(names)}")
    return {"plugins": tuple(name for name in wanted or names if name not in unwanted)}


def _listed(names: Sequence[str]) -> str:
    return f"installed are {', '.join(names)}" if names else "none is installed"
