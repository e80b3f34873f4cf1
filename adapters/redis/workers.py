"""Which worker has which partition: every worker works it out from who is alive.

Workers show that they live in a sorted set, by the server's clock. A partition belongs to the live worker with the
highest hash of (worker, partition), so that one that comes or goes moves only its own share (rendezvous hashing: Thaler
and Ravishankar, 1998). Whether two disagree for a moment does not matter: who took a partition's log over last has it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from hashlib import blake2b

from cep.adapters.redis.session import Session
from cep.errors import ConfigurationError

HEARTBEAT_S = 1.0


def assigned(worker: str, workers: Collection[str], partitions: int) -> list[int]:
    """The partitions of a worker."""
    return [p for p in range(partitions) if max(workers, key=lambda w: _weight(w, p), default="") == worker]


def _weight(worker: str, partition: int) -> bytes:
    return blake2b(f"{worker}\0{partition}".encode(), digest_size=8).digest()


class Membership:
    """A worker among those of its group. Every method raises LogError when the server does not answer."""

    def __init__(self, connect: Callable[[], Session], key: str, worker: str, silence_s: float) -> None:
        self._connect, self._key, self._worker, self._silence_ms = connect, key, worker, int(silence_s * 1000)
        self._session: Session | None = None

    def agree(self, key: str, partitions: int) -> None:
        """Raise ConfigurationError where the group has another number of partitions: keys would change theirs."""
        session = self._session = self._session or self._connect()
        session.call("SET", key, partitions, "NX")
        if (found := session.call("GET", key)) != b"%d" % partitions:
            raise ConfigurationError(
                f"the group has {found.decode()} partitions, not {partitions}: begin another group, with streams of "
                f"its own, or delete {key!r} when no stream has entries any more"
            )

    def beat(self) -> list[str]:
        """Show that this worker lives; those that do."""
        session = self._session = self._session or self._connect()
        seconds, micros = session.call("TIME")
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        replies = session.pipeline(
            [
                ("ZADD", self._key, now_ms, self._worker),
                ("ZREMRANGEBYSCORE", self._key, "-inf", now_ms - self._silence_ms),
                ("ZRANGE", self._key, 0, -1),
            ]
        )
        return [worker.decode() for worker in replies[2]]

    def forget(self) -> None:
        """The connection is lost; the next beat opens another."""
        if self._session is not None:
            self._session.close()
        self._session = None

    def leave(self) -> None:
        """Let the others have this worker's share at once."""
        session = self._session or self._connect()
        session.call("ZREM", self._key, self._worker)
        self.forget()
