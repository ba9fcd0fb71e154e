"""Signals: one blinker signal for each event of a session, and two ways to listen.

``on()`` follows resumable.js (see :class:`Subscription`). It holds its handlers strongly, because lambdas and closures
would otherwise be gone at once. ``signals.file_success.connect(handler)`` is plain blinker:
``handler(sender, *, file, message)``, held weakly unless ``weak=False``.

``resumable.signals.file_success`` is the same for all sessions of the process. Its handlers are called after those of
the session.

The sender of a signal is its subject: the chunk, the file, or the session. Handlers for every sender are called
first, then those of the subject, each group in the order of connection. One that raises is logged and reported as
``handler_error``; the others run.

An event's arguments are a tuple, in the order of its row. Only plain handlers of blinker get them by name.
"""

from __future__ import annotations

import inspect
import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any

from .async_handlers import AsyncHandlers, LoopClosed
from .errors import UnknownEvent
from .events import EVENTS, canonical
from .subscription import ANY, OrderedSignal, Subscription, by_name, handler_of, is_subscription, name_of
from .tracebacks import describe_raised

__all__ = ["Signals"]

if TYPE_CHECKING:
    before_add: OrderedSignal
    before_cancel: OrderedSignal
    cancel: OrderedSignal
    catch_all: OrderedSignal
    chunk_error: OrderedSignal
    chunk_retry: OrderedSignal
    chunk_success: OrderedSignal
    chunking_complete: OrderedSignal
    chunking_progress: OrderedSignal
    chunking_start: OrderedSignal
    complete: OrderedSignal
    error: OrderedSignal
    file_added: OrderedSignal
    file_cancelled: OrderedSignal
    file_error: OrderedSignal
    file_progress: OrderedSignal
    file_retry: OrderedSignal
    file_success: OrderedSignal
    files_added: OrderedSignal
    handler_error: OrderedSignal
    pause: OrderedSignal
    progress: OrderedSignal
    upload_start: OrderedSignal

logger = logging.getLogger("resumable")

_OF_CHUNKS = frozenset(name for name, event in EVENTS.items() if event.subject == "chunk")


_lock = threading.RLock()
_OF_ALL = {name: OrderedSignal(name, event.help, _lock) for name, event in EVENTS.items()}
"""The signals of the process: each event of every session."""


