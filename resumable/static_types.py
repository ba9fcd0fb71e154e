"""The options as type checkers and editors see them. Nothing here runs.

The rows in ``options`` decide what is allowed; a test compares the names here with theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    import asyncio

    import requests

    from .chunk import ResumableChunk
    from .file import ResumableFile
    from .hooks import Plugin
    from .transport.base import Reply, Transport

__all__ = [
    "AcceptResponse",
    "AfterFile",
    "ChunkExists",
    "Extra",
    "FindUploaded",
    "GenerateUniqueIdentifier",
    "MakeExtra",
    "MakeTarget",
    "OnAbort",
    "Preprocess",
    "PreprocessFile",
    "SessionOptions",
    "ShouldRetry",
    "UploadOptions",
]

Bytes: TypeAlias = "bytes | bytearray | memoryview"

# The hooks, as options and as methods of plugins. MakeExtra is the one of query and headers, MakeTarget of target.
AcceptResponse: TypeAlias = "Callable[[Reply], bool | None]"
AfterFile: TypeAlias = "Callable[[ResumableFile], object]"
ChunkExists: TypeAlias = "Callable[[Reply], bool | None]"
FindUploaded: TypeAlias = "Callable[[ResumableFile], Iterable[tuple[int, int]] | None]"
GenerateUniqueIdentifier: TypeAlias = "Callable[[Any, str], str | None]"
MakeExtra: TypeAlias = "Callable[[ResumableFile, ResumableChunk], Mapping[str, Any] | None]"
MakeTarget: TypeAlias = "Callable[[list[str]], str]"
OnAbort: TypeAlias = "Callable[[ResumableFile], object]"
Preprocess: TypeAlias = "Callable[[ResumableChunk], Bytes | None]"
PreprocessFile: TypeAlias = "Callable[[ResumableFile], Any]"
ShouldRetry: TypeAlias = "Callable[[Exception, int], bool | None]"

Extra: TypeAlias = "Mapping[str, Any] | MakeExtra | None"
Callback: TypeAlias = "Callable[[Any, int], object] | None"


class SessionOptions(TypedDict, total=False):
    """The options of :class:`~resumable.Resumable` that are given by keyword only."""

    test_target: str | MakeTarget | None
    force_chunk_size: bool
    max_connections: int
    file_parameter_name: str
    chunk_number_parameter_name: str | None
    chunk_size_parameter_name: str | None
    current_chunk_size_parameter_name: str | None
    total_size_parameter_name: str | None
    type_parameter_name: str | None
    identifier_parameter_name: str | None
    file_name_parameter_name: str | None
    relative_path_parameter_name: str | None
    total_chunks_parameter_name: str | None
    parameter_namespace: str
    query: Extra
    method: Literal["multipart", "octet"]
    upload_method: str
    test_method: str
    params_in: Literal["both", "query", "form"]
    chunk_format: Literal["blob", "base64"]
    set_chunk_type_from_file: bool
    prioritize_first_and_last_chunk: bool
    chunk_order: Literal["bookends", "strict", "free", "sequential"]
    part: tuple[int, int] | None
    checksum: str | bool | None
    file_checksum: bool
    test_every_chunk: bool
    trust_tests: bool
    success_statuses: Iterable[int]
    test_errors_are_permanent: bool
    preprocess: Preprocess | None
    preprocess_file: PreprocessFile | None
    find_uploaded: FindUploaded | None
    generate_unique_identifier: GenerateUniqueIdentifier | None
    max_files: int | None
    max_files_error_callback: Callback
    min_file_size: int
    min_file_size_error_callback: Callback
    max_file_size: int | None
    max_file_size_error_callback: Callback
    file_type: str | Iterable[str]
    file_type_error_callback: Callback
    chunk_retry_interval: float | Callable[[int], float] | None
    retry_for: float | None
    should_retry: ShouldRetry | None
    accept_response: AcceptResponse | None
    chunk_exists: ChunkExists | None
    after_file: AfterFile | None
    on_abort: OnAbort | None
    limit_rate: int | None
    congestion_control: str | None
    timeout: float | tuple[float | None, float | None] | None
    final_chunk_timeout: float | None
    throttle_progress_callbacks: float
    session: requests.Session | Callable[[], requests.Session] | None
    transport: Transport | None
    redirect_origins: str | Iterable[str]
    auto_upload: bool
    completion_delay: float
    fail_fast: bool
    cancel_deletes: bool
    deliver: Literal["manual", "thread"] | Callable[[Callable[[], None]], object] | None
    loop: asyncio.AbstractEventLoop | None
    plugins: Sequence[Plugin | str] | Literal["installed"]
    clock: Callable[[], float] | None


class UploadOptions(SessionOptions, total=False):
    """The options of :func:`~resumable.upload`: all of them but the target."""

    chunk_size: int
    simultaneous_uploads: int | Literal["auto"]
    headers: Extra
    test_chunks: bool
    max_chunk_retries: int | None
    permanent_errors: Iterable[int]
