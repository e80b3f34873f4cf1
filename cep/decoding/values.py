"""Values as they come to words as the kernels take them, column by column.

A value is what a JSON parser yields, or `bytes` for the text of a flat field, or a `datetime`. `word` is the law for
one value; `column` is the same over many, in C where all of them are ordinary. A value is converted exactly or refused:
there is no rounding, no guessing and no silent null.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from cep.engine.strings import Strings
from cep.layout.columns import MONEY_LIMIT, MONEY_UNITS, NULL

Ints = npt.NDArray[np.int64]
Wrong = tuple[int, str]  # the place of a refused value, and why

TIME_LIMIT_US = 7_258_118_400_000_000  # the year 2200
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_SECONDS_BELOW, _MILLISECONDS_BELOW = 10**11, 10**14  # an epoch number's unit is told from its size
_NAN_WORD: int = struct.unpack("<q", struct.pack("<d", float("nan")))[0]
_NUMBER = re.compile(r"-?\d{1,400}(?:\.\d{1,400})?(?:[eE][+-]?\d{1,4})?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,30}(?:\.0{1,30})?", re.ASCII)
_DECIMAL = re.compile(r"(-?)(\d{1,30})(?:\.(\d{1,30}))?", re.ASCII)
_SHORT_DECIMAL = re.compile(r"-?\d{1,11}(?:\.\d{1,4})?", re.ASCII)  # 15 digits: its float stands for no other one
_FLAGS = {
    "true": True,
    "false": False,
    "True": True,
    "False": False,
    "TRUE": True,
    "FALSE": False,
    "1": True,
    "0": False,
}


def word(kind: str, value: object, strings: Strings) -> int:
    """The word of one value. Raises ValueError, which says what was expected."""
    if type(value) is bytes:
        value = from_text(kind, value)
    if value is None:
        return _NAN_WORD if kind == "number" else NULL
    if kind == "text":
        return strings.id(value if type(value) is str else _refuse(kind, value))
    return _WORD[kind](value)


def column(kind: str, values: Sequence[object], strings: Strings) -> tuple[Ints, list[Wrong]]:
    """The words of many values, shape (len(values),), and the places of the refused ones, in order."""
    types = set(map(type, values))
    if bytes in types or (kind == "money" and str in types):
        values = _from_texts(kind, values) if types == {bytes} else [_lenient(kind, value) for value in values]
        types = set(map(type, values))
    has_null = NoneType in types
    types.discard(NoneType)
    if kind == "text" and types <= {str}:
        return strings.ids(values), []  # type: ignore[arg-type]  # they are str or None
    ordinary, words_of = _FAST.get((kind, datetime in types), _NEVER)
    if not types <= ordinary:
        return _one_by_one(kind, values, strings)
    neutral = EPOCH if datetime in types else 0
    try:
        words, doubtful = words_of([neutral if v is None else v for v in values] if has_null else values)
    except (OverflowError, TypeError):
        return _one_by_one(kind, values, strings)
    if has_null:
        words[[place for place, value in enumerate(values) if value is None]] = word(kind, None, strings)
    wrong = []
    for place in np.flatnonzero(doubtful).tolist():
        try:
            words[place] = word(kind, values[place], strings)
        except ValueError as error:
            wrong.append((place, str(error)))
    return words, wrong


def many(
    kind: str, values: npt.NDArray[Any], null: npt.NDArray[np.bool_] | None, strings: Strings
) -> tuple[Ints, list[Wrong]]:
    """`column` over what is an array already: floats for numbers and money, integers for those, integers and times.

    null: which of them are null, if any.
    """
    words, doubtful = _FAST[kind, False][1](values)  # type: ignore[arg-type]  # an array is as good as a list
    if null is not None:
        words[null] = word(kind, None, strings)
        doubtful &= ~null
    wrong = []
    for place in np.flatnonzero(doubtful).tolist():
        try:
            words[place] = word(kind, values[place].item(), strings)
        except ValueError as error:
            wrong.append((place, str(error)))
    return words, wrong


def from_text(kind: str, raw: bytes) -> object:
    """The value that the text of a flat field stands for; None for empty text. Raises ValueError."""
    text = raw.decode()
    return _FROM_TEXT[kind](text) if text else None


# ------------------------------------------------------------------------------- one value at a time


def describe(value: object) -> str:
    """A value in a few words, for people."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        return f"text {value[:40]!r}"
    if type(value) in (int, float):
        return f"the number {str(value)[:40]}"
    names = {bool: "true or false", dict: "an object", list: "an array", NoneType: "null"}
    return names.get(type(value), str(value))


