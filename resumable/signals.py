"""Signals: one blinker signal for each event of a session, and two ways to listen.

``on()`` follows resumable.js: the handler gets the event's arguments by position, and those it has no room for are
dropped, so ``lambda file: …`` and ``lambda file, message: …`` both do. It holds its handlers strongly, because lambdas
and closures would otherwise be gone at once. ``signals.file_success.connect(handler)`` is plain blinker:
``handler(sender, *, file, message)``, held weakly unless ``weak=False``.

The sender of a signal is its subject: the chunk, the file, or the session. Handlers for every sender are called
first, then those of the subject, each group in the order of connection. One that raises is logged and reported as
``handler_error``; the others run.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSet
from typing import Any

import blinker

from .errors import OptionError
from .events import EVENTS, canonical

__all__ = ["OrderedSignal", "Signals", "Subscription"]

logger = logging.getLogger("resumable")

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

    def add(self, value: Any) -> None:
        self._items[value] = None

    def discard(self, value: Any) -> None:
        self._items.pop(value, None)

    def copy(self) -> _InOrder:
        return _InOrder(self._items)


class OrderedSignal(blinker.NamedSignal):
    """A blinker signal that calls its receivers in order, and that any thread may connect to while it is sent."""

    set_class = _InOrder  # type: ignore[assignment]

    def __init__(self, name: str, doc: str, lock: Any) -> None:
        super().__init__(name, doc)
        self._lock = lock

    def connect(self, receiver: Any, sender: Any = ANY, weak: bool = True) -> Any:
        """See blinker."""
        with self._lock:
            return super().connect(receiver, sender, weak)

    def disconnect(self, receiver: Any, sender: Any = ANY) -> None:
        """See blinker."""
        with self._lock:
            super().disconnect(receiver, sender)

    def receivers_of(self, senders: Iterable[Any]) -> list[Callable[..., Any]]:
        """The receivers for the first sender and for the others, each once."""
        found: dict[Any, Callable[..., Any]] = {}
        with self._lock:
            for sender in senders:
                for receiver in self.receivers_for(sender):
                    found.setdefault(_identity(receiver), receiver)
        return list(found.values())


def _identity(receiver: Any) -> Any:
    function = getattr(receiver, "__func__", None)
    return id(receiver) if function is None else (id(function), id(receiver.__self__))


class Subscription:
    """A handler that listens. ``off()`` ends that; so does leaving it as a context manager.

    It can be called like the handler, so that ``on`` can be used as a decorator.
    """

    def __init__(self, signal: OrderedSignal, event: str, handler: Callable[..., Any], sender: Any, weak: bool,
                 loop: asyncio.AbstractEventLoop | None, failed: Callable[[str, Any, BaseException], None]) -> None:
        self.event = event
        self._signal = signal
        self._sender = sender
        self._room = _room(handler)
        self._loop = loop
        self._failed = failed
        self._handler: Callable[[], Callable[..., Any] | None] = _weakly(handler, self.off) if weak else lambda: handler
        signal.connect(self._receive, sender, weak=False)

    @property
    def handler(self) -> Callable[..., Any] | None:
        """What listens, or None once it is gone."""
        return self._handler()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        handler = self._handler()
        return None if handler is None else handler(*arguments, **named)

    def off(self, *_: Any) -> None:
        """The handler is not called any more. Asking twice does nothing."""
        self._signal.disconnect(self._receive, self._sender)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.off()

    def _receive(self, sender: Any, **facts: Any) -> None:
        names = EVENTS[self.event].arguments
        if self.event == "catch_all":
            self.call(facts["event"], *facts["arguments"])
        else:
            self.call(*(facts[name] for name in names))

    def call(self, *arguments: Any) -> None:
        """The handler is called with as many of the arguments as it has room for; an async one on its loop."""
        handler = self._handler()
        if handler is None:
            return
        result = handler(*arguments[: self._room])
        if self._loop is not None and inspect.isawaitable(result):
            self._schedule(result, handler)

    def _schedule(self, awaitable: Any, handler: Any) -> None:
        assert self._loop is not None

        async def run() -> None:
            await awaitable

        future = asyncio.run_coroutine_threadsafe(run(), self._loop)

        def ended(done: Any) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                self._failed(self.event, handler, error)

        future.add_done_callback(ended)


def _weakly(handler: Any, gone: Callable[..., Any]) -> Callable[[], Any]:
    if hasattr(handler, "__self__") and hasattr(handler, "__func__"):
        return weakref.WeakMethod(handler, gone)
    return weakref.ref(handler, gone)


def _room(handler: Callable[..., Any]) -> int | None:
    """How many arguments the handler takes by position; None where it takes any number, or does not say."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in by_position for parameter in parameters)


