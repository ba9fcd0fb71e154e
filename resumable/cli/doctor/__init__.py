"""The command ``resumable doctor``."""

from __future__ import annotations

from .command import command

__all__ = ["command"]
