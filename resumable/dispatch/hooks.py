"""Hooks decide; signals only observe.

A hook is an option or a method of a plugin object. It runs on a worker with no lock held and returns a value; the
first that returns something other than None decides. What it raises becomes a HookError of that file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import HookError, ResumableError

__all__ = ["HOOKS", "Hooks"]

HOOKS = (
    "accept_response",
    "chunk_exists",
    "generate_unique_identifier",
    "headers",
    "preprocess",
    "preprocess_file",
    "query",
    "should_retry",
    "target",
)
"""The names of the hooks, which are also those of the options."""


class Hooks:
    """The hooks of a session: those of its options first, then those of its plugins in the order of attachment."""

    def __init__(self, given: Mapping[str, Any], plugins: Sequence[Any] = ()) -> None:
        self._hooks: dict[str, list[tuple[str, Callable[..., Any]]]] = {name: [] for name in HOOKS}
        for name in HOOKS:
            if callable(given.get(name)):
                self._hooks[name].append((name, given[name]))
        for plugin in plugins:
            self.attach(plugin)

    def attach(self, plugin: Any) -> None:
        """The plugin's hooks take part from now on."""
        for name in HOOKS:
            hook = getattr(plugin, name, None)
            if callable(hook):
                self._hooks[name].append((f"{getattr(plugin, 'name', type(plugin).__name__)}.{name}", hook))

    def has(self, name: str) -> bool:
        """Whether there is a hook of this name."""
        return bool(self._hooks[name])

    def call(self, name: str, *arguments: Any) -> Any:
        """What the first hook that decides returns, or None. Raises HookError, with what it raised as the cause."""
        for label, hook in self._hooks[name]:
            value = self._run(label, hook, arguments)
            if value is not None:
                return value
        return None

    def merged(self, name: str, *arguments: Any) -> dict[str, Any]:
        """The mappings that all hooks of this name return, as one; later ones win."""
        values: dict[str, Any] = {}
        for label, hook in self._hooks[name]:
            value = self._run(label, hook, arguments)
            if value is None:
                continue
            if not isinstance(value, Mapping):
                raise HookError(f"hook {label} returned {type(value).__name__}, not a mapping", hook=label)
            values.update(value)
        return values

    @staticmethod
    def _run(label: str, hook: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        try:
            return hook(*arguments)
        except ResumableError:
            raise
        except Exception as error:
            raise HookError(f"hook {label} raised {type(error).__name__}: {error}", hook=label) from error
