"""`cep send`: events in files to a stream.

Lines of JSON travel many in an entry, rows of a table as tables, rows of CSV as flat entries, which say what is a
number as the file does. A line that cannot be read is sent too, apart: the detector says what is wrong with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np

from cep.adapters.cli.address import Address, unreached
from cep.adapters.cli.console import DEV_STDIN, FAILED, FINDINGS, OK, CommandError, figures, progress, say
from cep.adapters.files.source import STDIN, read_files, total_bytes
from cep.adapters.redis.producer import connect
from cep.decoding.arrow import Table
from cep.decoding.documents import UNFIT
from cep.ports import ENTRY_BYTES_MAX, Entries, Lines, LogError
from cep.producer import FIELD, Key, Packing, Producer, ProducerError, partition_of

PATIENCE_S = 60.0  # how long a server that is away is waited for
_ROWS = 1000  # of a table in an entry, at most

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Route:
    """Where events go. key: the field whose text decides, `a.b` for one in an object; name: of the producer."""

    stream: str
    key: str | None
    partitions: int | None
    name: str | None


class _Piece(NamedTuple):
    """An entry, or a line that may share one with others."""

    key: Key
    line: bytes
    fields: Sequence[bytes]
    events: int
    size: int


def send(files: Sequence[str], form: str | None, address: Address, route: Route, rate: int | None) -> int:
    """Send all events; figures on stderr."""
    if (route.key is None) != (route.partitions is None):
        raise CommandError("--key and --partitions go together: the key of an event decides on its partition")
    paths = [STDIN if file == DEV_STDIN else file for file in files]
    try:
        packing = Packing(patience_s=PATIENCE_S)
        producer = connect(address.url(), route.stream, route.partitions, name=route.name, packing=packing, report=say)
    except LogError as error:
        raise unreached(error) from error
    began, refused = time.perf_counter(), 0
    try:
        with producer, progress("{task.fields[events]:,} events") as bar:
            task = bar.add_task("sending", total=total_bytes(paths), events=0) if bar else None

            def advance(count: int) -> None:
                if bar and task is not None:
                    bar.update(task, advance=count, events=producer.sent.events)

            refused = _send_all(producer, _pieces(paths, form, route, advance), rate)
    except ProducerError as error:
        raise CommandError(f"{error}: {_remedy(producer, route)}", FAILED) from error
    finally:
        say(_summary(producer, refused, time.perf_counter() - began))
    return FINDINGS if refused else OK


def _send_all(producer: Producer, pieces: Iterator[_Piece], rate: int | None) -> int:
    """At most so many events a second; how many were too large."""
    began, count, refused = time.monotonic(), 0, 0
    for piece in pieces:
        if piece.size > ENTRY_BYTES_MAX:
            refused += piece.events
        elif piece.line:
            producer.send(piece.line, piece.key)
        else:
            producer.send_entry(piece.fields, piece.key, piece.events)
        count += piece.events
        if rate is not None and (ahead_s := count / rate - (time.monotonic() - began)) > 0.001:
            time.sleep(ahead_s)
    return refused


def _remedy(producer: Producer, route: Route) -> str:
    again = f"the same command with --name {route.name} goes on" if route.name else "with a --name it could go on"
    return f"{producer.sent.events:,} events were acknowledged; {again} where it was"


def _summary(producer: Producer, refused: int, seconds: float) -> str:
    sent = producer.sent
    speed = f"{sent.events / seconds:,.0f}/s in {seconds:.1f} s" if sent.events else ""
    rows = {"events": (sent.events, speed), "entries": (sent.entries, "")}
    others = {
        "there already": (sent.repeated, ""),
        "too large": (refused, f"more than {ENTRY_BYTES_MAX:,} bytes"),
        "sent again": (sent.retries, "times, after a connection was lost"),
        "lost": (sent.lost, "after they were acknowledged: the server has gone back"),
    }
    return figures(rows | {name: row for name, row in others.items() if row[0]})


# ------------------------------------------------------------------------------------------------ what is in files


def _pieces(paths: Sequence[str], form: str | None, route: Route, advance: Any) -> Iterator[_Piece]:
    for entries in read_files(paths, form, 0, advance):
        if isinstance(entries.fields, Table):
            yield from _of_table(entries.fields.table, route)
        elif isinstance(entries.fields, Lines):
            yield from _of_lines(entries, route.key)
        else:
            yield from _of_rows(entries, route.key)


def _of_lines(entries: Entries, key: str | None) -> Iterator[_Piece]:
    path = key.split(".") if key else None
    for _, raw in entries.fields:
        line = raw.strip()
        found = _key_in(line, path) if path else None
        if line.startswith(b"{"):
            yield _Piece(found, line, (), 1, len(line))
        else:
            yield _Piece(found, b"", (FIELD, line), 1, len(line))


def _of_rows(entries: Entries, key: str | None) -> Iterator[_Piece]:
    name = key.encode() if key else None
    for fields in entries.fields:
        found = dict(zip(fields[::2], fields[1::2], strict=True)).get(name) if name else None
        yield _Piece(found.decode(errors="replace") if found else None, b"", fields, 1, sum(map(len, fields)))


def _of_table(table: Any, route: Route) -> Iterator[_Piece]:
    """Its rows, those of each partition together, as tables that stay below the bound."""
    table = _without_dictionaries(table)
    if route.key is None or route.partitions is None:
        yield from _cut(table, None)
        return
    keys = _keys_of(table, route.key)
    places = np.array([partition_of(key, route.partitions) for key in keys])
    for place in np.unique(places).tolist():
        rows = np.flatnonzero(places == place)
        yield from _cut(table.take(rows), keys[int(rows[0])])


def _without_dictionaries(table: Any) -> Any:
    """Texts in full: each of the small tables would bring the dictionary of them all."""
    import pyarrow

    columns = [c.dictionary_decode() if pyarrow.types.is_dictionary(c.type) else c for c in table.columns]
    return pyarrow.record_batch(columns, table.schema.names)


def _cut(table: Any, key: Key) -> Iterator[_Piece]:
    import pyarrow

    for first in range(0, table.num_rows, _ROWS):
        part = table.slice(first, _ROWS)
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, part.schema) as writer:
            writer.write(part)
        value = sink.getvalue().to_pybytes()
        if len(value) > ENTRY_BYTES_MAX and part.num_rows > 1:
            yield from _cut(part.slice(0, part.num_rows // 2), key)
            yield from _cut(part.slice(part.num_rows // 2), key)
        else:
            yield _Piece(key, b"", (FIELD, value), part.num_rows, len(value))


def _keys_of(table: Any, name: str) -> list[Key]:
    if name not in table.schema.names:
        return [None] * int(table.num_rows)
    return [_as_key(value) for value in table.column(name).to_pylist()]


def _key_in(line: bytes, path: Sequence[str]) -> Key:
    try:
        value = _decode(line)
    except UNFIT:
        return None
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return _as_key(value)


def _as_key(value: Any) -> Key:
    """What is neither a text nor an integer is no key."""
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None
