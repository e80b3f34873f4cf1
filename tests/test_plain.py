"""What the kernels read is what the careful reader reads: the same words, the same dead letters, the same counts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cep.decoding import vocabulary
from cep.decoding.entries import Decoder
from cep.decoding.plain import reads
from cep.decoding.streams import Stream
from cep.engine.strings import Strings
from cep.kernels import scan as sk
from cep.layout.columns import ColumnSpec, EventSpec, StreamSpec
from cep.ports import Entries, EntryId, Lines
from tests import uncompiled

KINDS = ("text", "number", "integer", "money", "flag", "time")
PROGRAM = SimpleNamespace(
    streams=(StreamSpec("mixed", ("ts",), ("type",), 0, None), StreamSpec("plain", ("meta", "at"), (), 0, None)),
    events=(EventSpec("pay", 0, "pay", ()), EventSpec("login", 0, "4624", ()), EventSpec("row", 1, "row", ())),
    columns=(
        ColumnSpec(-1, (), "time", ()),
        ColumnSpec(0, ("card",), "text", (0, 1)),
        ColumnSpec(0, ("amount",), "money", (0,)),
        ColumnSpec(0, ("geo", "lat"), "number", (0,)),
        ColumnSpec(0, ("geo", "at", "x"), "integer", (1,)),
        ColumnSpec(0, ("v",), "number", (0,)),
        ColumnSpec(0, ("v",), "text", (1,)),
        *(ColumnSpec(1, ("x", kind), kind, (2,)) for kind in KINDS),
    ),
)
TEXTS = {0: (1, 6), 1: (7,)}  # the columns of texts by stream
Shown = tuple[list[object], list[tuple[object, ...]], dict[str, int]]


def shown(stream: int, values: Sequence[bytes], with_kernels: bool, as_lines: bool = False) -> Shown:
    """Events with their words, texts in clear; dead letters; unknown types."""
    strings = Strings()
    decoder = Decoder(PROGRAM, strings)
    if not with_kernels:
        decoder._plain = [None] * len(decoder._plain)
    entries = Entries.of(stream, [(EntryId(7, row), [b"event", value]) for row, value in enumerate(values)])
    if as_lines:
        entries.fields = Lines.of(values)
    decoded = decoder.decode(entries)
    batch = decoded.batch
    events: list[object] = []
    for row in range(len(batch)):
        words: list[object] = batch.words[:, row].tolist()
        for slot in TEXTS[stream]:
            words[slot] = strings.text(int(batch.words[slot, row]))
        place = (int(batch.entry_seq[row]), int(batch.entry_index[row]), int(batch.event[row]))
        events.append((place, words, decoded.raw(row)))
    bad = [(b.entry, b.index, b.reason, b.path, b.detail, b.excerpt, b.count) for b in decoded.bad]
    return events, bad, decoded.unknown


def check(stream: int, values: Sequence[bytes]) -> None:
    careful = shown(stream, values, with_kernels=False)
    assert shown(stream, values, with_kernels=True) == careful
    if not any(b"\n" in value for value in values):
        assert shown(stream, values, with_kernels=True, as_lines=True) == careful


CUT = """
from tests.test_plain import check

whole = b'{"type":"pay","ts":1,"card":"a","amount":"1.50","geo":{"lat":2e0}}'
for stop in range(1, len(whole)):
    check(0, [whole, whole[:stop]])
