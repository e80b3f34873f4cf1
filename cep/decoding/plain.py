"""The plain entries of a stream to columns, without a Python object for an event.

Kernels read what is written as almost everything is: JSON objects whose values are of their column's kind. Whatever is
not, down to a single event, is handed back for `entries` to read with care and to judge; both give the same words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cep.decoding.projection import Path
from cep.decoding.streams import Stream
from cep.decoding.vocabulary import TEXTS_MAX, Vocabulary
from cep.kernels import cells as ck
from cep.kernels import scan as sk
from cep.layout.columns import NULL, TIME_SLOT

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]

TYPE_NAME_MAX = 100  # characters of an unknown type that are kept for counting it
_POWERS = np.array([10.0**power for power in range(ck.EXACT_POWER + 1)], np.float64)
_KERNELS = {"integer": ck.integers, "money": ck.moneys, "flag": ck.flags, "time": ck.times}


@dataclass(frozen=True, slots=True)
class Scanned:
    """Where in the data documents stand, and what is wanted of them.

    documents: (n, 5) and cells: (n, cells, 3) of `cep.kernels.scan`; refused: those in which something is not plain.
    """

    data: sk.Bytes
    documents: npt.NDArray[np.int32]
    cells: npt.NDArray[np.int32]
    refused: npt.NDArray[np.bool_]


@dataclass(slots=True)
class Read:
    """What could be read, and what could not.

    documents: (n, 5) of `cep.kernels.scan`, the events that the program names; events: (n,), their indices; words:
    (slots, n). rest: (m, 5), the documents that are left. unknown: how many of each type that is not named.
    """

    documents: npt.NDArray[np.int32]
    events: npt.NDArray[np.int16]
    words: Ints
    rest: npt.NDArray[np.int32]
    unknown: dict[str, int]


class PlainReader:
    """Reads one stream; `texts` gives the ids of texts. See `reads` for whether it can."""

    def __init__(self, stream: Stream, texts: Vocabulary) -> None:
        self._stream, self._texts = stream, texts
        self._cell = {path: cell for cell, path in enumerate(dict.fromkeys(path for path, _ in stream.fields))}
        self._shape = _shape(self._cell)
        self._unknown: list[str] = []
        self._types = Vocabulary(lambda names: list(map(self._type, names)), integers_too=True)

    def _type(self, name: str) -> int:
        """The index of an event, or what stands for a type that the program does not name: -2, -3, …."""
        if name in self._stream.types:
            return self._stream.types[name]
        self._unknown.append(name[:TYPE_NAME_MAX])
        return -1 - len(self._unknown)

    def scan(self, data: bytes, spans: Ints) -> Scanned:
        """Find the documents of entries, and what is wanted of them. spans: where entries stand, see `Lines`.

        It needs no state and leaves none behind, so any thread may do it.
        """
        view = np.frombuffer(data, np.uint8)
        whole = slice(int(spans[0, 0]), int(spans[-1, 1]) + 2) if len(spans) else slice(0)
        room = int(np.count_nonzero(view[whole] == ord("\n")))
        found = sk.Found(np.empty((room, sk.FATE + 1), np.int32), np.empty((room, len(self._cell), 3), np.int32))
        is_open, before = np.zeros((2, sk.DEPTH), np.int64), np.zeros((sk.MEMBERS, sk.NAME + 1), np.int64)
        n = sk.scan(view, spans, self._shape, found, is_open, before)
        documents = found.documents[:n]
        fate = documents[:, sk.FATE]
        refused = fate >= sk.ODD
        if (fate == sk.FAR).any():
            _check_encoding(data, whole, documents, refused)
        return Scanned(view, documents, found.cells[:n], refused)

    def read(self, scanned: Scanned, entry_ms: Ints) -> Read:
        """Read the documents of entries. entry_ms: (entries,), of their ids."""
        if len(self._unknown) >= TEXTS_MAX:
            self._types.clear()
            self._unknown.clear()
        documents, refused, n = scanned.documents, scanned.refused.copy(), len(scanned.documents)
        column = _Column(scanned.data, scanned.cells, refused, self._texts)
        events = self._events(column)
        words = np.empty((self._stream.slots, n), np.int64)
        words[TIME_SLOT + 1 :] = self._stream.nulls
        self._fill(column, events, words, entry_ms[documents[:, sk.ENTRY]])
        unknown = self._count_unknown(events[~refused & (events < -1)])
        good = np.flatnonzero(~refused & (events >= 0))
        if len(good) == n:
            return Read(documents, events.astype(np.int16), words, documents[:0], unknown)
        chosen = np.take(words, good, axis=1)
        return Read(documents[good], events[good].astype(np.int16), chosen, documents[refused], unknown)

    def _events(self, column: _Column) -> Ints:
        """The index of each one's event; less than -1 where the program does not name it."""
        path, n = self._stream.type_path, len(column.refused)
        events = np.full(n, self._stream.only, np.int64)
        if path:
            rows = np.flatnonzero(~column.refused)
            self._types.words(column.data, column.cells, self._cell[path], rows, events, column.refused)
            column.refused |= events == NULL
        return events

    def _fill(self, column: _Column, events: Ints, words: Ints, entry_ms: Ints) -> None:
        """The words of the events that are named."""
        stream = self._stream
        named = ~column.refused & (events >= 0)
        rows = np.flatnonzero(named)
        if stream.time_path:
            column.read("time", self._cell[stream.time_path], rows, words[TIME_SLOT])
            column.refused |= named & (words[TIME_SLOT] == NULL)
        else:
            words[TIME_SLOT] = entry_ms * 1000
        for members, columns in stream.columns:
            at = rows if members.all() else rows[members[events[rows]]]
            for slot, spec in columns if len(at) else ():
                column.read(spec.kind, self._cell[spec.path], at, words[slot])

    def _count_unknown(self, numbers: Ints) -> dict[str, int]:
        counts: dict[str, int] = {}
        for number, count in zip(*(a.tolist() for a in np.unique(numbers, return_counts=True)), strict=True):
            name = self._unknown[-2 - number]
            counts[name] = counts.get(name, 0) + count
        return counts