class Signals:
    """The signals of one session: ``signals.file_success``, ``signals["fileSuccess"]``."""

    def __init__(self, session: Any, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._session = session
        # Re-entrant, because a handler's weak reference may die, and disconnect it, while the lock is held.
        self.lock = threading.RLock()
        self._loop = loop
        self._signals = {name: OrderedSignal(name, event.help, self.lock) for name, event in EVENTS.items()}

    def __getattr__(self, name: str) -> OrderedSignal:
        signals: dict[str, OrderedSignal] = self.__dict__.get("_signals", {})
        if name in signals:
            return signals[name]
        raise AttributeError(name)

    def __getitem__(self, name: str) -> OrderedSignal:
        return self._signals[canonical(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._signals)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._signals]

    def on(self, event: str, handler: Callable[..., Any], *, sender: Any = ANY, weak: bool = False) -> Subscription:
        """The handler listens. Raises UnknownEvent, and OptionError for an ``async def`` without a loop."""
        name = canonical(event)
        if not callable(handler):
            raise TypeError(f"a handler is called; {type(handler).__name__} cannot be")
        if inspect.iscoroutinefunction(handler) and self._loop is None:
            raise OptionError("loop", None, "the event loop that is to run the async handler")
        return Subscription(self._signals[name], name, handler, sender, weak, self._loop, self.failed)

    def off(self, event: str, handler: Callable[..., Any]) -> None:
        """The handler does not listen any more, however often it was connected by :meth:`on`."""
        signal = self._signals[canonical(event)]
        with self.lock:
            for receiver in list(signal.receivers.values()):
                actual = receiver() if isinstance(receiver, weakref.ref) else receiver
                subscription = getattr(actual, "__self__", None)
                if isinstance(subscription, Subscription) and subscription.handler == handler:
                    subscription.off()
        signal.disconnect(handler)

    def wanted(self, event: str) -> bool:
        """Whether anybody listens to the event, or to all."""
        return bool(self._signals[event].receivers or self._signals["catch_all"].receivers)

    def emit(self, event: str, senders: tuple[Any, ...], facts: Mapping[str, Any], before: Callable[[], None]) -> None:
        """Every receiver has been called. ``before`` is called when it has been decided which those are."""
        with self.lock:
            receivers = self._signals[event].receivers_of(senders)
            everything = self._signals["catch_all"].receivers_of(senders[:1])
            before()
        for receiver in receivers:
            self._call(event, receiver, senders[0], dict(facts))
        for receiver in everything:
            self._call("catch_all", receiver, senders[0], {"event": event, "arguments": tuple(facts.values())})

    def emit_to(self, subscription: Subscription, sender: Any, facts: Mapping[str, Any]) -> None:
        """One subscription has been called: it was late for what is told."""
        self._call(subscription.event, subscription._receive, sender, dict(facts))

    def _call(self, event: str, receiver: Callable[..., Any], sender: Any, facts: dict[str, Any]) -> None:
        try:
            receiver(sender, **facts)
        except Exception as error:
            subscription = getattr(receiver, "__self__", None)
            handler = subscription.handler if isinstance(subscription, Subscription) else receiver
            self.failed(event, handler, error)

    def failed(self, event: str, handler: Any, error: BaseException) -> None:
        """The handler's failure is logged and reported; nobody else is disturbed by it."""
        name = getattr(handler, "__qualname__", None) or repr(handler)
        logger.error("handler %s of %s raised", name, event, exc_info=error)
        if event in ("handler_error", "catch_all"):
            # Reporting those to themselves would never end.
            return
        facts = {"event": event, "handler": handler, "exception": error}
        self.emit("handler_error", (self._session,), facts, lambda: None)
