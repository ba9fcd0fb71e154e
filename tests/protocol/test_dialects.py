"""The presets, against the defaults of the libraries that they stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from resumable.options import OPTIONS, Options
from resumable.protocol import identifiers
from resumable.protocol.dialects import (
    FLOWJS,
    FLOWJS_EXACT,
    RESUMABLEJS,
    RESUMABLEJS_EXACT,
)

TABLES = Path(__file__).parent.parent / "vectors" / "tables"
LIBRARIES = json.loads((TABLES / "defaults.json").read_text(encoding="utf-8"))

# Where a preset gives another value than its library, on purpose.
REASONS = {
    "target": "required: there is no page whose origin '/' could be meant",
    "generateUniqueIdentifier": "null there means what identifiers.resumablejs does",
    "maxFilesErrorCallback": "an alert box there; here the exception FileRejected",
    "minFileSizeErrorCallback": "an alert box there; here the exception FileRejected",
    "maxFileSizeErrorCallback": "an alert box there; here the exception FileRejected",
    "fileTypeErrorCallback": "an alert box there; here the exception FileRejected",
    "withCredentials": "bring a requests.Session",
    "xhrTimeout": "no limit there; a server that never answers would hold a worker for ever",
    "chunkRetryInterval": "undefined there: at once, which is 0",
}


def as_ours(value: Any) -> Any:
    """A value of the table as an option has it: undefined and null are None, lists are tuples."""
    if value == "<undefined>":
        return None
    return tuple(value) if isinstance(value, list) else value


def differences(preset: Mapping[str, Any], library: Mapping[str, Any]) -> set[str]:
    options = Options.checked(target="http://localhost/", **preset)
    found = set()
    for row in OPTIONS.values():
        if row.js_name and row.js_name in library and getattr(options, row.name) != as_ours(library[row.js_name]):
            found.add(row.js_name)
    return found


def test_the_exact_resumable_js_preset_has_its_defaults_but_where_a_reason_says_why() -> None:
    library = LIBRARIES["resumablejs 1.1.2-b758078"]
    assert differences(RESUMABLEJS_EXACT, library) == set(REASONS)
    assert RESUMABLEJS_EXACT["permanent_errors"] == tuple(library["permanentErrors"])
    assert RESUMABLEJS_EXACT["generate_unique_identifier"] is identifiers.resumablejs
    assert RESUMABLEJS_EXACT["chunk_retry_interval"] == 0


def test_the_exact_flow_js_preset_has_its_defaults_but_where_a_reason_says_why() -> None:
    library = LIBRARIES["@flowjs/flow.js 2.14.1"]
    assert differences(FLOWJS_EXACT, library) == set(REASONS) & set(library)
    assert FLOWJS_EXACT["success_statuses"] == tuple(library["successStatuses"])
    assert FLOWJS_EXACT["permanent_errors"] == tuple(library["permanentErrors"])
    assert FLOWJS_EXACT["max_chunk_retries"] == library["maxChunkRetries"]


@pytest.mark.parametrize(("preset", "exact"), [(RESUMABLEJS, RESUMABLEJS_EXACT), (FLOWJS, FLOWJS_EXACT)])
def test_an_exact_preset_has_the_words_of_the_other(preset: Any, exact: Any) -> None:
    assert preset.items() < exact.items()


@pytest.mark.parametrize("preset", [RESUMABLEJS, RESUMABLEJS_EXACT, FLOWJS, FLOWJS_EXACT])
def test_a_preset_is_made_of_options_that_are_allowed_and_cannot_be_changed(preset: Any) -> None:
    assert set(preset) <= set(OPTIONS)
    Options.checked(target="http://localhost/", **preset)
    with pytest.raises(TypeError):
        preset["auto_upload"] = True
