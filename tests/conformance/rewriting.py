"""A recording, rewritten into what our client has to do instead: one function for each deviation.

Each looks for exactly what its deviation describes, checks that the recording has it in the form in which resumable.js
makes it, and leaves everything else alone, so that it explains nothing but that. None knows single recordings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

from .case import ADDING, Case, Line, file_of, is_event
from .page import rounded

# -- adding files ------------------------------------------------------------------------------------------------


def drop_browser_event(case: Case) -> None:
    """The second argument of fileAdded is gone where it is a DOM event."""
    for line in case.lines:
        if is_event(line, "fileAdded") and len(line["args"]) == 2 and "$dom" in line["args"][1]:
            line["args"].pop()


def tell_one_ratio(case: Case) -> None:
    """The ratios 0, 1/n, 2/n ... of a file of n chunks become 0."""
    lines = case.lines
    for identifier, chunks in case.cuts.items():
        ratios = [{"event": "chunkingProgress", "args": [{"$file": identifier}, ratio]} for ratio in _cut(len(chunks))]
        for place in reversed([at for at, line in enumerate(lines) if line == ratios[0]]):
            if lines[place : place + len(ratios)] == ratios:
                lines[place : place + len(ratios)] = ratios[:1]


def _cut(count: int) -> list[Any]:
    return [rounded(index / count) for index in range(count)]


def tell_before_requests(case: Case) -> None:
    """Before the first answer after a step: what is told, then the requests, where resumable.js sends meanwhile."""
    for start, end in case.segments():
        stop = next((at for at in range(start, end) if "end" in case.lines[at] or case.is_lost(case.lines[at])), end)
        lines = case.lines[start:stop]
        sent = next((at for at, line in enumerate(lines) if "send" in line), len(lines))
        late = [line for before, line in pairwise(lines[sent:]) if "send" in before]
        if all({"event", "send"} & line.keys() and not is_event(line, "uploadStart", "progress") for line in late):
            case.lines[start:stop] = sorted(lines, key=lambda line: "send" in line)


def add_in_one_step(case: Case) -> None:
    """Files that resumable.js cuts one after the other and then adds one after the other: each is cut and added."""
    for start, end in case.segments():
        lines = case.lines[start:end]
        family = [line for line in lines if is_event(line, *ADDING)]
        if not _added_in_two_rounds(lines, family):
            continue
        order = list(dict.fromkeys(map(file_of, family)))
        family.sort(key=lambda line: order.index(file_of(line)))
        refusals = [line for line in lines if {"callback", "alert"} & line.keys()]
        batches = [line for line in lines if is_event(line, "filesAdded")]
        taken = [id(line) for line in (*family, *refusals, *batches)]
        others = [line for line in lines if id(line) not in taken]
        case.lines[start:end] = [*refusals, *family, *batches, *others]


def _added_in_two_rounds(lines: list[Line], family: list[Line]) -> bool:
    added = [line for line in family if is_event(line, "chunkingComplete", "fileAdded")]
    cut = family[: len(family) - len(added)]
    told = [(line["event"], file_of(line)) for line in added]
    pairs = [(event, file_of(line)) for line in added[::2] for event in ("chunkingComplete", "fileAdded")]
    begun = [identifier for identifier, _ in groupby(map(file_of, cut))]
    events = [line.get("event") for line in lines]
    last = max((at for at, line in enumerate(lines) if is_event(line, *ADDING)), default=0)
    batch = events.index("filesAdded") if "filesAdded" in events else len(lines)
    answered = next((at for at, line in enumerate(lines) if "end" in line), len(lines))
    return (
        bool(family)
        and not any(is_event(line, "chunkingComplete", "fileAdded") for line in cut)
        and told == pairs
        and begun == [identifier for event, identifier in pairs if event == "fileAdded"]
        and last < batch
        and (batch < answered or batch == len(lines))
    )


def skip_refused(case: Case) -> None:
    """A batch of which files were refused has its filesAdded too, with them as skipped."""
    for start, end in case.segments():
        lines = case.lines[start:end]
        refused = [native for line in lines if "callback" in line for native in _natives(line["args"][0])]
        alerts = [line["alert"] for line in lines if "alert" in line]
        refused += [{"$native": name} for text in alerts for name in _alerted(case, start, text)]
        if refused and not any(is_event(line, "filesAdded") for line in lines):
            refusals = ("callback", "alert")
            told = [at for at, line in enumerate(lines) if is_event(line, *ADDING) or line.keys() & refusals]
            added = [line["args"][0] for line in lines if is_event(line, "fileAdded")]
            case.lines.insert(start + told[-1] + 1, {"event": "filesAdded", "args": [added, refused]})


def _natives(argument: Any) -> list[Any]:
    return list(argument) if isinstance(argument, list) else [argument]


def _alerted(case: Case, start: int, text: str) -> list[str]:
    names = case.added_names(start)
    return [name for name in names if text.startswith(name)] or names


def raise_in_hook(case: Case) -> None:
    """A file that is dropped without a word, because its identifier could not be made, raises HookError."""
    for start, end in case.segments():
        silent = not any("event" in line or {"callback", "alert"} & line.keys() for line in case.lines[start:end])
        if silent and not case.is_flow and "generateUniqueIdentifier" in case.trace.options and case.added_names(start):
            case.lines.insert(start, {"raised": "HookError"})


def show_no_alert(case: Case) -> None:
    """No dialogue."""
    case.lines[:] = [line for line in case.lines if "alert" not in line]


# -- runs --------------------------------------------------------------------------------------------------------


def complete_once(case: Case) -> None:
    """Of a row of completions that is not longer than there are slots, one."""
    kept: list[Line] = []
    for is_completion, row in groupby(case.lines, lambda line: is_event(line, "complete")):
        lines = list(row)
        kept += lines[:1] if is_completion and len(lines) <= case.trace.slots else lines
    case.lines[:] = kept


def cancel_in_one_step(case: Case) -> None:
    """Between beforeCancel and cancel: no completion, nothing of finished files, and nothing left of several files."""
    cancelling = False
    finished: set[str] = set()
    kept = []
    for line in case.lines:
        cancelling = (cancelling or is_event(line, "beforeCancel")) and not is_event(line, "cancel")
        if is_event(line, "fileSuccess", "fileError"):
            finished.add(file_of(line))
        if cancelling and is_event(line, "fileProgress") and len(case.cuts) > 1:
            line["totalProgress"] = 0
        if not (cancelling and (is_event(line, "complete") or file_of(line) in finished)):
            kept.append(line)
    case.lines[:] = kept


def start_once(case: Case) -> None:
    """No uploadStart for a call of upload() in a run that an earlier step began and nothing has ended.

    The call does nothing then, so its own line goes as well, on both sides: what goes on is not caused by it.
    """
    running = False
    kept: list[Line] = []
    for line in case.lines:
        if is_event(line, "complete", "cancel", "pause") or ("step" in line and "new" in case.steps[line["step"]]):
            running = False
        called = bool(kept) and "call" in case.steps[kept[-1].get("step", 0)] and "step" in kept[-1]
        if running and called and is_event(line, "uploadStart"):
            step = kept.pop()
            case.ours.timeline = [other for other in case.ours.timeline if other != step]
        else:
            kept.append(line)
        running = running or is_event(line, "uploadStart")
    case.lines[:] = kept


OUTCOME = ("fileProgress", "progress", "fileSuccess", "fileError", "error", "fileRetry", "complete")


def count_awaited_answers(case: Case) -> None:
    """A request that a pause did not cut, because it only waited for its answer, is not sent once more.

    Whether it only waited is for our client to know, so this looks at what it did. What came of the repetition comes
    of the first request then, before the next step.
    """
    for label, request in list(case.recorded.requests.items()):
        ours = case.ours.requests.get(label, {}).get("outcome")
        if request["outcome"] != "abort" or ours not in ("held", "load") or not _paused(case, int(label)):
            continue
        again = _repetition(case, label)
        if ours == "held":
            request["outcome"] = ours
        elif again is not None and request["body"]:
            request["outcome"] = ours
            del case.recorded.requests[again]
            _answer_earlier(case.lines, label, again)
        elif again is not None:
            request["outcome"] = ours
            answer = next(line for line in case.lines if line.get("end") == again)
            case.lines.insert(_next_step(case.lines, label), answer | {"end": label})


def _paused(case: Case, number: int) -> bool:
    """Whether the recorded client gave up the request because of a pause, and not because of a failure or a cancel."""
    timeline = case.trace.timeline
    place = next(at for at, line in enumerate(timeline) if line.get("end") == number)
    start = max(at for at in range(place) if "step" in timeline[at])
    end = next((at for at in range(place, len(timeline)) if "step" in timeline[at]), len(timeline))
    others = ("beforeCancel", "fileRemoved", "fileError", "fileSuccess")
    return not any(is_event(line, *others) for line in timeline[start:end])


def _repetition(case: Case, label: str) -> str | None:
    """The later request that differs from this one in nothing but how it ended."""
    first = case.recorded.requests[label] | {"outcome": ""}
    later = {other: request for other, request in case.recorded.requests.items() if int(other) > int(label)}
    return next((other for other, request in later.items() if request | {"outcome": ""} == first), None)


def _answer_earlier(lines: list[Line], label: str, again: str) -> None:
    send = next(at for at, line in enumerate(lines) if line.get("send") == again)
    before = next((line for line in reversed(lines[: max(send - 2, 0)]) if is_event(line, "fileProgress")), None)
    silent = lines[send - 2 : send] == [before, {"event": "progress", "args": []}]
    begin = send - 2 if silent else send
    end = next(at for at, line in enumerate(lines) if line.get("end") == again)
    stop = next((at for at in range(end + 1, len(lines)) if not is_event(lines[at], *OUTCOME)), len(lines))
    moved = [lines[end] | {"end": label}, *lines[end + 1 : stop]]
    del lines[end:stop]
    del lines[begin : send + 1]
    following = _next_step(lines, label)
    lines[following:following] = moved


def _next_step(lines: list[Line], label: str) -> int:
    """The place of the step that follows the one during which the request was given up."""
    send = next(at for at, line in enumerate(lines) if line.get("send") == label)
    steps = [at for at in range(send, len(lines)) if "step" in lines[at]]
    return [*steps, len(lines), len(lines)][1]


def say_why_it_is_tried_again(case: Case) -> None:
    """A retry has the error, how many attempts of the file failed, and the seconds until the next: none, in traces."""
    failed: Counter[str] = Counter()
    for line in case.lines:
        if is_event(line, "fileRetry"):
            failed[file_of(line)] += 1
            line["args"] += [{"$other": "RetriesExhausted"}, failed[file_of(line)], 0]


def complete_with_the_result(case: Case) -> None:
    """A completion without an argument has what became of the files of its run, in the order in which they came.

    What resumable.js itself lists as skipped is no loss, because the session has it already.
    """
    order: list[str] = []
    ended: dict[str, str] = {}
    skipped: list[Any] = []
    for line in case.lines:
        if "step" in line and "new" in case.steps[line["step"]]:
            order, ended, skipped = [], {}, []
        elif is_event(line, "fileAdded"):
            order.append(file_of(line))
        elif is_event(line, "filesAdded") and len(line["args"]) > 1 and line not in case.trace.timeline:
            skipped += line["args"][1]
        elif is_event(line, "fileSuccess", "fileError"):
            ended[file_of(line)] = line["event"]
        elif is_event(line, "cancel", "complete"):
            if is_event(line, "complete") and not line["args"]:
                line["args"] = [{"$result": _result(order, ended, skipped)}]
            ended, skipped = {}, []


def _result(order: list[str], ended: dict[str, str], skipped: list[Any]) -> Line:
    succeeded, failed = (
        [{"$file": identifier} for identifier in order if ended.get(identifier) == event]
        for event in ("fileSuccess", "fileError")
    )
    return {"succeeded": succeeded, "failed": failed, "cancelled": [], "skipped": skipped}


# -- failure -----------------------------------------------------------------------------------------------------


def fail_in_silence(case: Case) -> None:
    """No fileProgress of 1 before fileError, told because the file's other requests are given up."""
    lines = case.lines
    for place in range(len(lines) - 1, 1, -1):
        first, second = lines[place - 2 : place]
        if (
            is_event(lines[place], "fileError")
            and is_event(first, "fileProgress")
            and first["fileProgress"] == 1
            and file_of(first) == file_of(lines[place])
            and is_event(second, "progress")
        ):
            del lines[place - 2 : place]


