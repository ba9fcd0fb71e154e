"""A signal of blinker that keeps its order, and the handlers that are connected to it.

``on()`` follows resumable.js: the handler gets the event's arguments by position, and those it has no room for are
dropped, so ``lambda file: …`` and ``lambda file, message: …`` both do; a parameter with a default gets an argument
only if it has its name (``lambda file, bar=bar: …`` keeps its bar). Plain handlers of blinker get the arguments by
name.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSet, Sequence
from typing import Any

import blinker

from .events import EVENTS

__all__ = [
    "ANY",
    "OrderedSignal",
    "Subscription",
    "by_name",
    "handler_of",
    "is_subscription",
    "name_of",
    "positional_capacity",
]

ANY = blinker.ANY


class _InOrder(MutableSet[Any]):
    """A set that keeps the order of insertion; a plain one would call handlers in the order of their addresses."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self._items = dict.fromkeys(items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    # In one step each: a handler that is garbage leaves the set whenever that is noticed, on any thread.

    def __or__(self, other: Any) -> _InOrder:
        return _InOrder({**self._items, **other._items})

    def copy(self) -> _InOrder:
        return _InOrder(self._items)

    def add(self, value: Any) -> None:
        self._items[value] = None

    def discard(self, value: Any) -> None:
        self._items.pop(value, None)


class OrderedSignal(blinker.NamedSignal):
    """A blinker signal that calls its receivers in order, and that any thread may connect to while it is sent.

    It keeps the sender that a receiver is connected to, because the handle of a chunk exists only as long as somebody
    has it. A :class:`Subscription` does that itself.
    """

    set_class = _InOrder  # type: ignore[assignment]

    def __init__(self, name: str, doc: str, lock: Any) -> None:
        super().__init__(name, doc)
        self._lock = lock
        self._kept: dict[int, tuple[Any, set[Any]]] = {}
        # The receivers, if they are the same for all senders and stay until they are disconnected.
        self._constant: list[Callable[..., Any]] | None = None

    def connect(self, receiver: Any, sender: Any = ANY, weak: bool = True) -> Any:
        """See blinker."""
        with self._lock:
            self._constant = None
            if sender is not ANY and not is_subscription(receiver):
                self._kept.setdefault(id(sender), (sender, set()))[1].add(_identity(receiver))
            return super().connect(receiver, sender, weak)

    def disconnect(self, receiver: Any, sender: Any = ANY) -> None:
        """See blinker."""
        with self._lock:
            self._constant = None
            super().disconnect(receiver, sender)
            if is_subscription(receiver):
                return
            for key, (kept, receivers) in list(self._kept.items()):
                if sender is ANY or sender is kept:
                    receivers.discard(_identity(receiver))
                if not receivers:
                    del self._kept[key]

    def receivers_of(self, senders: Iterable[Any]) -> list[Callable[..., Any]]:
        """Return the receivers for the first sender and for the others, each once; none while the signal is muted."""
        if self.is_muted or not self.receivers:
            return []
        with self._lock:
            if self._constant is not None:
                return self._constant.copy()
            found = {_identity(receiver): receiver for receiver in self.receivers_for(ANY)}
            if len(found) == len(self.receivers) and all(map(is_subscription, self.receivers.values())):
                self._constant = list(found.values())
            # Mostly there are no others.
            for sender in senders if len(found) < len(self.receivers) else ():
                for receiver in self.receivers_for(sender):
                    found.setdefault(_identity(receiver), receiver)
        return list(found.values())


def _identity(receiver: Any) -> Any:
    function = getattr(receiver, "__func__", None)
    return id(receiver) if function is None else (id(function), id(receiver.__self__))


def is_subscription(receiver: Any) -> bool:
    """Return whether the receiver of a signal belongs to a :class:`Subscription`."""
    return isinstance(getattr(receiver, "__self__", None), Subscription)


def handler_of(receiver: Any) -> Any:
    """Return what the user connected, None if it is gone."""
    return receiver.__self__.handler if is_subscription(receiver) else receiver


class Subscription:
    """A connected handler. ``off()`` disconnects it; so does leaving it as a context manager.

    It can be called like the handler, so that ``on`` can be used as a decorator.
    """

    def __init__(
        self, signal: OrderedSignal, event: str, handler: Callable[..., Any], sender: Any = ANY, *, weak: bool = False
    ) -> None:
        self.event = event
        self.sender = sender
        self._signal = signal
        self.capacity = positional_capacity(handler, EVENTS[event].arguments)
        self._connected = True
        # A weak reference without a callback: that would be called by any thread, whatever locks it holds. A handler
        # that is gone is noticed when it is to be called.
        self._handler: Callable[[], Any] = _weakly(handler) if weak else lambda: handler
        signal.connect(self.receive, sender, weak=False)

    @property
    def handler(self) -> Callable[..., Any] | None:
        """The handler, or None once it is gone."""
        return self._handler()  # type: ignore[no-any-return]

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        handler = self._handler()
        return None if handler is None else handler(*arguments, **named)

    def off(self) -> None:
        """Do not call the handler any more. Asking twice does nothing."""
        self._connected = False
        # From all senders: from its own alone, blinker would keep it for ever.
        self._signal.disconnect(self.receive)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.off()

    def receive(self, sender: Any, *arguments: Any, **named: Any) -> Any:
        """Call the handler with as many of the event's arguments as it takes, and return what it returns. They come by
        name from a ``send()`` of blinker."""
        handler = self._handler()
        if handler is None:
            self.off()
        if handler is None or not self._connected:
            return None
        if named and self.event == "catch_all":
            arguments = (named["event"], *named["arguments"])
        elif named:
            arguments = tuple(named[name] for name in EVENTS[self.event].arguments)
        if self.capacity is None:
            return handler(*arguments)
        # As in JavaScript, where a handler of fileAdded may have a second parameter for the browser's event.
        return handler(*arguments[: self.capacity], *[None] * (self.capacity - len(arguments)))


def _weakly(handler: Any) -> Callable[[], Any]:
    if hasattr(handler, "__self__") and hasattr(handler, "__func__"):
        return weakref.WeakMethod(handler)
    return weakref.ref(handler)


def positional_capacity(handler: Callable[..., Any], names: Sequence[str]) -> int | None:
    """Return how many of the arguments of these names the handler takes by position; None if it takes any number, or
    does not say. A parameter with a default counts if it has the argument's name: others are a loop's ``bar=bar``."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    capacity = 0
    for position, parameter in enumerate(parameters):
        by_position = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        named = names[position] == parameter.name if position < len(names) else False
        if not by_position or (parameter.default is not parameter.empty and not named):
            break
        capacity += 1
    return capacity


def by_name(handler: Callable[..., Any], event: str, arguments: tuple[Any, ...]) -> Mapping[str, Any]:
    """Return the arguments by name: those for which a plain handler of blinker has a parameter, so that an event may
    get further ones."""
    if event == "catch_all":
        named = {"event": arguments[0], "arguments": arguments[1:]}
    else:
        named = dict(zip(EVENTS[event].arguments, arguments, strict=True))
    try:
        parameters = inspect.signature(handler).parameters
    except (TypeError, ValueError):
        return named
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return named
    return {name: value for name, value in named.items() if name in parameters}


def name_of(handler: Any) -> str:
    """Return what a message calls the handler."""
    name = getattr(handler, "__qualname__", None)
    return f"{handler.__module__}.{name}" if name else repr(handler)
