"""The receiver as an ASGI application, for Starlette, FastAPI, Litestar and any server that speaks ASGI 3.

The receiver waits for disks, so each request is answered on a thread, and the event loop only brings it the body.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from ..app import Receiver
from ..gateway import MAX_BODY, SWEEP_EVERY, Gateway, complete_headers
from ..messages import Refusal, Request, Response, check_has_run
from ..routes import HEALTH
from ..sweeper import ProcessSweeper
from .stream import Receive, RequestStream

__all__ = ["ASGIApplication"]

_Scope = Mapping[str, Any]
_Send = Callable[[dict[str, Any]], Awaitable[None]]

_ONCE = frozenset({"authorization", "content-length", "content-type", "expect", "host", "origin"})
_GRACE = 5.0


class ASGIApplication:
    """A receiver as an ASGI application, which a framework mounts: ``app.mount("/upload", ASGIApplication(receiver))``.

    ``max_body`` is the largest body that a request may have, in bytes, form included. At most ``threads`` requests are
    answered at once; others wait. A client must send at least ``min_rate`` bytes per second on average over
    ``rate_window`` seconds of waiting for it; otherwise it is refused with 408.

    ``environ`` of the receiver's requests is the scope, so ``tenant(request)`` finds in ``request.environ["user"]`` or
    ``["session"]`` what middleware has put there. The hooks of the receiver may be coroutine functions, which run in
    the event loop; other functions run on threads, like those of :mod:`asyncio` with the context variables of the
    request.

    The store is swept every ``sweep_every`` seconds from the first request on, or from the start if :meth:`lifespan` is
    used; None leaves that to others. Needs an event loop of asyncio.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        max_body: int = MAX_BODY,
        threads: int = 64,
        min_rate: int = 1024,
        rate_window: float = 30.0,
        sweep_every: float | None = SWEEP_EVERY,
    ) -> None:
        self.receiver = receiver
        self._gateway = Gateway(receiver, max_body)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resumable-request")
        self._stream = partial(RequestStream, min_rate=min_rate, window=rate_window)
        self._sweeper = ProcessSweeper(receiver.sweep, sweep_every)

    async def __call__(self, scope: _Scope, receive: Receive, send: _Send) -> None:
        """Answer one request, or follow the life of the server (ASGI 3)."""
        if scope["type"] == "http":
            response = await self._respond(scope, receive)
            headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in complete_headers(response)]
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            empty = response.status == 204 or scope["method"] == "HEAD"
            await send({"type": "http.response.body", "body": b"" if empty else response.body})
        elif scope["type"] == "lifespan":
            await receive()
            async with self.lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            raise ValueError(f"the receiver does not know what {scope['type']!r} is")

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Sweep during the block, and wait at its end for hooks that still run after their clients got 503.

        Frameworks do not start the lifespan of what they mount. Pass it on with ``FastAPI(lifespan=uploads.lifespan)``,
        or enter it with ``async with`` in a lifespan of your own.
        """
        self._sweeper.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self.receiver.wait_for_hooks, _GRACE)
            await asyncio.to_thread(self._sweeper.stop)

    async def _respond(self, scope: _Scope, receive: Receive) -> Response:
        mount, path = _split(scope)
        headers: dict[str, str] = {}
        for field, said in scope["headers"]:
            name, value = field.decode("latin-1").lower(), said.decode("latin-1")
            if name in headers:
                if name in _ONCE:
                    refusal = Refusal(400, f"The header field {name} was sent twice.")
                    return self.receiver.refuse(Request(scope["method"], path), refusal)
                value = f"{headers[name]}, {value}"
            headers[name] = value
        loop = asyncio.get_running_loop()
        stream = self._stream(receive, loop)
        respond = partial(
            self._gateway.respond,
            scope["method"],
            path,
            scope.get("query_string", b"").decode("utf-8", "replace"),
            headers,
            length=headers.get("content-length"),
            read=stream.read,
            mount=mount,
            environ=scope,
            address=(scope.get("client") or ("",))[0],
            call=partial(_call, loop),
        )
        if path == HEALTH and not {"content-length", "transfer-encoding"} & headers.keys():
            # Answered without a thread, for there may be none left if all clients are slow.
            return respond()
        self._sweeper.start()
        pump = asyncio.create_task(stream.pump())
        try:
            return await loop.run_in_executor(self._threads, contextvars.copy_context().run, respond)
        finally:
            # The thread of a request that was cancelled reads the end of its body, and stores nothing.
            pump.cancel()
            stream.end()


def _split(scope: _Scope) -> tuple[str, str]:
    """Return the mount point and the path behind it.

    The path of a scope has ``root_path`` in front, unless the framework is one that removes it.
    """
    path, mount = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    if mount and (path == mount or path.startswith(f"{mount}/")):
        path = path[len(mount) :]
    return mount, path


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a hook on this thread, or in the event loop if it is a coroutine function."""
    result = check_has_run(function, function(*arguments))
    return asyncio.run_coroutine_threadsafe(_wait(result), loop).result() if inspect.isawaitable(result) else result


async def _wait(result: Awaitable[Any]) -> Any:
    return await result
