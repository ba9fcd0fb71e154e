"""The server that writes everything down and the files to send, as the tests of sessions have them."""

from __future__ import annotations

from session.conftest import make, wire

__all__ = ["make", "wire"]
