"""Servers that speak TLS."""

from __future__ import annotations

import ssl

import trustme

__all__ = ["server_context"]


def server_context(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    """Return what a server of this name needs, with a certificate from the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context
