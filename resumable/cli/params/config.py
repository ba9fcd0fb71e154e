"""The configuration file: servers by name, each with its URL, credentials and options."""

from __future__ import annotations

import difflib
import errno
import importlib
import json
import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from ...errors import OptionError, redact_url
from ...options import Options
from ...special_files import refuse_special_file
from .auth import NO_TOKEN, Token
from .command import ACCESS, Option
from .flags import DIALECTS, FLAGS, IDENTIFIERS, flag_of
from .responses import ResponsePattern, pattern

__all__ = [
    "CONFIG",
    "Endpoint",
    "check_new",
    "config_flag",
    "config_path",
    "has_endpoint",
    "is_secret",
    "read_endpoint",
    "save_endpoint",
    "split_endpoint",
]

CONFIG = "RESUMABLE_CONFIG"

# One letter would be a drive of Windows.
_NAME = re.compile(r"([A-Za-z0-9][\w-]+):([^:]*)")
_KEY = re.compile(r"[A-Za-z0-9_-]+")
_CREDENTIALS = re.compile(r"(?:bearer|basic|digest|token)\s", re.IGNORECASE)
_OWN_KEYS = ("url", "token_file", "token_env", "cacert", "dialect")
_OPTION_OF = {**{flag_of(name)[2:].replace("-", "_"): name for name in FLAGS}, **{name: name for name in FLAGS}}
"""The option that each key stands for: its name, or that of its flag."""


class Endpoint(NamedTuple):
    """A server of the configuration file. ``options`` are those of the library."""

    url: str
    options: Mapping[str, Any]
    token: Token = NO_TOKEN
    cacert: str | None = None
    dialect: str | None = None
    accept: tuple[ResponsePattern, ...] = ()
    reject: tuple[ResponsePattern, ...] = ()


def config_flag() -> Option:
    """Return ``--config``."""
    return Option(
        "--config",
        type=click.Path(),
        envvar=CONFIG,
        show_envvar=True,
        section=ACCESS,
        help="Configuration file with the servers that TARGET can name (lab:), instead of the usual one.",
    )


def config_path(given: str | None) -> Path:
    """Return the path of the configuration file: the given one, or that of the platform."""
    if given is not None:
        return Path(given)
    import platformdirs

    return platformdirs.user_config_path("resumable") / "config.toml"


def split_endpoint(target: str) -> tuple[str, str] | None:
    """Return the name of the endpoint and the folder that a target like ``lab:photos`` means, or None for another."""
    found = None if "://" in target else _NAME.fullmatch(target)
    return (found[1], found[2]) if found else None


def read_endpoint(path: Path, name: str) -> Endpoint:
    """Return the endpoint of this name in the file.

    Raises UsageError if there is none, if something in the file is wrong, or if it has secrets and others may read it.
    """
    if not path.exists():
        raise click.UsageError(
            f"there is no configuration file {str(path)!r} with an endpoint {name!r}; "
            f"resumable doctor URL --save {name} writes one{_host(name)}"
        )
    endpoints = _read(path)
    if name not in endpoints:
        known = f"it has {', '.join(sorted(endpoints))}" if endpoints else "it has none"
        near = _near(name, endpoints)
        raise click.UsageError(f"there is no endpoint {name!r} in {str(path)!r}; {near or known}{_host(name)}")
    where = f"{path}: [endpoint.{name}]"
    return _endpoint(endpoints[name], where, path.parent)


def has_endpoint(path: Path, name: str) -> bool:
    """Return whether the file can be read and has an endpoint of this name."""
    try:
        return path.exists() and name in _read(path)
    except click.UsageError:
        return False


def _host(name: str) -> str:
    return f" (if it is a host, write http://{name}:…)"


def _read(path: Path) -> dict[str, Any]:
    """Return the tables of the endpoints by name."""
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        refuse_special_file(path)
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = tomllib.load(file)
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{path} is not TOML: it has to be text in UTF-8") from None
    except ValueError as error:
        raise click.UsageError(f"{path} is not TOML: {error}") from None
    for key in content:
        if key != "endpoint":
            raise click.UsageError(f"{path}: there is no setting {key!r}; write [endpoint.NAME]")
    endpoints = content.get("endpoint", {})
    if not isinstance(endpoints, dict) or not all(isinstance(table, dict) for table in endpoints.values()):
        raise click.UsageError(f"{path}: write an endpoint as [endpoint.NAME], with its settings below")
    readable = os.name == "posix" and stat.S_ISREG(mode) and mode & 0o077
    if readable and any(map(_has_secrets, endpoints.values())):
        raise click.UsageError(
            f"{str(path)!r} has secrets, and other users may read or change it; type: chmod 600 {path}"
        )
    return endpoints


def _has_secrets(table: Mapping[str, Any]) -> bool:
    """Return whether something in the table looks like a credential."""
    for key, value in table.items():
        if isinstance(value, str) and key.endswith(("url", "target")) and redact_url(value) != value:
            return True
        if isinstance(value, dict) and any(is_secret(name, text) for name, text in value.items()):
            return True
    return "token" in table


