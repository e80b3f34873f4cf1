"""Arrow columns to columns: a table as the events of a stream, without a Python object for an event.

A column is taken as it is where its type says what it holds; any other goes value by value through the one law in
`values`, so a table is judged as the same events in JSON would be. pyarrow is an extra, imported when one comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import msgspec
import numpy as np
import numpy.typing as npt

from cep.decoding.plain import TYPE_NAME_MAX
from cep.decoding.projection import Path, loose
from cep.decoding.streams import Stream
from cep.decoding.values import TIME_LIMIT_US, Wrong, column, describe, many
from cep.decoding.vocabulary import Vocabulary
from cep.engine.strings import Strings
from cep.kernels import scan as sk
from cep.layout.columns import MONEY_LIMIT, NULL, TIME_SLOT

Ints = npt.NDArray[np.int64]

MAGIC = (b"ARROW1\0\0", b"\xff\xff\xff\xff")  # how a file begins, and how a stream does; JSON begins with neither
MISSING = "Arrow needs pyarrow: install cep[arrow]"


class ArrowError(Exception):
    """Bytes that are no Arrow tables."""


class Table(Sequence[Sequence[bytes]]):
    """A pyarrow table or record batch as entries of one nameless field, each a row as JSON when somebody asks."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, at: int) -> Sequence[bytes]: ...
    @overload
    def __getitem__(self, at: slice) -> Table: ...
    def __getitem__(self, at: int | slice) -> Sequence[bytes] | Table:
        if isinstance(at, int):
            return [b"", self.document(at)]
        first, last, step = at.indices(len(self))
        assert step == 1, "rows are taken in a row"
        return Table(self.table.slice(first, max(0, last - first)))

    def document(self, row: int) -> bytes:
        """A row as JSON."""
        return msgspec.json.encode(self.table.slice(row, 1).to_pylist()[0], enc_hook=str)


def is_arrow(value: bytes) -> bool:
    """Whether an entry's value is a table and not JSON."""
    return value.startswith(MAGIC)


def table_of(value: bytes) -> Table:
    """The table that an entry holds. Raises ArrowError."""
    try:
        import pyarrow
    except ImportError as error:
        raise ArrowError(MISSING) from error
    reader = pyarrow.ipc.open_file if value.startswith(MAGIC[0]) else pyarrow.ipc.open_stream
    try:
        table = reader(value).read_all()
        table.validate(full=True)  # a damaged one would be read beyond its end
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ArrowError(str(error).partition("\n")[0]) from error
    return Table(table)


def joined_tables(tables: Sequence[Any]) -> Table:
    """Tables of one schema as one."""
    return Table(tables[0] if len(tables) == 1 else pyarrow().concat_tables(tables))


@dataclass(slots=True)
class Read:
    """The rows (n,) that hold events which the program names, their indices (n,), words (slots, n).

    wrong: by row what is wrong with it: reason, detail and path. unknown: how many of each type that is not named.
    """

    rows: npt.NDArray[np.intp]
    events: npt.NDArray[np.int16]
    words: Ints
    wrong: dict[int, tuple[str, str, Path]]
    unknown: dict[str, int]


class ArrowReader:
    """Reads tables as events of one stream."""

    def __init__(self, stream: Stream, strings: Strings) -> None:
        self._stream = stream
        self._columns = _Columns(strings)

    def clear(self) -> None:
        """Forget the ids of texts."""
        self._columns.clear()

    def read(self, table: Any, entry_ms: Ints) -> Read:
        """Read a table or a record batch; `entry_ms`, shape (rows,), is the time of each row if it has no other."""
        stream, n = self._stream, table.num_rows
        wrong: dict[int, tuple[str, str, Path]] = {}
        unknown: dict[str, int] = {}
        events = self._events(table, n, wrong, unknown)
        words = np.empty((stream.slots, n), np.int64)
        words[TIME_SLOT + 1 :] = stream.nulls
        named = np.flatnonzero(events >= 0)
        if stream.time_path:
            times, refused = self._field(table, stream.time_path, "time", named)
            missing = np.flatnonzero(times == NULL).tolist()
            for place, detail in [*refused, *((place, "an event time is missing") for place in missing)]:
                wrong.setdefault(int(named[place]), ("time", detail, stream.time_path))
            _put(times, words[TIME_SLOT], named)
        else:
            words[TIME_SLOT] = entry_ms * 1000
        for members, columns in stream.columns:
            at = named if members.all() else named[members.take(events.take(named))]
            for slot, spec in columns if len(at) else ():
                found, refused = self._field(table, spec.path, spec.kind, at)
                _put(found, words[slot], at)
                for place, detail in refused:
                    wrong.setdefault(int(at[place]), ("field", detail, spec.path))
        if len(named) < n or wrong:
            keep = events >= 0
            keep[list(wrong)] = False
            rows = np.flatnonzero(keep)
            return Read(rows, events[rows], np.take(words, rows, axis=1), wrong, unknown)
        return Read(named, events, words, wrong, unknown)

    def _field(self, table: Any, path: Path, kind: str, at: Ints) -> tuple[Ints, list[Wrong]]:
        """The words of one field of some rows, and what is wrong with them."""
        array = array_of(table, path)
        if isinstance(array, list):
            array = [array[row] for row in at.tolist()]
        elif array is not None and len(at) < table.num_rows:
            array = array.take(pyarrow().array(at))
        return self._columns.words(path, kind, array, len(at))

    def _events(
        self, table: Any, n: int, wrong: dict[int, tuple[str, str, Path]], unknown: dict[str, int]
    ) -> npt.NDArray[np.int16]:
        """The index of each row's event; -1 where the program does not name it, or where it is refused."""
        path, types = self._stream.type_path, self._stream.types
        if not path:
            return np.full(n, self._stream.only, np.int16)
        if not n:
            return np.empty(0, np.int16)
        values, places = _distinct(array_of(table, path), n)
        known = [types.get(value, -1) if type(value) in (str, int) else -1 for value in values]
        events = np.array(known, np.int16).take(places)
        counts = np.bincount(places, minlength=len(values)).tolist() if min(known) < 0 else []
        for place, value in enumerate(values):
            if known[place] < 0 and counts and counts[place]:
                if type(value) in (str, int):
                    name = str(value)[:TYPE_NAME_MAX]
                    unknown[name] = unknown.get(name, 0) + counts[place]
                    continue
                detail = f"an event type expected, not {describe(value)}"
                wrong.update((row, ("type", detail, path)) for row in np.flatnonzero(places == place).tolist())
        return events


