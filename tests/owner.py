"""A log on a real server, opened, and how it is filled and read in tests."""

from __future__ import annotations

from typing import Any

from cep.adapters.redis.keys import Keys
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.session import Session
from cep.delivery.history import following
from cep.delivery.recovery import moved
from cep.ports import Commit, Entries, EntryId, Position
from tests.servers import Server

META = "cep:{g}:meta"
OUTPUTS = ("alerts", "alerts:dlq", "alerts:late", "alerts:shadow", "cep:{g}:journal")


def a_log(server: Server, streams: tuple[str, ...] = ("a", "b"), **options: Any) -> RedisLog:
    return RedisLog(lambda: Session(server.url), streams, Keys("g"), **options)


def at(ms: int, seq: int = 0, ordinal: int = 0, digest: int = 0) -> Position:
    return Position(EntryId(ms, seq), ordinal, digest)


class Owner:
    """A log, opened, and where it stands."""

    def __init__(self, server: Server, streams: tuple[str, ...] = ("a", "b"), **options: Any) -> None:
        self.log = a_log(server, streams, **options)
        self.standing = self.log.open()
        self.point = self.standing.point

    def commit(self, commit: Commit) -> None:
        before, self.point = self.point, following(self.point, commit)
        self.log.commit(before, commit, self.point)

    def apply(self, limit: int | None = None, alerts: tuple[bytes, ...] = ()) -> int:
        """Commit what can be read; how many entries."""
        batch = self.log.read(self.point.offsets, None, limit)
        offsets = moved(self.point.offsets, batch)
        self.commit(Commit({e.stream: offsets[e.stream] for e in batch}, list(alerts)))
        return sum(map(len, batch))


def fill(server: Server, stream: str, first: int, last: int) -> None:
    with server.client().pipeline(transaction=False) as pipeline:
        for n in range(first, last + 1):
            pipeline.xadd(stream, {"e": str(n)}, id=f"{n}-0")
        pipeline.execute()


def shown(parts: list[Entries]) -> list[tuple[int, str, list[bytes]]]:
    return [(part.stream, str(part.id(row)), list(part.fields[row])) for part in parts for row in range(len(part))]