def is_secret(name: str, value: Any) -> bool:
    """Return whether a header or parameter of this name is likely to hold a secret."""
    field = f"?{name}=x"
    return redact_url(field) != field or "cookie" in name.lower() or _CREDENTIALS.match(str(value)) is not None


def _endpoint(table: Mapping[str, Any], where: str, directory: Path) -> Endpoint:
    own: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for written, value in table.items():
        key = written.replace("-", "_")
        if key in _OWN_KEYS:
            own[key] = _text(value, f"{where} {written}")
        elif key in ("accept", "reject"):
            own[key] = _patterns(value, f"{where} {written}")
        elif key in _OPTION_OF:
            option = _OPTION_OF[key]
            options[option] = _value(option, value, f"{where} {written}")
        elif key == "token":
            raise click.UsageError(f"{where} token: put the token into a file of its own, and name that as token_file")
        else:
            near = _near(key.lower(), (*_OWN_KEYS, "accept", "reject", *_OPTION_OF))
            raise click.UsageError(f"{where}: there is no setting {written!r}" + (f"; {near}" if near else ""))
    if "url" not in own:
        raise click.UsageError(f"{where}: url is missing")
    if "token_file" in own and "token_env" in own:
        raise click.UsageError(f"{where}: write either token_file or token_env, not both")
    if own.get("dialect") not in (None, *DIALECTS):
        raise click.UsageError(f"{where} dialect: there are {', '.join(DIALECTS)}")
    for key in own.keys() & {"token_file", "cacert"}:
        own[key] = str(directory / os.path.expanduser(own[key]))
    token = NO_TOKEN
    for key in own.keys() & {"token_file", "token_env"}:
        token = Token(**{key.removeprefix("token_").replace("env", "variable"): own.pop(key)}, origin=f"{where} {key}")
    try:
        Options.checked(target=own["url"], **options)
    except OptionError as error:
        raise click.UsageError(f"{where} {_in_toml(error)}") from None
    return Endpoint(options=options, token=token, **own)


def _in_toml(error: OptionError) -> str:
    """Return what is wrong with an option, as one can write it here: without functions, and with TOML's words."""
    text = re.sub(r", or a callable\([^)]*\)( that returns one)?", "", str(error), count=1)
    for python, toml in (("a mapping", "a table"), ("True or False", "true or false"), ("(None or 0:", "(0:")):
        text = text.replace(python, toml)
    return f"url{text.removeprefix('target')}" if error.option == "target" else text


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise click.UsageError(f"{where} must be a text in quotes")
    return value


def _patterns(value: Any, where: str) -> tuple[ResponsePattern, ...]:
    """Read a list of what ``--accept`` takes, or one of it."""
    try:
        return tuple(pattern(_text(each, where)) for each in (value if isinstance(value, list) else [value]))
    except click.BadParameter as error:
        raise click.UsageError(f"{where}: {error.message}") from None


def _value(option: str, value: Any, where: str) -> Any:
    """Return the value as the library takes it: a text is read as that of the flag is."""
    kind = FLAGS[option].type
    if option == "generate_unique_identifier":
        if not isinstance(value, str) or value not in IDENTIFIERS:
            raise click.UsageError(f"{where}: there are {', '.join(IDENTIFIERS)}")
        return IDENTIFIERS[value]
    if option == "plugins":
        if isinstance(value, bool) or value == "installed":
            return "installed" if value else ()
        names = value if isinstance(value, list) else [value]
        return tuple(_text(name, where) for name in names)
    if isinstance(value, str) and callable(kind) and not isinstance(kind, (type, click.ParamType)):
        try:
            return kind(value)
        except click.BadParameter as error:
            raise click.UsageError(f"{where}: {error.message}") from None
    return tuple(value) if isinstance(value, list) else value


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else ""


def check_new(path: Path, name: str) -> None:
    """Raise UsageError if the name cannot be that of an endpoint, or is taken."""
    if split_endpoint(f"{name}:") is None:
        raise click.UsageError(
            f"--save: {name!r} cannot be the name of an endpoint; use two or more letters, digits, - and _"
        )
    if path.exists() and name in _read(path):
        raise click.UsageError(f"--save: there is an endpoint {name!r} in {str(path)!r} already; choose another name")


def save_endpoint(path: Path, name: str, settings: Mapping[str, Any]) -> None:
    """Append an endpoint to the file, which is made if it is missing, for the user alone.

    Raises what :func:`check_new` raises, and OSError.
    """
    check_new(path, name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_special_file(path, written=True)
    lines = [f"[endpoint.{name}]", *(f"{key} = {_written(value)}" for key, value in settings.items())]
    with open(path, "ab", buffering=0, opener=lambda file, flags: os.open(file, flags, 0o600)) as file:
        size = file.tell()
        table = "".join(f"{line}\n" for line in ([""] if size else []) + lines).encode()
        if file.write(table) < len(table):
            # Half of a table would make the whole file unreadable.
            file.truncate(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _written(value: Any) -> str:
    """Write a value as TOML has it."""
    if isinstance(value, Mapping):
        pairs = (f"{key if _KEY.fullmatch(key) else _written(key)} = {_written(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_written, value))}]"
    # The texts of JSON are texts of TOML, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
