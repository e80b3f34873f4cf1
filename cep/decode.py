"""Entries to columns: the only place that knows what an event looks like on the wire.

An entry holds its event as one JSON object in one field, or as flat fields (their names are paths joined with "."), or
it holds a batch of events as lines of JSON in one field. Which of them is told from the entry alone, never from its
neighbours, so that what is read does not depend on how the log was cut. Only the fields that the program names are
decoded. Nothing in an entry can raise: what cannot be read becomes a `BadEvent` and costs itself alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from cep.engine.batch import Batch, Ints, empty
from cep.engine.strings import Strings
from cep.layout import NULL, TIME_SLOT, ColumnSpec, EventSpec, StreamSpec
from cep.ports import BadEvent, Entries
from cep.projection import Projection, loose
from cep.values import column, describe, word

ENTRY_BYTES_MAX = 2**20
DEPTH_MAX = 256
BAD_LINES_MAX = 100  # of one entry: the last record stands for the rest, so that dead letters stay bounded
EXCERPT_BYTES = 1024
WITHHELD = "the stream has private fields, so what stood there is not repeated"
TYPE_NAME_MAX = 100  # characters of an unknown type that are kept for counting it

_CANNOT_BE_DEEP = 2 * DEPTH_MAX  # bytes: a shorter document is not looked at
_UNFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_NAMES = {str, int, bytes}  # what the value at a type path may be
_parse = msgspec.json.Decoder().decode
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)

Document = bytes | Sequence[bytes]  # an event as it came: JSON, or the fields of a flat entry


class Schema(Protocol):
    """The part of a program that decoding needs."""

    @property
    def streams(self) -> tuple[StreamSpec, ...]:
        """By index."""

    @property
    def events(self) -> tuple[EventSpec, ...]:
        """Root events, by index."""

    @property
    def columns(self) -> tuple[ColumnSpec, ...]:
        """By slot."""


@dataclass(slots=True)
class Decoded:
    """What entries of one stream held. `unknown` counts the events of types that the program does not name."""

    batch: Batch
    bad: list[BadEvent]
    unknown: dict[str, int]
    documents: list[Document]

    def raw(self, row: int) -> bytes:
        """The event of a row of the batch as JSON: as it came, unless it came as flat fields."""
        return _json(self.documents[row])


class Decoder:
    """Decodes for one program; texts get their ids from `strings`, which belongs to the state."""

    def __init__(self, program: Schema, strings: Strings) -> None:
        self._streams = [_Stream(program, number) for number in range(len(program.streams))]
        self._strings = strings

    def decode(self, entries: Entries) -> Decoded:
        """The events of some entries of one stream, in their order."""
        return _Pass(self._streams[entries.stream], self._strings, entries).run()


class _Stream:
    """What is known of a stream before any entry is seen."""

    def __init__(self, program: Schema, number: int) -> None:
        stream = program.streams[number]
        self.number, self.slots = number, len(program.columns)
        self.time_path, self.type_path, self.private = stream.time_path, stream.type_path, stream.private
        own = [(slot, c) for slot, c in enumerate(program.columns) if c.stream == number]
        self.columns = [  # for each set of events: who is in it, shape (events,), and the columns that it has
            (np.isin(np.arange(len(program.events)), of), [(slot, c) for slot, c in own if c.events == of])
            for of in dict.fromkeys(c.events for _, c in own)
        ]
        events = [index for index, event in enumerate(program.events) if event.stream == number]
        self.only = events[0] if events and not stream.type_path else -1
        self.types: dict[object, int] = {}
        for index in events:
            wire = program.events[index].wire_type
            self.types |= {wire: index, wire.encode(): index}
            if re.fullmatch(r"0|-?[1-9]\d{0,17}", wire, re.ASCII):  # a type may be a number on the wire
                self.types[int(wire)] = index
        kinds = [(c.path, c.kind) for _, c in own]
        kinds += [(stream.time_path, "time")] if stream.time_path else []
        kinds += [(stream.type_path, "type")] if stream.type_path else []
        self.projection = Projection(kinds)
        nulls = [word(c.kind, None, Strings()) for c in program.columns[TIME_SLOT + 1 :]]
        self.nulls = np.array(nulls, np.int64)[:, None]


@dataclass(slots=True)
class _Rows:
    """Events on their way, as parallel lists: the row of the entry, the place in it, the bytes, what was parsed."""

    rows: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    documents: list[Any] = field(default_factory=list)
    parsed: list[Any] = field(default_factory=list)

    def add(self, row: int, place: int, document: Document) -> None:
        """One more, not parsed yet."""
        self.rows.append(row)
        self.places.append(place)
        self.documents.append(document)

    def take(self, keep: Sequence[int]) -> _Rows:
        """Some of them, in the order given."""
        return _Rows(*([values[i] for i in keep] if values else [] for values in self.lists()))

    def lists(self) -> tuple[list[Any], ...]:
        """The four lists."""
        return self.rows, self.places, self.documents, self.parsed


class _UnreadableError(Exception):
    """A document that is not a JSON object; the reason and the detail of its `BadEvent`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


