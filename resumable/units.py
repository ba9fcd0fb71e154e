"""Sizes, speeds, times and names as people read them."""

from __future__ import annotations

__all__ = ["count", "duration", "rate", "remaining", "size", "strip_control"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def count(number: int, noun: str = "") -> str:
    """Format a count: ``12,345``, or with a noun ``1 file``, ``12,345 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}" if noun else f"{number:,}"


def duration(seconds: float) -> str:
    """Format a duration: ``0.4 s``, ``12 s``, ``5 min``, ``1 h 30 min``. Less than ``0.1 s`` is not shown."""
    if seconds < 9.95:
        return f"{round(max(seconds, 0.1) if seconds else 0, 1):g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def rate(bytes_per_second: float) -> str:
    """Format a speed: ``3.10 MiB/s``."""
    return f"{size(bytes_per_second)}/s"


def remaining(seconds: float | None) -> str:
    """Format the time that remains: ``0:05``, ``12:34``, ``1:02:03``; ``-:--`` if it is not known."""
    if seconds is None or seconds > 99 * 3600:
        return "-:--"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def size(count: float) -> str:
    """Format a size: ``0 B``, ``1.50 KiB``, ``12.3 MiB``. At most eight characters up to 1000 EiB."""
    power = 0
    while count >= (1000 if power else 1024) and power < len(_UNITS) - 1:
        count /= 1024
        power += 1
    if not power:
        return f"{count:.0f} B"
    return f"{count:.{2 if count < 9.995 else 1 if count < 99.95 else 0}f} {_UNITS[power]}"


def strip_control(text: str) -> str:
    """Replace what would move the cursor or change the colours: names of files and answers may contain anything."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)
