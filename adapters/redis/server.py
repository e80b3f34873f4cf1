"""What a server must be before it is trusted with the promise, and the function library that it runs for us."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib.resources import files

from cep.adapters.redis.session import ReplyError, Session
from cep.errors import ConfigurationError
from cep.ports import LogError

LIBRARY, APPEND = "cep_v3", "cep_append_v1"
_FILES = {LIBRARY: "library.lua", APPEND: "append.lua"}
REDIS_MIN = (7, 0)


def check_server(session: Session, allow_volatile: bool) -> None:
    """Raise ConfigurationError, with the remedy, when alerts or events could be lost silently."""
    server, name = session.info("server"), session.name
    version = tuple(int(part) for part in server["redis_version"].split(".")[:2])
    if "valkey_version" not in server and version < REDIS_MIN:
        raise ConfigurationError(
            f"{name} runs Redis {server['redis_version']}, which has no functions: "
            "upgrade to Redis 7.0 or newer, or to Valkey"
        )
    role = session.info("replication")["role"]
    if role != "master":
        raise ConfigurationError(f"{name} is a replica: give the address of the primary")
    policy = session.info("memory")["maxmemory_policy"]
    if policy != "noeviction":
        raise ConfigurationError(
            f"{name} may evict the streams when memory is full (maxmemory-policy {policy}): "
            "run CONFIG SET maxmemory-policy noeviction, and put it into the server's configuration"
        )
    persistence = session.info("persistence")
    if persistence["loading"] != "0":  # until then it says that it has no append-only file
        raise LogError(f"{name} is still loading its data")
    if persistence["aof_enabled"] != "1" and not allow_volatile:
        raise ConfigurationError(
            f"{name} keeps no append-only file, so a restart loses events and alerts: "
            "run CONFIG SET appendonly yes, or allow it with --allow-volatile"
        )


def check_streams(session: Session, keys: Iterable[str]) -> None:
    """Raise ConfigurationError when a key that should be a stream is something else."""
    for key in keys:
        kind = session.call("TYPE", key).decode()
        if kind not in ("none", "stream"):
            raise ConfigurationError(f"{session.name}: key {key!r} is a {kind}, not a stream: rename one of the two")


@functools.cache
def shipped(library: str = LIBRARY) -> bytes:
    """The code of our functions."""
    return files("cep.adapters.redis").joinpath(_FILES[library]).read_bytes()


def load_library(session: Session, library: str = LIBRARY) -> None:
    """See to it that the server has our functions, exactly as they are shipped."""
    code = shipped(library)
    try:
        for found in session.call("FUNCTION", "LIST", "LIBRARYNAME", library, "WITHCODE"):
            if dict(zip(found[::2], found[1::2], strict=True))[b"library_code"] == code:
                return
        session.call("FUNCTION", "LOAD", "REPLACE", code)
    except ReplyError as error:
        if error.code != "NOPERM":
            raise
        raise ConfigurationError(
            f"{session.name}: the account may not load functions: load {_FILES[library]} once with one that may, "
            "and allow FUNCTION|LIST to this account"
        ) from error
