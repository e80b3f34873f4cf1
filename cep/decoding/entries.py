"""Entries to columns: the only place that knows what an event looks like on the wire.

An entry holds its event as one JSON object in one field, or as flat fields (their names are paths joined with "."), or
it holds a batch of events in one field: lines of JSON, an array, or an Arrow table. Which of them is told from the
entry alone, never from its neighbours, so that what is read does not depend on how the log was cut. Only the fields
that the program names are decoded. Nothing in an entry can raise: what cannot be read becomes a `BadEvent` and costs
itself alone.

What is plain is read by `cep.decoding.plain`, tables are by `cep.decoding.arrow`, and the rest is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cep.decoding.arrow import ArrowError, ArrowReader, Table, joined_tables, table_of
from cep.decoding.documents import (
    CANNOT_BE_DEEP,
    UNFIT,
    Document,
    Documents,
    UnreadableError,
    as_json,
    documents_in,
    is_too_much,
    parse_object,
    readable,
    tables_among,
)
from cep.decoding.plain import TYPE_NAME_MAX, PlainReader, Scanned, reads
from cep.decoding.projection import loose
from cep.decoding.streams import Schema, Stream
from cep.decoding.values import column, describe
from cep.decoding.vocabulary import Vocabulary
from cep.engine.batch import Batch, Ints, empty
from cep.engine.strings import Strings
from cep.kernels import scan as sk
from cep.layout.columns import NULL, TIME_SLOT
from cep.ports import ENTRY_BYTES_MAX, BadEvent, Entries, Lines

BAD_LINES_MAX = 100  # of one entry: the last record stands for the rest, so that dead letters stay bounded
EXCERPT_BYTES = 1024
WITHHELD = "the stream has private fields, so what stood there is not repeated"

_NAMES = {str, int, bytes}  # what the value at a type path may be


@dataclass(slots=True)
class Decoded:
    """What entries of one stream held. `unknown` counts the events of types that the program does not name."""

    batch: Batch
    bad: list[BadEvent]
    unknown: dict[str, int]
    documents: Documents

    def raw(self, row: int) -> bytes:
        """The event of a row of the batch as JSON: as it came, unless it came as flat fields."""
        return as_json(self.documents[row])


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Entries before any of them is judged. by: who will decode them. rows: those whose values are in `lines`, and have
    been `scanned` if that can be; tables: others, with their values; left: the rest, to be read with care.
    """

    by: Decoder
    rows: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    lines: Lines = field(default_factory=lambda: Lines.of(()))
    tables: Sequence[tuple[int, bytes]] = ()
    left: Sequence[int] = ()
    scanned: Scanned | None = None


