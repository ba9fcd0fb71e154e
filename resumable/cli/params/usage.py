"""Word the errors of usage alike: the flag that is wrong, a colon, and what is wrong with it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import click

__all__ = ["worded"]

_MANY_DIGITS = re.compile(r"([0-9]{20})[0-9]{20,}")


def worded(error: click.ClickException) -> click.ClickException:
    """Return an error of click in the words of this program; one that has them already as it is."""
    flag, text = "", error.message
    if isinstance(error, click.NoSuchOption):
        flag, text = error.option_name, "there is no such flag"
        near = _near(flag, error.possibilities or ())
        if near:
            text += f"; did you mean {' or '.join(near)}?"
    elif isinstance(error, click.BadOptionUsage):
        needs = error.message.endswith("requires an argument.")
        flag, text = error.option_name, "it needs a value" if needs else error.message
    elif isinstance(error, click.MissingParameter) and isinstance(error.param, click.Argument) and error.ctx:
        return click.UsageError(f"{error.param.make_metavar(error.ctx)} is missing", error.ctx)
    elif isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter):
        hint = error.param_hint or (error.param.get_error_hint(error.ctx) if error.param is not None else "")
        flag = (hint if isinstance(hint, str) else " / ".join(hint)).rpartition(" / ")[2].strip("'")
    if not flag or not isinstance(error, click.UsageError):
        return error
    if isinstance(error, click.BadParameter):
        text = _MANY_DIGITS.sub(r"\1…", text).replace(
            "is not a valid integer.", "is not a number, or is too large a one"
        )
    return click.UsageError(f"{flag}: {text}", error.ctx)


def _near(typed: str, flags: Iterable[str]) -> list[str]:
    """Return those of the flags that may have been meant: click takes the dashes, which all have, for likeness."""
    by_name = {flag.lstrip("-"): flag for flag in flags}
    return [by_name[name] for name in difflib.get_close_matches(typed.lstrip("-"), by_name)]
