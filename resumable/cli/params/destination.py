"""The server that a command talks to: its URL and options, as typed, configured, and set in the environment.

What is typed wins over the environment, which wins over the endpoint of the configuration file, which wins over its
dialect. Only credentials of an endpoint win over those of the environment, which are meant for other servers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from ...errors import OptionError, redact_url
from ...options import OPTIONS, Options
from ...protocol.parameters import unescaped
from ..output.exit_codes import option_in_words
from .auth import NO_TOKEN, Token, authorised, certificate_flag, token_flags, typed_token
from .config import Endpoint, config_flag, config_path, has_endpoint, read_endpoint, split_endpoint
from .flags import DEFAULTS, DIALECTS, dialect_flag, flag_of, option_flags, options_from_context
from .plugins import chosen_plugins, plugin_flags
from .responses import accept_response, response_flags

__all__ = ["URL", "Destination", "destination_flags", "destination_of", "is_target", "split_target"]

URL = "RESUMABLE_URL"
"""The environment variable of the target."""


class Destination(NamedTuple):
    """A server, with the options of a session for it. ``prefix`` is the folder there that the target names."""

    target: str
    options: Mapping[str, Any]
    prefix: str = ""
    cacert: str | None = None


def destination_flags(defaults: Mapping[str, Any] = DEFAULTS) -> list[click.Option]:
    """Return the flags of a command that talks to a server. ``defaults`` are those that differ from the library's."""
    return [
        *token_flags(environment=True),
        certificate_flag(),
        config_flag(),
        dialect_flag(),
        *option_flags(defaults),
        *plugin_flags(),
        *response_flags(),
    ]


def split_target(context: click.Context, words: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Return the sources and the target. Without a target among the words it is that of the environment.

    Raises UsageError if there is none.
    """
    default = os.environ.get(URL, "")
    if words and (not default or is_target(words[-1])):
        return tuple(words[:-1]), words[-1]
    if not default:
        (argument,) = (each for each in context.command.params if isinstance(each, click.Argument))
        names = argument.make_metavar(context).replace("…", "").split()
        raise click.UsageError(f"{' and '.join(names)} are missing", context)
    if not is_target(default):
        allowed = "an http:// or https:// URL, or an endpoint as in lab:"
        raise click.UsageError(f"{URL} must be {allowed}; got {redact_url(default)!r}", context)
    return tuple(words), default


def is_target(word: str) -> bool:
    """Return whether the word is a URL, or the name of an endpoint."""
    if "://" in word:
        # The scheme of a target may name a transport: http+unix. Others are those of sources.
        return word.partition("://")[0].partition("+")[0].lower() in ("http", "https")
    return split_endpoint(word) is not None and not os.path.lexists(word)


def destination_of(
    context: click.Context, target: str, values: Mapping[str, Any], defaults: Mapping[str, Any] = DEFAULTS
) -> Destination:
    """Return the server that the target names, with what the flags say. Raises UsageError."""
    target = unescaped(target)
    named = split_endpoint(target)
    prefix = ""
    endpoint = Endpoint(target, {})
    if named is not None:
        name, prefix = named
        endpoint = read_endpoint(config_path(values["config"]), name)
    given = {**options_from_context(context, values), **chosen_plugins(values)}
    for name in ("headers", "query"):
        if name in given and name in endpoint.options:
            given[name] = _updated(endpoint.options[name], given[name])
    dialect = values["dialect"] or endpoint.dialect
    options = {**defaults, **DIALECTS.get(dialect or "", {}), **endpoint.options, **given, "auto_upload": False}
    options["part"] = values.get("part")
    success = options.get("success_statuses", OPTIONS["success_statuses"].default)
    options["accept_response"] = accept_response(
        values["accept"] or endpoint.accept, values["reject"] or endpoint.reject, success
    )
    try:
        options["headers"] = authorised(options.get("headers", {}), _token(context, endpoint, values))
        Options.checked(target=endpoint.url, **options)
    except OptionError as error:
        text = _in_words(context, error)
        if error.option == "target" and has_endpoint(config_path(values["config"]), target):
            text += f"; the endpoint is written with a colon, {target}:"
        raise click.UsageError(text, context) from None
    except ValueError as error:
        raise click.UsageError(str(error), context) from None
    return Destination(endpoint.url, options, prefix.strip("/"), values["cacert"] or endpoint.cacert)


def _updated(below: Mapping[str, str], above: Mapping[str, str]) -> dict[str, str]:
    """Return both mappings as one. A name may be written in capitals in one and not in the other."""
    names = {name.lower() for name in above}
    return {**{name: value for name, value in below.items() if name.lower() not in names}, **above}


def _token(context: click.Context, endpoint: Endpoint, values: Mapping[str, Any]) -> Token:
    """Return where the token is. What is typed wins, then what the endpoint says."""
    token = typed_token(context, values)
    if token.file is not None and token.origin != "--token-file" and endpoint.token != NO_TOKEN:
        return endpoint.token
    return endpoint.token if token == NO_TOKEN else token


def _in_words(context: click.Context, error: OptionError) -> str:
    """Return what is wrong with an option, and where it was set if it was not typed."""
    text = option_in_words(error)
    if context.get_parameter_source(error.option) is ParameterSource.ENVIRONMENT:
        parameter = next(each for each in context.command.params if each.name == error.option)
        name = "TARGET" if error.option == "target" else flag_of(error.option)
        return f"{parameter.envvar}{text.removeprefix(name)}"
    return text
