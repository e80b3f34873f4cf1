"""The log on real servers: what is read, what a commit does, who may commit, and what is refused at the start."""

from __future__ import annotations

from itertools import pairwise

import pytest
import redis

from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.server import check_server
from cep.adapters.redis.session import Session, public_name
from cep.adapters.redis.sink import RedisStreamSink
from cep.errors import ConfigurationError
from cep.ports import BadEvent, Commit, Entries, EntryId, FencedError, LateEvent, LogError
from tests.servers import Server, own_server, server, shared_server

__all__ = ["own_server", "server", "shared_server"]
META = "cep:{g}:meta"
OUTPUTS = ("alerts", "alerts:dlq", "alerts:late", "alerts:shadow")


def a_log(server: Server, streams: tuple[str, ...] = ("a", "b"), **options: bool) -> RedisLog:
    return RedisLog(server.url, streams, "g", **options)


def shown(parts: list[Entries]) -> list[tuple[int, str, list[bytes]]]:
    return [(part.stream, str(part.id(row)), list(part.fields[row])) for part in parts for row in range(len(part))]


def test_read_live_and_upto(server: Server) -> None:
    client = server.client()
    for n in range(1, 4):
        client.xadd("a", {b"event": b"\xff%d" % n}, id=f"{n}-7")
    client.xadd("b", {"x": "1", "y": "2"}, id="5-0")
    log = a_log(server)
    assert log.open() == {}
    both = [(0, f"{n}-7", [b"event", b"\xff%d" % n]) for n in (1, 2, 3)] + [(1, "5-0", [b"x", b"1", b"y", b"2"])]
    assert sorted(shown(list(log.read({}, None)))) == both
    at = {0: EntryId(2, 7), 1: EntryId(5, 0)}
    assert shown(list(log.read(at, None))) == both[2:3]
    assert list(log.read({0: EntryId(3, 7), 1: EntryId(5, 0)}, None)) == []
    assert shown(list(log.read({}, {0: EntryId(2, 7)}))) == both[:2]
    assert list(log.read(at, at)) == []
    log.close()


def test_count_follows_the_size_of_entries(server: Server) -> None:
    client = server.client()
    for _ in range(40):
        client.xadd("a", {"e": b"x" * 2**20})
    log = a_log(server, ("a",))
    log.open()
    after: dict[int, EntryId] = {}
    sizes = []
    while part := list(log.read(after, None)):
        sizes.append(len(part[0]))
        after = {0: part[0].id(-1)}
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
        after = {0: part[0].id(-1)}
    assert sum(sizes) == 20_000
    assert max(sizes) > 4000
    assert all(second <= 2 * first for first, second in pairwise(sizes))


def test_an_id_that_ends_a_stream_is_reported(server: Server) -> None:
    server.client().xadd("a", {"e": "1"}, id=f"{2**64 - 1}-1")
    log = a_log(server)
    log.open()
    with pytest.raises(ConfigurationError, match="begin a new stream"):
        log.read({}, None)


def test_commit_moves_everything_at_once(server: Server) -> None:
    log = a_log(server)
    log.open()
    bad = BadEvent(1, EntryId(5, 0), 2, "field", "$.x", "text \ud800 expected", b"\xff{", 3)
    late = LateEvent(0, EntryId(3, 1), 0, b"{}")
    log.commit(Commit({0: EntryId(3, 1), 1: EntryId(5, 0)}, [b"one", b"two"], [bad], [late], [b"on trial"]))
    log.commit(Commit({0: EntryId(4, 0)}, [b"three"]))
    log.commit(Commit({0: EntryId(5, 0)}))
    client = server.client()
    assert client.xrange("alerts") == [
        (b"1-0", {b"alert": b"one"}),
        (b"1-1", {b"alert": b"two"}),
        (b"2-0", {b"alert": b"three"}),
    ]
    ((dead_id, dead),) = client.xrange("alerts:dlq")
    assert (dead_id, dead[b"stream"], dead[b"id"], dead[b"index"]) == (b"1-0", b"b", b"5-0", b"2")
    assert (dead[b"reason"], dead[b"path"], dead[b"count"], dead[b"excerpt"]) == (b"field", b"$.x", b"3", b"\xff{")
    assert client.xrange("alerts:late") == [(b"1-0", {b"stream": b"a", b"id": b"3-1", b"index": b"0", b"event": b"{}"})]
    assert client.xrange("alerts:shadow") == [(b"1-0", {b"alert": b"on trial"})]
    client.xadd("a", {"e": "1"}, id="9-0")
    client.xadd("b", {"e": "1"}, id="9-0")
    assert a_log(server).open() == {0: EntryId(5, 0), 1: EntryId(5, 0)}
    assert a_log(server, ("b", "c")).open() == {0: EntryId(5, 0)}


def test_a_second_owner_fences_the_first(server: Server) -> None:
    first, second = a_log(server), a_log(server)
    first.open()
    first.commit(Commit({}, [b"1"]))
    second.open()
    with pytest.raises(FencedError):
        first.commit(Commit({}, [b"never"]))
    second.commit(Commit({}, [b"2"]))
    with pytest.raises(LogError):
        first.commit(Commit({}, [b"never"]))
    assert [fields[b"alert"] for _, fields in server.client().xrange("alerts")] == [b"1", b"2"]


