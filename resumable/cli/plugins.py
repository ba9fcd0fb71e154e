"""The command ``resumable plugins``."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click

from ..errors import PluginError
from ..hooks import HOOKS
from ..plugins import Offer, offers
from ..units import strip_control
from .params.command import Command, Option

__all__ = ["command"]


@click.command(
    cls=Command,
    short_help="List the installed plugins.",
    codes="0 all can be used, 1 some cannot, 2 usage",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def command(json: bool) -> int:
    """List the plugins that installed packages offer, what each does, and what is wrong with those that cannot be used.

    upload and watch use all of them, unless --plugin, --no-plugin or --no-plugins say otherwise.
    """
    found = [_facts(offer) for offer in offers()]
    for facts in found:
        click.echo(_line(facts) if json else _paragraph(facts))
    if not found and not json:
        click.echo("No installed package offers a plugin in the entry-point group resumable.plugins.")
    return int(any(facts["error"] for facts in found))


command.params.append(
    Option("--json", is_flag=True, help="Write each plugin to the standard output as a line of JSON.")
)


def _facts(offer: Offer) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": offer.name, "package": offer.package, "about": "", "hooks": [], "error": None}
    try:
        plugin = offer.make()
    except PluginError as error:
        return {**facts, "error": str(error)}
    about = (inspect.getdoc(type(plugin)) or "").partition("\n")[0]
    return {**facts, "about": about, "hooks": [hook for hook in HOOKS if callable(getattr(plugin, hook, None))]}


def _line(facts: dict[str, Any]) -> str:
    return json.dumps(facts)


def _paragraph(facts: dict[str, Any]) -> str:
    lines = [f"{facts['name']} ({facts['package'] or 'of an unknown package'})"]
    if facts["about"]:
        lines.append(f"    {facts['about']}")
    if facts["hooks"]:
        lines.append(f"    hooks: {', '.join(facts['hooks'])}")
    if facts["error"]:
        lines.append(f"    {facts['error']}")
    return "\n".join(map(strip_control, lines))
