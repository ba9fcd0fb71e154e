"""What is saved of an examination: the endpoint for the configuration file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..params import types
from ..params.config import is_secret

__all__ = ["settings_of"]

_FILES = ("token_file", "cacert")
_LISTS = ("accept", "reject", "redirect_origins")
_PAIRS = {"headers": types.header, "query": types.parameter}


def settings_of(target: str, flags: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], list[str]]:
    """Return the settings of an endpoint that does what these flags do, and the names of what is left out as secret.

    ``flags`` are the words of each flag, as they are typed, by what it sets.
    """
    settings: dict[str, Any] = {"url": target}
    secret: list[str] = []
    for name, words in flags.items():
        values = list(words[1::2])
        if name in _PAIRS:
            pairs = {key: text for value in values for key, text in _PAIRS[name](value).items()}
            secret += [key for key, text in pairs.items() if is_secret(key, text)]
            values_kept = {key: text for key, text in pairs.items() if not is_secret(key, text)}
            if values_kept:
                settings[name] = values_kept
        elif not values:
            settings[name] = not words[0].startswith("--no-")
        elif name in _LISTS:
            settings[name] = values
        elif name in _FILES:
            settings[name] = os.path.abspath(values[-1])
        else:
            settings[name] = values[-1]
    return settings, secret