def test_a_commit_sent_twice_is_applied_once_and_another_in_its_place_is_refused(server: Server) -> None:
    log = a_log(server)
    log.open()
    log.commit(Commit({0: EntryId(1, 0)}, [b"1"]))
    log._seq = 0  # as after a reply that was lost
    log.commit(Commit({0: EntryId(1, 0)}, [b"1"]))
    log._seq = 0
    with pytest.raises(LogError, match="CEPFORK"):
        log.commit(Commit({0: EntryId(1, 0)}, [b"other"]))
    assert server.client().xlen("alerts") == 1


@pytest.mark.parametrize("key", [META, *OUTPUTS])
def test_a_commit_that_cannot_be_whole_changes_nothing(server: Server, key: str) -> None:
    client, log = server.client(), a_log(server)
    log.open()
    before = client.hgetall(META)
    client.delete(key)
    client.set(key, "in the way")
    bad, late = BadEvent(0, EntryId(1, 0), 0, "json", "", "", b""), LateEvent(0, EntryId(1, 0), 0, b"")
    with pytest.raises(ConfigurationError, match="rename one of the two"):
        log.commit(Commit({0: EntryId(1, 0)}, [b"1"], [bad], [late], [b"2"]))
    assert client.hgetall(META) == before if key != META else client.get(META) == b"in the way"
    assert [k for k in OUTPUTS if k != key and client.exists(k)] == []


def test_the_commit_gets_through_when_memory_is_full(server: Server) -> None:
    client, log = server.client(), a_log(server)
    log.open()
    client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.set("x", b"x" * 100)
        log.commit(Commit({0: EntryId(1, 0)}, [b"1"]))
    finally:
        client.config_set("maxmemory", "0")
    assert client.xlen("alerts") == 1


def test_refused_at_the_start_with_the_remedy(server: Server) -> None:
    client = server.client()
    client.set("a", "no stream")
    with pytest.raises(ConfigurationError, match="'a' is a string, not a stream"):
        a_log(server).open()
    client.delete("a")
    client.xadd("alerts", {"somebody": "else's"})
    with pytest.raises(ConfigurationError, match="entries that this group did not write"):
        a_log(server).open()
    client.delete("alerts")
    client.hset(META, mapping={"seq": 1, "offset:a": "5-0"})
    with pytest.raises(ConfigurationError, match="'a' ends at 0-0, but entries up to 5-0 were applied"):
        a_log(server).open()
    client.delete(META)
    client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(ConfigurationError, match="CONFIG SET maxmemory-policy noeviction"):
        a_log(server).open()
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("appendonly", "no")
    with pytest.raises(ConfigurationError, match="--allow-volatile"):
        a_log(server).open()
    assert a_log(server, allow_volatile=True).open() == {}


class OldServer:
    """Answers INFO as another server would."""

    name = "redis://old"

    def __init__(self, **info: str) -> None:
        self._info = {"redis_version": "7.2.1", "role": "master", **info}

    def info(self, section: str) -> dict[str, str]:
        return self._info


@pytest.mark.parametrize(
    ("info", "remedy"), [({"redis_version": "6.2.14"}, "upgrade to Redis 7.0"), ({"role": "slave"}, "of the primary")]
)
def test_old_servers_and_replicas_are_refused(info: dict[str, str], remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        check_server(OldServer(**info), allow_volatile=False)  # type: ignore[arg-type]


def test_a_dead_server_ends_the_session(own_server: Server) -> None:
    log = a_log(own_server)
    log.open()
    log.commit(Commit({}, [b"1"]))
    own_server.kill()
    for act in (lambda: log.read({}, None), lambda: log.commit(Commit({})), log.open):
        with pytest.raises(LogError):
            act()
    own_server.start()
    with pytest.raises(LogError):
        log.commit(Commit({}))
    log.open()
    log.commit(Commit({}, [b"2"]))
    assert own_server.client().xlen("alerts") == 2


def test_sink(server: Server) -> None:
    sink = RedisStreamSink(server.url, "out")
    sink.write([b"1", b"2"])
    sink.write([])
    sink.close()
    assert [fields for _, fields in server.client().xrange("out")] == [{b"alert": b"1"}, {b"alert": b"2"}]
    server.client().set("text", "x")
    with pytest.raises(ConfigurationError):
        RedisStreamSink(server.url, "text")


def test_passwords_are_not_shown(server: Server) -> None:
    assert public_name("rediss://user:secret@host:1/0") == "rediss://host:1/0"
    server.client().config_set("requirepass", "right")
    try:
        with pytest.raises(ConfigurationError, match="refuses the user or the password") as caught:
            Session(server.url.replace("//", "//:wrong@"))
        assert "wrong" not in str(caught.value)
    finally:
        redis.Redis.from_url(server.url, password="right").config_set("requirepass", "")


def test_no_redis_url() -> None:
    with pytest.raises(ConfigurationError, match="not a Redis URL"):
        Session("http://host")