def _refuse(kind: str, value: object) -> Any:
    raise ValueError(f"{kind} expected, not {describe(value)}")


def _number_of(text: str) -> object:
    return float(text) if _NUMBER.fullmatch(text) else _refuse("number", text)


def _integer_of(text: str) -> object:
    return int(text.partition(".")[0]) if _INTEGER.fullmatch(text) else _refuse("integer", text)


def _money_of(text: str) -> object:
    return float(text) if _SHORT_DECIMAL.fullmatch(text) else text


def _flag_of(text: str) -> object:
    return _FLAGS[text] if text in _FLAGS else _refuse("flag", text)


def _time_of(text: str) -> object:
    if _INTEGER.fullmatch(text):
        return int(text.partition(".")[0])
    return float(text) if _NUMBER.fullmatch(text) else text


def _lenient(kind: str, value: object) -> object:
    """Text as the ordinary value that it stands for, or as it is where `word` will refuse it, and say why."""
    if type(value) is bytes:
        try:
            return from_text(kind, value)
        except ValueError:
            return value
    return _money_of(value) if kind == "money" and isinstance(value, str) else value


def _from_texts(kind: str, texts: Sequence[Any]) -> Sequence[object]:
    """`_lenient` over many texts of flat fields, which are looked at as one text where they may be plain numbers."""
    plain, convert = _PLAIN.get(kind, (None, None))
    joined = b"\n".join(texts)
    if plain is not None and convert is not None and joined.count(b"\n") == len(texts) - 1 and plain.fullmatch(joined):
        return list(map(convert, texts))
    if kind == "text":
        try:
            return [text.decode() if text else None for text in texts]
        except UnicodeDecodeError:
            pass
    return [_lenient(kind, text) for text in texts]


def _one_by_one(kind: str, values: Sequence[object], strings: Strings) -> tuple[Ints, list[Wrong]]:
    words = np.full(len(values), NULL, np.int64)
    wrong = []
    for place, value in enumerate(values):
        try:
            words[place] = word(kind, value, strings)
        except ValueError as error:
            wrong.append((place, str(error)))
    return words, wrong


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return int(_refuse("number", value))
    try:
        number = float(value) + 0.0  # minus zero becomes zero
    except OverflowError:
        number = float("inf")
    if number - number != 0.0:
        raise ValueError("number out of range")
    words: tuple[int] = struct.unpack("<q", struct.pack("<d", number))
    return words[0]


def _integer(value: object) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        return int(_refuse("integer", value))
    if not NULL < value < 2**63:
        raise ValueError("integer out of range: 64 bits are kept")
    return value


def _money(value: object) -> int:
    if type(value) is float:
        units = round(value * MONEY_UNITS) if abs(value) < MONEY_LIMIT else MONEY_LIMIT
        exact = units / MONEY_UNITS == value
    elif type(value) is int:
        units, exact = value * MONEY_UNITS, True
    elif type(value) is str and (match := _DECIMAL.fullmatch(value)):
        sign, whole, decimals = match[1], match[2], match[3] or ""
        units = int(whole) * MONEY_UNITS + int(decimals[:4].ljust(4, "0"))
        units, exact = (-units if sign else units), not decimals[4:].strip("0")
    else:
        _refuse("money", value)
    if abs(units) >= MONEY_LIMIT:
        raise ValueError(f"money out of range: amounts stay below {MONEY_LIMIT // MONEY_UNITS}")
    if not exact:
        raise ValueError(f"money has at most four decimals, not {value}")
    return units


def _flag(value: object) -> int:
    return int(value) if type(value) is bool else int(_refuse("flag", value))


