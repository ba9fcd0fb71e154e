"""TLS with the certificates that the system trusts, instead of those of certifi: ``resumable[truststore]``."""

from __future__ import annotations

import ssl
from typing import Any

import requests
import truststore
from requests.adapters import HTTPAdapter

__all__ = ["trusting_session"]


class _SystemTrust(HTTPAdapter):
    """Connects to what the certificates of the system vouch for."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        options["ssl_context"] = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        super().init_poolmanager(*arguments, **options)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        # Otherwise requests would add the certificates of certifi.
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call, unused-ignore]
        if verify is True:
            conn.ca_certs = conn.ca_cert_dir = None


def trusting_session() -> requests.Session:
    """Return a session of requests that trusts whom the system trusts, such as the authority of a company:
    ``Resumable(url, session=trusting_session)``."""
    session = requests.Session()
    session.mount("https://", _SystemTrust())
    return session
