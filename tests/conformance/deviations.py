"""Where we differ from resumable.js on purpose: one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import rewriting
from .case import Case

__all__ = ["DEVIATIONS", "Deviation"]


@dataclass(frozen=True)
class Deviation:
    """One row. ``source`` is the paragraph of the contract that asks for it; ``apply`` rewrites the recording."""

    id: str
    source: str
    sentence: str
    apply: Callable[[Case], None]


DEVIATIONS = (
    Deviation(
        "no-browser-event",
        "Events: fileAdded(file)",
        "There is no DOM event outside of a browser, so file_added has one argument.",
        rewriting.drop_browser_event,
    ),
    Deviation(
        "one-ratio",
        "Events: keep the number of chunkingProgress events constant",
        "chunking_progress is told once, for 0, and not once a chunk.",
        rewriting.tell_one_ratio,
    ),
    Deviation(
        "told-before-requests",
        "Architecture: monitor and outbox, commands are true when they return",
        "What a call tells comes before the requests that it causes, also where a handler made the call.",
        rewriting.tell_before_requests,
    ),
    Deviation(
        "added-in-one-step",
        "Events: on add, in this order",
        "Files are added one after the other and at once; refusals are told while that is done.",
        rewriting.add_in_one_step,
    ),
    Deviation(
        "refused-are-skipped",
        "maxFiles, minFileSize, maxFileSize, fileType: listed in skipped by add_files",
        "files_added is told also when files of the batch were refused, and lists them in skipped.",
        rewriting.skip_refused,
    ),
    Deviation(
        "hook-is-raised",
        "Architecture: an exception becomes a HookError of that file",
        "A file whose identifier cannot be made is not dropped in silence: whoever adds it gets the exception.",
        rewriting.raise_in_hook,
    ),
    Deviation(
        "no-alert",
        "maxFilesErrorCallback alert boxes: exceptions, events",
        "A refusal is an exception or an entry in skipped, and never a dialogue.",
        rewriting.show_no_alert,
    ),
    Deviation(
        "one-completion",
        "Difference 2",
        "complete comes once a run, and not once for each idle slot.",
        rewriting.complete_once,
    ),
    Deviation(
        "cancelled-in-one-step",
        "Difference 2; architecture: commands are true when they return",
        "A cancel is one step: complete does not come with it, and handlers that run after it find nothing left.",
        rewriting.cancel_in_one_step,
    ),
    Deviation(
        "one-start",
        "Runs: from upload_start to complete",
        "upload() in a run tells no second upload_start: a file that is resumed goes on in the same run.",
        rewriting.start_once,
    ),
    Deviation(
        "awaited-answers-count",
        "Architecture: STOPPING, stored after all, DONE",
        "A pause cuts no request that only waits for its answer: a chunk that is stored is not sent once more.",
        rewriting.count_awaited_answers,
    ),
    Deviation(
        "complete-has-the-result",
        "Runs: complete carries the run's result",
        "complete has one argument: which files of the run succeeded, failed, were cancelled, and were left out.",
        rewriting.complete_with_the_result,
    ),
    Deviation(
        "retry-says-why",
        "Events: file_retry(file, error, attempt, delay)",
        "file_retry has three arguments more: the error, how many attempts failed, and the seconds until the next.",
        rewriting.say_why_it_is_tried_again,
    ),
    Deviation(
        "failure-in-silence",
        "Difference 3",
        "When a file fails its other requests are stopped, and no progress of 1 is told of it.",
        rewriting.fail_in_silence,
    ),
    Deviation(
        "confirmed-bytes-count",
        "Difference 3",
        "The overall progress counts of a failed file what was confirmed, and not the whole.",
        rewriting.count_confirmed_bytes,
    ),
    Deviation(
        "failed-file-keeps-its-chunks",
        "Difference 3",
        "A failed file keeps its chunks, is not complete, and its progress is what was confirmed.",
        rewriting.keep_failed_chunks,
    ),
    Deviation(
        "none-is-omitted",
        "Parameter values: None omits the parameter",
        "A custom parameter that is None is left out; JavaScript sends the text null.",
        rewriting.omit_none,
    ),
    Deviation(
        "empty-file-is-whole",
        "Difference 7",
        "The progress of an empty file is 0 before it is stored and 1 after, and never NaN.",
        rewriting.measure_empty_files,
    ),
    Deviation(
        "retries-are-not-kept",
        "Architecture: done is implied, so memory is O(slots)",
        "How often a chunk was retried is not kept once the server has it.",
        rewriting.forget_retries,
    ),
    Deviation(
        "lost-answers-are-asked-about",
        "Difference 11",
        "A chunk whose answer was lost is asked for before it is sent again, because the server may have it.",
        rewriting.ask_after_lost_answers,
    ),
    Deviation(
        "custom-fields-last",
        "Methods: one order of the parameters, resumable.js's",
        "Under the flow.js preset custom form fields come last, as in resumable.js, and not first.",
        rewriting.put_custom_fields_last,
    ),
    Deviation(
        "progress-coalesces",
        "Architecture: progress coalesces, at most one pending per file",
        "Progress that was not yet delivered is told once, with the latest values.",
        rewriting.coalesce_progress,
    ),
)
"""The rows, in the order in which they are applied."""
