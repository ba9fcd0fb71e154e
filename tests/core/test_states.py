"""The three tables are whole: each pair of state and event is in one, holds, or is illegal."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from itertools import product

import pytest
from support.core_driver import Driver

from resumable.core.active_chunk import ActiveChunk
from resumable.core.file import FileCore
from resumable.core.records import Outcome, OutcomeKind
from resumable.core.retry import SessionPolicy
from resumable.core.session import SessionCore
from resumable.core.states import (
    CHUNK,
    CONFIRMATION,
    FILE,
    FILE_NOOPS,
    SESSION,
    SESSION_NOOPS,
    TERMINAL,
    ChunkEvent,
    ChunkState,
    FileEvent,
    FileState,
    SessionEvent,
    SessionState,
)
from resumable.errors import StateError
from resumable.protocol.plan import ChunkOrder, ChunkPlan

MACHINES = [
    ("chunk", CHUNK, frozenset(), ChunkState, ChunkEvent),
    ("confirmation", CONFIRMATION, frozenset(), ChunkState, ChunkEvent),
    ("file", FILE, FILE_NOOPS, FileState, FileEvent),
    ("session", SESSION, SESSION_NOOPS, SessionState, SessionEvent),
]
PAIRS = [
    pytest.param(subject, table, state, event, id=f"{subject}-{state.value}-{event.value}")
    for subject, table, _, states, events in MACHINES
    for state, event in product(states, events)
]


@pytest.mark.parametrize(("subject", "table", "state", "event"), PAIRS)
def test_a_pair_has_one_successor_or_is_illegal(
    subject: str, table: Mapping[tuple[Enum, Enum], Enum], state: Enum, event: Enum
) -> None:
    """What the table has follows; everything else raises, and the message names the state and the event."""
    if (state, event) in table:
        assert table[state, event] in type(state)
    else:
        with pytest.raises(StateError, match=rf"^cannot {event.value} the {subject}: its state is {state.value}$"):
            table[state, event]


@pytest.mark.parametrize(("subject", "table", "holds", "states", "events"), MACHINES)
def test_no_pair_both_moves_and_holds(
    subject: str, table: Mapping[object, object], holds: frozenset[object], states: type[Enum], events: type[Enum]
) -> None:
    """A pair that holds is not in the table as well, and every pair is one of the machine's."""
    assert not table.keys() & holds
    assert table.keys() | holds <= set(product(states, events))


@pytest.mark.parametrize(("subject", "table", "holds", "states", "events"), MACHINES)
def test_every_state_is_reached_and_every_event_is_of_use(
    subject: str, table: Mapping[tuple[Enum, Enum], Enum], holds: frozenset[object], states: type[Enum],
    events: type[Enum],
) -> None:  # fmt: skip
    """Nothing in the machine is there for nothing."""
    first = {ChunkState.PENDING, FileState.READY, FileState.PREPARING, SessionState.IDLE}
    known = {*table.values(), *first}
    used = {event for _, event in table}
    if states is ChunkState:
        # Only a confirmation is denied, and it sends nothing, so that nothing can be withdrawn.
        elsewhere = table is CHUNK
        known |= set() if elsewhere else {ChunkState.SENDING}
        used |= (
            {ChunkEvent.DENIED}
            if elsewhere
            else {
                ChunkEvent.SEND,
                ChunkEvent.ABSENT,
                ChunkEvent.ACCEPTED,
                ChunkEvent.WITHDRAWN,
            }
        )
    assert known >= set(states)
    assert used == set(events)


@pytest.mark.parametrize(("state", "event"), list(product(ChunkState, ChunkEvent)))
def test_an_illegal_event_leaves_a_chunk_as_it_is(state: ChunkState, event: ChunkEvent) -> None:
    """A record that is asked for something illegal raises and keeps its state."""
    record = ActiveChunk(FileCore(1, ChunkPlan(1, 1), ChunkOrder(1)), 0, 0, state=state)
    if (state, event) in CHUNK:
        assert record.step(event) is record.state is CHUNK[state, event]
    else:
        with pytest.raises(StateError):
            record.step(event)
        assert record.state is state


def file_in(state: FileState) -> tuple[Driver, FileCore]:
    """A session under way with a file in this state, which it still lists unless the file was cancelled."""
    driver = Driver()
    file = driver.add(2, prepared=state is not FileState.PREPARING)
    if state is not FileState.READY:
        driver.upload(open_ended=True)
    if state in (FileState.UPLOADING, FileState.ERROR):
        lease = driver.lease()
        if state is FileState.ERROR:
            driver.answer(lease, "refused")
    elif state is FileState.PAUSED:
        driver.do(driver.core.pause_file, file.key)
    elif state is FileState.SUCCESS:
        driver.finish()
    elif state is FileState.CANCELLED:
        driver.do(driver.core.cancel_file, file.key)
    assert file.state is state
    return driver, file


COMMANDS = {
    FileEvent.PAUSE: lambda core, key: core.pause_file(key),
    FileEvent.RESUME: lambda core, key: core.resume_file(key),
    FileEvent.CANCEL: lambda core, key: core.cancel_file(key, announce=False),
    FileEvent.RETRY: lambda core, key: core.retry_file(key, 0.0),
    FileEvent.BOOTSTRAP: lambda core, key: core.bootstrap_file(key),
}


def facts(file: FileCore) -> dict[str, object]:
    """All that the core knows of the file."""
    return {name: getattr(file, name) for name in FileCore.__slots__}


