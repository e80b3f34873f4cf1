"""What an event looks like before it is read: one JSON object, or the fields of a flat entry; their bounds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from cep.decoding.arrow import MAGIC, Table, is_arrow
from cep.decoding.values import describe
from cep.engine.batch import Ints
from cep.ports import ENTRY_BYTES_MAX, Entries, Lines

DEPTH_MAX = 256
SCANNED_MAX = 2**31 - 1  # bytes that a kernel's places reach
CANNOT_BE_DEEP = 2 * DEPTH_MAX  # bytes: a shorter document is not looked at
UNFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # what reading JSON may raise

_parse = msgspec.json.Decoder().decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_ARRAY = re.compile(rb"[ \t\r\n]*\[")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)

Document = bytes | Sequence[bytes]  # an event as it came: JSON, or the fields of a flat entry


@dataclass(slots=True)
class Documents:
    """The events of a batch as they came, cut out of the bytes when somebody asks.

    spans: (n, 2), where each begins and ends in `data`; where the first is negative, it is ~i of the others, and the
    second its row if that is a table.
    """

    data: bytes
    spans: npt.NDArray[Any]
    others: list[Document | Table]

    def __getitem__(self, row: int) -> Document:
        begin, end = self.spans[row].tolist()
        if begin >= 0:
            return self.data[begin:end]
        other = self.others[~begin]
        return other.document(end) if isinstance(other, Table) else other


class UnreadableError(Exception):
    """A document that is not a JSON object; the reason and the detail of its `BadEvent`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def parse_object(document: bytes) -> dict[str, Any]:
    """A JSON object. Raises UnreadableError."""
    if len(document) > ENTRY_BYTES_MAX:
        raise UnreadableError("size", f"entries stay below {ENTRY_BYTES_MAX} bytes")
    if len(document) > CANNOT_BE_DEEP and is_too_much(document):
        raise UnreadableError("json", f"nested deeper than {DEPTH_MAX}")
    try:
        parsed = _parse(document)
    except UnicodeDecodeError as error:
        raise UnreadableError("encoding", str(error)) from error
    except UNFIT as error:
        raise UnreadableError("json", str(error)) from error
    if type(parsed) is not dict:
        raise UnreadableError("json", f"an object expected, not {describe(parsed)}")
    return parsed


def is_too_much(document: bytes) -> bool:
    """Whether a document is over the bounds of size or depth, whatever it holds."""
    if len(document) > ENTRY_BYTES_MAX:
        return True
    if document.count(b"[") + document.count(b"{") <= DEPTH_MAX:
        return False
    depth = deepest = 0
    for byte in _STRING.sub(b"", document):
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    return deepest > DEPTH_MAX


def documents_in(value: bytes) -> list[bytes]:
    """The documents of an entry's value: the elements of an array that has any, lines, or the value itself."""
    if _ARRAY.match(value) and len(value) <= ENTRY_BYTES_MAX:
        try:
            if elements := _elements(value):
                return list(map(bytes, elements))
        except UNFIT:
            pass
    return lines_of(value) if b"\n" in value else [value]


def lines_of(value: bytes) -> list[bytes]:
    """The documents of a value with line ends: its lines, or all of it when it is one object written in many lines."""
    lines = [line for line in value.split(b"\n") if line and not line.isspace()]
    if len(lines) <= 1 or len(value) > ENTRY_BYTES_MAX:
        return [value]
    try:
        parse_object(lines[0])
    except UnreadableError:
        try:
            parse_object(value)
        except UnreadableError:
            return lines
        return [value]
    return lines


def as_json(document: Document, limit: int | None = None) -> bytes:
    """A document as JSON, or its first `limit` bytes."""
    if isinstance(document, bytes):
        return document[:limit]
    texts = [text[:limit].decode(errors="replace") for text in document]
    return msgspec.json.encode(dict(zip(texts[::2], texts[1::2], strict=False)))[:limit]


def readable(entries: Entries) -> tuple[Ints, Lines] | None:
    """The rows of entries that a kernel may read, and their values.

    None where there are none: flat entries, and values that are too long.
    """
    fields = entries.fields
    if isinstance(fields, Lines):
        return None if fields.longest() > ENTRY_BYTES_MAX else (np.arange(len(fields)), fields)
    rows = np.flatnonzero(np.fromiter(map(len, fields), np.int64, len(fields)) == 2)
    values = [field[1] for field in (fields if len(rows) == len(fields) else map(fields.__getitem__, rows.tolist()))]
    sizes = np.fromiter(map(len, values), np.int64, len(values))
    if (sizes > ENTRY_BYTES_MAX).any():
        rows, sizes = rows[sizes <= ENTRY_BYTES_MAX], sizes[sizes <= ENTRY_BYTES_MAX]
        values = [value for value in values if len(value) <= ENTRY_BYTES_MAX]
    if not len(rows) or sizes.sum() + len(sizes) > SCANNED_MAX:
        return None
    return rows, Lines.of(values)


def tables_among(lines: Lines) -> list[int]:
    """Which of the values are tables."""
    heads = np.frombuffer(lines.data, np.uint8)[lines.spans[:, 0]]
    likely = np.flatnonzero((heads == MAGIC[0][0]) | (heads == MAGIC[1][0])).tolist()
    return [at for at in likely if is_arrow(lines[at][1])]
