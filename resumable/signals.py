"""Signals: one blinker signal for each event of a session, and two ways to listen.

``on()`` follows resumable.js: the handler gets the event's arguments by position, and those it has no room for are
dropped, so ``lambda file: …`` and ``lambda file, message: …`` both do; a parameter with a default gets an argument
only if it has its name (``lambda file, bar=bar: …`` keeps its bar). ``on()`` holds its handlers strongly, because
lambdas and closures would otherwise be gone at once. ``signals.file_success.connect(handler)`` is plain blinker:
``handler(sender, *, file, message)``, held weakly unless ``weak=False``.

The sender of a signal is its subject: the chunk, the file, or the session. Handlers for every sender are called
first, then those of the subject, each group in the order of connection. One that raises is logged and reported as
``handler_error``; the others run.
"""

from __future__ import annotations

import inspect
import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSet, Sequence
from typing import TYPE_CHECKING, Any

import blinker

from .errors import OptionError
from .events import EVENTS, canonical

if TYPE_CHECKING:
    import asyncio

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
        """The receivers for the first sender and for the others, each once; none while the signal is muted."""
        if self.is_muted:
            return []
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

    def __init__(
        self, signal: OrderedSignal, event: str, handler: Callable[..., Any], sender: Any = ANY, *, weak: bool = False
    ) -> None:
        self.event = event
        self.sender = sender
        self._signal = signal
        self._room = _positional_capacity(handler, EVENTS[event].arguments)
        self._listens = True
        # A weak reference without a callback: that would be called by any thread, whatever locks it holds. A handler
        # that is gone is noticed when it is to be called.
        self._handler: Callable[[], Any] = _weakly(handler) if weak else lambda: handler
        signal.connect(self._receive, sender, weak=False)

    @property
    def handler(self) -> Callable[..., Any] | None:
        """What listens, or None once it is gone."""
        return self._handler()  # type: ignore[no-any-return]

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        handler = self._handler()
        return None if handler is None else handler(*arguments, **named)

    def off(self) -> None:
        """The handler is not called any more. Asking twice does nothing."""
        self._listens = False
        # From all senders: from its own alone, blinker would keep it for ever.
        self._signal.disconnect(self._receive)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.off()

    def _receive(self, sender: Any, **facts: Any) -> Any:
        """What the handler returned, called with as many of the arguments as it has room for."""
        handler = self._handler()
        if handler is None:
            self.off()
        if handler is None or not self._listens:
            return None
        if self.event == "catch_all":
            arguments = (facts["event"], *facts["arguments"])
        else:
            arguments = tuple(facts[name] for name in EVENTS[self.event].arguments)
        return handler(*arguments[: self._room])


def _weakly(handler: Any) -> Callable[[], Any]:
    if hasattr(handler, "__self__") and hasattr(handler, "__func__"):
        return weakref.WeakMethod(handler)
    return weakref.ref(handler)