if not TYPE_CHECKING:  # else every misspelt name would be a signal

    def __getattr__(name: str) -> OrderedSignal:
        if not name.startswith("_"):
            try:
                return _OF_ALL[canonical(name)]
            except UnknownEvent:
                pass
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Signals:
    """The signals of one session: ``signals.file_success``, ``signals["fileSuccess"]``.

    ``report(event, handler, error)`` is called when an async handler has failed, on its thread; the others are as in
    :class:`AsyncHandlers`. ``chunks`` are the handles that somebody holds, by the key of the file and the index.
    ``listeners`` has what may be interested in each event: receivers, and chunks.
    """

    def __init__(
        self,
        session: Any,
        *,
        loop: Any,
        find_loop: Callable[[], Any],
        report: Callable[[str, Any, BaseException], None],
        returned: Callable[[], None],
        plugins: Sequence[Any],
    ) -> None:
        self._session = session
        # Re-entrant, because a destructor may listen or stop listening while the lock is held.
        self.lock = threading.RLock()
        self._report = report
        self._plugins = plugins
        self.async_handlers = AsyncHandlers(loop, find_loop, failed=self._failed_async, returned=returned)
        self._noted: set[tuple[str, str]] = set()
        self.chunks: weakref.WeakValueDictionary[tuple[int, int], Any] = weakref.WeakValueDictionary()
        self._signals = {name: OrderedSignal(name, event.help, self.lock) for name, event in EVENTS.items()}
        self.listeners: dict[str, list[Sized]] = {
            name: [signals[known].receivers for signals in (self._signals, _OF_ALL) for known in (name, "catch_all")]
            for name in EVENTS
        }
        for name in _OF_CHUNKS:
            # The handle of a chunk keeps the server's last answer.
            self.listeners[name].append(self.chunks)

    def __getattr__(self, name: str) -> OrderedSignal:
        signals: dict[str, OrderedSignal] = self.__dict__.get("_signals", {})
        if name in signals:
            return signals[name]
        if not name.startswith("_"):
            try:
                return signals[canonical(name)]
            except UnknownEvent as error:
                raise AttributeError(str(error), name=name, obj=self) from None
        raise AttributeError(f"there is no signal {name!r}", name=name, obj=self)

    def __getitem__(self, name: str) -> OrderedSignal:
        return self._signals[canonical(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._signals)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._signals]

    def on(self, event: str, handler: Callable[..., Any], *, sender: Any = ANY, weak: bool = False) -> Subscription:
        """Connect the handler. Raises UnknownEvent, and OptionError for an ``async def`` without a loop."""
        name = canonical(event)
        self.check(handler)
        subscription = Subscription(self._signals[name], name, handler, sender, weak=weak)
        self._note_surplus(subscription, handler)
        return subscription

    def _note_surplus(self, subscription: Subscription, handler: Any) -> None:
        """Log once if the handler takes more arguments than the event has."""
        event, called = subscription.event, name_of(handler)
        arguments = EVENTS[event].arguments
        surplus = event != "catch_all" and (subscription.capacity or 0) > len(arguments)
        if surplus and (event, called) not in self._noted:
            self._noted.add((event, called))
            has = ", ".join(arguments) or "no arguments"
            logger.warning("handler %s gets None for what %s(%s) does not have", called, event, has)

    def check(self, handler: Any) -> None:
        """Raise TypeError for what cannot be called, and OptionError for an ``async def`` without a loop."""
        if not callable(handler):
            raise TypeError(f"a handler is called; {type(handler).__name__} cannot be")
        self.async_handlers.check(handler)

    def off(self, event: str, handler: Callable[..., Any], *, sender: Any = ANY) -> None:
        """Disconnect the handler, however often it was connected; with ``sender``, only from that one.

        ``handler`` may also be the subscription that :meth:`on` returned.
        """
        signal = self._signals[canonical(event)]
        receivers: list[Any] = list(signal.receivers.values())
        for subscription in [receiver.__self__ for receiver in receivers if is_subscription(receiver)]:
            if sender in (ANY, subscription.sender) and (subscription is handler or subscription.handler == handler):
                subscription.off()
        signal.disconnect(handler, sender)

    def has_receivers(self, event: str) -> bool:
        """Return whether any handler listens to the event, or to all, or whether somebody holds a chunk to which it may
        have happened."""
        return any(self.listeners[event])

    def emit(
        self, event: str, senders: tuple[Any, ...], arguments: tuple[Any, ...], fixed: Callable[[], None] | None = None
    ) -> None:
        """Call every receiver of the event. ``fixed`` is called once they are chosen.

        Raises what a receiver raised that is no Exception, after the others have run.
        """
        with self.lock:
            receivers = self._signals[event].receivers_of(senders)
            everything = self._signals["catch_all"].receivers_of(senders)
            if fixed is not None:
                fixed()
        receivers += _OF_ALL[event].receivers_of(senders)
        everything += _OF_ALL["catch_all"].receivers_of(senders)
        calls = [(event, receiver, arguments) for receiver in receivers]
        calls += [("catch_all", receiver, (event, *arguments)) for receiver in everything]
        raised = None
        for name, receiver, given in calls:
            try:
                self.call(name, receiver, senders[0], given)
            except BaseException as error:
                raised = raised or error
        if raised is not None:
            raise raised

    def call(self, event: str, receiver: Callable[..., Any], sender: Any, arguments: tuple[Any, ...]) -> None:
        """Call one receiver, and schedule what an async one returns. Raises what is no Exception."""
        try:
            if is_subscription(receiver):
                result = receiver(sender, *arguments)
            else:
                result = receiver(sender, **by_name(receiver, event, arguments))
            if result is not None and inspect.isawaitable(result):
                self.async_handlers.schedule(event, handler_of(receiver), result)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failed(event, handler_of(receiver), error)
            if not isinstance(error, Exception):
                raise

    def failed(self, event: str, handler: Any, error: BaseException) -> None:
        """Log the handler's failure and emit ``handler_error``; other handlers go on. Called where handlers are."""
        if not isinstance(error, LoopClosed):
            self._log(event, handler, error)
        self._report_failure(event, handler, error)

    def _failed_async(self, event: str, handler: Any, error: BaseException) -> None:
        self._log(event, handler, error)
        if event not in ("handler_error", "catch_all"):
            self._report(event, handler, error)

    def _log(self, event: str, handler: Any, error: BaseException) -> None:
        plugin = next((plugin.name for plugin in self._plugins if _is_of(plugin, handler)), None)
        whose = f" of plugin {plugin!r}" if plugin else ""
        said = describe_raised(error)
        logger.error("handler %s%s for %s raised %s", name_of(handler), whose, event, said, exc_info=error)

    def _report_failure(self, event: str, handler: Any, error: BaseException) -> None:
        # A handler that fails on a failure is not reported, which might never end.
        arguments = (event, handler, error)
        if event == "catch_all":
            for receiver in self._signals["handler_error"].receivers_of((self._session,)):
                self.call("handler_error", receiver, self._session, arguments)
        elif event != "handler_error":
            self.emit("handler_error", (self._session,), arguments)


def _is_of(plugin: Any, handler: Any) -> bool:
    """Whether the handler is a method of the plugin, or was defined within its class."""
    owner = getattr(handler, "__self__", None)
    kind = type(plugin)
    begins = f"{kind.__qualname__}."
    return owner is plugin or (
        getattr(handler, "__module__", None) == kind.__module__
        and str(getattr(handler, "__qualname__", "")).startswith(begins)
    )