_Read = Callable[[tuple[str, ...], list[Any]], list[Any]]  # the values at a path of what was parsed
_Part = tuple[_Rows, npt.NDArray[np.int16], Ints]  # rows, their event indices (n,), their words (slots, n)


class _Pass:
    """One call of `decode`.

    Events that the generated struct fits are `typed`. The others are `loose`: flat entries, and objects that the struct
    refuses, perhaps only for a field that their event does not have. Both end in the same columns.
    """

    def __init__(self, stream: _Stream, strings: Strings, entries: Entries) -> None:
        self.stream, self.strings, self.entries = stream, strings, entries
        self.bad: list[tuple[int, int, BadEvent]] = []
        self.unknown: dict[str, int] = {}

    def run(self) -> Decoded:
        """Parse, tell the events apart, fill the columns."""
        lines, flat = self.split()
        typed, others = self.parse(lines)
        sides = (typed, self.stream.projection.typed), (self.parse_loose(others, flat), loose)
        parts = [part for rows, read in sides if rows.rows and (part := self.columns(rows, read))[0].rows]
        bad = _bounded([event for _, _, event in sorted(self.bad, key=lambda item: item[:2])])
        if not parts:
            return Decoded(empty(self.stream.slots), bad, self.unknown, [])
        rows, events, words = parts[0] if len(parts) == 1 else _joined(*parts)
        at, places = np.array(rows.rows, np.intp), np.array(rows.places, np.int32)
        streams = np.full(len(at), self.stream.number, np.int16)
        batch = Batch(streams, events, self.entries.ms[at], self.entries.seq[at], places, words)
        return Decoded(batch, bad, self.unknown, rows.documents)

    def refuse(self, rows: _Rows, at: int, reason: str, detail: str, path: tuple[str, ...] | None = None) -> None:
        """Put one event aside."""
        row, place = rows.rows[at], rows.places[at]
        where = "" if path is None else ".".join(("$", *path))
        excerpt = _json(rows.documents[at], EXCERPT_BYTES)
        if self.stream.private:
            detail, excerpt = WITHHELD, b""
        event = BadEvent(self.stream.number, self.entries.id(row), place, reason, where, detail, excerpt)
        self.bad.append((row, place, event))

    def split(self) -> tuple[_Rows, _Rows]:
        """The JSON documents, and the flat entries."""
        fields_of = self.entries.fields
        if set(map(len, fields_of)) == {2}:
            documents = [fields[1] for fields in fields_of]
            if b"\n" not in b"".join(documents):
                return _Rows(list(range(len(documents))), [0] * len(documents), documents), _Rows()
        lines, flat = _Rows(), _Rows()
        for row, fields in enumerate(fields_of):
            if len(fields) != 2:
                flat.add(row, 0, fields)
            elif b"\n" not in fields[1]:
                lines.add(row, 0, fields[1])
            else:
                texts = _lines(fields[1])
                lines.documents += texts
                lines.rows += [row] * len(texts)
                lines.places += range(len(texts))
        return lines, flat

    def parse(self, lines: _Rows) -> tuple[_Rows, _Rows]:
        """Those that the struct fits, and those that it does not."""
        decoder, parsed = self.stream.projection.decoder, lines.parsed
        if decoder is None:
            parsed += [None] * len(lines.rows)
            return _Rows(), lines
        documents = lines.documents
        if max(map(len, documents), default=0) > _CANNOT_BE_DEEP:
            documents = [b"" if len(d) > _CANNOT_BE_DEEP and _is_too_much(d) else d for d in documents]
        rest, others = iter(documents), []
        while len(parsed) < len(documents):
            try:
                for value in map(decoder.decode, rest):
                    parsed.append(value)
            except _UNFIT:
                others.append(len(parsed))
                parsed.append(None)
        if not others:
            return lines, _Rows()
        return lines.take([at for at, value in enumerate(parsed) if value is not None]), lines.take(others)

    def parse_loose(self, lines: _Rows, flat: _Rows) -> _Rows:
        """Plain objects from documents and from flat entries; not in order."""
        good = []
        for at, document in enumerate(lines.documents):
            name = self.entries.fields[lines.rows[at]][0]
            try:
                lines.parsed[at] = _object(document)
                good.append(at)
            except _UnreadableError as error:
                if name in self.stream.projection.names:  # a flat entry may have one field only
                    flat.add(lines.rows[at], 0, self.entries.fields[lines.rows[at]])
                else:
                    self.refuse(lines, at, error.reason, str(error))
        rows = lines.take(good)
        for at, fields in enumerate(flat.documents):
            if sum(map(len, fields)) > ENTRY_BYTES_MAX:
                self.refuse(flat, at, "size", f"entries stay below {ENTRY_BYTES_MAX} bytes")
            else:
                rows.add(flat.rows[at], 0, fields)
                rows.parsed.append(self.stream.projection.flat(fields))
        return rows

    def columns(self, rows: _Rows, read: _Read) -> _Part:
        """The words of the events that the program names and whose values are all right."""
        stream = self.stream
        events = self.events(rows, read)
        if (events < 0).any():
            keep = np.flatnonzero(events >= 0)
            rows, events = rows.take(keep.tolist()), events[keep]
        wrong: dict[int, tuple[str, str, tuple[str, ...]]] = {}
        words = np.empty((stream.slots, len(events)), np.int64)
        words[TIME_SLOT] = self.times(rows, read, wrong)
        words[TIME_SLOT + 1 :] = stream.nulls
        for members, columns in stream.columns:
            at = np.flatnonzero(members[events])
            parsed = rows.parsed if len(at) == len(events) else [rows.parsed[i] for i in at.tolist()]
            for slot, spec in columns if parsed else ():
                words[slot, at], refused = column(spec.kind, read(spec.path, parsed), self.strings)
                for place, detail in refused:
                    wrong.setdefault(int(at[place]), ("field", detail, spec.path))
        if not wrong:
            return rows, events, words
        for at_wrong, (reason, detail, path) in wrong.items():
            self.refuse(rows, at_wrong, reason, detail, path)
        keep = np.array([at for at in range(len(events)) if at not in wrong], np.intp)
        return rows.take(keep.tolist()), events[keep], words[:, keep]

    def times(self, rows: _Rows, read: _Read, wrong: dict[int, tuple[str, str, tuple[str, ...]]]) -> Ints:
        """Event times; a stream without a time path goes by the time in its entry ids."""
        path = self.stream.time_path
        if not path:
            return self.entries.ms[np.array(rows.rows, np.intp)] * 1000
        times, refused = column("time", read(path, rows.parsed), self.strings)
        for at in np.flatnonzero(times == NULL).tolist():
            wrong[at] = ("time", "an event time is missing", path)
        for at, detail in refused:
            wrong[at] = ("time", detail, path)
        return times

    def events(self, rows: _Rows, read: _Read) -> npt.NDArray[np.int16]:
        """The index of each one's event; -1 where the program does not name it, or where it is refused."""
        path, types = self.stream.type_path, self.stream.types
        if not path:
            return np.full(len(rows.rows), self.stream.only, np.int16)
        values = read(path, rows.parsed)
        if not set(map(type, values)) <= _NAMES:
            values = [value if type(value) in _NAMES else None for value in values]
        found = np.array([types.get(value, -1) for value in values], np.int16)
        for at in np.flatnonzero(found < 0).tolist():
            value = values[at]
            if value is None or value == b"":
                value = read(path, rows.parsed[at : at + 1])[0]
                self.refuse(rows, at, "type", f"an event type expected, not {describe(value)}", path)
            else:
                name = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
                self.unknown[name[:TYPE_NAME_MAX]] = self.unknown.get(name[:TYPE_NAME_MAX], 0) + 1
        return found


