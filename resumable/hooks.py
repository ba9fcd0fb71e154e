"""Hooks decide; signals only observe.

A hook is an option or a method of a plugin. It runs with no lock held, all but ``generate_unique_identifier`` on a
worker, and returns a value; the first that returns something other than None decides. What it raises becomes a
HookError of that file, except a SourceError, which says more. ``after_file`` and ``on_abort`` decide nothing: all of
them are called.

A plugin has a ``name``, a method ``attach(session)`` in which it connects to signals, and any of the hooks as methods.
See ``plugins`` for where they come from.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from .errors import HookError, OptionError, SourceError
from .tracebacks import describe_raised

__all__ = ["ENTRY_POINT_GROUP", "HOOKS", "Attached", "Hooks", "Plugin", "package_of", "run", "takes", "version_of"]

ENTRY_POINT_GROUP = "resumable.plugins"
"""The group in which packages offer plugins."""

HOOKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "accept_response": ("response",),
        "after_file": ("file",),
        "chunk_exists": ("response",),
        "find_uploaded": ("file",),
        "generate_unique_identifier": ("path", "relative_path"),
        "headers": ("file", "chunk"),
        "on_abort": ("file",),
        "preprocess": ("chunk",),
        "preprocess_file": ("file",),
        "query": ("file", "chunk"),
        "should_retry": ("error", "attempt"),
        "target": ("params",),
    }
)
"""The names of the hooks, which are also those of the options, and the arguments of each."""


def takes(hook: Callable[..., Any], name: str) -> bool:
    """Return whether the callable takes the arguments of this hook. One without a signature is believed."""
    try:
        signature = inspect.signature(hook)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*HOOKS[name])
    except TypeError:
        return False
    return True


class Plugin(Protocol):
    """What every plugin has; hooks are further methods, with the signatures in :mod:`resumable.static_types`."""

    name: str

    def attach(self, session: Any) -> None:
        """Connect the plugin to the session."""


class Attached(NamedTuple):
    """A plugin of a session, the ``name`` by which it is chosen or left out, and the ``package`` that offers it, with
    its version, None if the program gave it as an object."""

    plugin: Plugin
    name: str
    package: str | None = None

    def package_of(self) -> str | None:
        """Return the installed package that has the plugin, with its version, or None."""
        return self.package or package_of(self.plugin)


class Hooks:
    """The hooks of a session: those of its options first, then those of its plugins in the order of attachment."""

    def __init__(self, given: Mapping[str, Any], plugins: Sequence[Attached] = ()) -> None:
        # What an option gives and what plugins do is replaced in one step, because workers look at it meanwhile.
        self._hooks: dict[str, list[tuple[str, Any]]] = {}
        self._attached: dict[str, list[tuple[str, Callable[..., Any]]]] = {}
        self._owners = {f"{each.plugin.name}.{name}": each for name in HOOKS for each in plugins}
        for name in HOOKS:
            self._attached[name] = [
                (f"{each.plugin.name}.{name}", getattr(each.plugin, name))
                for each in plugins
                if callable(getattr(each.plugin, name, None))
            ]
            self.give(name, given.get(name))

    def give(self, name: str, value: Any) -> None:
        """Set the option of this name. A callable is a hook; a mapping is what a hook would return.

        Raises OptionError for a callable that does not take the arguments of the hook.
        """
        if callable(value) and not takes(value, name):
            raise OptionError(name, value, f"a callable({', '.join(HOOKS[name])})")
        own = [(name, value)] if callable(value) or (isinstance(value, Mapping) and value) else []
        self._hooks[name] = own + self._attached[name]

    def has(self, name: str) -> bool:
        """Return whether there is a hook of this name."""
        hooks = self._hooks[name]
        # Only what an option gives, which is first, may be a plain value.
        return bool(hooks) and (len(hooks) > 1 or callable(hooks[0][1]))

    def call(self, name: str, *arguments: Any) -> Any:
        """Return what the first hook that decides returns, or None. Raises HookError, caused by what a hook raised."""
        return self.decide(name, *arguments)[0]

    def decide(self, name: str, *arguments: Any) -> tuple[Any, str]:
        """Return what :meth:`call` returns, and the label of the hook that decided."""
        for label, hook in self._hooks[name]:
            value = self._run(label, hook, *arguments)
            if value is not None:
                return value, label
        return None, ""

    def judge(self, name: str, *arguments: Any) -> tuple[bool | None, str]:
        """Return what :meth:`decide` returns. Raises HookError if that is anything but True, False or None: the text
        "false", or whatever else is not empty, would count as true."""
        decided, label = self.decide(name, *arguments)
        if decided is not None and not isinstance(decided, bool):
            raise self.returned(label, type(decided).__name__, "True, False or None")
        return decided, label

    def each(self, name: str, *arguments: Any) -> None:
        """Call all hooks of this name, whatever they return. Raises HookError at the first that raises."""
        for label, hook in self._hooks[name]:
            self._run(label, hook, *arguments)

    def attempt_each(self, name: str, *arguments: Any) -> Iterator[tuple[Callable[..., Any], Exception]]:
        """Call all hooks of this name, and yield those that raise, with the error."""
        for label, hook in self._hooks[name]:
            try:
                self._run(label, hook, *arguments)
            except (HookError, SourceError) as error:
                yield hook, error

    def merged(self, name: str, arguments: Callable[[], tuple[Any, ...]]) -> dict[str, Any]:
        """Merge the mapping of the option and those that all hooks of this name return; later ones win. The arguments
        are made only if there is a hook."""
        values: dict[str, Any] = {}
        for label, hook in self._hooks[name]:
            value = self._run(label, hook, *arguments()) if callable(hook) else hook
            if value is None:
                continue
            if not isinstance(value, Mapping):
                raise self.returned(label, type(value).__name__, "a mapping")
            values.update(value)
        return values

    def returned(self, label: str, what: str, wanted: str) -> HookError:
        """Return the error of a hook that returned something else than what is wanted."""
        return self._named(HookError(f"hook {label} returned {what}, not {wanted}", hook=label))

    def _run(self, label: str, hook: Callable[..., Any], *arguments: Any) -> Any:
        """Call :func:`run`. The error of a plugin names its package."""
        try:
            return run(label, hook, *arguments)
        except HookError as error:
            raise self._named(error)  # noqa: B904 # it is the same one

    def _named(self, error: HookError) -> HookError:
        """Return the error, which names the plugin that has the hook, and what to do."""
        owner = self._owners.get(error.hook)
        if owner is not None:
            error.plugin = owner.name
            package = owner.package_of()
            error.hint = f"{f'update {package}' if package else 'fix it'}, or leave the plugin {owner.name!r} out"
        return error


def run(label: str, hook: Callable[..., Any], *arguments: Any) -> Any:
    """Call the hook and return its result. Raises HookError if it raises, also SystemExit or a panic of Rust, which
    would end a worker and not the program, or if the result has to be awaited. Ctrl-C passes."""
    try:
        value = hook(*arguments)
    except SourceError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise
        raise HookError(f"hook {label} raised {describe_raised(error)}", hook=label) from error
    # The second is a future of concurrent.futures, which nobody should have to import.
    if inspect.isawaitable(value) or hasattr(value, "add_done_callback"):
        if inspect.iscoroutine(value):
            # Otherwise Python warns that it was never awaited.
            value.close()
        what = type(value).__name__
        raise HookError(f"hook {label} returned {what}, not a value; wait for the result in the hook", hook=label)
    return value


def package_of(plugin: Any) -> str | None:
    """Return the installed package that has the plugin, with its version, or None."""
    top = type(plugin).__module__.partition(".")[0]
    for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        package = getattr(point, "dist", None)
        if package is not None and point.value.partition(":")[0].partition(".")[0] == top:
            return version_of(package)
    try:
        return version_of(metadata.distribution(_packages()[top][0]))
    except (KeyError, metadata.PackageNotFoundError):
        return None


@cache
def _packages() -> Mapping[str, list[str]]:
    """Return the installed packages that have a module of each name, which takes a few tenths of a second once."""
    return metadata.packages_distributions()


def version_of(package: Any) -> str | None:
    """Return name and version of a package, None if what is installed of it is so damaged that it has none."""
    facts = package.metadata
    return f"{facts['Name']} {facts['Version']}" if facts and "Name" in facts and "Version" in facts else None
