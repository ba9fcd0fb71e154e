"""Our client does what the recorded library did, but for the listed deviations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .comparison import Verdict
from .deviations import DEVIATIONS
from .suite import VECTORS, summary
from .trace import Trace, recorded

pytestmark = pytest.mark.unmeasured

TRACES = recorded(VECTORS)


@pytest.mark.parametrize("trace", TRACES, ids=str)
def test_the_client_does_what_was_recorded(trace: Trace, judged: Callable[[Trace], Verdict]) -> None:
    verdict = judged(trace)
    assert not verdict.unexplained, str(verdict)


def test_every_listed_deviation_is_needed_by_a_recording(
    judged: Callable[[Trace], Verdict], record_property: Callable[[str, object], None]
) -> None:
    record_property("conformance with resumable.js", "\n".join(summary(map(judged, TRACES))))
    used = {id for trace in TRACES for id in judged(trace).deviations}
    assert used == {deviation.id for deviation in DEVIATIONS}


def test_each_deviation_has_an_id_of_its_own_and_a_reason() -> None:
    assert len({deviation.id for deviation in DEVIATIONS}) == len(DEVIATIONS)
    assert all(deviation.source and deviation.sentence.endswith(".") for deviation in DEVIATIONS)
