"""The harness sees what it is there to see: a recording that is altered at one place is not explained away."""

from __future__ import annotations

import copy
import http.client
import json
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

from . import replay as driving
from .comparison import compare
from .javascript import Dispatcher, JavaScriptError, NativeFile
from .replay import Account, replay
from .server import Arrived, Exchange, Gone, HeldServer
from .suite import VECTORS, judge, main
from .trace import Trace, recorded

TRACES = recorded(VECTORS)
WAIT = 20.0

Data = dict[str, Any]


def places(items: Sequence[Any], wanted: Callable[[Any], bool]) -> list[int]:
    """Where in a list the wanted items are."""
    return [place for place, item in enumerate(items) if wanted(item)]


def forms(data: Data) -> list[list[Data]]:
    """The parts of each recorded form."""
    return [request["body"]["parts"] for request in data["requests"] if request["body"] and "parts" in request["body"]]


def alter_query_value(data: Data, chance: random.Random) -> bool:
    pairs = [pair for request in data["requests"] for pair in request["query"]]
    if pairs:
        chance.choice(pairs)[1] = "altered"
    return bool(pairs)


def alter_field_value(data: Data, chance: random.Random) -> bool:
    fields = [part for parts in forms(data) for part in parts if "value" in part and part["value"] != "null"]
    if fields:
        chance.choice(fields)["value"] = "altered"
    return bool(fields)


def swap_fields(data: Data, chance: random.Random) -> bool:
    if not forms(data):
        return False
    parts = chance.choice(forms(data))
    parts[0], parts[1] = parts[1], parts[0]
    return True


def alter_bytes(data: Data, chance: random.Random) -> bool:
    bodies = [part for parts in forms(data) for part in parts if "sha256" in part]
    if bodies:
        chance.choice(bodies)["sha256"] = "0" * 64
    return bool(bodies)


def alter_file_name(data: Data, chance: random.Random) -> bool:
    named = [part for parts in forms(data) for part in parts if "filename" in part]
    if named:
        chance.choice(named)["filename"] = "altered"
    return bool(named)


def add_header(data: Data, chance: random.Random) -> bool:
    if data["requests"]:
        chance.choice(data["requests"])["headers"].append(["X-Altered", "1"])
    return bool(data["requests"])


def alter_path(data: Data, chance: random.Random) -> bool:
    if data["requests"]:
        chance.choice(data["requests"])["path"] += "/altered"
    return bool(data["requests"])


def swap_requests(data: Data, chance: random.Random) -> bool:
    requests = data["requests"]
    # Attempts at one chunk are the same request, and parallel ones may come in any order.
    different = [at for at in range(len(requests) - 1) if requests[at]["method"] != requests[at + 1]["method"]]
    if not different or data["options"].get("simultaneousUploads") != 1:
        return False
    place = chance.choice(different)
    requests[place], requests[place + 1] = requests[place + 1], requests[place]
    return True


def invent_request(data: Data, chance: random.Random) -> bool:
    if data["requests"]:
        data["requests"].append(copy.deepcopy(chance.choice(data["requests"])))
    return bool(data["requests"])


def drop_event(data: Data, chance: random.Random) -> bool:
    known = ("filesAdded", "fileProgress", "fileSuccess", "fileRetry")
    told = places(data["timeline"], lambda line: line.get("event") in known)
    if told:
        del data["timeline"][chance.choice(told)]
    return bool(told)


def repeat_event(data: Data, chance: random.Random) -> bool:
    known = ("fileAdded", "uploadStart", "fileProgress", "fileSuccess")
    told = places(data["timeline"], lambda line: line.get("event") in known)
    if told:
        place = chance.choice(told)
        data["timeline"].insert(place, copy.deepcopy(data["timeline"][place]))
    return bool(told)


def alter_argument(data: Data, chance: random.Random) -> bool:
    told = [line for line in data["timeline"] if line.get("args") and line["args"] != [{"$undefined": True}]]
    if told:
        chance.choice(told)["args"][0] = "altered"
    return bool(told)


def alter_progress(data: Data, chance: random.Random) -> bool:
    told = [line for line in data["timeline"] if "fileProgress" in line and isinstance(line["args"][-1], str)]
    if told:
        chance.choice(told)["totalProgress"] = 0.123
    return bool(told)


