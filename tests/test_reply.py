"""Replies are read from the wire as the library's parser would read them, however they arrive."""

from __future__ import annotations

import random

import hiredis
import numpy as np
import pytest

from cep.adapters.redis.reply import of_range, of_streams
from cep.kernels import resp as rp
from cep.ports import Entries, Lines


def packed(value: object) -> bytes:
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(packed, value))
    if isinstance(value, int):
        return b":%d\r\n" % value
    if value is None:
        return b"*-1\r\n"
    assert isinstance(value, bytes)
    return b"$%d\r\n%b\r\n" % (len(value), value)


def entries_of(rng: random.Random, n: int, most_fields: int) -> list[object]:
    texts = (b"", b"\r\n", b"$3\r\n", b'{"a":1}', b"x" * 300, "é".encode())
    return [
        [
            b"%d-%d" % (rng.randrange(2**63), rng.randrange(3)),
            [rng.choice(texts) for _ in range(2 * rng.randrange(1, most_fields + 1))],
        ]
        for _ in range(n)
    ]


def seen(entries: Entries) -> list[object]:
    return [[b"%d-%d" % entries.id(row), list(entries.fields[row])] for row in range(len(entries))]


@pytest.mark.parametrize("seed", range(8))
def test_replies_are_read_in_place_where_entries_have_one_field(seed: int) -> None:
    rng = random.Random(seed)
    most_fields = 1 + seed % 2
    streams = [[name, entries_of(rng, rng.randrange(1, 6), most_fields)] for name in (b"b", b"a") if rng.random() < 0.8]
    found = of_streams(packed(streams or None), ["a", "b"], [0, 0])
    assert [(entries.stream, seen(entries)) for entries in found] == [
        ({b"a": 0, b"b": 1}[name], entries) for name, entries in streams
    ]
    if most_fields == 1:
        assert all(isinstance(entries.fields, Lines) for entries in found)
    for _, entries in streams:
        assert seen(of_range(packed(entries), 0, 0)) == entries


def test_a_null_and_an_entry_without_fields_are_read_by_the_library() -> None:
    assert of_streams(b"*-1\r\n", ["a"], [0]) == []
    assert len(of_range(b"*0\r\n", 0, 0)) == 0


@pytest.mark.parametrize("seed", range(8))
def test_the_end_of_a_reply_is_found_however_it_arrives(seed: int) -> None:
    rng = random.Random(seed)
    reply = packed([[b"s", entries_of(rng, 5, 2)], None, 17, [], b""])
    for whole in (reply, b"-ERR no\r\n", b"+OK\r\n", b"$-1\r\n", b"*-1\r\n", b":-5\r\n"):
        reader = hiredis.Reader(notEnoughData=Ellipsis)
        state, data, have = np.array([0, 1]), np.frombuffer(whole, np.uint8).copy(), 0
        while have < len(whole):
            assert state[rp.PENDING] > 0 or state[rp.AT] > have
            more = rng.choice((1, 1, 2, 7, 100))
            reader.feed(whole[have : have + more])
            have = min(len(whole), have + more)
            rp.follow(data, have, state)
            is_complete = not state[rp.PENDING] and state[rp.AT] <= have
            assert is_complete == (reader.gets() is not Ellipsis)
        assert is_complete


def test_ids_beyond_63_bits_are_told_from_others() -> None:
    found = of_range(packed([[b"18446744073709551615-9223372036854775806", [b"e", b"1"]]]), 0, 0)
    assert (int(found.ms[0]), int(found.seq[0])) == (rp.ID_MAX, rp.ID_MAX - 1)