@dataclass(slots=True)
class _Column:
    """The cells of some documents; `refused` marks the documents in which something is not plain."""

    data: sk.Bytes
    cells: sk.Places
    refused: npt.NDArray[np.bool_]
    texts: Vocabulary

    def read(self, kind: str, cell: int, rows: Rows, words: Ints) -> None:
        """Write the words of one cell of some documents."""
        if kind == "text":
            self.texts.words(self.data, self.cells, cell, rows, words, self.refused)
        elif kind == "number":
            self._numbers(cell, rows, words.view(np.float64))
        else:
            _KERNELS[kind](self.data, self.cells, cell, rows, words, self.refused)

    def _numbers(self, cell: int, rows: Rows, words: npt.NDArray[Any]) -> None:
        """Floats; those with many digits one by one."""
        long = np.empty(len(rows), np.int64)
        n = ck.numbers(self.data, self.cells, cell, rows, words, self.refused, _POWERS, long)
        if n:
            rows = long[:n]
            begins, ends = self.cells[rows, cell, sk.BEGIN].tolist(), self.cells[rows, cell, sk.END].tolist()
            words[rows] = [float(self.data[a:b].tobytes()) for a, b in zip(begins, ends, strict=True)]
            words[rows] += 0.0  # minus zero becomes zero
            self.refused[rows] |= ~np.isfinite(words[rows])


def reads(stream: Stream) -> bool:
    """Whether all fields are where a kernel looks: not within lists, and no field within another."""
    paths = {path for path, _ in stream.fields}
    if any(step.isdecimal() for path in paths for step in path):
        return False
    inner = {path[:depth] for path in paths for depth in range(1, len(path))}
    return not inner & paths and len(inner) < sk.DEPTH - 1


def _shape(cells: dict[Path, int]) -> sk.Shape:
    """The names to look for, from the cell of each path."""
    objects: dict[Path, int] = {(): 0}
    names: dict[Path, tuple[int, int]] = {}  # by path: its cell, and the object that it is
    for path, cell in cells.items():
        for depth in range(1, len(path)):
            number = objects.setdefault(path[:depth], len(objects))
            names[path[:depth]] = (-1, number)
        names[path] = (cell, -1)
    rows, spelled = [], b""
    for path, (cell, below) in names.items():
        name = path[-1].encode()
        rows.append((objects[path[:-1]], len(spelled), len(name), cell, below))
        spelled += name
    slots = 4 << len(rows).bit_length()
    table = np.full(slots, sk.NO_NAME, np.int32)
    shape = sk.Shape(np.array(rows, np.int64).reshape(-1, 5), np.frombuffer(spelled or b" ", np.uint8), table)
    sk.enter(shape)
    return shape


def _check_encoding(
    data: bytes, whole: slice, documents: npt.NDArray[np.int32], refused: npt.NDArray[np.bool_]
) -> None:
    """Refuse the documents that are not UTF-8; all of them stand in one part of the data."""
    try:
        data[whole].decode()
    except UnicodeDecodeError:
        for row in np.flatnonzero(documents[:, sk.FATE] == sk.FAR).tolist():
            try:
                data[documents[row, sk.START] : documents[row, sk.STOP]].decode()
            except UnicodeDecodeError:
                refused[row] = True