def count_confirmed_bytes(case: Case) -> None:
    """The overall progress after a failure, where it is the one that counts the failed file as whole."""
    final = case.recorded.final
    timeline = case.trace.timeline
    if final["files"] and case.failed and final["progress"] == case.total(timeline, failed_as_whole=True):
        final["progress"] = case.total(timeline)
    for place, line in enumerate(case.lines):
        if is_event(line, "fileProgress") and case.failed:
            before = case.lines[:place]
            if line["totalProgress"] == case.total(before, failed_as_whole=True):
                line["totalProgress"] = case.total(before)


def keep_failed_chunks(case: Case) -> None:
    """A failed file of which nothing but a progress of 1 is left has its chunks, and what was confirmed of them."""
    for file in case.recorded.final["files"]:
        identifier = file["identifier"]
        emptied = file["chunks"] == [] and file["progress"] == 1 and file["isComplete"]
        if not emptied or identifier not in case.failed & case.cuts.keys():
            continue
        stored = case.stored(identifier)
        file["chunks"] = [
            {
                "number": number,
                "start": start,
                "end": end,
                "status": "success" if number in stored else "pending",
                "retries": 0 if number in stored else max(case.failures(identifier, number) - 1, 0),
            }
            for number, start, end in case.cuts[identifier]
        ]
        file["progress"] = rounded(case.bytes_stored(identifier) / file["size"]) if file["size"] else 0
        file["isComplete"] = False