class Decoder:
    """Decodes for one program; texts get their ids from `strings`, which belongs to the state."""

    def __init__(self, program: Schema, strings: Strings) -> None:
        self._strings, self._sweeps = strings, strings.sweeps
        self._texts = Vocabulary(strings.ids)
        self._streams = [Stream(program, number) for number in range(len(program.streams))]
        self._plain = [PlainReader(stream, self._texts) if reads(stream) else None for stream in self._streams]
        self._arrow = [ArrowReader(stream, strings) for stream in self._streams]

    def prepare(self, entries: Entries) -> None:
        """Do what of their decoding needs no state: in another thread, and before others are decoded, if need be."""
        if not isinstance(entries.fields, Table):
            entries.prepared = self._prepared(entries)

    def decode(self, entries: Entries) -> Decoded:
        """The events of some entries of one stream, in their order."""
        if self._sweeps != self._strings.sweeps:
            self._texts.clear()
            for reader in self._arrow:
                reader.clear()
            self._sweeps = self._strings.sweeps
        careful = _Pass(self._streams[entries.stream], self._strings, entries)
        if isinstance(entries.fields, Table):
            rows = np.arange(len(entries))
            return _decoded(careful, [self._tables(careful, entries.fields, rows, np.zeros(len(rows), np.int32))], b"")
        found = entries.prepared
        if not isinstance(found, _Prepared) or found.by is not self:
            found = self._prepared(entries)
        parts = self._entries_of_tables(careful, found.tables)
        careful.split(found.left)
        if found.scanned is not None:
            parts.append(self._read(careful, found.rows, found.lines, found.scanned))
        return _decoded(careful, [*parts, *careful.run()], found.lines.data)

    def _prepared(self, entries: Entries) -> _Prepared:
        joined = readable(entries)
        if joined is None:
            return _Prepared(self, left=range(len(entries)))
        rows, lines = joined
        left: list[int] = np.setdiff1d(np.arange(len(entries)), rows).tolist() if len(rows) < len(entries) else []
        places = tables_among(lines)
        tables = [(int(rows[at]), lines[at][1]) for at in places]
        if places:
            rows = np.delete(rows, places)
            lines = Lines.of([entries.fields[row][1] for row in rows.tolist()])
        plain = self._plain[entries.stream]
        if plain is None:
            return _Prepared(self, rows, lines, tables, [*left, *rows.tolist()])
        return _Prepared(self, rows, lines, tables, left, plain.scan(lines.data, lines.spans))

    def _read(self, careful: _Pass, rows: Ints, lines: Lines, scanned: Scanned) -> _Part:
        """What is plain of entries of JSON; the rest is left to `careful`."""
        plain = self._plain[careful.stream.number]
        assert plain is not None, "it has scanned them"
        read = plain.read(scanned, careful.entries.ms[rows])
        careful.count(read.unknown)
        for entry, place, start, stop, fate in read.rest.tolist():
            if fate == sk.ODD_ENTRY:
                careful.split([int(rows[entry])])
            else:
                careful.lines.add(int(rows[entry]), place, lines.data[start:stop])
        found = read.documents
        spans = found[:, sk.START : sk.STOP + 1]
        return _Part(rows[found[:, sk.ENTRY]], found[:, sk.PLACE], read.events, read.words, spans)

    def _entries_of_tables(self, careful: _Pass, values: Sequence[tuple[int, bytes]]) -> list[_Part]:
        """Entries that are tables; those of one schema are read as one."""
        by_schema: dict[Any, list[tuple[int, Any]]] = {}
        for row, value in values:
            try:
                table = table_of(value)
            except ArrowError as error:
                lines = _Rows()
                lines.add(row, 0, b"")
                careful.refuse(lines, 0, "arrow", str(error))
            else:
                by_schema.setdefault(table.table.schema, []).append((row, table.table))
        parts = []
        for members in by_schema.values():
            sizes = [table.num_rows for _, table in members]
            rows = np.repeat([row for row, _ in members], sizes)
            places = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])
            parts.append(self._tables(careful, joined_tables([table for _, table in members]), rows, places))
        return parts

    def _tables(self, careful: _Pass, table: Table, rows: Ints, places: npt.NDArray[np.int32]) -> _Part:
        """The events of a table, whose rows stand in entries at some places."""
        read = self._arrow[careful.stream.number].read(table.table, careful.entries.ms[rows])
        careful.count(read.unknown)
        for at, (reason, detail, path) in read.wrong.items():
            wrong = _Rows([int(rows[at])], [int(places[at])], [table.document(at)])
            careful.refuse(wrong, 0, reason, detail, path)
        spans = np.column_stack((np.full(len(read.rows), ~len(careful.others)), read.rows))
        careful.others.append(table)
        return _Part(rows[read.rows], places[read.rows], read.events, read.words, spans)


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


_Read = Callable[[tuple[str, ...], list[Any]], list[Any]]  # the values at a path of what was parsed


@dataclass(slots=True)
class _Part:
    """n events in order: the rows of their entries and their places there, their indices; words: (slots, n)."""

    rows: npt.NDArray[Any]
    places: npt.NDArray[Any]
    events: npt.NDArray[np.int16]
    words: Ints
    spans: npt.NDArray[Any]


