"""Signals: one blinker signal for each event of a session, and two ways to listen.

``on()`` follows resumable.js: the handler gets the event's arguments by position, and those it has no room for are
dropped, so ``lambda file: …`` and ``lambda file, message: …`` both do; a parameter with a default gets an argument
only if it has its name (``lambda file, bar=bar: …`` keeps its bar). ``on()`` holds its handlers strongly, because
lambdas and closures would otherwise be gone at once. ``signals.file_success.connect(handler)`` is plain blinker:
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
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSet, Sequence, Sized
from typing import TYPE_CHECKING, Any

import blinker

from .errors import OptionError, UnknownEvent
from .events import EVENTS, canonical
from .tracebacks import describe_raised

if TYPE_CHECKING:
    import asyncio

__all__ = ["OrderedSignal", "Signals", "Subscription", "positional_capacity"]

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

ANY = blinker.ANY

_OF_CHUNKS = frozenset(name for name, event in EVENTS.items() if event.subject == "chunk")


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
            if sender is not ANY and not _is_subscription(receiver):
                self._kept.setdefault(id(sender), (sender, set()))[1].add(_identity(receiver))
            return super().connect(receiver, sender, weak)

    def disconnect(self, receiver: Any, sender: Any = ANY) -> None:
        """See blinker."""
        with self._lock:
            self._constant = None
            super().disconnect(receiver, sender)
            if _is_subscription(receiver):
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
            if len(found) == len(self.receivers) and all(map(_is_subscription, self.receivers.values())):
                self._constant = list(found.values())
            # Mostly there are no others.
            for sender in senders if len(found) < len(self.receivers) else ():
                for receiver in self.receivers_for(sender):
                    found.setdefault(_identity(receiver), receiver)
        return list(found.values())


def _identity(receiver: Any) -> Any:
    function = getattr(receiver, "__func__", None)
    return id(receiver) if function is None else (id(function), id(receiver.__self__))


def _is_subscription(receiver: Any) -> bool:
    return isinstance(getattr(receiver, "__self__", None), Subscription)


def _handler_of(receiver: Any) -> Any:
    return receiver.__self__.handler if _is_subscription(receiver) else receiver


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


class Signals:
    """The signals of one session: ``signals.file_success``, ``signals["fileSuccess"]``.

    Async handlers run on ``loop``, or the one that ``find_loop()`` returns; ``report(event, handler, error)`` is called
    there when one has failed, and ``returned()`` when one is over. ``chunks`` are the handles that somebody holds, by
    the key of the file and the index. ``listeners`` has what may be interested in each event: receivers, and chunks.
    """

    def __init__(
        self,
        session: Any,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        find_loop: Callable[[], asyncio.AbstractEventLoop | None] = lambda: None,
        report: Callable[[str, Any, BaseException], None] | None = None,
        returned: Callable[[], None] | None = None,
        plugins: Sequence[Any] = (),
    ) -> None:
        self._session = session
        # Re-entrant, because a destructor may listen or stop listening while the lock is held.
        self.lock = threading.RLock()
        self._find_loop = find_loop
        self._loop = loop or find_loop()
        self._report = report or self._report_failure
        self._returned = returned
        self._plugins = plugins
        self._scheduled: set[Any] = set()
        self._tasks: set[Any] = set()
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
        event, called = subscription.event, _name(handler)
        arguments = EVENTS[event].arguments
        surplus = event != "catch_all" and (subscription.capacity or 0) > len(arguments)
        if surplus and (event, called) not in self._noted:
            self._noted.add((event, called))
            has = ", ".join(arguments) or "no arguments"
            logger.warning("handler %s gets None for what %s(%s) does not have", called, event, has)

    def check(self, handler: Any) -> None:
        """Raise TypeError for what cannot be called, and OptionError for an ``async def`` without a loop: without one
        that was given, that which runs on this thread is taken."""
        if not callable(handler):
            raise TypeError(f"a handler is called; {type(handler).__name__} cannot be")
        if self._loop is None:
            self._loop = self._find_loop()
        if inspect.iscoroutinefunction(handler) and self._loop is None:
            raise _no_loop(handler)

    def off(self, event: str, handler: Callable[..., Any], *, sender: Any = ANY) -> None:
        """Disconnect the handler, however often it was connected; with ``sender``, only from that one.

        ``handler`` may also be the subscription that :meth:`on` returned.
        """
        signal = self._signals[canonical(event)]
        for subscription in _subscriptions(signal):
            if sender in (ANY, subscription.sender) and (subscription is handler or subscription.handler == handler):
                subscription.off()
        signal.disconnect(handler, sender)

    def handling(self) -> bool:
        """Return whether an async handler is not over yet."""
        return bool(self._scheduled)

    async def wait_for_async_handlers(self) -> bool:
        """Wait until every async handler is over, and return whether there were any. A handler does not wait here, not
        even for others: they may wait, too."""
        if not self._scheduled:
            return False
        import asyncio

        if asyncio.current_task() in self._tasks:
            return False
        loop = asyncio.get_running_loop()
        for future in list(self._scheduled):
            over = asyncio.Event()
            future.add_done_callback(lambda _, over=over: loop.call_soon_threadsafe(over.set))
            await over.wait()
        return True

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
            if _is_subscription(receiver):
                result = receiver(sender, *arguments)
            else:
                result = receiver(sender, **_named(receiver, event, arguments))
            if result is not None and inspect.isawaitable(result):
                self._schedule(event, _handler_of(receiver), result)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failed(event, _handler_of(receiver), error)
            if not isinstance(error, Exception):
                raise

    def _schedule(self, event: str, handler: Any, awaitable: Any) -> None:
        async def run() -> None:
            task = asyncio.current_task()
            self._tasks.add(task)
            try:
                await awaitable
            finally:
                self._tasks.discard(task)

        waiting = run()
        try:
            if self._loop is None:
                raise _no_loop(handler)
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
                self._log(event, handler, error)
                if event not in ("handler_error", "catch_all"):
                    self._report(event, handler, error)
            if self._returned is not None:
                self._returned()

        future.add_done_callback(ended)

    def failed(self, event: str, handler: Any, error: BaseException) -> None:
        """Log the handler's failure and emit ``handler_error``; other handlers go on. Called where handlers are."""
        self._log(event, handler, error)
        self._report_failure(event, handler, error)

    def _log(self, event: str, handler: Any, error: BaseException) -> None:
        plugin = next((plugin.name for plugin in self._plugins if _is_of(plugin, handler)), None)
        whose = f" of plugin {plugin!r}" if plugin else ""
        said = describe_raised(error)
        logger.error("handler %s%s for %s raised %s", _name(handler), whose, event, said, exc_info=error)

    def _report_failure(self, event: str, handler: Any, error: BaseException) -> None:
        # A handler that fails on a failure is not reported, which might never end.
        arguments = (event, handler, error)
        if event == "catch_all":
            for receiver in self._signals["handler_error"].receivers_of((self._session,)):
                self.call("handler_error", receiver, self._session, arguments)
        elif event != "handler_error":
            self.emit("handler_error", (self._session,), arguments)


def _named(handler: Callable[..., Any], event: str, arguments: tuple[Any, ...]) -> Mapping[str, Any]:
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


def _no_loop(handler: Any) -> OptionError:
    how = f"because {_name(handler)} is async: make the session in a running loop, or pass loop= to Resumable()"
    return OptionError("loop", None, f"the asyncio event loop that runs async handlers, {how}")


def _name(handler: Any) -> str:
    name = getattr(handler, "__qualname__", None)
    return f"{handler.__module__}.{name}" if name else repr(handler)


def _is_of(plugin: Any, handler: Any) -> bool:
    """Whether the handler is a method of the plugin, or was defined within its class."""
    owner = getattr(handler, "__self__", None)
    kind = type(plugin)
    begins = f"{kind.__qualname__}."
    return owner is plugin or (
        getattr(handler, "__module__", None) == kind.__module__
        and str(getattr(handler, "__qualname__", "")).startswith(begins)
    )


def _subscriptions(signal: OrderedSignal) -> list[Subscription]:
    found = []
    for receiver in list(signal.receivers.values()):
        subscription = getattr(receiver, "__self__", None)
        if isinstance(subscription, Subscription):
            found.append(subscription)
    return found