# -- the rest ----------------------------------------------------------------------------------------------------


def omit_none(case: Case) -> None:
    """Custom parameters that the options have as null and the recorded requests as the text null are gone."""
    query = case.trace.options.get("query")
    if not isinstance(query, dict):
        return
    namespace = str(case.trace.options.get("parameterNamespace") or "")
    names = {namespace + name for name, value in query.items() if value is None}
    for request in case.recorded.requests.values():
        request["query"] = [pair for pair in request["query"] if not (pair[0] in names and pair[1] == "null")]
        raw = request["raw_query"].split("&")
        request["raw_query"] = "&".join(pair for pair in raw if pair not in {f"{name}=null" for name in names})
        if request["body"] and "parts" in request["body"]:
            parts = request["body"]["parts"]
            parts[:] = [part for part in parts if not (part["name"] in names and part.get("value") == "null")]


def measure_empty_files(case: Case) -> None:
    """Where the progress is NaN, because the file is empty: 0, and 1 once its one chunk is stored."""
    sizes = case.sizes
    whole: set[str] = set()
    for place, line in enumerate(case.lines):
        identifier = file_of(line)
        if not is_event(line, "fileProgress"):
            continue
        if line["fileProgress"] == "NaN" and sizes.get(identifier) == 0:
            if len(line["args"]) > 1:  # with a message it was told of the answer, without one of the sending
                whole.add(identifier)
            line["fileProgress"] = int(identifier in whole)
        if line["totalProgress"] == 0 and not any(sizes.values()):
            line["totalProgress"] = int(whole == sizes.keys())
        elif line["totalProgress"] == "NaN" and 0 in sizes.values():
            line["totalProgress"] = case.total(case.lines[:place])
    final = case.recorded.final
    for file in final["files"]:
        if file["size"] == 0 and file["progress"] == "NaN":
            file["progress"] = int(file["isComplete"])
    if final["progress"] == "NaN":
        final["progress"] = case.total(case.lines)
    elif final["files"] and final["size"] == 0 and final["progress"] == 0:
        final["progress"] = int(all(file["isComplete"] for file in final["files"]))