def _positional_capacity(handler: Callable[..., Any], names: Sequence[str]) -> int | None:
    """How many of the arguments of these names the handler takes by position; None where it takes any number, or does
    not say. A parameter with a default counts if it has the argument's name: others are a loop's ``bar=bar``."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    room = 0
    for position, parameter in enumerate(parameters):
        by_position = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        named = names[position] == parameter.name if position < len(names) else False
        if not by_position or (parameter.default is not parameter.empty and not named):
            break
        room += 1
    return room


class Signals:
    """The signals of one session: ``signals.file_success``, ``signals["fileSuccess"]``.

    Async handlers run on ``loop``, where nobody waits for them; ``report(event, handler, error)`` is called there when
    one has failed, and ``returned()`` when one is over.
    """

    def __init__(
        self,
        session: Any,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        report: Callable[[str, Any, BaseException], None] | None = None,
        returned: Callable[[], None] | None = None,
    ) -> None:
        self._session = session
        # Re-entrant, because a destructor may listen or stop listening while the lock is held.
        self.lock = threading.RLock()
        self._loop = loop
        self._report = report or self._tell_failure
        self._returned = returned
        self._scheduled: set[Any] = set()
        self._signals = {name: OrderedSignal(name, event.help, self.lock) for name, event in EVENTS.items()}

    def __getattr__(self, name: str) -> OrderedSignal:
        signals: dict[str, OrderedSignal] = self.__dict__.get("_signals", {})
        if name in signals:
            return signals[name]
        raise AttributeError(f"there is no signal {name!r}", name=name, obj=self)

    def __getitem__(self, name: str) -> OrderedSignal:
        return self._signals[canonical(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._signals)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._signals]

    def on(self, event: str, handler: Callable[..., Any], *, sender: Any = ANY, weak: bool = False) -> Subscription:
        """The handler listens. Raises UnknownEvent, and OptionError for an ``async def`` without a loop."""
        name = canonical(event)
        self.check(handler)
        return Subscription(self._signals[name], name, handler, sender, weak=weak)

    def check(self, handler: Any) -> None:
        """Raise TypeError for what cannot be called, and OptionError for an ``async def`` without a loop."""
        if not callable(handler):
            raise TypeError(f"a handler is called; {type(handler).__name__} cannot be")
        if inspect.iscoroutinefunction(handler) and self._loop is None:
            raise OptionError("loop", None, "the event loop that is to run the async handler")

    def off(self, event: str, handler: Callable[..., Any], *, sender: Any = ANY) -> None:
        """The handler does not listen any more, however often it was connected; with ``sender``, not to that one.

        ``handler`` may also be the subscription that :meth:`on` returned.
        """
        signal = self._signals[canonical(event)]
        for subscription in _subscriptions(signal):
            if sender in (ANY, subscription.sender) and (subscription is handler or subscription.handler == handler):
                subscription.off()
        signal.disconnect(handler, sender)

    def handling(self) -> bool:
        """Whether an async handler is not over yet."""
        return bool(self._scheduled)

    def has_receivers(self, event: str) -> bool:
        """Whether anybody listens to the event, or to all."""
        return bool(self._signals[event].receivers or self._signals["catch_all"].receivers)

    def emit(
        self, event: str, senders: tuple[Any, ...], facts: Mapping[str, Any], decided: Callable[[], None] | None = None
    ) -> None:
        """Every receiver has been called. ``decided`` is called when it is settled which those are.

        Raises what is no Exception and was raised by a receiver, after the others have run.
        """
        with self.lock:
            receivers = self._signals[event].receivers_of(senders)
            everything = self._signals["catch_all"].receivers_of(senders)
            if decided is not None:
                decided()
        whole = {"event": event, "arguments": tuple(facts.values())}
        calls = [(event, receiver, facts) for receiver in receivers]
        calls += [("catch_all", receiver, whole) for receiver in everything]
        raised = None
        for name, receiver, arguments in calls:
            try:
                self._call(name, receiver, senders[0], arguments)
            except BaseException as error:
                raised = raised or error
        if raised is not None:
            raise raised

    def emit_to(self, subscription: Subscription, sender: Any, facts: Mapping[str, Any]) -> None:
        """One subscription has been called: it was late for what is told."""
        self._call(subscription.event, subscription._receive, sender, facts)

    def _call(self, event: str, receiver: Callable[..., Any], sender: Any, facts: Mapping[str, Any]) -> None:
        """The receiver was called, and an async one scheduled. Raises what is no Exception."""
        subscription = getattr(receiver, "__self__", None)
        handler = subscription.handler if isinstance(subscription, Subscription) else receiver
        try:
            result = receiver(sender, **(facts if receiver is not handler else _taken(handler, facts)))
            if inspect.isawaitable(result):
                self._schedule(event, handler, result)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failed(event, handler, error)
            if not isinstance(error, Exception):
                raise

    def _schedule(self, event: str, handler: Any, awaitable: Any) -> None:
        async def run() -> None:
            await awaitable

        waiting = run()
        try:
            if self._loop is None:
                raise OptionError("loop", None, "the event loop that is to run the async handler")
            # Whoever has a loop has it imported; nobody else should pay for it.
            import asyncio

            future = asyncio.run_coroutine_threadsafe(waiting, self._loop)
            self._scheduled.add(future)
        except BaseException:
            waiting.close()
            if inspect.iscoroutine(awaitable):
                awaitable.close()
            raise

        def ended(done: Any) -> None:
            self._scheduled.discard(done)
            if not done.cancelled() and (error := done.exception()) is not None:
                _log(event, handler, error)
                if event not in ("handler_error", "catch_all"):
                    self._report(event, handler, error)
            if self._returned is not None:
                self._returned()

        future.add_done_callback(ended)

    def failed(self, event: str, handler: Any, error: BaseException) -> None:
        """The handler's failure is logged and told; nobody else is disturbed by it. Called where handlers are."""
        _log(event, handler, error)
        self._tell_failure(event, handler, error)

    def _tell_failure(self, event: str, handler: Any, error: BaseException) -> None:
        # Who fails when told of a failure is not told of that, which might never end.
        facts = {"event": event, "handler": handler, "exception": error}
        if event == "catch_all":
            for receiver in self._signals["handler_error"].receivers_of((self._session,)):
                self._call("handler_error", receiver, self._session, facts)
        elif event != "handler_error":
            self.emit("handler_error", (self._session,), facts)


def _taken(handler: Callable[..., Any], facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The facts for which a plain handler of blinker has a parameter, so that an event may get further arguments."""
    try:
        parameters = inspect.signature(handler).parameters
    except (TypeError, ValueError):
        return facts
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return facts
    return {name: value for name, value in facts.items() if name in parameters}


def _log(event: str, handler: Any, error: BaseException) -> None:
    name = getattr(handler, "__qualname__", None) or repr(handler)
    logger.error("handler %s of %s raised", name, event, exc_info=error)


def _subscriptions(signal: OrderedSignal) -> list[Subscription]:
    found = []
    for receiver in list(signal.receivers.values()):
        subscription = getattr(receiver, "__self__", None)
        if isinstance(subscription, Subscription):
            found.append(subscription)
    return found
