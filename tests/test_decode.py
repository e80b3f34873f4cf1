"""What is on the wire comes into the columns exactly, or is put aside with a reason; nothing raises."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.decoding.entries import BAD_LINES_MAX, Decoded, Decoder
from cep.engine.strings import Strings
from cep.layout.columns import MONEY_LIMIT, MONEY_UNITS, NULL, TIME_SLOT, ColumnSpec, EventSpec, StreamSpec
from cep.ports import Entries, EntryId

KINDS = ("text", "number", "integer", "money", "flag", "time")
PROGRAM = SimpleNamespace(
    streams=(
        StreamSpec("mixed", ("ts",), ("type",), 0, None),
        StreamSpec("plain", ("meta", "at"), (), 0, None),
        StreamSpec("clockless", (), (), 0, None),
    ),
    events=(
        EventSpec("pay", 0, "pay", ()),
        EventSpec("login", 0, "4624", ()),
        EventSpec("row", 1, "row", ()),
        EventSpec("tick", 2, "tick", ()),
    ),
    columns=(
        ColumnSpec(-1, (), "time", ()),
        ColumnSpec(0, ("card",), "text", (0, 1)),
        ColumnSpec(0, ("amount",), "money", (0,)),
        ColumnSpec(0, ("geo", "lat"), "number", (0,)),
        ColumnSpec(0, ("v",), "number", (0,)),
        ColumnSpec(0, ("v",), "text", (1,)),
        *(ColumnSpec(1, ("x", kind), kind, (2,)) for kind in KINDS),
    ),
)
MIXED, PLAIN, CLOCKLESS = 0, 1, 2
PLAIN_SLOT = {kind: 6 + i for i, kind in enumerate(KINDS)}
NOW = 1_700_000_000_000


def decode(*values: bytes | list[bytes], stream: int = MIXED) -> tuple[Decoded, Strings]:
    strings = Strings()
    fields = [[b"event", value] if isinstance(value, bytes) else value for value in values]
    entries = Entries.of(stream, [(EntryId(NOW, row), f) for row, f in enumerate(fields)])
    return Decoder(PROGRAM, strings).decode(entries), strings


def one(kind: str, literal: str) -> object:
    """The word that a JSON literal becomes as a field of a kind, or the detail of its refusal."""
    decoded, strings = decode(b'{"meta":{"at":1},"x":{"%s":%s}}' % (kind.encode(), literal.encode()), stream=PLAIN)
    return outcome(decoded, strings, kind)


def flat(kind: str, text: str) -> object:
    decoded, strings = decode([b"meta.at", b"1", b"x." + kind.encode(), text.encode()], stream=PLAIN)
    return outcome(decoded, strings, kind)


def outcome(decoded: Decoded, strings: Strings, kind: str) -> object:
    if decoded.bad:
        (bad,) = decoded.bad
        assert len(decoded.batch) == 0
        if bad.reason == "field":
            assert bad.path == f"$.x.{kind}"
            return bad.detail
        return bad.reason
    word = int(decoded.batch.words[PLAIN_SLOT[kind], 0])
    if kind == "text":
        return strings.text(word)
    if kind == "number":
        return float(np.int64(word).view(np.float64))
    return None if word == NULL else word


@pytest.mark.parametrize(
    ("kind", "literal", "word"),
    [
        ("text", '"a"', "a"),
        ("text", '""', ""),
        ("text", '"a\\u0000b"', "a\0b"),
        ("text", "null", None),
        ("text", "1", "text expected, not the number 1"),
        ("number", "1.5", 1.5),
        ("number", "3", 3.0),
        ("number", "-0.0", 0.0),
        ("number", '"1"', "number expected, not text '1'"),
        ("number", "true", "number expected, not true or false"),
        ("number", "1e999", "json"),
        ("number", "NaN", "json"),
        ("number", "Infinity", "json"),
        ("integer", "3", 3),
        ("integer", "3.0", 3),
        ("integer", "3.5", "integer expected, not the number 3.5"),
        ("integer", "9223372036854775807", 2**63 - 1),
        ("integer", "9223372036854775808", "integer out of range: 64 bits are kept"),
        ("integer", "-9223372036854775807", -(2**63) + 1),
        ("integer", "-9223372036854775808", "integer out of range: 64 bits are kept"),
        ("integer", "18446744073709551616", "integer out of range: 64 bits are kept"),
        ("money", "12.34", 123400),
        ("money", "0.1", 1000),
        ("money", "-7", -70000),
        ("money", "0.0001", 1),
        ("money", "0.00005", "money has at most four decimals, not 5e-05"),
        ("money", "99999999999.9999", 999999999999999),
        ("money", "-99999999999.9999", -999999999999999),
        ("money", "100000000000", "money out of range: amounts stay below 100000000000"),
        ("money", '"12.34"', 123400),
        ("money", '"99999999999.9999"', 999999999999999),
        ("money", '"12.34000"', 123400),
        ("money", '"12.34001"', "money has at most four decimals, not 12.34001"),
        ("money", '"0.00005"', "money has at most four decimals, not 0.00005"),
        ("money", '"1e3"', "money expected, not text '1e3'"),
        ("money", '""', "money expected, not text ''"),
        ("money", "true", "money expected, not true or false"),
        ("money", "null", None),
        ("flag", "true", 1),
        ("flag", "false", 0),
        ("flag", "null", None),
        ("flag", "1", "flag expected, not the number 1"),
        ("time", "0", 0),
        ("time", "1700000000", NOW * 1000),
        ("time", "1700000000.25", NOW * 1000 + 250_000),
        ("time", "1700000000000", NOW * 1000),
        ("time", "1700000000000000", NOW * 1000),
        ("time", '"2023-11-14T22:13:20Z"', NOW * 1000),
        ("time", '"2023-11-15T00:13:20.000001+02:00"', NOW * 1000 + 1),
        ("time", '"2023-11-14T22:13:20"', "time without a zone: write Z or an offset such as +02:00"),
        ("time", '"yesterday"', "time (RFC 3339 or epoch) expected, not text 'yesterday'"),
        ("time", '"1969-12-31T23:59:59Z"', "time outside the years 1970 to 2199"),
        ("time", '"0001-01-01T00:00:00+23:00"', "time outside the years 1970 to 2199"),
        ("time", '"2200-01-01T00:00:00Z"', "time outside the years 1970 to 2199"),
        ("time", "-1", "time outside the years 1970 to 2199"),
        ("time", "8000000000", "time outside the years 1970 to 2199"),
        ("time", "123456789012345678901234567890", "time outside the years 1970 to 2199"),
        ("time", "1e300", "time (RFC 3339 or epoch) expected, not the number 1e+300"),
        ("time", "true", "time (RFC 3339 or epoch) expected, not true or false"),
    ],
)
def test_json_value(kind: str, literal: str, word: object) -> None:
    assert one(kind, literal) == word


@pytest.mark.parametrize(
    ("kind", "text", "word"),
    [
        ("text", "a", "a"),
        ("text", "", None),
        ("number", "1.5e3", 1500.0),
        ("number", "nan", "number expected, not text 'nan'"),
        ("number", "1_000", "number expected, not text '1_000'"),
        ("number", "1e999", "number out of range"),
        ("integer", "007", 7),
        ("integer", "7.0", 7),
        ("integer", "7.5", "integer expected, not text '7.5'"),
        ("money", "12.34", 123400),
        ("money", "99999999999.9999", 999999999999999),
        ("money", "0.12345", "money has at most four decimals, not 0.12345"),
        ("money", "", None),
        ("flag", "true", 1),
        ("flag", "0", 0),
        ("flag", "yes", "flag expected, not text 'yes'"),
        ("time", "1700000000.5", NOW * 1000 + 500_000),
        ("time", "2023-11-14T22:13:20Z", NOW * 1000),
    ],
)
def test_flat_value(kind: str, text: str, word: object) -> None:
    assert flat(kind, text) == word


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(KINDS), st.lists(st.text(alphabet="0123456789.-e\n tru", max_size=6), min_size=1, max_size=4))
def test_many_flat_values_are_read_as_each_alone(kind: str, texts: list[str]) -> None:
    entries = [[b"meta.at", b"1", b"x." + kind.encode(), text.encode()] for text in texts]
    together, strings = decode(*entries, stream=PLAIN)
    words = together.batch.words[PLAIN_SLOT[kind]].tolist()
    alone = [flat(kind, text) for text in texts]
    refused = {bad.entry.seq: bad.detail for bad in together.bad}
    assert [alone[row] for row in refused] == list(refused.values())
    good = [word for row, word in enumerate(alone) if row not in refused]
    if kind == "text":
        assert [strings.text(word) for word in words] == good
    elif kind == "number":
        assert [repr(w) for w in np.array(words, np.int64).view(np.float64).tolist()] == [repr(w) for w in good]
    else:
        assert [None if word == NULL else word for word in words] == good


def test_flat_text_that_is_not_utf8_is_bad() -> None:
    decoded, _ = decode([b"meta.at", b"1", b"x.text", b"\xff"], stream=PLAIN)
    assert [bad.reason for bad in decoded.bad] == ["field"]


def test_money_is_the_decimal_that_its_float_prints_as() -> None:
    rng = random.Random(5)
    amounts = [rng.choice((1, -1)) * rng.randrange(MONEY_LIMIT) / MONEY_UNITS for _ in range(3000)]
    amounts += [rng.uniform(-1e6, 1e6) for _ in range(500)] + [rng.randrange(10**9) / 10**5 for _ in range(500)]
    amounts += [math.nextafter(a, math.inf) for a in amounts[:500]]
    lines = [b'{"meta":{"at":1},"x":{"money":%s}}' % repr(a).encode() for a in amounts]
    decoded, _ = decode(*lines, stream=PLAIN)
    exact = [Decimal(repr(a)) * MONEY_UNITS for a in amounts]
    good = [int(e) for e in exact if e == int(e) and abs(e) < MONEY_LIMIT]
    assert decoded.batch.words[PLAIN_SLOT["money"]].tolist() == good
    assert len(decoded.bad) == len(amounts) - len(good)


PAY = b'{"type":"pay","ts":1,"card":"c1","amount":1.5,"geo":{"lat":2.5},"v":3}'


@pytest.mark.parametrize(
    ("value", "reason", "path"),
    [
        (b"", "json", ""),
        (b"null", "json", ""),
        (b"[]", "json", ""),
        (b"17", "json", ""),
        (b"{", "json", ""),
        (PAY + b"x", "json", ""),
        (PAY + PAY, "json", ""),
        (b"\xef\xbb\xbf" + PAY, "json", ""),
        (b"\x00", "json", ""),
        (b'{"type":"pay","ts":1,"card":"\\ud800"}', "json", ""),
        (b'{"type":"pay","ts":1,"card":"\xff"}', "encoding", ""),
        (b'{"type":"pay","ts":1,"z":' + b"[" * 100_000 + b"}", "json", ""),
        (b'{"type":"pay","ts":1,"z":' + b"[" * 300 + b"]" * 300 + b"}", "json", ""),
        (b'{"type":"pay","ts":1,"z":"' + b"x" * 2**20 + b'"}', "size", ""),
        (b'{"ts":1}', "type", "$.type"),
        (b'{"type":null,"ts":1}', "type", "$.type"),
        (b'{"type":["pay"],"ts":1}', "type", "$.type"),
        (b'{"type":true,"ts":1}', "type", "$.type"),
        (b'{"type":"pay"}', "time", "$.ts"),
        (b'{"type":"pay","ts":"soon"}', "time", "$.ts"),
        (b'{"type":"pay","ts":1,"amount":"x"}', "field", "$.amount"),
        (b'{"type":"pay","ts":1,"geo":5}', "field", "$.geo.lat"),
        (b'{"type":"pay","ts":1,"geo":{"lat":"N"}}', "field", "$.geo.lat"),
        (b'{"type":"pay","ts":1,"v":"text"}', "field", "$.v"),
        (b'{"type":4624,"ts":1,"v":1}', "field", "$.v"),
        ([b"type", b"pay", b"ts", b"1", b"amount", b"1.23456"], "field", "$.amount"),
        ([b"ts", b"1", b"amount", b"1"], "type", "$.type"),
        ([b"type", b"pay", b"ts", b"1", b"card", b"c" * 2**20], "size", ""),
        ([], "type", "$.type"),
        ([b"type"], "type", "$.type"),
    ],
)
def test_bad_event_costs_itself_alone(value: bytes | list[bytes], reason: str, path: str) -> None:
    decoded, strings = decode(PAY, value, PAY)
    (bad,) = decoded.bad
    assert (bad.reason, bad.path, bad.entry, bad.index) == (reason, path, EntryId(NOW, 1), 0)
    assert len(bad.excerpt) <= 1024
    assert decoded.batch.entry_seq.tolist() == [0, 2]
    assert [strings.text(i) for i in decoded.batch.words[1].tolist()] == ["c1", "c1"]


def test_columns_of_other_events_are_null_and_their_fields_are_not_judged() -> None:
    decoded, strings = decode(PAY, b'{"type":"4624","ts":2,"card":"c2","amount":"not money","v":"text","geo":[]}')
    assert not decoded.bad
    words = decoded.batch.words
    assert decoded.batch.event.tolist() == [0, 1]
    assert words[TIME_SLOT].tolist() == [1_000_000, 2_000_000]
    assert words[2].tolist() == [15000, NULL]
    numbers = words[3:5].view(np.float64)
    assert numbers[:, 0].tolist() == [2.5, 3.0]
    assert np.isnan(numbers[:, 1]).all()
    assert words[5, 0] == NULL
    assert strings.text(int(words[5, 1])) == "text"


def test_absent_and_null_fields_are_null_alike() -> None:
    decoded, _ = decode(
        b'{"type":"pay","ts":1}', b'{"type":"pay","ts":1,"card":null,"geo":null,"amount":null,"v":null}'
    )
    assert decoded.batch.words[:, 0].tolist() == decoded.batch.words[:, 1].tolist()
    assert decoded.batch.words[1:3, 0].tolist() == [NULL, NULL]


def test_unknown_types_are_counted_not_refused() -> None:
    decoded, _ = decode(b'{"type":"logout"}', PAY, b'{"type":7}', [b"type", b"logout", b"ts", b"never"])
    assert (decoded.unknown, decoded.bad, len(decoded.batch)) == ({"logout": 2, "7": 1}, [], 1)


def test_the_three_forms_hold_the_same_event() -> None:
    flat_form = [b"type", b"pay", b"ts", b"1", b"card", b"c1", b"amount", b"1.5", b"geo.lat", b"2.5", b"v", b"3"]
    pretty = json.dumps(json.loads(PAY), indent=2).encode()
    decoded, _ = decode(PAY, flat_form, PAY + b"\n\r\n" + PAY, pretty, PAY + b"\n")
    assert not decoded.bad
    assert decoded.batch.entry_seq.tolist() == [0, 1, 2, 2, 3, 4]
    assert decoded.batch.entry_index.tolist() == [0, 0, 0, 1, 0, 0]
    assert len({tuple(column) for column in decoded.batch.words.T.tolist()}) == 1
    assert json.loads(decoded.raw(1))["geo.lat"] == "2.5"
    assert decoded.raw(3) == PAY


def test_a_bad_line_costs_itself_alone() -> None:
    decoded, _ = decode(b"\n".join([b"oops", PAY, b'{"type":"pay"}', PAY]), PAY)
    assert [(bad.index, bad.reason) for bad in decoded.bad] == [(0, "json"), (2, "time")]
    assert decoded.batch.entry_index.tolist() == [1, 3, 0]


def test_an_array_is_a_batch() -> None:
    decoded, _ = decode(b"[" + PAY + b", 5,\n" + PAY + b"]", b" [" + PAY + b"]", b"[]", b"[" + PAY, PAY)
    assert [(bad.entry.seq, bad.index, bad.reason) for bad in decoded.bad] == [
        (0, 1, "json"),
        (2, 0, "json"),
        (3, 0, "json"),
    ]
    assert list(zip(decoded.batch.entry_seq.tolist(), decoded.batch.entry_index.tolist(), strict=True)) == [
        (0, 0),
        (0, 2),
        (1, 0),
        (4, 0),
    ]


def test_dead_letters_of_one_entry_are_bounded() -> None:
    decoded, _ = decode(b"x\n" * 1000, b"x\n" * 3, PAY)
    assert len(decoded.bad) == BAD_LINES_MAX + 3
    assert sum(bad.count for bad in decoded.bad) == 1003
    assert len(decoded.batch) == 1


def test_a_path_leads_into_lists() -> None:
    program = SimpleNamespace(
        streams=(StreamSpec("s", ("ts",), (), 0, None),),
        events=(EventSpec("e", 0, "e", ()),),
        columns=(
            ColumnSpec(-1, (), "time", ()),
            ColumnSpec(0, ("names", "1"), "text", (0,)),
            ColumnSpec(0, ("rows", "0", "n"), "integer", (0,)),
        ),
    )
    values = (
        [b"event", b'{"ts":1,"names":["a","b"],"rows":[{"n":7},{"n":8}]}'],
        [b"event", b'{"ts":1,"names":["a"],"rows":[]}'],
        [b"event", b'{"ts":1,"names":{"1":"c"}}'],  # an object may have such a member
        [b"ts", b"1", b"names.1", b"d", b"rows.0.n", b"9"],
        [b"event", b'{"ts":1,"names":"ab"}'],
    )
    strings = Strings()
    entries = Entries.of(0, [(EntryId(NOW, row), f) for row, f in enumerate(values)])
    decoded = Decoder(program, strings).decode(entries)
    assert [strings.text(i) if i != NULL else None for i in decoded.batch.words[1].tolist()] == ["b", None, "c", "d"]
    assert decoded.batch.words[2].tolist() == [7, NULL, NULL, 9]
    assert [(bad.reason, bad.path) for bad in decoded.bad] == [("field", "$.names.1")]


def test_a_stream_without_a_time_path_goes_by_its_entry_ids() -> None:
    decoded, _ = decode(b"{}", [b"a", b"1", b"b", b"2"], stream=CLOCKLESS)
    assert decoded.batch.time_us.tolist() == [NOW * 1000] * 2


def test_field_names_that_no_struct_can_have() -> None:
    program = SimpleNamespace(
        streams=(StreamSpec("s", ("t",), (), 0, None),),
        events=(EventSpec("e", 0, "e", ()),),
        columns=(ColumnSpec(-1, (), "time", ()), ColumnSpec(0, ('a"b',), "integer", (0,))),
    )
    decoded = Decoder(program, Strings()).decode(Entries.of(0, [(EntryId(0, 1), [b"", b'{"t":1,"a\\"b":7}'])]))
    assert decoded.batch.words[1].tolist() == [7]


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["pay", "4624", 4624, "2023-11-14T22:13:20Z", NOW, 12.34, "12.34", {}, [], {"lat": 1}]),
    st.datetimes(datetime(1960, 1, 1), datetime(2210, 1, 1)).map(lambda t: t.replace(tzinfo=UTC).isoformat()),
)
DOCUMENTS = st.dictionaries(st.sampled_from(["type", "ts", "card", "amount", "geo", "v", "other"]), SCALARS)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(DOCUMENTS.map(lambda d: json.dumps(d).encode()), st.binary(max_size=30)), max_size=12))
def test_what_is_read_does_not_depend_on_the_cut(values: list[bytes]) -> None:
    together, strings = decode(*values)
    apart: list[Any] = []
    for row, value in enumerate(values):
        alone, own = decode(value)
        apart += [(row, *shown(alone, own, at)) for at in range(len(alone.batch))]
        apart += [(row, bad.index, bad.reason, bad.path, bad.detail) for bad in alone.bad]
    whole = [(int(together.batch.entry_seq[at]), *shown(together, strings, at)) for at in range(len(together.batch))]
    whole += [(bad.entry.seq, bad.index, bad.reason, bad.path, bad.detail) for bad in together.bad]
    assert sorted(map(repr, whole)) == sorted(map(repr, apart))


def shown(decoded: Decoded, strings: Strings, at: int) -> tuple[object, ...]:
    words = decoded.batch.words[:, at].tolist()
    texts = [strings.text(words[slot]) for slot in (1, 5)]
    return (int(decoded.batch.entry_index[at]), int(decoded.batch.event[at]), words[0], words[2:5], texts)