"""


def test_nothing_is_read_beyond_the_end_of_the_data() -> None:
    """As Python the kernels say so; names are compared with those of the document before, which may be longer."""
    uncompiled.check(CUT)


def texts(rng: random.Random) -> str:
    alphabet = rng.choice(("ab", 'a"\\/\b\n\t', "aé😀", "\x7f\x00", "0123456789.-:TZ"))
    return "".join(rng.choice(alphabet) for _ in range(rng.randrange(6)))


def moment(rng: random.Random) -> str:
    year, month, day = rng.choice((1969, 1970, 2000, 2024, 2026, 2199, 2200)), rng.randrange(14), rng.randrange(33)
    clock = f"{rng.randrange(26):02}:{rng.choice((0, 59, 60)):02}:{rng.choice((0, 7, 59, 60)):02}"
    fraction = rng.choice(("", ".5", ".000001", ".1234567", "."))
    zone = rng.choice(("Z", "+02:00", "-11:30", "+24:00", "", "z", "+0200"))
    return f"{year}-{month:02}-{day:02}{rng.choice('TTTt ')}{clock}{fraction}{zone}"


def number(rng: random.Random) -> str:
    """A JSON number, or almost."""
    whole = rng.choice(("0", "7", "-0", "12", "-345", "007", "1700000000000", str(rng.randrange(10**20))))
    fraction = rng.choice(("", "", ".0", ".5", ".1200", ".12345", f".{rng.randrange(10**17)}", "."))
    return whole + fraction + rng.choice(("", "", "", "", "e3", "E-2", "e+400", "e"))


LITERALS: tuple[Callable[[random.Random], str], ...] = (
    number,
    number,
    lambda rng: json.dumps(texts(rng), ensure_ascii=rng.random() < 0.3),
    lambda rng: json.dumps(moment(rng)),
    lambda rng: json.dumps(number(rng)),
    lambda rng: rng.choice(("true", "false", "null", "nul", "True", "{}", "[]", '{"lat":1.5}', '[1,{"a":[]}]', "[1,]")),
)
NAMES = ("type", "ts", "card", "amount", "geo", "v", "other", "lat", "x", "at", "meta", *KINDS)


def object_of(rng: random.Random, depth: int = 0) -> str:
    members = []
    for _ in range(rng.randrange(7)):
        name = rng.choice(NAMES)
        if depth < 3 and (name in ("geo", "x", "meta", "at") or rng.random() < 0.1):
            value = object_of(rng, depth + 1)
        else:
            value = rng.choice(LITERALS)(rng)
        members.append(f'"{name}"{rng.choice(("", "", " "))}:{value}')
    return "{" + rng.choice((",", ", ")).join(members) + "}"


def event_of(rng: random.Random, stream: int) -> str:
    """An event that is mostly right, with a field now and then that is not."""

    def literal(usual: str) -> str:
        return rng.choice(LITERALS)(rng) if rng.random() < 0.15 else usual

    when = literal(rng.choice(("1700000000000", '"2026-01-05T12:00:41.25Z"')))
    if stream == 1:
        usual = ('"é"', str(rng.random()), str(rng.randrange(10**6)), f"{rng.randrange(10**6) / 100}", "true", "17")
        inner = ",".join(f'"{kind}":{literal(value)}' for kind, value in zip(KINDS, usual, strict=True))
        return f'{{"meta":{{"at":{when}}},"x":{{{inner}}}}}'
    kind = literal(rng.choice(('"pay"', '"4624"', "4624", '"logout"')))
    value = rng.choice(("1.5", '"ab"'))
    fields = f'"card":{literal(json.dumps(texts(rng)))},"amount":{literal("12.34")},"v":{value}'
    return f'{{"type":{kind},"ts":{when},{fields},"geo":{{"lat":{literal("2.5")},"at":{{"x":{literal("3")}}}}}}}'


def damaged(rng: random.Random, text: str) -> bytes:
    """A document, in one of six with a byte changed, taken out or put in."""
    raw = bytearray(text.encode())
    if raw and rng.random() < 1 / 6:
        at = rng.randrange(len(raw))
        raw[at : at + rng.randrange(2)] = rng.choice((b"", b"\xff", b"\\", b'"', b"\n", b"\r\n", b",", b"}", b"\x00"))
    return bytes(raw)


@pytest.mark.parametrize("seed", range(6))
def test_both_readers_agree(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        stream = rng.randrange(2)
        values = []
        for _ in range(rng.randrange(1, 9)):
            lines = [
                damaged(rng, event_of(rng, stream) if rng.random() < 0.6 else object_of(rng))
                for _ in range(rng.choice((1, 1, 1, 3)))
            ]
            values.append(rng.choice((b"\n", b"\n", b"\n\n", b"\r\n", b" \n\x0b\n")).join(lines))
        check(stream, values)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=12), st.text(alphabet='{}[]",: \n1t', max_size=12).map(str.encode))))
def test_both_readers_agree_on_rubbish(values: list[bytes]) -> None:
    check(0, values)


@pytest.mark.parametrize(
    "value",
    [
        b'{"type":"pay","ts":1,"geo":{"lat":1},"geo":{}}',
        b'{"type":"pay","ts":1,"geo":{"lat":1},"geo":null}',
        b'{"type":"pay","ts":1,"geo":null,"geo":{"lat":1}}',
        b'{"type":"pay","ts":1,"card":"a","card":"b"}',
        b'{"type":"pay","ts":1,"card":"a","card":null}',
        b'{"type":"pay","ts":1,"c\\u0061rd":"a"}',
        b'{"type":"pay","ts":1,"card":"\\u0061"}',
        b'{"type":"pay","ts":1,"card":"a\\nb\\\\"}',
        b'{"type":"p\\/ay","ts":1}',
        b'{"type":-0,"ts":1}',
        b'{"type":"","ts":1}',
        b'{"type":"pay","ts":1,"card":"' + b"x" * 300_000 + b'"}',
        b'{"type":"pay","ts":1,"z":' + b"[" * 59 + b"]" * 59 + b"}",
        b'{"type":"pay","ts":1,"z":' + b'{"a":' * 61 + b"1" + b"}" * 62,
        b'{"type":"pay","ts":1,"z":"\xff"}',
        b'{"type":"pay","ts":1,"z":"\xc3\xa9","card":"\xc3\xa9"}',
        b"\n\n",
        b"",
        b"\x0b",
        b'\n{"type":"pay","ts":1}\n',
    ],
)
def test_both_readers_agree_on(value: bytes) -> None:
    check(0, [value])
    check(0, [b'{"type":"pay","ts":1}', value, b'{"type":"logout"}'])


def test_a_kernel_reads_what_is_ordinary() -> None:
    """Otherwise the tests above would compare the careful reader with itself."""
    decoder = Decoder(PROGRAM, Strings())
    plain = decoder._plain[0]
    assert plain is not None
    lines = Lines.of(
        [b'{"type":"pay","ts":1,"card":"a\\n","amount":"1.50","geo":{"lat":2e0}}', b'{"type":4624,"ts":2}']
    )
    read = plain.read(plain.scan(lines.data, lines.spans), np.zeros(2, np.int64))
    assert (len(read.rest), read.events.tolist()) == (0, [0, 1])
    assert read.documents[:, sk.FATE].tolist() == [sk.PLAIN, sk.PLAIN]


def test_streams_whose_fields_stand_in_lists_or_in_each_other_are_read_with_care() -> None:
    def stream(*paths: tuple[str, ...]) -> Stream:
        columns = (ColumnSpec(-1, (), "time", ()), *(ColumnSpec(0, path, "text", (0,)) for path in paths))
        return Stream(SimpleNamespace(streams=PROGRAM.streams[:1], events=PROGRAM.events, columns=columns), 0)

    assert reads(stream(("a", "b"), ("a", "c")))
    assert not reads(stream(("a",), ("a", "c")))
    assert not reads(stream(("a", "0")))


def test_what_is_remembered_of_texts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are forgotten by the state, and by the vocabulary when it is full; ids stay those of the state."""
    monkeypatch.setattr(vocabulary, "TEXTS_MAX", 2048)
    strings = Strings()
    decoder = Decoder(PROGRAM, strings)
    rng = random.Random(3)
    for turn in range(12):
        cards = [f"c{rng.randrange(5000)}" for _ in range(1500)]
        values = [b'{"type":"t%d","ts":1}' % rng.randrange(3000) for _ in range(500)]
        values += [b'{"type":"pay","ts":1,"card":"%b"}' % card.encode() for card in cards]
        decoded = decoder.decode(Entries(0, *np.zeros((2, len(values)), np.int64), Lines.of(values)))
        assert [strings.text(word) for word in decoded.batch.words[1].tolist()] == cards
        assert sum(decoded.unknown.values()) == 500
        assert set(decoded.unknown) == {json.loads(value)["type"] for value in values[:500]}
        if turn % 3 == 0:
            live = np.zeros(strings.capacity, np.bool_)
            live[::2] = True
            strings.keep(live)
