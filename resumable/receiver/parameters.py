"""Read the parameters of a request: which upload, how the file is cut, and which chunk this is.

All checks take constant time, whatever the numbers are, and run before anything is created or looked up.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..protocol.checksums import (
    CHECKSUM_PARAMETER,
    CHUNK_DIFFERS,
    PARAMETERS_PARAMETER,
    Checksum,
    are_intact,
    digest_parameter,
    is_hash,
)
from ..protocol.parameters import ParameterNames, well_formed
from ..protocol.plan import ChunkPlan
from ..protocol.question import FileQuestion
from .dialects import check_dialect
from .limits import UploadLimits
from .messages import Refusal
from .store.names import safe_name
from .store.record import UploadRecord

__all__ = ["ChunkDescription", "ParameterReader"]

_NUMBER = re.compile("[0-9]{1,19}")
_SHA256 = re.compile("[0-9A-Fa-f]{64}")
_NEWLINE = re.compile("\r\n|\r")
_LONGEST_IDENTIFIER = 1024
_LONGEST_NAME = 4096
_LONGEST_TYPE = 255
_MOST_METADATA = 32
_LARGEST_METADATA = 8 * 1024
_MOST_SEEN = 64
_ALIKE = ["total_size", "chunk_size", "total_chunks", "identifier", "file_name", "relative_path", "type", "file_sha256"]


@dataclass(frozen=True)
class ChunkDescription:
    """What a request says about its chunk: the upload, the index from 0, and its hash, if it has one."""

    record: UploadRecord
    index: int
    checksum: Checksum | None


class ParameterReader:
    """Reads requests whose parameters have any of these sets of names.

    ``chunk_sha256`` and ``file_sha256`` are the names of the optional hashes; None ignores them.
    """

    def __init__(
        self,
        names: Sequence[ParameterNames],
        limits: UploadLimits,
        *,
        chunk_sha256: str | None,
        file_sha256: str | None,
    ) -> None:
        self._limits = limits
        self._sets: list[dict[str, str]] = []
        for each in names:
            own: dict[str, str | None] = {**each._asdict(), "chunk_sha256": chunk_sha256, "file_sha256": file_sha256}
            own["checksum"] = CHECKSUM_PARAMETER if chunk_sha256 else None
            own["parameters"] = PARAMETERS_PARAMETER if chunk_sha256 else None
            del own["file"], own["namespace"]
            self._sets.append({field: each.namespace + name for field, name in own.items() if name})
        self._fields = {name: field for names in self._sets for field, name in names.items()}
        self._seen: dict[tuple[str | None, ...], tuple[UploadRecord, ChunkPlan]] = {}
        """What was read lately, by the parameters that all chunks of an upload have in common, and the tenant."""
        self.file_field = names[0].namespace + names[0].file
        """The form field of the chunk, as most clients name it."""
        self.file_fields = frozenset(name for each in names for name in (each.file, each.namespace + each.file))
        """All names that the form field of the chunk may have."""
        self._namespaces = {each.namespace for each in names}
        self._seals = [name for name, field in self._fields.items() if field == "parameters"]

    def describe(self, pairs: Iterable[tuple[str, str]], tenant: str) -> ChunkDescription:
        """Return what the parameters say. Raises :class:`Refusal`: 460 if they were changed on the way, 400 if they
        make no sense, 413 beyond a limit.

        Requests that say the same share a record: give a copy to whom may change its metadata.
        """
        pairs = list(pairs)
        if not all(are_intact(pairs, name) for name in self._seals):
            raise Refusal(CHUNK_DIFFERS, "The parameters of the request were changed on the way: send it again.")
        parameters = self._parameters(pairs)
        number = parameters.number("chunk_number")
        alike = (tenant, *map(parameters.values.get, _ALIKE))
        seen = self._seen.get(alike)
        if seen is None:
            plan = self._plan(parameters)
            seen = self._record(parameters, plan, tenant), plan
            if len(self._seen) >= _MOST_SEEN:
                self._seen.clear()
            self._seen[alike] = seen
        record, plan = seen
        _check_number(parameters, number, plan)
        checksum = _checksum(parameters, pairs)
        metadata = self._metadata(pairs, but=None if checksum is None else checksum.parameter)
        return ChunkDescription(replace(record, metadata=metadata) if metadata else record, number - 1, checksum)

    def _record(self, parameters: _Parameters, plan: ChunkPlan, tenant: str, *, named: bool = True) -> UploadRecord:
        identifier = parameters.identifier()
        file_name = parameters.text("file_name", _LONGEST_NAME)
        relative_path = parameters.text("relative_path", _LONGEST_NAME)
        name = relative_path or file_name or hashlib.sha256(identifier.encode()).hexdigest()
        return UploadRecord(
            identifier=identifier,
            file_name=file_name,
            relative_path=relative_path,
            type=parameters.values.get("type", "")[:_LONGEST_TYPE],
            total_size=plan.size,
            chunk_size=plan.chunk_size,
            total_chunks=plan.count,
            name=safe_name(name) if named else "",
            tenant=tenant,
            file_sha256=parameters.sha256("file_sha256"),
        )

    def describe_file(self, asked: FileQuestion, tenant: str) -> UploadRecord:
        """Return what a question says of a file, without the name under which it would be published.

        Raises what :meth:`describe` raises.
        """
        said = {
            "total_size": str(asked.size),
            "chunk_size": str(asked.chunk_size),
            "total_chunks": str(asked.total_chunks),
            "identifier": asked.identifier,
            "file_name": asked.file_name,
            "relative_path": asked.relative_path,
        }
        parameters = _Parameters({field: _NEWLINE.sub("\n", value) for field, value in said.items()}, self._sets[0])
        return self._record(parameters, self._plan(parameters), tenant, named=False)

    def identifier(self, pairs: Iterable[tuple[str, str]]) -> str:
        """Return the identifier, of a request that is about a whole upload. Raises :class:`Refusal` (400)."""
        return self._parameters(pairs).identifier()

    def _parameters(self, pairs: Iterable[tuple[str, str]]) -> _Parameters:
        """Return the parameters by field. resumable.js sends all of them twice, in the query and in the form."""
        values: dict[str, str] = {}
        sent = set()
        for name, value in pairs:
            sent.add(name)
            field = self._fields.get(name)
            if field is None:
                continue
            # A browser turns the line breaks of a form, but not those of a query, into CR LF.
            if "\r" in value:
                value = _NEWLINE.sub("\n", value)
            if not value.isascii():
                value = well_formed(value)
            if values.setdefault(field, value) != value:
                raise Refusal(400, f"The parameter {name} was sent twice, with two different values.")
        names = self._sets[0]
        if len(self._sets) > 1:
            names = max(self._sets, key=lambda names: len(sent.intersection(names.values())))
        if not values:
            check_dialect(sent, names["chunk_number"])
        return _Parameters(values, names)

    def _metadata(self, pairs: Iterable[tuple[str, str]], but: str | None) -> dict[str, str]:
        """Return the parameters that are not the protocol's, ``but`` the one of this name, without namespace. The first
        value of a name counts."""
        metadata: dict[str, str] = {}
        for name, value in pairs:
            if name in self._fields or name in self.file_fields or name == but:
                continue
            for namespace in self._namespaces:
                name = name.removeprefix(namespace)
            metadata.setdefault(well_formed(name), well_formed(_NEWLINE.sub("\n", value)))
        if not metadata:
            return metadata
        size = sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
        if len(metadata) > _MOST_METADATA or size > _LARGEST_METADATA:
            raise Refusal(
                400,
                f"The request has {len(metadata)} parameters of its own with {size} bytes together, and this server "
                f"takes at most {_MOST_METADATA} with {_LARGEST_METADATA} bytes: send fewer.",
            )
        return metadata

    def _plan(self, parameters: _Parameters) -> ChunkPlan:
        """Return how the file is cut. The number of chunks says which of two cuts it is."""
        size = parameters.number("total_size")
        chunk_size = parameters.number("chunk_size")
        count = parameters.number("total_chunks")
        self._limits.check_size(size)
        if chunk_size < 1:
            raise Refusal(400, f"The parameter {parameters.name_of('chunk_size')} is 0: it must be at least 1.")
        try:
            plan = ChunkPlan.of_count(size, chunk_size, count)
        except ValueError as error:
            raise Refusal(400, f"{error}.") from None
        self._limits.check_cut(plan)
        return plan


@dataclass(frozen=True)
class _Parameters:
    """The parameters of one request by field, and how its client names each field."""

    values: Mapping[str, str]
    names: Mapping[str, str]

    def number(self, field: str) -> int:
        value = self.values.get(field)
        if value is None:
            raise self.missing(field)
        if not _NUMBER.fullmatch(value):
            raise Refusal(400, f"The parameter {self.name_of(field)} is not a whole number.")
        return int(value)

    def text(self, field: str, longest: int) -> str:
        value = self.values.get(field, "")
        if len(value.encode()) > longest:
            raise Refusal(400, f"The parameter {self.name_of(field)} is longer than {longest} bytes.")
        return value

    def identifier(self) -> str:
        identifier = self.text("identifier", _LONGEST_IDENTIFIER)
        if not identifier:
            raise self.missing("identifier")
        return identifier

    def sha256(self, field: str) -> str | None:
        value = self.values.get(field)
        if value is not None and not _SHA256.fullmatch(value):
            raise Refusal(400, f"The parameter {self.name_of(field)} is not a SHA-256 in 64 hexadecimal digits.")
        return None if value is None else value.lower()

    def missing(self, field: str) -> Refusal:
        return Refusal(400, f"The parameter {self.name_of(field)} is missing. In a form it must come before the file.")

    def name_of(self, field: str) -> str:
        return self.names.get(field, field)


def _check_number(parameters: _Parameters, number: int, plan: ChunkPlan) -> None:
    """Raise :class:`Refusal` (400) unless the file has this chunk, of the size that the parameters may say."""
    if not 1 <= number <= plan.count:
        raise Refusal(400, f"There is no chunk {number}: the file has {plan.count}, counted from 1.")
    size = plan.length(number - 1, number)
    if "current_chunk_size" in parameters.values and parameters.number("current_chunk_size") != size:
        said = parameters.values["current_chunk_size"]
        raise Refusal(400, f"Chunk {number} of this file has {size} bytes, not {said}.")


def _checksum(parameters: _Parameters, pairs: Iterable[tuple[str, str]]) -> Checksum | None:
    """Return what the request says of the hash of its chunk. Raises :class:`Refusal` (400)."""
    algorithm = parameters.values.get("checksum")
    if algorithm is None:
        digest = parameters.sha256("chunk_sha256")
        return None if digest is None else Checksum("sha256", parameters.name_of("chunk_sha256"), digest)
    if not is_hash(algorithm):
        raise Refusal(400, f"This server has no checksum {algorithm!r}: use another one, such as 'sha256'.")
    if algorithm == "sha256":
        name = parameters.name_of("chunk_sha256")
    else:
        name = parameters.name_of("checksum").removesuffix(CHECKSUM_PARAMETER) + digest_parameter(algorithm)
    return Checksum(algorithm, name, dict(pairs).get(name))