class _Pass:
    """One call of `decode`: `lines` and `flat` are what is to be read, `others` what has been.

    Events that the generated struct fits are `typed`. The others are `loose`: flat entries, and objects that the struct
    refuses, perhaps only for a field that their event does not have. Both end in the same columns.
    """

    def __init__(self, stream: Stream, strings: Strings, entries: Entries) -> None:
        self.stream, self.strings, self.entries = stream, strings, entries
        self.lines, self.flat = _Rows(), _Rows()
        self.bad: list[tuple[int, int, BadEvent]] = []
        self.unknown: dict[str, int] = {}
        self.others: list[Document | Table] = []

    def count(self, unknown: dict[str, int]) -> None:
        """Add events of types that the program does not name."""
        for name, number in unknown.items():
            self.unknown[name] = self.unknown.get(name, 0) + number

    def run(self) -> list[_Part]:
        """Parse, tell the events apart, fill the columns."""
        typed, others = self.parse(self.lines)
        sides = (typed, self.stream.projection.typed), (self.parse_loose(others, self.flat), loose)
        return [self.part(rows, read) for rows, read in sides if rows.rows]

    def part(self, rows: _Rows, read: _Read) -> _Part:
        """The events that the program names and whose values are all right."""
        rows, events, words = self.columns(rows, read)
        first = len(self.others)
        self.others += rows.documents
        places = ~np.arange(first, len(self.others), dtype=np.int64)
        at = np.array(rows.rows, np.intp)
        return _Part(at, np.array(rows.places, np.int32), events, words, np.column_stack((places, places)))

    def refuse(self, rows: _Rows, at: int, reason: str, detail: str, path: tuple[str, ...] | None = None) -> None:
        """Put one event aside."""
        row, place = rows.rows[at], rows.places[at]
        where = "" if path is None else ".".join(("$", *path))
        excerpt = as_json(rows.documents[at], EXCERPT_BYTES)
        if self.stream.private:
            detail, excerpt = WITHHELD, b""
        event = BadEvent(self.stream.number, self.entries.id(row), place, reason, where, detail, excerpt)
        self.bad.append((row, place, event))

    def split(self, rows: Iterable[int]) -> None:
        """Add the JSON documents and the flat entries of some rows to what is to be read."""
        lines = self.lines
        for row in rows:
            fields = self.entries.fields[row]
            if len(fields) != 2:
                self.flat.add(row, 0, fields)
            else:
                texts = documents_in(fields[1])
                lines.documents += texts
                lines.rows += [row] * len(texts)
                lines.places += range(len(texts))

    def parse(self, lines: _Rows) -> tuple[_Rows, _Rows]:
        """Those that the struct fits, and those that it does not."""
        decoder, parsed = self.stream.projection.decoder, lines.parsed
        if decoder is None:
            parsed += [None] * len(lines.rows)
            return _Rows(), lines
        documents = lines.documents
        if max(map(len, documents), default=0) > CANNOT_BE_DEEP:
            documents = [b"" if len(d) > CANNOT_BE_DEEP and is_too_much(d) else d for d in documents]
        rest, others = iter(documents), []
        while len(parsed) < len(documents):
            try:
                for value in map(decoder.decode, rest):
                    parsed.append(value)
            except UNFIT:
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
                lines.parsed[at] = parse_object(document)
                good.append(at)
            except UnreadableError as error:
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

    def columns(self, rows: _Rows, read: _Read) -> tuple[_Rows, npt.NDArray[np.int16], Ints]:
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


def _decoded(careful: _Pass, parts: list[_Part], data: bytes) -> Decoded:
    """All parts in the order of entries and places."""
    parts = [part for part in parts if len(part.rows)]
    bad = _bounded([event for _, _, event in sorted(careful.bad, key=lambda item: item[:2])])
    stream, entries = careful.stream, careful.entries
    if not parts:
        return Decoded(empty(stream.slots), bad, careful.unknown, Documents(data, np.empty((0, 2), np.int64), []))
    part = parts[0] if len(parts) == 1 else _in_order(parts)
    streams = np.full(len(part.rows), stream.number, np.int16)
    ms, seq = entries.ms[part.rows], entries.seq[part.rows]
    batch = Batch(streams, part.events, ms, seq, part.places.astype(np.int32), part.words)
    return Decoded(batch, bad, careful.unknown, Documents(data, part.spans, careful.others))


def _in_order(parts: list[_Part]) -> _Part:
    """Parts as one."""
    rows, places = (np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "places"))
    order = np.lexsort((places, rows))
    events, spans = (np.concatenate([getattr(part, name) for part in parts])[order] for name in ("events", "spans"))
    return _Part(rows[order], places[order], events, np.concatenate([p.words for p in parts], axis=1)[:, order], spans)


def _bounded(bad: list[BadEvent]) -> list[BadEvent]:
    """At most `BAD_LINES_MAX` records an entry, whose last counts the rest. `bad` is in order."""
    kept: list[BadEvent] = []
    for event in bad:
        if len(kept) >= BAD_LINES_MAX and kept[-BAD_LINES_MAX].entry == event.entry:
            kept[-1] = replace(kept[-1], count=kept[-1].count + event.count)
        else:
            kept.append(event)
    return kept
