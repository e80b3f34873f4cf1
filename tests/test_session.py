"""Servers that are refused at the start, are loading, or die; and addresses."""

from __future__ import annotations

import pytest
import redis

from cep.adapters.redis.server import check_server
from cep.adapters.redis.session import Session, public_name
from cep.adapters.redis.sink import RedisStreamSink
from cep.errors import ConfigurationError
from cep.ports import Commit, LogError, Point, Position
from tests.owner import META, Owner, a_log
from tests.servers import Server, own_server, server, shared_server

__all__ = ["own_server", "server", "shared_server"]


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
    assert a_log(server, allow_volatile=True).open().point == Point(offsets={0: Position(), 1: Position()})


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


def test_a_server_that_is_loading_is_waited_for() -> None:
    """While it loads it says that it has no append-only file."""
    info = {"maxmemory_policy": "noeviction", "loading": "1", "aof_enabled": "0"}
    with pytest.raises(LogError, match="still loading"):
        check_server(OldServer(**info), allow_volatile=False)  # type: ignore[arg-type]


def test_a_dead_server_ends_the_session(own_server: Server) -> None:
    owner = Owner(own_server)
    owner.commit(Commit({}, [b"1"]))
    log = owner.log
    own_server.kill()
    for act in (lambda: log.read({}, None), owner.log.settle, log.open):
        with pytest.raises(LogError):
            act()
    own_server.start()
    with pytest.raises(LogError):
        log.settle()
    owner.point = log.open().point
    owner.commit(Commit({}, [b"2"]))
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
