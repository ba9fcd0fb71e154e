"""Hooks decide; signals only observe.

A hook is an option or a method of a plugin object. It runs with no lock held, all but ``generate_unique_identifier``
on a worker, and returns a value; the first that returns something other than None decides. What it raises becomes a
HookError of that file, but for a SourceError, which says more.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..errors import HookError, OptionError, SourceError

__all__ = ["HOOKS", "Hooks", "run", "takes"]

HOOKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "accept_response": ("response",),
        "chunk_exists": ("response",),
        "generate_unique_identifier": ("path", "relative_path"),
        "headers": ("file", "chunk"),
        "preprocess": ("chunk",),
        "preprocess_file": ("file",),
        "query": ("file", "chunk"),
        "should_retry": ("error", "attempt"),
        "target": ("params",),
    }
)
"""The names of the hooks, which are also those of the options, and what each is called with."""


def takes(hook: Callable[..., Any], name: str) -> bool:
    """Whether the callable takes what the hook of this name is called with. One that does not say is believed."""
    try:
        signature = inspect.signature(hook)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*HOOKS[name])
    except TypeError:
        return False
    return True


class Hooks:
    """The hooks of a session: those of its options first, then those of its plugins in the order of attachment."""

    def __init__(self, given: Mapping[str, Any], plugins: Sequence[Any] = ()) -> None:
        # What an option gives and what plugins do is replaced in one step, because workers look at it meanwhile.
        self._hooks: dict[str, list[tuple[str, Any]]] = {}
        self._attached: dict[str, list[tuple[str, Callable[..., Any]]]] = {}
        for name in HOOKS:
            self._attached[name] = [
                (f"{plugin.name}.{name}", getattr(plugin, name))
                for plugin in plugins
                if callable(getattr(plugin, name, None))
            ]
            self.give(name, given.get(name))

    def give(self, name: str, value: Any) -> None:
        """The option of this name has this value from now on; it is a hook where it is callable, and what a hook would
        return where it is a mapping.

        Raises OptionError for one that does not take what it is called with.
        """
        if callable(value) and not takes(value, name):
            raise OptionError(name, value, f"a callable that is called as {name}({', '.join(HOOKS[name])})")
        own = [(name, value)] if callable(value) or (isinstance(value, Mapping) and value) else []
        self._hooks[name] = own + self._attached[name]

    def has(self, name: str) -> bool:
        """Whether there is a hook of this name."""
        return any(callable(hook) for _, hook in self._hooks[name])

    def call(self, name: str, *arguments: Any) -> Any:
        """What the first hook that decides returns, or None. Raises HookError, with what it raised as the cause."""
        for label, hook in self._hooks[name]:
            value = run(label, hook, *arguments)
            if value is not None:
                return value
        return None

    def merged(self, name: str, arguments: Callable[[], tuple[Any, ...]]) -> dict[str, Any]:
        """The mapping of the option and those that all hooks of this name return, as one; later ones win. The
        arguments are made only where there is a hook."""
        values: dict[str, Any] = {}
        for label, hook in self._hooks[name]:
            value = run(label, hook, *arguments()) if callable(hook) else hook
            if value is None:
                continue
            if not isinstance(value, Mapping):
                raise HookError(f"hook {label} returned {type(value).__name__}, not a mapping", hook=label)
            values.update(value)
        return values


def run(label: str, hook: Callable[..., Any], *arguments: Any) -> Any:
    """What the hook returns. Raises HookError, with what it raised as the cause."""
    try:
        return hook(*arguments)
    except SourceError:
        raise
    except Exception as error:
        raise HookError(f"hook {label} raised {type(error).__name__}: {error}", hook=label) from error
