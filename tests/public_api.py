"""All that is public, a line for each thing that a user may rely on: ``make api`` writes it to ``public_api.txt``.

``test_public_api.py`` compares. Types are left out, for they may become more exact.
"""

from __future__ import annotations

import builtins
import configparser
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType

import click

import resumable
import resumable.receiver
import resumable.testing
from resumable import dialects, errors, identifiers, units
from resumable.adapters import callback, fsspec, line, qt, rich, tk, tqdm, truststore
from resumable.cli.app import COMMANDS, group
from resumable.cli.output.exit_codes import MEANINGS
from resumable.cli.output.json_events import NAMES, fields_of
from resumable.events import EVENTS
from resumable.options import OPTIONS
from resumable.receiver.frameworks import asgi

ROOT = Path(__file__).parent.parent
SNAPSHOT = Path(__file__).with_suffix(".txt")
HANDED_OUT = {"ReceiverSignals", "ResumableChunk", "ResumableFile", "Subscription", "Sweeper", "UploadStatus"}
"""Classes whose objects users are given, so how they are made is not public."""


def signature(function: object) -> str:
    """The parameters and their defaults, without types."""
    assert callable(function)
    parameters = inspect.signature(function).parameters.values()
    shown = inspect.Signature([parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters])
    return re.sub(r"<function .*? at 0x[0-9a-f]+>", "<function>", str(shown)).replace("<factory>", "...")


def members(name: str, cls: type) -> Iterator[str]:
    """What a class has: how it is made, and all that is public of it and of its own bases."""
    listed = {
        *resumable.__all__,
        *errors.__all__,
        *resumable.receiver.__all__,
        *resumable.testing.__all__,
        *dir(builtins),
    }
    bases = [base.__name__ for base in cls.__bases__ if base is not object and base.__name__ in listed]
    yield f"class {name}({', '.join(bases)})"
    if issubclass(cls, Enum):
        yield from (f"{name}.{member.name} = {member.value!r}" for member in cls)
        return
    made = next((base for base in cls.__mro__ if "__init__" in vars(base) or "__new__" in vars(base)), object)
    if (
        cls.__name__ not in HANDED_OUT
        and made.__module__.startswith("resumable")
        and not getattr(cls, "_is_protocol", False)
    ):
        yield f"{name}{signature(cls)}"
    found: dict[str, str] = {}
    for base in reversed([base for base in cls.__mro__ if base.__module__.startswith("resumable")]):
        for attribute in (*inspect.get_annotations(base), *assigned(base)):
            found[attribute] = f"{name}.{attribute}"
        for attribute, value in vars(base).items():
            if isinstance(value, (staticmethod, classmethod)):
                value = value.__func__
            found[attribute] = f"{name}.{attribute}{signature(value) if inspect.isfunction(value) else ''}"
    yield from (line for attribute, line in sorted(found.items()) if not attribute.startswith("_"))


def assigned(cls: type) -> Iterator[str]:
    """The attributes that the constructor of a class sets."""
    made = vars(cls).get("__init__")
    if inspect.isfunction(made) and made.__code__.co_filename == inspect.getsourcefile(cls):
        source = textwrap.dedent(inspect.getsource(made))
        for targets in re.findall(r"^ +((?:self\.\w+,? ?)+)(?:: [^=]+)? = ", source, re.MULTILINE):
            yield from re.findall(r"self\.(\w+)", targets)


def headers() -> Iterator[str]:
    """The headers that client and receiver send beyond those of resumable.js."""
    for found in pkgutil.iter_modules(resumable.protocol.__path__, "resumable.protocol."):
        module = importlib.import_module(found.name)
        yield from (f"header {getattr(module, name)}" for name in module.__all__ if name.endswith("_HEADER"))


def names(module: ModuleType) -> Iterator[str]:
    """What a module lists."""
    for each in module.__all__:
        name, value = f"{module.__name__}.{each}", getattr(module, each)
        if module is resumable and each in errors.__all__:
            yield name
        elif inspect.isclass(value):
            yield from members(name, value)
        elif inspect.isfunction(value) and module is not errors:
            yield f"{name}{signature(value)}"
        elif not callable(value) and not inspect.ismodule(value):
            yield name


def options() -> Iterator[str]:
    """The options with their defaults."""
    for row in OPTIONS.values():
        default = "" if row.name == "target" else f" = {row.default!r}"
        yield f"option {row.name}{default}" + (f" ({row.js_name})" if row.js_name else "")


def events() -> Iterator[str]:
    """The events, who sends them, and their arguments."""
    for row in EVENTS.values():
        yield f"event {row.name}({', '.join(row.arguments)}) of {row.subject}" + (
            f" ({row.js_name})" if row.js_name else ""
        )


def command_line() -> Iterator[str]:
    """The commands, their flags, the exit codes, and the objects of ``--json``."""
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield f"resumable {name}"
        for parameter in command.params:
            yield f"resumable {name} {' '.join((*parameter.opts, *parameter.secondary_opts))}"
    yield from (f"exit code {int(code)} {code.name}" for code in MEANINGS)
    for name in NAMES:
        yield f"--json {name}: {', '.join(fields_of(name))}"


def installed() -> Iterator[str]:
    """What installing brings: extras, entry points and the oldest Python."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    yield f"python {config['options']['python_requires']}"
    yield from (
        f"extra {name}" for name in config["options.extras_require"] if name not in ("docs", "lint", "pythons", "test")
    )
    for kind, rows in config["options.entry_points"].items():
        yield from (f"entry point {kind}: {row.partition('=')[0].strip()}" for row in rows.strip().splitlines())


def public() -> list[str]:
    """All lines."""
    lines = [
        *options(),
        *events(),
        *(
            line
            for module in (
                *(resumable, errors, resumable.receiver, resumable.testing, identifiers, dialects, units),
                *(callback, fsspec, line, qt, rich, tk, tqdm, truststore, asgi),
            )
            for line in names(module)
        ),
        *sorted(headers()),
        *command_line(),
        *installed(),
    ]
    return list(dict.fromkeys(lines))


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(public()) + "\n", encoding="utf-8")
