"""Plugins: objects that attach themselves to a session.

A plugin has a ``name``, a method ``attach(session)`` in which it connects to signals, and any of the hooks
(``generate_unique_identifier``, ``preprocess``, ``preprocess_file``, ``headers``, ``query``, ``target``,
``accept_response``, ``chunk_exists``, ``should_retry``) as methods. Packages offer plugins in the entry-point group
``resumable.plugins``; a session attaches those only when told to (``plugins="installed"``).
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from typing import Any, Protocol

from .dispatch.hooks import HOOKS, takes
from .errors import OptionError

__all__ = ["Plugin", "installed_plugins", "resolve_plugins"]

ENTRY_POINT_GROUP = "resumable.plugins"


class Plugin(Protocol):
    """What a plugin has at least; hooks are further methods."""

    name: str

    def attach(self, session: Any) -> None:
        """The plugin takes part in the session from now on."""


def installed_plugins() -> list[Plugin]:
    """A new plugin of each kind that installed packages offer, in the order of their names.

    An entry point names a class, or a function without arguments, that makes the plugin.
    """
    points = sorted(metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)
    return [point.load()() for point in points]


def resolve_plugins(given: Any) -> list[Plugin]:
    """The plugins that the option asks for, each checked. Raises OptionError for an object that is no plugin."""
    plugins: Iterable[Plugin] = installed_plugins() if given == "installed" else given
    checked = list(plugins)
    for plugin in checked:
        _check(plugin)
    return checked


def _check(plugin: Any) -> None:
    label = getattr(plugin, "name", None)
    if (
        not isinstance(label, str)
        or not label
        or isinstance(plugin, type)
        or not callable(getattr(plugin, "attach", None))
    ):
        shown = plugin.__qualname__ if isinstance(plugin, type) else type(plugin).__name__
        raise OptionError("plugins", shown, "objects with a name and a method attach(session)")
    for hook, arguments in HOOKS.items():
        method = getattr(plugin, hook, None)
        if method is not None and not (callable(method) and takes(method, hook)):
            wanted = f"hooks that take what they are called with, which is {hook}({', '.join(arguments)})"
            raise OptionError("plugins", label, wanted)