@pytest.mark.parametrize("event", COMMANDS)
@pytest.mark.parametrize("state", FileState)
def test_a_command_on_a_file_does_what_the_table_says(state: FileState, event: FileEvent) -> None:
    """It moves the file, or holds, or raises and changes nothing."""
    driver, file = file_in(state)
    core, before = driver.core, facts(file)
    if (state, event) in FILE:
        COMMANDS[event](core, file.key)
        assert file.state is FILE[state, event]
    elif (state, event) in FILE_NOOPS:
        assert COMMANDS[event](core, file.key).notices == ()
        assert facts(file) == before
    else:
        with pytest.raises(StateError):
            COMMANDS[event](core, file.key)
        assert facts(file) == before
        assert core.effects.flush().notices == ()
        assert (file.key in core.files) is (state is not FileState.CANCELLED)


def session_in(state: SessionState) -> SessionCore:
    """A session in this state."""
    core = SessionCore(SessionPolicy())
    core.add(ChunkPlan(1, 1), ChunkOrder(1))
    core.effects.flush()
    if state in (SessionState.UPLOADING, SessionState.PAUSED):
        core.upload(0.0)
    if state is SessionState.PAUSED:
        core.pause()
    elif state is SessionState.CLOSED:
        core.close()
    assert core.state is state
    return core


@pytest.mark.parametrize("event", [event for event in SessionEvent if event is not SessionEvent.DRAINED])
@pytest.mark.parametrize("state", SessionState)
def test_a_command_on_a_session_does_what_the_table_says(state: SessionState, event: SessionEvent) -> None:
    """It moves the session, or holds, or raises and changes nothing."""
    core = session_in(state)
    files = dict(core.files)
    command = {
        SessionEvent.UPLOAD: lambda: core.upload(0.0),
        SessionEvent.PAUSE: core.pause,
        SessionEvent.CANCEL: core.cancel,
        SessionEvent.CLOSE: core.close,
    }[event]
    if (state, event) in SESSION:
        command()
        assert core.state is SESSION[state, event]
    elif (state, event) in SESSION_NOOPS:
        assert command().notices == ()
        assert (core.state, core.files) == (state, files)
    else:
        with pytest.raises(StateError):
            command()
        assert (core.state, core.files) == (state, files)
        assert core.effects.flush().notices == ()


@pytest.mark.parametrize("call", ["retry_file", "bootstrap_file", "mark_file", "add"])
def test_a_closed_session_takes_no_more_work(call: str) -> None:
    """The call raises, says that the session is closed, and changes nothing."""
    core = session_in(SessionState.CLOSED)
    calls = {
        "retry_file": lambda: core.retry_file(1, 0.0),
        "bootstrap_file": lambda: core.bootstrap_file(1),
        "mark_file": lambda: core.mark_file(1, [(0, 1)]),
        "add": lambda: core.add(ChunkPlan(1, 1), ChunkOrder(1)),
    }
    with pytest.raises(StateError, match="the session is closed"):
        calls[call]()
    assert core.files == {}
    assert core.bytes_done == 0


@pytest.mark.parametrize("call", ["retry_file", "bootstrap_file", "mark_file"])
def test_a_file_that_was_removed_cannot_be_worked_on(call: str) -> None:
    """The call raises and says so; pausing, resuming and cancelling it again do nothing."""
    driver, file = file_in(FileState.CANCELLED)
    calls = {
        "retry_file": lambda: driver.core.retry_file(file.key, 0.0),
        "bootstrap_file": lambda: driver.core.bootstrap_file(file.key),
        "mark_file": lambda: driver.core.mark_file(file.key, [(0, 1)]),
    }
    with pytest.raises(StateError, match="no longer part of the session"):
        calls[call]()


@pytest.mark.parametrize("state", sorted(TERMINAL - {FileState.CANCELLED}, key=lambda state: state.value))
def test_chunks_of_a_finished_file_cannot_be_marked(state: FileState) -> None:
    """The call raises, names the state, and changes nothing."""
    driver, file = file_in(state)
    done = file.bytes_done
    with pytest.raises(StateError, match=f"its state is {state.value}"):
        driver.core.mark_file(file.key, [(0, 2)])
    assert file.bytes_done == done


NOT_OF_CHUNKS = (OutcomeKind.PREPARED, OutcomeKind.TOLD)


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind not in NOT_OF_CHUNKS])
@pytest.mark.parametrize("state", [ChunkState.TESTING, ChunkState.SENDING, ChunkState.STOPPING])
def test_an_outcome_that_a_chunk_cannot_have_changes_nothing(state: ChunkState, kind: OutcomeKind) -> None:
    """The report raises before anything has changed, so the lease can still be reported."""
    driver = Driver(test_chunks=True)
    file = driver.add(2)
    driver.upload()
    lease = driver.lease()
    if state is not ChunkState.TESTING:
        driver.send(lease)
    if state is ChunkState.STOPPING:
        driver.do(driver.core.pause_file, file.key)
    if (state, ChunkEvent[kind.name]) in CHUNK:
        driver.answer(lease, kind.value)
        assert driver.core.chunk_state(file.key, 0)[0] is not state
        return
    with pytest.raises(StateError):
        driver.core.report(lease, Outcome(kind, retry_after=60.0, stored=((0, 2),)), driver.now)
    assert driver.core.chunk_state(file.key, 0) == (state, 0)
    assert file.bytes_done == 0
    assert driver.core.effects.flush().notices == ()
    driver.answer(lease, "present" if state is ChunkState.TESTING else "accepted")
    assert driver.core.chunk_state(file.key, 0)[0] is ChunkState.DONE