def forget_retries(case: Case) -> None:
    """The retries of a stored chunk, where they are as many as its failed attempts, are 0."""
    for file in case.recorded.final["files"]:
        for chunk in file["chunks"]:
            if chunk["status"] == "success" and chunk["retries"] == case.failures(file["identifier"], chunk["number"]):
                chunk["retries"] = 0


def ask_after_lost_answers(case: Case) -> None:
    """A chunk whose answer was lost, and that is sent once more, is asked for like the first time before."""
    recorded = case.recorded.requests
    lost = [label for label, request in recorded.items() if request["outcome"] in ("error", "timeout")]
    sent_again = [label for label in lost if recorded[label]["body"] and _repetition(case, label)]
    for number, label in enumerate(sent_again, 1):
        chunk = recorded[label]["key"][2:]
        asked = next((test for test in recorded.values() if not test["body"] and test["key"][2:] == chunk), None)
        if asked is None:
            continue
        test = f"unrecorded {number}"
        recorded[test] = asked | {"outcome": "load"}
        sent = case.lines.index({"send": label})
        told = next(at for at in range(sent, len(case.lines)) if is_event(case.lines[at], "fileRetry"))
        status = case.trace.data["server"]["absent_chunk_status"]
        case.lines[told + 1 : told + 1] = [{"send": test}, {"end": test, "outcome": "load", "status": status}]


