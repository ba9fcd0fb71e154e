"""What the parameters of a request say: which upload, how it is cut, which chunk of it. Checked before anything else.

Every check costs the same for any numbers, and nothing is made, allocated or looked up meanwhile.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError
from ..protocol.parameters import ParameterNames, well_formed
from ..protocol.plan import ChunkPlan
from .messages import Refusal
from .store.base import UploadRecord
from .store.names import safe_name

__all__ = ["ChunkDescription", "ParameterReader", "UploadLimits", "parameter_names"]

_NUMBER = re.compile("[0-9]{1,19}")
_SHA256 = re.compile("[0-9A-Fa-f]{64}")
_NEWLINE = re.compile("\r\n|\r")
_LONGEST_IDENTIFIER = 1024
_LONGEST_NAME = 4096
_LONGEST_TYPE = 255


def parameter_names(dialect: Mapping[str, Any]) -> ParameterNames:
    """The names of the parameters in a preset of :mod:`resumable.protocol.dialects`, such as ``FLOWJS``."""
    ending = "_parameter_name"
    return ParameterNames(**{option[: -len(ending)]: dialect[option] for option in dialect if option.endswith(ending)})


@dataclass(frozen=True)
class UploadLimits:
    """What an upload may be like. Sizes are bytes; a chunk that is the whole file may be smaller than the smallest.

    Raises :class:`~resumable.errors.OptionError` where one is less than 1.
    """

    max_total_size: int
    max_chunks: int
    min_chunk_size: int

    def __post_init__(self) -> None:
        for option, value in vars(self).items():
            if value < 1:
                raise OptionError(option, value, "at least 1")


@dataclass(frozen=True)
class ChunkDescription:
    """What a request says of its chunk: the upload, the index from 0, and its hash in lower-case hexadecimal."""

    record: UploadRecord
    index: int
    chunk_sha256: str | None


class ParameterReader:
    """Reads parameters of these names; the last two are those of the hashes, which no client has to send."""

    def __init__(
        self, names: ParameterNames, limits: UploadLimits, *, chunk_sha256: str | None, file_sha256: str | None
    ) -> None:
        self._limits = limits
        own: dict[str, str | None] = {**names._asdict(), "chunk_sha256": chunk_sha256, "file_sha256": file_sha256}
        del own["file"], own["namespace"]
        self._names = {field: names.namespace + name for field, name in own.items() if name}
        self._fields = {name: field for field, name in self._names.items()}

    def describe(self, pairs: Iterable[tuple[str, str]], tenant: str) -> ChunkDescription:
        """What the parameters say. Raises Refusal: 400 where they make no sense, 413 where they ask for too much."""
        parameters = self._parameters(pairs)
        plan, index = self._plan(parameters)
        identifier = self._text(parameters, "identifier", _LONGEST_IDENTIFIER)
        file_name = self._text(parameters, "file_name", _LONGEST_NAME)
        relative_path = self._text(parameters, "relative_path", _LONGEST_NAME)
        if not identifier:
            raise self._missing("identifier")
        record = UploadRecord(
            identifier=identifier,
            file_name=file_name,
            relative_path=relative_path,
            type=parameters.get("type", "")[:_LONGEST_TYPE],
            total_size=plan.size,
            chunk_size=plan.chunk_size,
            total_chunks=plan.count,
            name=safe_name(relative_path or file_name or hashlib.sha256(identifier.encode()).hexdigest()),
            tenant=tenant,
            file_sha256=self._sha256(parameters, "file_sha256"),
        )
        return ChunkDescription(record, index, self._sha256(parameters, "chunk_sha256"))

    def _plan(self, parameters: Mapping[str, str]) -> tuple[ChunkPlan, int]:
        """The cut that the numbers say, and the index of the chunk. Both cuts are taken, and told by their count."""
        number = self._number(parameters, "chunk_number")
        size = self._number(parameters, "total_size")
        chunk_size = self._number(parameters, "chunk_size")
        count = self._number(parameters, "total_chunks")
        if size > self._limits.max_total_size:
            raise Refusal(413, f"The file is larger than the {self._limits.max_total_size} bytes that are allowed.")
        if chunk_size < 1:
            raise Refusal(400, "The chunk size is 0.")
        try:
            plan = ChunkPlan.of_count(size, chunk_size, count)
        except ValueError as error:
            raise Refusal(400, f"{error}.") from None
        if not 1 <= number <= count:
            raise Refusal(400, f"There is no chunk {number} in {count}.")
        start, end = plan.span(number - 1)
        if "current_chunk_size" in parameters and self._number(parameters, "current_chunk_size") != end - start:
            raise Refusal(400, f"Chunk {number} has {end - start} bytes, not {parameters['current_chunk_size']}.")
        if count > self._limits.max_chunks:
            raise Refusal(413, f"The file has more than the {self._limits.max_chunks} chunks that are allowed.")
        if chunk_size < self._limits.min_chunk_size and count > 1:
            raise Refusal(
                400, f"The chunks are smaller than the {self._limits.min_chunk_size} bytes that they must have."
            )
        return plan, number - 1

    def _parameters(self, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
        """The parameters by their own names. resumable.js says all of them twice, in the query and in the form."""
        parameters: dict[str, str] = {}
        for name, value in pairs:
            field = self._fields.get(name)
            if field is None:
                continue
            # A browser turns the line breaks of a form, but not those of a query, into CR LF.
            value = well_formed(_NEWLINE.sub("\n", value))
            if parameters.setdefault(field, value) != value:
                raise Refusal(400, f"The parameter {name} is there twice, with two values.")
        return parameters

    def _number(self, parameters: Mapping[str, str], field: str) -> int:
        value = parameters.get(field)
        if value is None:
            raise self._missing(field)
        if not _NUMBER.fullmatch(value):
            raise Refusal(400, f"The parameter {self._name(field)} is not a whole number.")
        return int(value)

    def _text(self, parameters: Mapping[str, str], field: str, most: int) -> str:
        value = parameters.get(field, "")
        if len(value.encode()) > most:
            raise Refusal(400, f"The parameter {self._name(field)} is longer than {most} bytes.")
        return value

    def _sha256(self, parameters: Mapping[str, str], field: str) -> str | None:
        value = parameters.get(field)
        if value is not None and not _SHA256.fullmatch(value):
            raise Refusal(400, f"The parameter {self._name(field)} is not a SHA-256 in 64 hexadecimal digits.")
        return None if value is None else value.lower()

    def _missing(self, field: str) -> Refusal:
        return Refusal(400, f"The parameter {self._name(field)} is missing; a form has to name it before the chunk.")

    def _name(self, field: str) -> str:
        return self._names.get(field, field)
