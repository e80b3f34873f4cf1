"""The log on real servers: what is read, what a commit does, and who may commit."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import pytest
import redis

from cep.delivery.history import following
from cep.delivery.recovery import moved
from cep.errors import ConfigurationError
from cep.ports import (
    BadEvent,
    Commit,
    EntryId,
    FencedError,
    LateEvent,
    LogError,
    Offsets,
    OwnedError,
    Point,
    Position,
    Standing,
    Turn,
)
from tests.owner import META, OUTPUTS, Owner, a_log, at, fill, shown
from tests.servers import Server, server, shared_server

__all__ = ["server", "shared_server"]


def test_read_live_and_upto(server: Server) -> None:
    client = server.client()
    for n in range(1, 4):
        client.xadd("a", {b"event": b"\xff%d" % n}, id=f"{n}-7")
    client.xadd("b", {"x": "1", "y": "2"}, id="5-0")
    log = a_log(server)
    assert log.open().point.seq == 0
    both = [(0, f"{n}-7", [b"event", b"\xff%d" % n]) for n in (1, 2, 3)] + [(1, "5-0", [b"x", b"1", b"y", b"2"])]
    assert sorted(shown(list(log.read({}, None)))) == both
    middle = {0: at(2, 7), 1: at(5)}
    assert shown(list(log.read(middle, None))) == both[2:3]
    assert list(log.read({0: at(3, 7), 1: at(5)}, None)) == []
    assert shown(list(log.read({}, {0: at(2, 7)}))) == both[:2]
    assert list(log.read(middle, middle)) == []
    assert shown(list(log.read({}, None, 1))) == [both[0], both[3]]
    log.close()


def test_count_follows_the_size_of_entries(server: Server) -> None:
    client = server.client()
    for _ in range(40):
        client.xadd("a", {"e": b"x" * 2**20})
    log = a_log(server, ("a",))
    log.open()
    after: Offsets = {}
    sizes = []
    while part := list(log.read(after, None)):
        sizes.append(len(part[0]))
        after = {0: Position(part[0].id(-1))}
    assert sum(sizes) == 40
    assert all(size <= 4 for size in sizes[1:])
    client.delete("a")
    with client.pipeline(transaction=False) as pipeline:
        for n in range(20_000):
            pipeline.xadd("a", {"e": "x"}, id=f"{2 * 10**12 + n}-0")
        pipeline.execute()
    sizes = []
    while part := list(log.read(after, None)):
        sizes.append(len(part[0]))
        after = {0: Position(part[0].id(-1))}
    assert sum(sizes) == 20_000
    assert max(sizes) > 4000
    assert all(second <= 2 * first for first, second in pairwise(sizes))


def test_an_id_that_ends_a_stream_is_reported(server: Server) -> None:
    server.client().xadd("a", {"e": "1"}, id=f"{2**64 - 1}-1")
    log = a_log(server)
    log.open()
    with pytest.raises(ConfigurationError, match="begin a new stream"):
        log.read({}, None)


def test_the_digest_does_not_depend_on_how_entries_are_read(server: Server) -> None:
    fill(server, "a", 1, 20)
    server.client().xadd("a", {"x": "1", "y": "2"}, id="21-0")  # another shape, which the library reads
    fill(server, "a", 22, 30)
    log = a_log(server, ("a",))
    log.open()
    (whole,) = log.read({}, None)
    for limit in (1, 7, 20, 22):
        for upto in (None, {0: at(30)}):
            offsets: Offsets = {}
            while batch := log.read(offsets, upto, limit):
                offsets = moved(offsets, batch)
            assert offsets == {0: at(30, 0, 30, whole.digest)}, limit
    other = a_log(server, ("a",))
    other.open()
    server.client().delete("a")
    fill(server, "a", 1, 30)
    assert other.read({}, None)[0].digest != whole.digest
    log.close()
    other.close()


def test_commit_moves_everything_at_once(server: Server) -> None:
    fill(server, "a", 1, 5)
    fill(server, "b", 5, 5)
    owner = Owner(server)
    bad = BadEvent(1, EntryId(5, 0), 2, "field", "$.x", "text \ud800 expected", b"\xff{", 3)
    late = LateEvent(0, EntryId(3, 0), 0, b"{}")
    owner.commit(Commit({0: at(3, 0, 3), 1: at(5, 0, 1)}, [b"one", b"two"], [bad], [late], [b"on trial"]))
    owner.commit(Commit({0: at(4, 0, 4)}, [b"three"]))
    owner.commit(Commit({0: at(5, 0, 5, 77)}, idle=frozenset({1})))
    client = server.client()
    assert client.xrange("alerts") == [
        (b"1-0", {b"alert": b"one"}),
        (b"1-1", {b"alert": b"two"}),
        (b"2-0", {b"alert": b"three"}),
    ]
    ((dead_id, dead),) = client.xrange("alerts:dlq")
    assert (dead_id, dead[b"stream"], dead[b"id"], dead[b"index"]) == (b"1-0", b"b", b"5-0", b"2")
    assert (dead[b"reason"], dead[b"path"], dead[b"count"], dead[b"excerpt"]) == (b"field", b"$.x", b"3", b"\xff{")
    assert client.xrange("alerts:late") == [(b"1-0", {b"stream": b"a", b"id": b"3-0", b"index": b"0", b"event": b"{}"})]
    assert client.xrange("alerts:shadow") == [(b"1-0", {b"alert": b"on trial"})]
    again = Owner(server)
    assert again.standing == Standing(owner.point, failures=1)
    assert again.point.offsets == {0: at(5, 0, 5, 77), 1: at(5, 0, 1)}
    assert Owner(server, ("b", "c")).point.offsets == {0: at(5, 0, 1), 1: Position()}


def test_the_journal_tells_every_turn(server: Server) -> None:
    fill(server, "a", 1, 5)
    owner = Owner(server, ("a",))
    beginning = owner.point
    turns = []
    for commit in (
        Commit({0: at(3, 0, 3, 9)}),
        Commit({}, idle=frozenset({0}), until_us=12),
        Commit({0: at(4, 0, 4)}, is_aside=True),
    ):
        owner.commit(commit)
        turns.append(Turn(owner.point, commit.until_us, commit.is_aside))
    assert owner.log.turns(Point(), owner.point) == turns
    assert [turn.is_plain for turn in turns] == [True, False, False]
    assert owner.log.turns(turns[0].point, owner.point) == turns[1:]
    assert owner.log.turns(owner.point, owner.point) == []
    assert owner.log.turns(replace(turns[0].point, chain="another's"), owner.point) is None
    assert owner.log.turns(owner.point, turns[0].point) is None
    owner.log.trim(turns[1].point)
    assert owner.log.turns(turns[1].point, owner.point) == turns[2:]
    assert owner.log.turns(turns[0].point, owner.point) is None
    assert owner.log.turns(beginning, owner.point) is None, "two turns were no function of the entries"


def test_a_second_owner_fences_the_first(server: Server) -> None:
    first = Owner(server)
    first.commit(Commit({}, [b"1"]))
    second = Owner(server)
    with pytest.raises(FencedError):
        first.commit(Commit({}, [b"never"]))
    second.commit(Commit({}, [b"2"]))
    with pytest.raises(LogError):
        first.commit(Commit({}, [b"never"]))
    assert [fields[b"alert"] for _, fields in server.client().xrange("alerts")] == [b"1", b"2"]


def test_another_worker_waits_for_the_lease(server: Server) -> None:
    first = Owner(server, worker="one", lease_s=0.3)
    with pytest.raises(OwnedError, match="worker one holds it"):
        Owner(server, worker="two")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            second = Owner(server, worker="two")
            break
        except OwnedError:
            first.log.read({0: at(2**50), 1: at(2**50)}, {})  # which keeps a lease, when it is time
            time.sleep(0.02)
            if time.monotonic() > deadline - 4:
                first.log._renewed = time.monotonic()  # as if it had died
    with pytest.raises(FencedError):
        first.commit(Commit({}, [b"never"]))
    second.log.close()
    Owner(server, worker="three", lease_s=0.3)


def test_a_lease_is_no_longer_than_it_was_when_the_clock_goes_back(server: Server) -> None:
    Owner(server, worker="one", lease_s=5)
    with pytest.raises(OwnedError):
        Owner(server, worker="two", lease_s=1)
    server.client().pexpire("cep:{g}:lease", 3_600_000)  # as it is on a server whose clock is an hour behind
    Owner(server, worker="two", lease_s=1)


def test_a_commit_sent_twice_is_applied_once_and_another_in_its_place_is_refused(server: Server) -> None:
    fill(server, "a", 1, 1)
    owner = Owner(server)
    before, commit = owner.point, Commit({0: at(1, 0, 1)}, [b"1"])
    owner.commit(commit)
    owner.log.commit(before, commit, owner.point)  # as after a reply that was lost
    other = Commit({0: at(1, 0, 1)}, [b"other"])
    with pytest.raises(LogError, match="CEPFORK"):
        owner.log.commit(before, other, following(before, other))
    assert server.client().xlen("alerts") == 1


def test_a_history_that_parted_is_not_continued(server: Server) -> None:
    """As after a failover that lost a commit, in whose place there is another by now."""
    fill(server, "a", 1, 3)
    owner = Owner(server)
    owner.apply(1)
    mine, theirs = following(owner.point, Commit({}, [b"mine"])), Commit({}, [b"theirs"])
    owner.commit(theirs)
    with pytest.raises(LogError, match="CEPFORK"):
        owner.log.commit(mine, Commit({}), following(mine, Commit({})))


def test_entries_are_trimmed_up_to_a_snapshot_and_no_further(server: Server) -> None:
    client = server.client()
    fill(server, "a", 1, 10)
    for trims, first in ((False, 1), (True, 8)):
        owner = Owner(server, ("a",), trims=trims)
        owner.apply(4)
        owner.log.trim(owner.point)
        assert client.xrange("a", count=1)[0][0] == b"%d-0" % first
    owner.log.trim(replace(owner.point, offsets={0: at(9, 0, 9)}))
    assert client.xrange("a", count=1)[0][0] == b"8-0", "9-0 has not been applied"
    owner.apply(1)
    owner.log.trim(replace(owner.point, chain="of another history"))
    assert client.xrange("a", count=1)[0][0] == b"8-0"


def test_what_fails_again_and_again_is_remembered(server: Server) -> None:
    fill(server, "a", 1, 1)
    owner = Owner(server)
    owner.log.suspect(0, EntryId(1, 0), 2)
    owner.log.open()  # a session that is lost is no failure
    again = Owner(server)
    assert (again.standing.failures, again.standing.suspect, again.standing.tries) == (1, (0, EntryId(1, 0)), 2)
    again.log.settle()
    assert Owner(server).standing.failures == 0


@pytest.mark.parametrize("key", [META, *OUTPUTS])
def test_a_commit_that_cannot_be_whole_changes_nothing(server: Server, key: str) -> None:
    fill(server, "a", 1, 1)
    client, owner = server.client(), Owner(server)
    before = client.hgetall(META)
    client.delete(key)
    client.set(key, "in the way")
    bad, late = BadEvent(0, EntryId(1, 0), 0, "json", "", "", b""), LateEvent(0, EntryId(1, 0), 0, b"")
    with pytest.raises(ConfigurationError, match="rename one of the two"):
        owner.commit(Commit({0: at(1, 0, 1)}, [b"1"], [bad], [late], [b"2"]))
    assert client.hgetall(META) == before if key != META else client.get(META) == b"in the way"
    assert [k for k in OUTPUTS if k != key and client.exists(k)] == []


def test_the_commit_gets_through_when_memory_is_full(server: Server) -> None:
    fill(server, "a", 1, 1)
    client, owner = server.client(), Owner(server)
    client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.set("x", b"x" * 100)
        owner.apply(alerts=(b"1",))
    finally:
        client.config_set("maxmemory", "0")
    assert client.xlen("alerts") == 1