class _Columns:
    """Arrays to words. Texts are numbered once for each dictionary, which mostly stays the same."""

    def __init__(self, strings: Strings) -> None:
        self._strings = strings
        self._texts = Vocabulary(strings.ids, is_json=False)
        self._dictionaries: dict[Path, tuple[Any, Ints]] = {}

    def clear(self) -> None:
        """Forget the ids of texts."""
        self._texts.clear()
        self._dictionaries.clear()

    def words(self, path: Path, kind: str, array: Any, n: int) -> tuple[Ints, list[Wrong]]:
        """The words of an array, shape (n,), and what is wrong; None is an array of nulls, a list one of values."""
        if array is None:
            return column(kind, [None] * n, self._strings)
        if isinstance(array, list):
            return column(kind, array, self._strings)
        pa = pyarrow()
        is_dictionary = pa.types.is_dictionary(array.type)
        texts = array.type.value_type if is_dictionary else array.type
        if kind == "text" and (pa.types.is_string(texts) or pa.types.is_large_string(texts)):
            ids = self._coded(path, array) if is_dictionary else self._ids(array)
            if ids is not None:
                return ids, []
        if is_dictionary:
            array = array.dictionary_decode()
        found = self._taken(kind, array)
        return column(kind, _values(array, kind), self._strings) if found is None else found

    def _coded(self, path: Path, array: Any) -> Ints | None:
        """The ids of texts that are places in a dictionary."""
        dictionary, ids = self._dictionaries.get(path, (None, None))
        if dictionary is None or not dictionary.equals(array.dictionary):
            ids = self._ids(array.dictionary)
            if ids is None:
                return None
            self._dictionaries[path] = array.dictionary, ids
        assert ids is not None
        places, null = _numpy(array.indices)
        words = ids.take(places, mode="clip") if len(ids) else np.full(len(places), NULL, np.int64)
        if null is not None:
            words[null] = NULL
        return words

    def _ids(self, array: Any) -> Ints | None:
        """The ids of texts; None where they are not UTF-8, or too long together."""
        pa = pyarrow()
        try:
            array.validate(full=True)
        except pa.ArrowInvalid:
            return None
        _, offsets, data = array.buffers()
        width = np.int64 if pa.types.is_large_string(array.type) else np.int32
        at = np.frombuffer(offsets or bytes(8), width)[array.offset : array.offset + len(array) + 1]
        if not len(array) or int(at[-1]) - int(at[0]) >= 2**31:
            return None
        bytes_of = np.frombuffer(data or b"\n", np.uint8)[int(at[0]) :]
        bytes_of.flags.writeable = False  # so that kernels are compiled for one type only
        cells = np.empty((len(array), 1, 3), np.int32)
        cells[:, 0, sk.BEGIN], cells[:, 0, sk.END] = at[:-1] - at[0], at[1:] - at[0]
        cells[:, 0, sk.WHAT] = np.where(_null(array), sk.ABSENT, sk.TEXT) if array.null_count else sk.TEXT
        words = np.empty(len(array), np.int64)
        self._texts.words(bytes_of, cells, 0, np.arange(len(array)), words, np.zeros(len(array), np.bool_))
        return words

    def _taken(self, kind: str, array: Any) -> tuple[Ints, list[Wrong]] | None:
        """The words of an array whose type is one of the kind; None where each value is to be looked at."""
        pa = pyarrow()
        of, is_whole = array.type, pa.types.is_integer(array.type) and array.type != pa.uint64()
        if kind == "time" and pa.types.is_timestamp(of) and of.tz is not None:
            return self._times(array)
        if kind == "money" and pa.types.is_decimal128(of) and of.scale <= 4:
            return self._moneys(array)
        fits = {
            "number": is_whole or of in (pa.float64(), pa.float32()),
            "money": is_whole or of == pa.float64(),
            "integer": is_whole,
            "time": is_whole,
            "flag": pa.types.is_boolean(of),
        }
        if not fits.get(kind):
            return None
        values, null = _numpy(array)
        return many(kind, values, null, self._strings)

    def _times(self, array: Any) -> tuple[Ints, list[Wrong]] | None:
        """Moments, nanoseconds rounded as those of texts are; None where one is out of bounds."""
        pa = pyarrow()
        per_us = {"s": 1_000_000, "ms": 1000, "us": 1}.get(array.type.unit, 0)
        values, null = _numpy(array.cast(pa.int64()))
        if ((values < 0) | (values > TIME_LIMIT_US // per_us if per_us else False)).any():
            return None
        words = values * per_us if per_us else (values + 500) // 1000
        if (words >= TIME_LIMIT_US).any():
            return None
        if null is not None:
            words[null] = NULL
        return words, []

    def _moneys(self, array: Any) -> tuple[Ints, list[Wrong]] | None:
        """Decimals, exactly; None where one is out of bounds."""
        halves = np.frombuffer(array.buffers()[1], np.int64).reshape(-1, 2)[array.offset : array.offset + len(array)]
        factor = 10 ** (4 - array.type.scale)
        low = halves[:, 0].copy()
        is_fine = (halves[:, 1] == low >> 63) & (np.abs(low) < MONEY_LIMIT // factor)
        null = _null(array) if array.null_count else None
        if null is not None:
            is_fine |= null
        if not is_fine.all():
            return None
        words = low * factor
        if null is not None:
            words[null] = NULL
        return words, []


def pyarrow() -> Any:
    """The library, which is there when a table is."""
    import pyarrow as module

    return module


def array_of(table: Any, path: Path) -> Any:
    """What a table holds at a path: an array; a list where a path leads through something else than structs; None."""
    names = table.schema.names
    name, rest = (path[0], path[1:]) if path[0] in names else (".".join(path), ())
    if name not in names:
        return None
    array = table.column(len(names) - 1 - names[::-1].index(name))
    if hasattr(array, "combine_chunks"):
        array = array.combine_chunks()
    for step, inner in enumerate(rest):
        if not pyarrow().types.is_struct(array.type):
            return loose(rest[step:], array.to_pylist())
        if array.type.get_field_index(inner) < 0:
            return None
        array = pyarrow().compute.struct_field(array, inner)
    return array


def _put(found: Ints, words: Ints, at: Ints) -> None:
    """Write words to some places, which mostly are all."""
    if len(at) == len(words):
        words[:] = found
    else:
        words[at] = found


def _distinct(array: Any, n: int) -> tuple[list[Any], Ints]:
    """The distinct values of an array, and the place of each row's among them."""
    if array is None:
        return [None], np.zeros(n, np.int64)
    pa = pyarrow()
    if isinstance(array, list) or pa.types.is_nested(array.type) or pa.types.is_null(array.type):
        return (array if isinstance(array, list) else array.to_pylist()), np.arange(n)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    values = array.dictionary.to_pylist()
    places, null = _numpy(array.indices)
    if null is not None:
        places = np.where(null, len(values), places)
        values.append(None)
    return values, places


def _numpy(array: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """The values of an array, 0 for null, and where it is null if anywhere."""
    if not array.null_count:
        return array.to_numpy(zero_copy_only=False), None
    zero = False if pyarrow().types.is_boolean(array.type) else 0
    return array.fill_null(zero).to_numpy(zero_copy_only=False), _null(array)


def _null(array: Any) -> npt.NDArray[np.bool_]:
    null: npt.NDArray[np.bool_] = array.is_null().to_numpy(zero_copy_only=False)
    return null


def _values(array: Any, kind: str) -> list[Any]:
    """The values of an array as a JSON parser would have given them, as far as there is such."""
    if pyarrow().types.is_string(array.type) or pyarrow().types.is_large_string(array.type):
        array = array.cast(pyarrow().large_binary())  # which need not be UTF-8
        return [None if value is None else _decoded(value) for value in array.to_pylist()]
    if pyarrow().types.is_decimal(array.type):
        as_json = str if kind == "money" else float
        return [None if value is None else as_json(value) for value in array.to_pylist()]
    values: list[Any] = array.to_pylist()
    return values


def _decoded(value: bytes) -> str | bytes:
    """A text, or its bytes where they are none, which the law for values then refuses."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
