"""Read the final answer to a request, whatever informational ones (1xx) come before it."""

from __future__ import annotations

import http.client
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

__all__ = ["FinalAnswers"]

_MOST = 100


class _FinalResponse(http.client.HTTPResponse):
    """http.client passes over 100 alone, and takes 102 and 103 for the answer itself."""

    def _read_status(self) -> Any:
        for _ in range(_MOST):
            status = super()._read_status()  # type: ignore[misc]
            if not http.client.PROCESSING <= status[1] < http.client.OK:
                return status
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(f"the server sent {_MOST} informational answers and no final one")


class _Connection(HTTPConnection):
    response_class = _FinalResponse


class _TLSConnection(HTTPSConnection):
    response_class = _FinalResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": _Pool, "https": _TLSPool}


class FinalAnswers(HTTPAdapter):
    """An adapter of requests whose connections pass over informational answers."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools of connections to servers."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        if proxy.lower().startswith("http"):  # and not one of SOCKS, which has its own
            manager.pool_classes_by_scheme = _POOLS
        return manager