def answer_earlier(data: Data, chance: random.Random) -> bool:
    lines = data["timeline"]
    ends = places(lines, lambda line: line.get("outcome") == "load")
    if not ends or data["options"].get("simultaneousUploads") != 1:
        return False
    place = chance.choice(ends)
    lines[place - 1], lines[place] = lines[place], lines[place - 1]
    return True


def alter_final_boundary(data: Data, chance: random.Random) -> bool:
    chunks = [chunk for file in data["final"]["files"] for chunk in file["chunks"]]
    if chunks:
        chance.choice(chunks)["end"] -= 1
    return bool(chunks)


def alter_final_retries(data: Data, chance: random.Random) -> bool:
    chunks = [chunk for file in data["final"]["files"] for chunk in file["chunks"]]
    if chunks:
        chance.choice(chunks)["retries"] += 1
    return bool(chunks)


def alter_final_progress(data: Data, chance: random.Random) -> bool:
    data["final"]["progress"] = 0.123
    return True


def alter_assembled(data: Data, chance: random.Random) -> bool:
    for row in data["assembled"]:
        row["complete"] = not row["complete"]
    return bool(data["assembled"])


ALTERATIONS = (
    alter_query_value,
    alter_field_value,
    swap_fields,
    alter_bytes,
    alter_file_name,
    add_header,
    alter_path,
    swap_requests,
    invent_request,
    drop_event,
    repeat_event,
    alter_argument,
    alter_progress,
    answer_earlier,
    alter_final_boundary,
    alter_final_retries,
    alter_final_progress,
    alter_assembled,
)
SEED = 20240229


@pytest.fixture(scope="module")
def quotas() -> list[tuple[Trace, Account]]:
    """What our client makes of a few recordings: of every seventh, all of them of resumable.js."""
    few = [trace for trace in TRACES if trace.kind == "resumable"][::7]
    found = [(trace, replay(trace)) for trace in few]
    return [(trace, account) for trace, account in found if not compare(trace, account).unexplained]


@pytest.mark.slow
@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda alter: alter.__name__)
def test_an_altered_recording_is_unexplained(
    alter: Callable[[Data, random.Random], bool], quotas: list[tuple[Trace, Account]]
) -> None:
    chance = random.Random(SEED)
    tried = 0
    for trace, account in quotas:
        data = copy.deepcopy(trace.data)
        if alter(data, chance):
            tried += 1
            assert compare(Trace(trace.path, data), account).unexplained, f"{alter.__name__} of {trace} was not seen"
    assert tried >= 3


@pytest.mark.slow
@pytest.mark.parametrize("alter", [alter_field_value, drop_event, alter_final_progress])
def test_an_altered_recording_is_unexplained_when_it_is_replayed(alter: Callable[[Data, random.Random], bool]) -> None:
    trace = next(trace for trace in TRACES if trace.kind == "resumable" and len(trace.requests) == 4)
    data = copy.deepcopy(trace.data)
    assert alter(data, random.Random(SEED))
    assert judge(Trace(trace.path, data)).unexplained


def test_a_replay_that_stands_still_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "PATIENCE", 3.0)
    data = copy.deepcopy(next(trace for trace in TRACES if trace.kind == "resumable" and trace.requests).data)
    never = {"send": len(data["requests"])}
    data["requests"].append(data["requests"][-1] | {"query": [["no", "such"]], "n": never["send"]})
    data["timeline"].insert(next(iter(places(data["timeline"], lambda line: "send" in line))), never)
    verdict = judge(Trace(Path("altered.json"), data))
    assert "stood still" in verdict.unexplained[0].place
    assert str(never) in str(verdict.unexplained[0].ours)


def test_recordings_are_judged_by_what_is_in_them_and_not_by_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [next(trace for trace in TRACES if trace.kind == kind and trace.requests) for kind in ("resumable", "flow")]
    for number, trace in enumerate(few):
        renamed = trace.data | {"name": f"n{number}", "description": ""}
        (tmp_path / f"{number}.json").write_text(json.dumps(renamed), encoding="utf-8")
    (tmp_path / "other.json").write_text("[]", encoding="utf-8")
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 traces: ")


