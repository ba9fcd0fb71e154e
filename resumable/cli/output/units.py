"""Sizes and times as people write and read them."""

from __future__ import annotations

import re

from ...units import count, duration, rate, remaining, size

__all__ = ["count", "duration", "parse_duration", "parse_size", "rate", "remaining", "size", "size_typed"]

_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]+)?)\s*(?:([kmgtpe])(?:i?b)?|b)?", re.IGNORECASE)
_DURATION = re.compile(r"([0-9]{1,18}(?:\.[0-9]+)?)\s*(ms|s|m|min|h|d)?", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def parse_size(text: str) -> int:
    """Return the bytes that ``8M``, ``1.5GiB`` or ``4096`` means (powers of 1024). Raises ValueError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a size; write bytes, or 512K, 8M, 1.5G")
    factor = 1024 ** ("kmgtpe".index(found[2].lower()) + 1) if found[2] else 1
    whole, _, part = found[1].partition(".")
    return int(whole) * factor + int(float(f"0.{part}") * factor)


def parse_duration(text: str) -> float:
    """Return the seconds that ``90``, ``90s``, ``5m``, ``2h`` or ``1d`` means. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a time; write seconds, or 90s, 5m, 2h, 1d")
    return float(found[1]) * _SECONDS[(found[2] or "s").lower()]


def size_typed(count: int) -> str:
    """Format a size exactly, as :func:`parse_size` reads it: ``512K``, ``1M``, ``1000``."""
    for power, letter in ((3, "G"), (2, "M"), (1, "K")):
        if count and not count % 1024**power:
            return f"{count // 1024**power}{letter}"
    return str(count)
