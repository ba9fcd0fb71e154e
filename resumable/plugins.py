"""Find, load and attach plugins, and say of which package one is that fails.

A plugin has a ``name``, a method ``attach(session)`` in which it connects to signals, and any of the hooks as methods.
Packages offer plugins in the entry-point group ``resumable.plugins``; a session attaches those that it is told to by
name, or all of them (``plugins="installed"``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import Any, NamedTuple

from .errors import OptionError, PluginError
from .hooks import ENTRY_POINT_GROUP, HOOKS, Attached, Plugin, takes, version_of
from .tracebacks import describe_raised
from .validators import is_async

__all__ = ["INSTALLED", "Offer", "attach", "installed_plugins", "lacking", "offers", "resolve_plugins"]

INSTALLED = "installed"
"""Stands for all plugins that packages offer."""


class Offer(NamedTuple):
    """A plugin that an installed package offers: its ``name``, and ``package`` with its version, None if
    that is not known. ``rival`` is another package that offers one of this name, empty if none does."""

    name: str
    package: str | None
    point: Any
    rival: str = ""

    def make(self) -> Plugin:
        """Import the package and make the plugin. Raises PluginError if that fails, even by sys.exit() or a panic of
        Rust, or if it is no plugin.

        An entry point names a class, or a function without arguments, that makes the plugin.
        """
        if self.rival:
            whose = "another one" if self.rival == self.package else "one"
            raise PluginError(self.name, self.package, f"has the same name as {whose} of {self.rival}")
        where = getattr(self.point, "value", None)
        if where is not None and metadata.EntryPoint.pattern.match(where) is None:
            raise PluginError(
                self.name, self.package, f"cannot be found: its entry point is {where!r}, not MODULE:NAME"
            )
        try:
            factory = self.point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self._failed("cannot be imported", error) from error
        try:
            plugin: Plugin = factory()
            wanted = lacking(plugin)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self._failed("cannot be made", error) from error
        if wanted:
            raise PluginError(self.name, self.package, f"is not a plugin: it must be an object {wanted}")
        return plugin

    def _failed(self, what: str, error: BaseException) -> PluginError:
        return PluginError(self.name, self.package, f"{what}: {describe_raised(error)}")


def offers() -> list[Offer]:
    """Return what installed packages offer, in the order of the names. Nothing of it is imported."""
    points = sorted(metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)
    found = [Offer(point.name, _package(point), point) for point in points]
    rivals = {
        index: other.package or "another package"
        for index, offer in enumerate(found)
        for other in found
        if other is not offer and other.name == offer.name
    }
    return [offer._replace(rival=rivals.get(index, "")) for index, offer in enumerate(found)]


def installed_plugins() -> list[Plugin]:
    """Make a plugin of each kind that installed packages offer, in the order of their names. Raises PluginError."""
    return [offer.make() for offer in offers()]


def resolve_plugins(given: Any) -> list[Attached]:
    """Return the plugins that the option asks for, all checked, each once. Raises PluginError for one that is installed
    but cannot be made, and OptionError for a name that is not installed and for an object that is no plugin."""
    asked: Iterable[Any] = (INSTALLED,) if given == INSTALLED else given
    chosen: dict[Any, Attached | Offer] = {}
    for each in asked:
        for found in _chosen(each):
            chosen.setdefault(id(found.plugin) if isinstance(found, Attached) else found.name, found)
    return [
        Attached(each.make(), each.name, each.package) if isinstance(each, Offer) else each for each in chosen.values()
    ]


def _chosen(asked: Any) -> Iterator[Attached | Offer]:
    if not isinstance(asked, str):
        if wanted := lacking(asked):
            label = getattr(asked, "name", None)
            shown = asked.__qualname__ if isinstance(asked, type) else type(asked).__name__
            raise OptionError("plugins", label if isinstance(label, str) and label else shown, f"objects {wanted}")
        yield Attached(asked, asked.name)
        return
    there = offers()
    chosen = there if asked == INSTALLED else [offer for offer in there if offer.name == asked]
    if not chosen and asked != INSTALLED:
        names = [offer.name for offer in there]
        near = difflib.get_close_matches(asked, names, 1)
        known = f"there are {', '.join(map(repr, names))}" if names else "there are none"
        meant = f"did you mean {near[0]!r}?" if near else f"{known}; install the package that has it"
        raise OptionError("plugins", asked, f"names of installed plugins ({meant})")
    yield from chosen


def attach(attached: Attached, session: Any) -> None:
    """Attach the plugin to the session. Raises PluginError if the plugin raises."""
    try:
        attached.plugin.attach(session)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        what = f"cannot be attached: {describe_raised(error)}"
        raise PluginError(attached.name, attached.package_of(), what) from error


def _package(point: Any) -> str | None:
    package = getattr(point, "dist", None)
    return None if package is None else version_of(package)


def lacking(plugin: Any) -> str:
    """Return what is wanted of an object that this plugin is not; empty if it is one."""
    if isinstance(plugin, type):
        return "with a name and a method attach(session), not a class"
    label = getattr(plugin, "name", None)
    if not isinstance(label, str) or not label or not callable(getattr(plugin, "attach", None)):
        return "with a name and a method attach(session)"
    if is_async(plugin.attach):
        return "whose attach(session) is not async"
    for hook, arguments in HOOKS.items():
        method = getattr(plugin, hook, None)
        if method is not None and not (callable(method) and takes(method, hook)):
            return f"whose hooks take these arguments: {hook}({', '.join(arguments)})"
        if is_async(method):
            return f"whose hooks are not async: {hook}"
    return ""