def _time(value: object) -> int:
    if type(value) is str:
        try:
            value = msgspec.convert(value, datetime)
        except msgspec.ValidationError:
            _refuse("time (RFC 3339 or epoch)", value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("time without a zone: write Z or an offset such as +02:00")
        time_us = (value - EPOCH) // _US
    elif type(value) is int:
        time_us = value * (10**6 if value < _SECONDS_BELOW else 10**3 if value < _MILLISECONDS_BELOW else 1)
    elif type(value) is float and abs(value) < TIME_LIMIT_US:
        time_us = round(value * (1e6 if value < _SECONDS_BELOW else 1e3 if value < _MILLISECONDS_BELOW else 1.0))
    else:
        _refuse("time (RFC 3339 or epoch)", value)
    if not 0 <= time_us < TIME_LIMIT_US:
        raise ValueError("time outside the years 1970 to 2199")
    return time_us


# -------------------------------------------------------------------------------------- many values
# Each returns the words and the places to look at again, shape (n,) both; OverflowError: look at all of them.


def _numbers(values: Sequence[Any]) -> tuple[Ints, npt.NDArray[np.bool_]]:
    numbers = np.array(values, np.float64) + 0.0
    return numbers.view(np.int64), ~np.isfinite(numbers)


def _integers(values: Sequence[Any]) -> tuple[Ints, npt.NDArray[np.bool_]]:
    words = np.array(values, np.int64)
    return words, words == NULL


def _moneys(values: Sequence[Any]) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Money from floats, exactly.

    An amount a with at most four decimals below 1e11 has at most 15 significant digits, so it is the only such decimal
    that reads as its float x. x * 10,000 is off from 10,000 a by less than 0.3, so `rint` finds it; and the division of
    two exact floats is rounded correctly, so it gives x back if and only if x is the float of that decimal.
    """
    amounts = np.array(values, np.float64)
    units = np.rint(amounts * MONEY_UNITS)
    doubtful = ~((units / MONEY_UNITS == amounts) & (np.abs(units) < MONEY_LIMIT))
    return np.where(doubtful, 0.0, units).astype(np.int64), doubtful


def _times(values: Sequence[Any]) -> tuple[Ints, npt.NDArray[np.bool_]]:
    numbers = np.array(values, np.int64)
    doubtful = (numbers < 0) | (numbers >= TIME_LIMIT_US)
    numbers = np.where(doubtful, 0, numbers)
    unit = np.where(numbers < _SECONDS_BELOW, 10**6, np.where(numbers < _MILLISECONDS_BELOW, 10**3, 1))
    words = numbers * unit
    return words, doubtful | (words >= TIME_LIMIT_US)


def _dates(values: Sequence[Any]) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Times from datetimes. Raises TypeError where one has no zone."""
    words = np.array([value - EPOCH for value in values], "timedelta64[us]").view(np.int64)
    return words, (words < 0) | (words >= TIME_LIMIT_US)


_WORD: dict[str, Callable[[object], int]] = {
    "number": _number,
    "integer": _integer,
    "money": _money,
    "flag": _flag,
    "time": _time,
}
_FROM_TEXT: dict[str, Callable[[str], object]] = {
    "text": str,
    "number": _number_of,
    "integer": _integer_of,
    "money": _money_of,
    "flag": _flag_of,
    "time": _time_of,
}


def _lines_of(number: bytes) -> re.Pattern[bytes]:
    return re.compile(number + rb"(?:\n" + number + rb")*+")


_PLAIN: dict[str, tuple[re.Pattern[bytes], Callable[[bytes], float]]] = {  # numbers as they are commonly written
    "integer": (_lines_of(rb"-?\d{1,18}"), int),
    "time": (_lines_of(rb"-?\d{1,18}"), int),
    "number": (_lines_of(rb"-?\d{1,15}(?:\.\d{1,15})?"), float),
    "money": (_lines_of(rb"-?\d{1,11}(?:\.\d{1,4})?"), float),
}
_Fast = tuple[set[type], Callable[[Sequence[Any]], tuple[Ints, npt.NDArray[np.bool_]]]]
_FAST: dict[tuple[str, bool], _Fast] = {  # by kind, and whether there are datetimes: which types, and how
    ("number", False): ({int, float}, _numbers),
    ("integer", False): ({int}, _integers),
    ("money", False): ({float}, _moneys),
    ("flag", False): ({bool}, _integers),
    ("time", False): ({int}, _times),
    ("time", True): ({datetime}, _dates),
}
_NEVER: _Fast = (set(), _integers)