def _object(document: bytes) -> dict[str, Any]:
    """A JSON object. Raises _UnreadableError."""
    if len(document) > ENTRY_BYTES_MAX:
        raise _UnreadableError("size", f"entries stay below {ENTRY_BYTES_MAX} bytes")
    if len(document) > _CANNOT_BE_DEEP and _is_too_much(document):
        raise _UnreadableError("json", f"nested deeper than {DEPTH_MAX}")
    try:
        parsed = _parse(document)
    except UnicodeDecodeError as error:
        raise _UnreadableError("encoding", str(error)) from error
    except _UNFIT as error:
        raise _UnreadableError("json", str(error)) from error
    if type(parsed) is not dict:
        raise _UnreadableError("json", f"an object expected, not {describe(parsed)}")
    return parsed


def _is_too_much(document: bytes) -> bool:
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


def _lines(value: bytes) -> list[bytes]:
    """The documents of a value with line ends: its lines, or all of it when it is one object written in many lines."""
    lines = [line for line in value.split(b"\n") if line and not line.isspace()]
    if len(lines) <= 1 or len(value) > ENTRY_BYTES_MAX:
        return [value]
    try:
        _object(lines[0])
    except _UnreadableError:
        try:
            _object(value)
        except _UnreadableError:
            return lines
        return [value]
    return lines


def _json(document: Document, limit: int | None = None) -> bytes:
    """A document as JSON, or its first `limit` bytes."""
    if isinstance(document, bytes):
        return document[:limit]
    texts = [text[:limit].decode(errors="replace") for text in document]
    return msgspec.json.encode(dict(zip(texts[::2], texts[1::2], strict=False)))[:limit]


def _joined(first: _Part, second: _Part) -> _Part:
    """The rows of both in the order of entries and places."""
    rows = _Rows(*(a + b for a, b in zip(first[0].lists(), second[0].lists(), strict=True)))
    order = np.lexsort((rows.places, rows.rows))
    events, words = np.concatenate((first[1], second[1])), np.concatenate((first[2], second[2]), axis=1)
    return rows.take(order.tolist()), events[order], words[:, order]


def _bounded(bad: list[BadEvent]) -> list[BadEvent]:
    """At most `BAD_LINES_MAX` records an entry, whose last counts the rest. `bad` is in order."""
    kept: list[BadEvent] = []
    for event in bad:
        if len(kept) >= BAD_LINES_MAX and kept[-BAD_LINES_MAX].entry == event.entry:
            kept[-1] = replace(kept[-1], count=kept[-1].count + event.count)
        else:
            kept.append(event)
    return kept