def put_custom_fields_last(case: Case) -> None:
    """In a form of flow.js, the custom fields, which are first there."""
    if not case.is_flow:
        return
    for request in case.recorded.requests.values():
        parts = request["body"]["parts"] if request["body"] and "parts" in request["body"] else []
        standard = [at for at, part in enumerate(parts) if part["name"].startswith("flow")]
        if standard and standard == list(range(standard[0], len(parts) - 1)):
            request["body"]["parts"] = [*parts[standard[0] : -1], *parts[: standard[0]], parts[-1]]


def coalesce_progress(case: Case) -> None:
    """Pairs of fileProgress and progress with nothing between them: as few as our client told, but one at least.

    Whether a pair is still waiting when the next one comes is a matter of timing, so both sides are brought into the
    form with one fileProgress for each file. Ours may have fewer pairs than the recording, and not more.
    """
    theirs, ours = _runs(case.recorded.timeline), _runs(case.ours.timeline)
    if len(theirs) != len(ours):
        return
    for at, (run, mine) in enumerate(zip(theirs, ours, strict=True)):
        if len(run) > 2 and _is_paired(run) and 2 <= len(mine) <= len(run):
            theirs[at], ours[at] = list(_coalesced(run)), list(_coalesced(mine))
    case.recorded.timeline = _joined(case.recorded.timeline, theirs)
    case.ours.timeline = _joined(case.ours.timeline, ours)


def _runs(lines: list[Line]) -> list[list[Line]]:
    """What lies before, between and behind the lines that are no progress."""
    runs: list[list[Line]] = [[]]
    for line in lines:
        if is_event(line, "fileProgress", "progress"):
            runs[-1].append(line)
        else:
            runs.append([])
    return runs


def _joined(lines: list[Line], runs: list[list[Line]]) -> list[Line]:
    others = [line for line in lines if not is_event(line, "fileProgress", "progress")]
    joined = list(runs[0])
    for line, run in zip(others, runs[1:], strict=True):
        joined += [line, *run]
    return joined


def _is_paired(run: list[Line]) -> bool:
    names = [line["event"] for line in run]
    return names == ["fileProgress", "progress"] * (len(run) // 2)


def _coalesced(run: list[Line]) -> Iterator[Line]:
    waiting: dict[str, Line] = {}
    for line in run:
        if is_event(line, "fileProgress"):
            before = waiting.get(file_of(line))
            if before is not None and len(line["args"]) < len(before["args"]):
                line = line | {"args": before["args"]}
            waiting[file_of(line)] = line
    yield from waiting.values()
    yield {"event": "progress", "args": []}
