"""Cells to words, a column at a time: exactly, or not at all.

Each kernel reads one cell of some documents and writes a word for each; where a cell is not what the kind asks for, or
not written in the way that is read here, it marks the document as refused and leaves the judgement to the law for one
value (`cep.decoding.values`). What is written here is what that law would have given.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, kernel
from cep.kernels.ahead import LATER, ahead, fetch
from cep.kernels.eight import word
from cep.kernels.scan import (
    ABSENT,
    BEGIN,
    END,
    ESCAPED,
    FALSE,
    INTEGER,
    REAL,
    TEXT,
    TRUE,
    WHAT,
    Bytes,
    Ints,
    Places,
    byte,
)
from cep.layout.columns import MONEY_LIMIT, NULL

Marks = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

EXACT_POWER = 22  # of ten, the largest that a float holds exactly
EXACT_INTEGER = 2**53
DIGITS_MAX = 18  # that fit into a word whatever they are
SECONDS_BELOW, MILLISECONDS_BELOW = 10**11, 10**14  # an epoch number's unit is told from its size
TIME_LIMIT_US = 7_258_118_400_000_000  # the year 2200
US_PER_DAY = 86_400_000_000

SPAN, HEAD, NEXT, WORD = range(4)  # the columns of a text: where it stands, its first sixteen bytes, what it stands for
LENGTH_BITS = 32  # of a span, which is first << LENGTH_BITS | length
LENGTHS = (1 << LENGTH_BITS) - 1
TEXTS, BYTES, SECRET = range(3)  # the places of Texts.count


class Texts(NamedTuple):
    """Texts as they are written, numbered from 0. table: number or -1, twice as long as there is room for texts.

    entries: (texts, 4) of SPAN …; spelled: their bytes; count: (4,) TEXTS, BYTES, and from SECRET on two words, the
    key of their hashes.
    """

    table: Places
    entries: Ints
    spelled: Bytes
    count: Ints


@inline
def digits(data: Bytes, at: int, end: int, most: int) -> tuple[int, int]:
    """The number that at most so many digits from `at` on make, and the first place behind them."""
    value, last = np.int64(0), min(end, at + most)
    while at < last and 48 <= byte(data, at) <= 57:
        value = value * 10 + (np.int64(byte(data, at)) - 48)
        at += 1
    return value, at


@inline
def whole(data: Bytes, at: int, end: int) -> tuple[int, bool]:
    """The integer from `at` to `end`, and whether it is one of few enough digits."""
    is_negative = data[at] == 45
    if is_negative:
        at += 1
    value, stop = digits(data, at, end, DIGITS_MAX)
    return -value if is_negative else value, stop == end and stop > at


@inline
def decimal(data: Bytes, at: int, end: int) -> tuple[int, int, bool]:
    """Mantissa and number of decimals of the decimal from `at` to `end`, and whether it is a short one."""
    is_negative = data[at] == 45
    if is_negative:
        at += 1
    value, stop = digits(data, at, end, DIGITS_MAX)
    is_short, decimals = stop > at, 0
    if is_short and stop < end and data[stop] == 46:
        used = stop - at
        at = stop + 1
        while at < end and used < DIGITS_MAX and 48 <= data[at] <= 57:
            value = value * 10 + (np.int64(data[at]) - 48)
            at, used, decimals = at + 1, used + 1, decimals + 1
        is_short, stop = decimals > 0, at
    return -value if is_negative else value, decimals, is_short and stop == end


@kernel
def integers(data: Bytes, cells: Places, cell: int, rows: Ints, words: Ints, refused: Marks) -> None:
    """Whole numbers."""
    for row in rows:
        what = cells[row, cell, WHAT]
        words[row] = NULL
        if what == INTEGER:
            value, is_fine = whole(data, np.int64(cells[row, cell, BEGIN]), np.int64(cells[row, cell, END]))
            words[row] = value
            refused[row] |= not is_fine
        elif what != ABSENT:
            refused[row] = True


@kernel
def flags(data: Bytes, cells: Places, cell: int, rows: Ints, words: Ints, refused: Marks) -> None:
    """True and false."""
    for row in rows:
        what = cells[row, cell, WHAT]
        words[row] = np.int64(1) if what == TRUE else np.int64(0) if what == FALSE else NULL
        if what != TRUE and what != FALSE and what != ABSENT:
            refused[row] = True


@kernel
def moneys(data: Bytes, cells: Places, cell: int, rows: Ints, words: Ints, refused: Marks) -> None:
    """Amounts: decimals with at most four places, also as texts. No float comes near them."""
    for row in rows:
        what = cells[row, cell, WHAT]
        words[row] = NULL
        if what == INTEGER or what == REAL or what == TEXT:
            value, decimals, is_fine = decimal(data, np.int64(cells[row, cell, BEGIN]), np.int64(cells[row, cell, END]))
            is_fine = is_fine and decimals <= 4
            for _ in range(4 - decimals):
                is_fine = is_fine and -MONEY_LIMIT < value < MONEY_LIMIT
                value = value * 10 if is_fine else value
            is_fine = is_fine and -MONEY_LIMIT < value < MONEY_LIMIT
            words[row] = value
            refused[row] |= not is_fine
        elif what != ABSENT:
            refused[row] = True


@kernel
def numbers(
    data: Bytes, cells: Places, cell: int, rows: Ints, words: Floats, refused: Marks, powers: Floats, long: Ints
) -> int:
    """Floats; returns how many rows were put into `long`, whose numbers have too many digits to be read here.

    The quotient of two integers that floats hold exactly is rounded once, so it is the float nearest to the decimal
    (Clinger, How to read floating point numbers accurately, 1990). powers: of ten, 0 to EXACT_POWER.
    """
    n = 0
    for row in rows:
        what = cells[row, cell, WHAT]
        words[row] = np.nan
        if what == INTEGER or what == REAL:
            value, decimals, is_fine = decimal(data, np.int64(cells[row, cell, BEGIN]), np.int64(cells[row, cell, END]))
            if is_fine and -EXACT_INTEGER <= value <= EXACT_INTEGER:
                words[row] = np.float64(value) / powers[decimals]
            else:
                long[n] = row
                n += 1
        elif what != ABSENT:
            refused[row] = True
    return n


@inline
def epoch_us(value: int) -> int:
    """An epoch number in µs, or -1 when it is out of bounds; its unit is told from its size."""
    if value < 0 or value >= TIME_LIMIT_US:
        return np.int64(-1)
    us = value * (1_000_000 if value < SECONDS_BELOW else 1000 if value < MILLISECONDS_BELOW else 1)
    return us if us < TIME_LIMIT_US else np.int64(-1)


@inline
def days_of(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 (Hinnant, chrono-compatible low-level date algorithms, days_from_civil)."""
    y = year - 1 if month <= 2 else year
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    of_era = (y % 400) * 365 + (y % 400) // 4 - (y % 400) // 100 + of_year
    return (y // 400) * 146097 + of_era - 719468


@inline
def month_days(year: int, month: int) -> int:
    """How many days a month has."""
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


@inline
def two(data: Bytes, at: int) -> int:
    """The number that two digits make; 100 where they are none."""
    if 48 <= data[at] <= 57 and 48 <= data[at + 1] <= 57:
        return (np.int64(data[at]) - 48) * 10 + np.int64(data[at + 1]) - 48
    return np.int64(100)


@inline
def zone_us(data: Bytes, at: int, end: int) -> tuple[int, bool]:
    """What a zone is ahead of UTC, and whether Z or such as +02:00 stands from `at` to `end`."""
    if end - at == 1 and data[at] == 90:
        return np.int64(0), True
    if end - at != 6 or (data[at] != 43 and data[at] != 45) or data[at + 3] != 58:
        return np.int64(0), False
    hours, minutes = two(data, at + 1), two(data, at + 4)
    us = (hours * 60 + minutes) * 60_000_000
    return -us if data[at] == 45 else us, hours < 24 and minutes < 60


@inline
def moment_us(data: Bytes, at: int, end: int) -> int:
    """The time from `at` to `end`, such as 2026-01-05T12:00:41.25Z, in µs; -1 when it is written otherwise."""
    if end - at < 20 or data[at + 4] != 45 or data[at + 7] != 45 or data[at + 10] != 84:
        return np.int64(-1)
    if data[at + 13] != 58 or data[at + 16] != 58:
        return np.int64(-1)
    century, year, month, day = two(data, at), two(data, at + 2), two(data, at + 5), two(data, at + 8)
    hour, minute, second = two(data, at + 11), two(data, at + 14), two(data, at + 17)
    if century > 99 or year > 99 or not 1 <= month <= 12 or hour > 23 or minute > 59 or second > 59:
        return np.int64(-1)
    year += century * 100
    if not 1 <= day <= month_days(year, month):
        return np.int64(-1)
    at += 19
    fraction = np.int64(0)
    if data[at] == 46:
        fraction, stop = digits(data, at + 1, end, 6)
        if stop == at + 1:
            return np.int64(-1)
        for _ in range(7 - (stop - at)):
            fraction *= 10
        at = stop
    ahead, is_fine = zone_us(data, at, end)
    us = days_of(year, month, day) * US_PER_DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction - ahead
    return us if is_fine and 0 <= us < TIME_LIMIT_US else np.int64(-1)


@kernel
def times(data: Bytes, cells: Places, cell: int, rows: Ints, words: Ints, refused: Marks) -> None:
    """Times: whole epoch numbers, or texts as in RFC 3339."""
    for row in rows:
        what, begin, end = cells[row, cell, WHAT], np.int64(cells[row, cell, BEGIN]), np.int64(cells[row, cell, END])
        words[row] = NULL
        if what == INTEGER:
            value, is_fine = whole(data, begin, end)
            words[row] = epoch_us(value) if is_fine else np.int64(-1)
            refused[row] |= words[row] < 0
        elif what == TEXT:
            words[row] = moment_us(data, begin, end)
            refused[row] |= words[row] < 0
        elif what != ABSENT:
            refused[row] = True


@inline
def rotated(value: int, bits: int) -> int:
    """A 64-bit number, its top bits moved to its end."""
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@inline
def round_of(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    """A round of SipHash over its state."""
    a += b
    c += d
    b = rotated(b, 13) ^ a
    d = rotated(d, 16) ^ c
    a = rotated(a, 32) + d
    c += b
    return a, rotated(b, 17) ^ c, rotated(c, 32), rotated(d, 21) ^ a


@inline
def hash_of(data: Bytes, begin: int, end: int, key: Ints) -> int:
    """A 63-bit hash of some bytes: SipHash-1-3 (Aumasson and Bernstein 2012), as Python has it for texts.

    Who does not know the key, two words, cannot make up texts that all stand in one place.
    """
    first, second = np.uint64(key[0]), np.uint64(key[1])
    a, b = first ^ np.uint64(0x736F6D6570736575), second ^ np.uint64(0x646F72616E646F6D)
    c, d = first ^ np.uint64(0x6C7967656E657261), second ^ np.uint64(0x7465646279746573)
    length = np.uint64(end - begin)
    while end - begin >= 8:
        eight = word(data, begin, begin + 8)
        a, b, c, d = round_of(a, b, c, d ^ eight)
        a ^= eight
        begin += 8
    rest = (length << np.uint64(56)) | word(data, begin, end)
    a, b, c, d = round_of(a, b, c, d ^ rest)
    a, b, c, d = round_of(a ^ rest, b, c ^ np.uint64(0xFF), d)
    a, b, c, d = round_of(a, b, c, d)
    a, b, c, d = round_of(a, b, c, d)
    return np.int64((a ^ b ^ c ^ d) >> np.uint64(1))


@inline
def is_spelled(data: Bytes, begin: int, end: int, texts: Texts, number: int) -> bool:
    """Whether a text is the one of a number."""
    length, span = end - begin, texts.entries[number, SPAN]
    if span & LENGTHS != length:
        return False
    if texts.entries[number, HEAD] != np.int64(word(data, begin, min(end, begin + 8))):
        return False
    if length <= 16:
        return texts.entries[number, NEXT] == np.int64(word(data, begin + 8, end))
    first = span >> LENGTH_BITS
    for i in range(8, length):
        if texts.spelled[first + i] != data[begin + i]:
            return False
    return True


@inline
def number_of(data: Bytes, begin: int, end: int, h: int, texts: Texts) -> int:
    """The number of a text, a new one if there is none yet; -1 when there is no room for it."""
    mask = len(texts.table) - 1
    at = h & mask
    while texts.table[at] >= 0:
        number = np.int64(texts.table[at])
        if is_spelled(data, begin, end, texts, number):
            return number
        at = (at + 1) & mask
    number, first = texts.count[TEXTS], texts.count[BYTES]
    if number == len(texts.entries) or first + (end - begin) > len(texts.spelled):
        return np.int64(-1)
    texts.table[at] = number
    texts.entries[number, SPAN] = (first << LENGTH_BITS) | (end - begin)
    texts.entries[number, HEAD] = np.int64(word(data, begin, min(end, begin + 8)))
    texts.entries[number, NEXT] = np.int64(word(data, begin + 8, min(end, begin + 16)))
    for i in range(end - begin):
        texts.spelled[first + i] = data[begin + i]
    texts.count[TEXTS], texts.count[BYTES] = number + 1, first + (end - begin)
    return number


@inline
def is_canonical(data: Bytes, begin: int, end: int) -> bool:
    """Whether an integer is written as Python would write it, and in few enough digits."""
    return end - begin <= DIGITS_MAX and not (data[begin] == 45 and data[begin + 1] == 48)


@kernel
def hashes(
    data: Bytes, cells: Places, cell: int, rows: Ints, words: Ints, refused: Marks, integers_too: bool, key: Ints
) -> None:
    """Hash the texts, null being NULL. key: (2,)."""
    for row in rows:
        what, begin, end = cells[row, cell, WHAT], np.int64(cells[row, cell, BEGIN]), np.int64(cells[row, cell, END])
        words[row] = NULL
        if what == TEXT or what == ESCAPED or (integers_too and what == INTEGER and is_canonical(data, begin, end)):
            words[row] = hash_of(data, begin, end, key)
        elif what != ABSENT:
            refused[row] = True


@kernel
def known(
    data: Bytes, cells: Places, cell: int, rows: Ints, words: Ints, texts: Texts, most: int, fresh: Places
) -> tuple[int, int]:
    """Words in place of `hashes`, and the number of a text that is not one of the first `most`, whose words are known.

    Returns how many of `rows` are done, fewer where `texts` has no more room, and how many of these got numbers; they
    are the first of fresh[0]. First all are looked up where they would stand if nothing were in their way, so that the
    memory is waited for once and not once for each. fresh: (2, rows).
    """
    mask, n, likely = len(texts.table) - 1, 0, fresh[1]
    for place in range(len(rows)):
        likely[place] = texts.table[words[rows[place]] & mask]
    for place in range(len(rows)):
        fetch(texts.entries, ahead(likely, place, LATER), 0)
        row = rows[place]
        if words[row] == NULL:
            continue
        begin, end = np.int64(cells[row, cell, BEGIN]), np.int64(cells[row, cell, END])
        found = np.int64(likely[place])
        if found < 0 or not is_spelled(data, begin, end, texts, found):
            found = number_of(data, begin, end, words[row], texts)
        if found < 0:
            return place, n
        words[row] = texts.entries[found, WORD]
        if found >= most:
            words[row] = found
            fresh[0, n] = row
            n += 1
    return len(rows), n


@kernel
def enter(texts: Texts) -> None:
    """Fill the table of texts that have been moved into a larger one."""
    mask, key = len(texts.table) - 1, texts.count[SECRET:]
    for text in range(texts.count[TEXTS]):
        span = texts.entries[text, SPAN]
        first = span >> LENGTH_BITS
        at = hash_of(texts.spelled, first, first + (span & LENGTHS), key) & mask
        while texts.table[at] >= 0:
            at = (at + 1) & mask
        texts.table[at] = text
