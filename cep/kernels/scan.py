"""JSON documents to cells: where in the bytes each wanted value stands, and what it is, without a Python object.

Only what is plain is read here: an object whose syntax is checked to the last byte, without escapes in its names,
`DEPTH` deep at most. Whatever else stands there is `ODD` and is left to a reader that can say what is wrong with it, so
this one never judges: what it accepts, every JSON parser accepts and reads as it does.

Every document is followed by a line end, which is plain nowhere within one; so no loop has to look where the bytes end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit, kernel
from cep.kernels.eight import are_same, plain_end

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]

DEPTH = 60  # objects and lists within each other
NUMBER_BYTES_MAX = 200

# What a cell holds. ABSENT: nothing, or null. ESCAPED: a text with escapes. OTHER: an object or a list.
ABSENT, TEXT, ESCAPED, INTEGER, REAL, TRUE, FALSE, OTHER = range(8)
BEGIN, END, WHAT = range(3)  # the columns of a cell

# What became of a document. FAR: it has bytes beyond ASCII, which somebody has to check. ODD_ENTRY: all of its entry.
PLAIN, FAR, ODD, ODD_ENTRY = range(4)
ENTRY, PLACE, START, STOP, FATE = range(5)  # the columns of a document

# The columns of a name: the object that it stands in, where its bytes are, its cell or -1, the object below it or -1.
OWNER, FIRST, LENGTH, CELL, BELOW = range(5)
AT, SIZE, OF, NAME = range(4)  # the columns of a member as it was in the document before
MEMBERS = 64  # of a document that are remembered for the next
SKIPPED, LIST = -1, -2  # what is open: an object or a list in which nothing is wanted; others are objects by number
NO_NAME = -1
SEED = 1_000_003

_QUOTE, _BACKSLASH, _COMMA, _COLON, _MINUS = ord('"'), ord("\\"), ord(","), ord(":"), ord("-")
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _LINE_END = ord("{"), ord("}"), ord("["), ord("]"), ord("\n")
_ORDINARY, _FAR = 0, 1  # of a byte within a text; anything else ends the run of such bytes
_IN_TEXT = np.full(256, 2, np.uint8)
_IN_TEXT[0x20:0x80] = _ORDINARY
_IN_TEXT[0x80:] = _FAR
_IN_TEXT[[_QUOTE, _BACKSLASH]] = 2
_ESCAPES = np.zeros(256, np.uint8)  # what may stand behind a backslash; \u is odd, since it may be half a character
_ESCAPES[list(b'"\\/bfnrt')] = 1


class Shape(NamedTuple):
    """What is wanted. names: (names, 5) of OWNER …; spelled: their bytes; table: open addressing, name or NO_NAME."""

    names: Ints
    spelled: Bytes
    table: Places


class Found(NamedTuple):
    """What is written. documents: (n, 5) of ENTRY …; cells: (n, cells, 3) of BEGIN …."""

    documents: Places
    cells: Places


@inline
def byte(data: Bytes, at: int) -> int:
    """The byte at a place that is not negative, which an unsigned index tells the compiler."""
    return data[np.uint64(at)]


@inline
def space(data: Bytes, at: int) -> int:
    """The first byte at or behind `at` that is no white space; a line end is none here."""
    while byte(data, at) == 32 or byte(data, at) == 9 or byte(data, at) == 13:
        at += 1
    return at


@inline
def hashed(h: int, byte: int) -> int:
    """The hash of a name with one more byte."""
    return (h * 31 + byte) & 0xFFFFFFFF


@inline
def name_of(data: Bytes, begin: int, end: int, owner: int, h: int, shape: Shape) -> int:
    """The name that stands there, or NO_NAME."""
    mask = len(shape.table) - 1
    at = (h ^ (h >> 15)) & mask
    while shape.table[at] >= 0:
        name = np.int64(shape.table[at])
        if shape.names[name, OWNER] == owner and shape.names[name, LENGTH] == end - begin:
            first = shape.names[name, FIRST]
            same = True
            for i in range(end - begin):
                if byte(data, begin + i) != shape.spelled[first + i]:
                    same = False
                    break
            if same:
                return name
        at = (at + 1) & mask
    return np.int64(NO_NAME)


@kernel
def enter(shape: Shape) -> None:
    """Fill the table of a shape."""
    mask = len(shape.table) - 1
    for name in range(len(shape.names)):
        h = shape.names[name, OWNER] * SEED
        for i in range(shape.names[name, LENGTH]):
            h = hashed(h, np.int64(shape.spelled[shape.names[name, FIRST] + i]))
        at = (h ^ (h >> 15)) & mask
        while shape.table[at] >= 0:
            at = (at + 1) & mask
        shape.table[at] = name


@inline
def text_end(data: Bytes, at: int) -> tuple[int, int, int]:
    """The closing quote of the text that begins at `at`, or -1; whether it has escapes, and bytes beyond ASCII."""
    what, far = np.int64(TEXT), np.int64(PLAIN)
    while True:
        at = plain_end(data, at)
        while _IN_TEXT[byte(data, at)] == _ORDINARY:
            at += 1
        c = byte(data, at)
        if c == _QUOTE:
            return at, what, far
        if c >= 0x80:
            far = np.int64(FAR)
            at += 1
        elif c == _BACKSLASH and _ESCAPES[byte(data, at + 1)]:
            what = np.int64(ESCAPED)
            at += 2
        else:
            return np.int64(-1), what, far


@inline
def is_digit(c: int) -> bool:
    """Whether a byte is one of 0 to 9."""
    return 48 <= c <= 57


@inline
def number_end(data: Bytes, at: int) -> tuple[int, int]:
    """The first byte behind the number that begins at `at`, or -1; INTEGER or REAL. One beyond all floats is odd."""
    what, begin = np.int64(INTEGER), at
    if byte(data, at) == _MINUS:
        at += 1
    first = at
    while is_digit(byte(data, at)):
        at += 1
    if at == first or (byte(data, first) == 48 and at > first + 1):
        return np.int64(-1), what
    if byte(data, at) == 46:
        what = np.int64(REAL)
        at += 1
        first = at
        while is_digit(byte(data, at)):
            at += 1
        if at == first:
            return np.int64(-1), what
    if byte(data, at) == 101 or byte(data, at) == 69:
        what = np.int64(REAL)
        at += 1
        if byte(data, at) == 43 or byte(data, at) == _MINUS:
            at += 1
        first = at
        while is_digit(byte(data, at)):
            at += 1
        if at == first or at > first + 2:
            return np.int64(-1), what
    return at if at - begin < NUMBER_BYTES_MAX else np.int64(-1), what


@inline
def word_end(data: Bytes, at: int) -> tuple[int, int]:
    """The first byte behind true, false or null at `at`, or -1; and which it is, null being ABSENT."""
    if byte(data, at) == 116 and byte(data, at + 1) == 114 and byte(data, at + 2) == 117 and byte(data, at + 3) == 101:
        return at + 4, np.int64(TRUE)
    if byte(data, at) == 110 and byte(data, at + 1) == 117 and byte(data, at + 2) == 108 and byte(data, at + 3) == 108:
        return at + 4, np.int64(ABSENT)
    if (
        byte(data, at) == 102
        and byte(data, at + 1) == 97
        and byte(data, at + 2) == 108
        and byte(data, at + 3) == 115
        and byte(data, at + 4) == 101
    ):
        return at + 5, np.int64(FALSE)
    return np.int64(-1), np.int64(ABSENT)


@inline
def member(data: Bytes, at: int, owner: int, shape: Shape) -> tuple[int, int]:
    """The byte behind the colon of the member whose name begins at `at`, or -1; which wanted name it is, or NO_NAME."""
    name = np.int64(NO_NAME)
    if byte(data, at) != _QUOTE:
        return np.int64(-1), name
    at += 1
    begin, h = at, owner * SEED
    while _IN_TEXT[byte(data, at)] == _ORDINARY:
        h = hashed(h, np.int64(byte(data, at)))
        at += 1
    if byte(data, at) != _QUOTE:
        return np.int64(-1), name
    if owner >= 0:
        name = name_of(data, begin, at, owner, h, shape)
    at = space(data, at + 1)
    return (at + 1 if byte(data, at) == _COLON else np.int64(-1)), name


@inline
def member_as_before(data: Bytes, at: int, owner: int, shape: Shape, before: Ints, n: int) -> tuple[int, int]:
    """As `member`; the nth of a document is likely to have the name that the nth of the one before had.

    before: (MEMBERS, 4) of where that stands, how long it is with its colon, its object and its name.
    """
    if (
        n < MEMBERS
        and before[n, SIZE]
        and before[n, OF] == owner
        and at + before[n, SIZE] <= len(data)
        and are_same(data, at, before[n, AT], before[n, SIZE])
    ):
        return at + before[n, SIZE], before[n, NAME]
    end, name = member(data, at, owner, shape)
    if n < MEMBERS and end >= 0:
        before[n, AT], before[n, SIZE], before[n, OF], before[n, NAME] = at, end - at, owner, name
    return end, name


@inline
def scalar(data: Bytes, at: int) -> tuple[int, int, int, int, int]:
    """A value that is neither object nor list: the first byte behind it or -1, BEGIN, END, WHAT, and PLAIN or FAR."""
    c, begin = byte(data, at), at
    if c == _QUOTE:
        end, what, far = text_end(data, at + 1)
        return end + 1 if end >= 0 else end, begin + 1, end, what, far
    if c == _MINUS or is_digit(c):
        end, what = number_end(data, at)
    else:
        end, what = word_end(data, at)
    return end, begin, end, what, np.int64(PLAIN)


@jit
def document(data: Bytes, at: int, shape: Shape, cells: Places, is_open: Ints, before: Ints) -> tuple[int, int]:
    """Read the object that begins at `at` into one row of cells: the first byte behind it or -1, and PLAIN or FAR.

    is_open: (2, DEPTH): what is open around the value under way; and, by number of an object that something is wanted
    of, whether it has been met, because a second one under the same name would take the place of the first. before: see
    `member_as_before`.
    """
    far = np.int64(PLAIN)
    if byte(data, at) != _OPEN:
        return np.int64(-1), far
    owner, depth, members = np.int64(0), 0, 0
    at = space(data, at + 1)
    is_empty = byte(data, at) == _CLOSE
    while True:
        if not is_empty:
            cell, below = np.int64(-1), np.int64(-1)
            if owner != LIST:
                at, name = member_as_before(data, at, owner, shape, before, members)
                if at < 0:
                    return at, far
                at = space(data, at)
                members += 1
                if name >= 0:
                    cell, below = shape.names[name, CELL], shape.names[name, BELOW]
            begin, end, what = at, at, np.int64(OTHER)
            if byte(data, at) == _OPEN or byte(data, at) == _OPEN_LIST:
                if depth == DEPTH - 1 or (below >= 0 and (byte(data, at) == _OPEN_LIST or is_open[1, below] != 0)):
                    return np.int64(-1), far
                is_open[0, depth] = owner
                depth += 1
                owner = np.int64(LIST) if byte(data, at) == _OPEN_LIST else below if below >= 0 else np.int64(SKIPPED)
                if below >= 0:
                    is_open[1, below] = 1
            else:
                at, begin, end, what, beyond = scalar(data, at)
                far = max(far, beyond)
                if at < 0 or (below >= 0 and (what != ABSENT or is_open[1, below] != 0)):
                    return np.int64(-1), far
            if cell >= 0:
                cells[cell, BEGIN] = begin
                cells[cell, END] = end
                cells[cell, WHAT] = what
            if what == OTHER:
                at = space(data, at + 1)
                is_empty = byte(data, at) == (_CLOSE_LIST if owner == LIST else _CLOSE)
                if not is_empty:
                    continue
        is_empty = False
        at = space(data, at)
        while byte(data, at) == (_CLOSE_LIST if owner == LIST else _CLOSE):
            if depth == 0:
                return space(data, at + 1), far
            depth -= 1
            owner = is_open[0, depth]
            at = space(data, at + 1)
        if byte(data, at) != _COMMA:
            return np.int64(-1), far
        at = space(data, at + 1)


@inline
def line_end(data: Bytes, at: int) -> tuple[int, bool]:
    """The line end at or behind `at`, and whether nothing but white space stands before it."""
    is_blank = True
    while byte(data, at) != _LINE_END:
        if byte(data, at) != 32 and not 9 <= byte(data, at) <= 13:
            is_blank = False
        at += 1
    return at, is_blank


@kernel
def scan(data: Bytes, spans: Ints, shape: Shape, found: Found, is_open: Ints, before: Ints) -> int:
    """Find the documents of entries: one in an entry, or one in each of its lines; returns how many.

    spans: (entries, 2), where each begins and ends in the data; behind it stands LF or CR LF. `found` has room for as
    many documents as there are line ends. An entry in several lines whose first is odd is odd as a whole.
    """
    n = 0
    before[:] = 0
    for entry in range(len(spans)):
        start, stop, place = spans[entry, 0], spans[entry, 1], 0
        at, base = start, n
        while at < stop or place == 0:
            begin = at
            found.cells[n] = 0
            is_open[1] = 0
            end, fate = document(data, space(data, at), shape, found.cells[n], is_open, before)
            if end < 0 or byte(data, end) != _LINE_END:
                fate = np.int64(ODD)
                end, is_blank = line_end(data, at)
                if is_blank and (place > 0 or end < stop):
                    at = end + 1
                    continue
                if place == 0:
                    end, fate, begin = stop, np.int64(ODD_ENTRY), start
            found.documents[n, ENTRY] = entry
            found.documents[n, PLACE] = place
            found.documents[n, START] = begin
            found.documents[n, STOP] = min(end, stop)
            found.documents[n, FATE] = fate
            n += 1
            place += 1
            at = end + 1
        if place == 1:  # a line end behind the only document, or before it, belongs to it
            found.documents[base, START] = start
            found.documents[base, STOP] = stop
    return n
