"""The command ``resumable doctor``."""

from __future__ import annotations

from .diagnosis import command

__all__ = ["command"]
