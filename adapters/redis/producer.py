"""Where a producer's events go: Redis Streams, through a function that takes no batch twice.

A stream remembers of each producer how many of its events it has, in a key beside it that runs out after a week. So a
batch is appended once, if it is sent again within a week; and a producer with a name of its own, which is started again
and sends the same events in the same order, goes on where it was. Two processes must not use one name at a time.

(`XADD … IDMP`, which Redis has from 8.6 on, remembers a hundred ids for a hundred seconds unless it is told otherwise,
and Valkey does not have it: this holds for longer, and everywhere alike.)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from functools import partial

from cep.adapters.redis.keys import memory_of, tag_of
from cep.adapters.redis.server import APPEND, check_streams, load_library
from cep.adapters.redis.session import ReplyError, Session
from cep.errors import ConfigurationError
from cep.ports import LogError
from cep.producer import Batch, Packing, Producer

REMEMBERED_S = 7 * 86400
_HOPELESS = ("WRONGTYPE", "NOPERM", "CEPTYPE", "CEPORDER", "ERR")  # what a second try would not change
_NO_FUNCTION = "Function not found"  # but this it would: it is loaded again


class RedisOutlet:
    """An `Outlet` for streams by their keys. name: of the producer; None: one that is forgotten when it is closed."""

    def __init__(self, connect: Callable[[], Session], streams: Sequence[str], name: str | None = None) -> None:
        self._connect, self._streams, self._is_named = connect, list(streams), name is not None
        self._memories = [memory_of(stream, name or os.urandom(8).hex()) for stream in streams]
        self._session: Session | None = None

    def open(self) -> Sequence[int]:
        """How many events of this producer each stream has."""
        session = self._opened()
        if not self._is_named:
            return [0] * len(self._streams)
        return [int(known or 0) for known in session.pipeline([("GET", memory) for memory in self._memories])]

    def append(self, batches: Sequence[Batch]) -> Sequence[int | None]:
        """Append batches that are not there yet; how many events the stream had before each."""
        try:
            replies = self._opened().pipeline([self._call(batch) for batch in batches])
        except LogError as error:
            self._leave()
            if isinstance(error, ReplyError) and error.code in _HOPELESS and _NO_FUNCTION not in str(error):
                raise ConfigurationError(f"the server refuses the events: {error}") from error
            raise
        return [None if known < 0 else known for known in replies]

    def close(self) -> None:
        """Let go, and be forgotten. May be called more than once."""
        if self._session is not None and not self._is_named:
            with contextlib.suppress(LogError):  # then it is forgotten in a week
                self._session.pipeline([("DEL", memory) for memory in self._memories])
        self._leave()

    def _opened(self) -> Session:
        """The session, of a server that has our function."""
        if self._session is None:
            self._session = session = self._connect()
            check_streams(session, self._streams)
            load_library(session, APPEND)
        return self._session

    def _leave(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None

    def _call(self, batch: Batch) -> list[bytes | str | int]:
        keys = (self._streams[batch.partition], self._memories[batch.partition])
        words: list[bytes | str | int] = ["FCALL", APPEND, len(keys), *keys]
        words += [batch.first, batch.events, REMEMBERED_S * 1000]
        for fields in batch.entries:
            words += [len(fields), *fields]
        return words


def connect(
    url: str,
    stream: str,
    partitions: int | None = None,
    *,
    name: str | None = None,
    packing: Packing | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> Producer:
    """A producer of a stream, or of its partitions, on the server with a URL.

    name: one that is kept from one start to the next, see above. Raises ConfigurationError and LogError.
    """
    streams = [stream + tag_of(p) for p in (range(partitions) if partitions else (None,))]
    outlet = RedisOutlet(partial(Session, url), streams, name)
    return Producer(outlet, partitions, packing, report=report)
