"""Tables are judged as the same events in JSON, one column at a time."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cep.adapters.files.source import read_files
from cep.decoding.arrow import Table
from cep.decoding.entries import Decoded, Decoder
from cep.engine.strings import Strings
from cep.errors import ConfigurationError
from cep.layout.columns import NULL
from cep.ports import Entries, EntryId
from tests.test_plain import KINDS, PROGRAM

T0 = datetime(2026, 1, 5, tzinfo=UTC)
TOO_MUCH = "money out of range: amounts stay below 100000000000"
DECIMALS = "money has at most four decimals"


def decode_table(table: pa.Table, stream: int, strings: Strings) -> Decoded:
    n = table.num_rows
    return Decoder(PROGRAM, strings).decode(Entries(stream, np.zeros(n, np.int64), np.arange(n), Table(table)))


def one(kind: str, array: pa.Array) -> list[object]:
    """What each value of a column becomes: its word, text in clear; or why it is refused."""
    table = pa.table(
        {"meta": pa.array([{"at": 1}] * len(array)), "x": pa.StructArray.from_arrays([array], names=[kind])}
    )
    strings = Strings()
    decoded = decode_table(table, 1, strings)
    outcome: dict[int, object] = {bad.entry.seq: bad.detail for bad in decoded.bad}
    slot = 7 + KINDS.index(kind)
    for row, word in zip(decoded.batch.entry_seq.tolist(), decoded.batch.words[slot], strict=True):
        value: object = None if word == NULL else int(word)
        if kind == "text":
            value = strings.text(int(word))
        elif kind == "number":
            value = None if np.isnan(word.view(np.float64)) else float(word.view(np.float64))
        outcome[row] = value
    return [outcome[row] for row in range(len(array))]


@pytest.mark.parametrize(
    ("kind", "array", "words"),
    [
        ("text", pa.array(["a", None, "a\\n"]), ["a", None, "a\\n"]),
        ("text", pa.array(["x", "é", "x"])[1:], ["é", "x"]),
        ("text", pa.array(["a", None, "b", "a"]).dictionary_encode(), ["a", None, "b", "a"]),
        ("text", pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        ("text", pa.array([1]), ["text expected, not the number 1"]),
        ("text", pa.array([None]), [None]),
        ("number", pa.array([1.5, None, -0.0]), [1.5, None, 0.0]),
        ("number", pa.array([3, None], pa.int8()), [3.0, None]),
        ("number", pa.array([float("nan"), 1.0]), ["number out of range", 1.0]),
        ("number", pa.array([Decimal("1.25")]), [1.25]),
        ("number", pa.array(["1"]), ["number expected, not text '1'"]),
        ("integer", pa.array([2**63 - 1, None, -7]), [2**63 - 1, None, -7]),
        ("integer", pa.array([3.0, 3.5]), [3, "integer expected, not the number 3.5"]),
        ("integer", pa.array([2**64 - 1], pa.uint64()), ["integer out of range: 64 bits are kept"]),
        ("money", pa.array([Decimal("12.34"), None]), [123400, None]),
        ("money", pa.array([Decimal("-1.23456"), Decimal("1.50000")]), [f"{DECIMALS}, not -1.23456", 15000]),
        ("money", pa.array([Decimal("0.99"), Decimal(10**11)], pa.decimal128(30, 2)), [9900, TOO_MUCH]),
        ("money", pa.array([12.34, None, 0.00005]), [123400, None, f"{DECIMALS}, not 5e-05"]),
        ("money", pa.array([7, 10**11]), [70000, TOO_MUCH]),
        ("money", pa.array(["12.34", "x"]), [123400, "money expected, not text 'x'"]),
        ("flag", pa.array([True, None, False]), [1, None, 0]),
        ("flag", pa.array([1]), ["flag expected, not the number 1"]),
        ("time", pa.array([1_700_000_000, None]), [1_700_000_000_000_000, None]),
        ("time", pa.array([T0], pa.timestamp("ns", "UTC")), [int(T0.timestamp()) * 10**6]),
        ("time", pa.array([T0, None], pa.timestamp("ms", "Europe/Paris")), [int(T0.timestamp()) * 10**6, None]),
        ("time", pa.array([T0], pa.timestamp("us")), ["time without a zone: write Z or an offset such as +02:00"]),
        ("time", pa.array([T0 - timedelta(36525)], pa.timestamp("s", "UTC")), ["time outside the years 1970 to 2199"]),
        ("time", pa.array(["2026-01-05T00:00:00Z"]), [int(T0.timestamp()) * 10**6]),
    ],
)  # fmt: skip
def test_values(kind: str, array: pa.Array, words: list[object]) -> None:
    assert one(kind, array) == words


def events(n: int, seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "type": rng.choice(("pay", "pay", "4624", "logout", None)),
            "ts": rng.choice((1_700_000_000_000 + row, 1_700_000_000_000, None if rng.random() < 0.1 else 1)),
            "card": rng.choice(("c1", "c2", None, "é")),
            "amount": rng.choice((1.5, 12.34, 1e-9, None)),
            "geo": rng.choice((None, {"lat": 1.5, "at": None}, {"lat": None, "at": {"x": 3}})),
            "v": rng.choice((1.5, None)),
        }
        for row in range(n)
    ]


def seen(decoded: Decoded, strings: Strings) -> tuple[list[object], list[object], dict[str, int]]:
    batch = decoded.batch
    rows: list[object] = []
    for at in range(len(batch)):
        words = batch.words[:, at].tolist()
        texts = [strings.text(words[slot]) for slot in (1, 6)]
        rest = [word for slot, word in enumerate(words) if slot not in (1, 6)]
        place = (int(batch.entry_seq[at]), int(batch.entry_index[at]), int(batch.event[at]))
        raw = {name: value for name, value in json.loads(decoded.raw(at)).items() if value is not None}
        rows.append((place, texts, rest, json.dumps(raw)))
    return rows, [(b.entry, b.index, b.reason, b.path, b.detail) for b in decoded.bad], decoded.unknown


@pytest.mark.parametrize("seed", range(4))
def test_a_table_is_read_as_its_rows_in_json(seed: int) -> None:
    rows, strings = events(200, seed), Strings()
    values = [json.dumps(row).encode() for row in rows]
    entries = Entries.of(0, [(EntryId(0, row), [b"", value]) for row, value in enumerate(values)])
    expected = seen(Decoder(PROGRAM, strings).decode(entries), strings)
    table = pa.Table.from_pylist(rows)
    assert seen(decode_table(table, 0, strings), strings) == expected
    coded = table.set_column(2, "card", table["card"].dictionary_encode())
    assert seen(decode_table(coded, 0, strings), strings) == expected


def packed(table: pa.Table, form: str) -> bytes:
    sink = pa.BufferOutputStream()
    with {"stream": pa.ipc.new_stream, "file": pa.ipc.new_file}[form](sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("form", ["stream", "file"])
def test_an_entry_may_hold_a_table_among_others(form: str) -> None:
    pays = pa.table({"type": ["pay", "pay"], "ts": [1, 2], "card": ["a", "b"]})
    others = pa.table({"type": ["4624", "logout", "pay"], "ts": [3, 4, None]})
    values = [
        packed(pays, form),
        b'{"type":"pay","ts":5,"card":"c"}',
        packed(others, form),
        packed(pays, form)[:-200],
        b"\xff\xff\xff\xff\x00",
        packed(pays.slice(1), form),
    ]
    strings = Strings()
    fields = [[b"event", value] for value in values] + [[b"type", b"pay", b"ts", b"6"]]
    entries = Entries.of(0, [(EntryId(0, row), field) for row, field in enumerate(fields)])
    decoded = Decoder(PROGRAM, strings).decode(entries)
    batch = decoded.batch
    places = list(zip(batch.entry_seq.tolist(), batch.entry_index.tolist(), strict=True))
    assert places == [(0, 0), (0, 1), (1, 0), (2, 0), (5, 0), (6, 0)]
    assert [strings.text(word) for word in batch.words[1].tolist()] == ["a", "b", "c", None, "b", None]
    bad = [(bad.entry.seq, bad.index, bad.reason) for bad in decoded.bad]
    assert bad == [(2, 2, "time"), (3, 0, "arrow"), (4, 0, "arrow")]
    assert decoded.unknown == {"logout": 1}


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows"])
def test_files_are_read_by_columns(suffix: str, tmp_path: Path) -> None:
    table = pa.Table.from_pylist(events(70_000, 1))
    path = tmp_path / f"events{suffix}"
    if suffix == ".parquet":
        pq.write_table(table, path, row_group_size=30_000)
    else:
        path.write_bytes(packed(table.select(["type", "ts", "card"]), "file" if suffix == ".arrow" else "stream"))
    told: list[int] = []
    blocks = list(read_files([str(path), str(path)], progress=told.append, names={"type", "ts", "card"}))
    assert sum(map(len, blocks)) == 140_000
    assert np.concatenate([block.seq for block in blocks]).tolist() == list(range(1, 140_001))
    if suffix != ".arrows":
        assert sum(told) == 2 * path.stat().st_size
    assert max(map(len, blocks)) <= 65_536
    strings = Strings()
    decoder = Decoder(PROGRAM, strings)
    cards = [strings.text(word) for block in blocks for word in decoder.decode(block).batch.words[1].tolist()]
    named = [row["card"] for row in table.to_pylist() if row["type"] in ("pay", "4624") and row["ts"] is not None]
    assert cards == named * 2


def test_a_file_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.arrow"):
        (tmp_path / name).write_bytes(b"PAR1 ARROW1 nothing of the kind")
        with pytest.raises(ConfigurationError, match="cannot read"):
            list(read_files([str(tmp_path / name)]))