# -- the server --------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[HeldServer]:
    """A server that listens."""
    with HeldServer() as server:
        yield server


def arrived(server: HeldServer) -> Exchange:
    """The request that comes next."""
    news = server.inbox.get(timeout=WAIT)
    assert isinstance(news, Arrived)
    return news.exchange


def connected(server: HeldServer) -> http.client.HTTPConnection:
    """A connection to the server."""
    return http.client.HTTPConnection(server.origin.removeprefix("http://"), timeout=WAIT)


def test_answers_are_given_one_by_one_on_one_connection(server: HeldServer) -> None:
    client = connected(server)
    for status, body in ((404, "no"), (204, ""), (200, "yes")):
        client.request("GET", "/a%20b?x=%C3%A9&y=1+1")
        exchange = arrived(server)
        assert exchange.request["query"] == [["x", "é"], ["y", "1+1"]]
        exchange.answer(status, body)
        response = client.getresponse()
        assert (response.status, response.read().decode()) == (status, body)
    client.close()


def test_a_client_that_leaves_before_the_answer_is_told(server: HeldServer) -> None:
    client = connected(server)
    client.request("POST", "/", body=b"bytes", headers={"Content-Type": "application/octet-stream"})
    exchange = arrived(server)
    with pytest.raises(Empty):
        server.inbox.get(block=False)
    client.close()
    assert server.inbox.get(timeout=WAIT) == Gone(exchange)


def test_a_cut_connection_is_no_answer(server: HeldServer) -> None:
    client = connected(server)
    client.request("GET", "/")
    arrived(server).cut()
    with pytest.raises((http.client.HTTPException, ConnectionError, socket.timeout)):
        client.getresponse()
    client.close()


# -- the JavaScript ----------------------------------------------------------------------------------------------


class Recorded:
    """A host that has one property and takes down what is called."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.lines: list[Data] = []

    def read(self, subject: Any, name: str) -> Any:
        """See :class:`Host`."""
        return getattr(subject, name)

    def call(self, subject: Any, name: str, arguments: Sequence[Any]) -> Any:
        """See :class:`Host`."""
        self.calls.append((subject, name, arguments))
        return subject

    def line(self, line: Data) -> None:
        """See :class:`Host`."""
        self.lines.append(line)


class Subject:
    """What a handle stands for."""

    size = 7


def test_functions_read_handles_and_files() -> None:
    dispatcher = Dispatcher(Recorded())
    function = dispatcher.function("function (file, list) { return { size: file.size + list[0].size, none: null }; }")
    assert function(NativeFile("a", 5, ""), [Subject()]) == {"size": 12, "none": None}


def test_promises_and_timers_are_waited_for() -> None:
    dispatcher = Dispatcher(Recorded())
    late = dispatcher.function("function () { return new Promise(function (ok) { setTimeout(ok, 50, 'late'); }); }")
    assert late() == "late"
    with pytest.raises(JavaScriptError, match="no"):
        dispatcher.function("function () { return Promise.reject(new Error('no')); }")()
    with pytest.raises(JavaScriptError, match="nothing will ever settle"):
        dispatcher.function("function () { return new Promise(function () {}); }")()


def test_calls_reach_python_with_handles_and_files_as_arguments() -> None:
    host, subject = Recorded(), Subject()
    file = "Object.assign(new File([new Uint8Array([1, 2]), 'é'], 'x', {type: 't'}), {relativePath: 'd/x'})"
    assert Dispatcher(host).run(f"u.addFile({file}, u)", u=subject) is subject
    [(called, name, (native, handle))] = host.calls
    assert called is handle is subject
    assert (name, native.name, native.size, native.type, native.relative_path) == ("addFile", "x", 4, "t", "d/x")
    assert native.data == b"\x01\x02\xc3\xa9"


def test_lines_of_the_recorder_arrive_and_python_errors_are_thrown() -> None:
    host = Recorded()
    Dispatcher(host).function("function () { window.H.T.push({ seen: this.size }); }")(this=Subject())
    assert host.lines == [{"seen": 7}]
    with pytest.raises(JavaScriptError, match="AttributeError"):
        Dispatcher(host).run("u.missing", u=Subject())
