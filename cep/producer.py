"""Sending events: packed into entries, each to the partition of its key, and appended once however often it is sent.

Of each partition a producer numbers its events, from 1. A batch that may have got lost is sent again as it was, and the
stream, which knows how many events of the producer it has, takes it only if it has not got it. What that rests on
is an `Outlet`; `cep.adapters.redis.producer` has the real one, and `connect`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol
from zlib import crc32

import msgspec

from cep.ports import ENTRY_BYTES_MAX, LogError

FIELD = b"event"

Fields = tuple[bytes, ...]
Key = str | int | None


class ProducerError(Exception):
    """The producer has given up: what was not acknowledged may or may not have arrived."""


class QueueFullError(Exception):
    """More events are waiting than may."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that travel together: the numbers `first` … `first + events - 1` of a partition, in some entries."""

    partition: int
    first: int
    events: int
    entries: tuple[Fields, ...]
    size: int


class Outlet(Protocol):
    """Where batches go."""

    def open(self) -> Sequence[int]:
        """How many events of this producer each partition has. Raises LogError and ConfigurationError."""

    def append(self, batches: Sequence[Batch]) -> Sequence[int | None]:
        """Append batches in order, but for those that are there already.

        Returns how many of the producer's events the partition had before each; None where it does not know the
        producer. Raises LogError: then nobody knows how many were appended, and all are to be sent again; and
        ConfigurationError where that would be of no use.
        """

    def close(self) -> None:
        """Let go. May be called more than once."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How events become entries, and how many may wait.

    entry_events, entry_bytes, linger_s: an entry is sent when it has so many, or so much, or its first event has waited
    so long. backoff_s: how long to wait before a batch is sent again, the last one for ever, or until patience_s.
    """

    entry_events: int = 500
    entry_bytes: int = 2**16
    linger_s: float = 0.05
    waiting_events: int = 100_000
    waiting_bytes: int = 2**26
    call_bytes: int = 2**22
    backoff_s: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0)
    patience_s: float | None = None


@dataclass(slots=True)
class Sent:
    """What has happened. `events` are acknowledged.

    repeated: events that were there before this producer began. again: batches that were sent again and were there.
    lost: events that were acknowledged and are gone, as after a failover.
    """

    events: int = 0
    entries: int = 0
    repeated: int = 0
    again: int = 0
    retries: int = 0
    lost: int = 0


@dataclass(slots=True)
class _Filling:
    """What of a partition is not full yet. `count`: of all its events so far."""

    known: int
    count: int = 0
    lines: list[bytes] = field(default_factory=list)
    entries: list[Fields] = field(default_factory=list)
    events: int = 0
    size: int = 0
    began: float = 0.0


def partition_of(key: Key, partitions: int) -> int:
    """The partition of a key: the CRC-32 of its text in UTF-8, modulo their number. No key is the empty text."""
    if isinstance(key, bool) or not isinstance(key, str | int | None):
        raise TypeError(f"a key is a text or an integer, not {key!r}")
    return crc32(("" if key is None else str(key)).encode()) % partitions


class Producer:
    """Sends events to a stream, from any thread; a thread of its own packs and delivers them.

    partitions: None where the stream is not divided. report: is told what an operator should know. Events of one key
    arrive in the order in which they were given. Close it, or use it as a context manager, or what waits is lost.
    """

    def __init__(
        self,
        outlet: Outlet,
        partitions: int | None = None,
        packing: Packing | None = None,
        *,
        report: Callable[[str], None] = lambda message: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outlet, self._packing, self._report, self._clock = outlet, packing or Packing(), report, clock
        self._partitions = partitions
        self._fillings = [_Filling(known) for known in outlet.open()]
        self._ready: deque[Batch] = deque()
        self._changed = threading.Condition()
        self._events = self._bytes = 0  # that wait for their acknowledgement
        self._is_closed = False
        self._failure: Exception | None = None
        self._abandoned = threading.Event()
        self.sent = Sent()
        self._thread = threading.Thread(target=self._work, name="producer", daemon=True)
        self._thread.start()

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def send(self, event: Mapping[str, Any] | bytes, key: Key = None, timeout_s: float | None = None) -> None:
        """Send an event: an object, or one line of JSON that holds one.

        Waits while too much is waiting, and raises QueueFullError after timeout_s. Raises ValueError for what no
        detector could read, and ProducerError when the producer has given up.
        """
        line = event if isinstance(event, bytes) else msgspec.json.encode(event)
        if len(line) > ENTRY_BYTES_MAX:
            raise ValueError(f"an event of {len(line)} bytes: they stay below {ENTRY_BYTES_MAX}")
        if not line.startswith(b"{") or b"\n" in line:
            raise ValueError("an event is a JSON object on one line")
        self._put(key, line, (), 1, len(line) + 1, timeout_s)

    def send_entry(
        self, fields: Sequence[bytes], key: Key = None, events: int = 1, timeout_s: float | None = None
    ) -> None:
        """Send an entry as it is, field, value, field, value, …; it counts as so many events."""
        self._put(key, b"", tuple(fields), events, sum(map(len, fields)), timeout_s)

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until all that was given has arrived. Raises ProducerError, also when it takes too long."""
        with self._changed:
            for partition in range(len(self._fillings)):
                self._seal(partition)
            self._changed.wait_for(lambda: not self._events or self._failure, timeout_s)
            self._raise_failure()
            if self._events:
                raise ProducerError(f"{self._events} events have not been acknowledged within {timeout_s} s")

    def close(self, timeout_s: float | None = None) -> None:
        """Flush and let go. May be called more than once."""
        with self._changed:
            was_closed, self._is_closed = self._is_closed, True
        try:
            if not was_closed:
                self.flush(timeout_s)
        finally:
            self._abandoned.set()
            with self._changed:
                self._changed.notify_all()
            self._thread.join()
            self._outlet.close()

    # ------------------------------------------------------------------------------------- packing

    def _put(self, key: Key, line: bytes, entry: Fields, events: int, size: int, timeout_s: float | None) -> None:
        partition = 0 if self._partitions is None else partition_of(key, self._partitions)
        with self._changed:
            self._wait_for_room(events, size, timeout_s)
            filling, packing = self._fillings[partition], self._packing
            if filling.count + events <= filling.known:
                filling.count += events
                self.sent.repeated += events
                return
            is_other = bool(filling.entries) if line else bool(filling.lines)
            if is_other or (filling.events and filling.size + size > packing.entry_bytes):
                self._seal(partition)
            if not filling.events:
                filling.began = self._clock()
                self._changed.notify_all()
            if line:
                filling.lines.append(line)
            else:
                filling.entries.append(entry)
            filling.events += events
            filling.size += size
            self._events += events
            self._bytes += size
            if filling.events >= packing.entry_events or filling.size >= packing.entry_bytes:
                self._seal(partition)

    def _wait_for_room(self, events: int, size: int, timeout_s: float | None) -> None:
        """Something may always wait alone, however large it is."""
        packing = self._packing

        def is_free() -> bool:
            is_room = self._events + events <= packing.waiting_events and self._bytes + size <= packing.waiting_bytes
            return is_room or not self._events or self._is_closed or self._failure is not None

        if not self._changed.wait_for(is_free, timeout_s):
            raise QueueFullError(f"{self._events} events are waiting")
        self._raise_failure()
        if self._is_closed:
            raise ProducerError("the producer is closed")

    def _seal(self, partition: int) -> None:
        """Make a batch of what has gathered."""
        filling = self._fillings[partition]
        if not filling.events:
            return
        entries = tuple(filling.entries) if filling.entries else ((FIELD, b"\n".join(filling.lines)),)
        self._ready.append(Batch(partition, filling.count + 1, filling.events, entries, filling.size))
        filling.count += filling.events
        filling.lines, filling.entries = [], []
        filling.events = filling.size = 0
        self._changed.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise ProducerError(str(self._failure)) from self._failure

    # ------------------------------------------------------------------------------------ delivery

    def _work(self) -> None:
        try:
            while batches := self._next():
                self._account(batches, self._deliver(batches))
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody may wait for ever
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _next(self) -> list[Batch]:
        """What is to be delivered next, when it is time; nothing at the end."""
        with self._changed:
            while not self._ready:
                if self._abandoned.is_set():
                    return []
                now = self._clock()
                waits = {p: f.began + self._packing.linger_s - now for p, f in enumerate(self._fillings) if f.events}
                for partition in [p for p, wait in waits.items() if wait <= 0]:
                    self._seal(partition)
                if not self._ready:
                    self._changed.wait(min(waits.values(), default=None))
            batches = [self._ready.popleft()]
            size = batches[0].size
            while self._ready and size + self._ready[0].size <= self._packing.call_bytes:
                size += self._ready[0].size
                batches.append(self._ready.popleft())
            return batches

    def _deliver(self, batches: Sequence[Batch]) -> Sequence[int | None]:
        """Send batches until they are acknowledged."""
        waits, patience_s, began, failures = self._packing.backoff_s, self._packing.patience_s, self._clock(), 0
        while True:
            try:
                return self._outlet.append(batches)
            except LogError as error:
                if patience_s is not None and self._clock() - began >= patience_s:
                    raise
                if not failures:
                    self._report(f"events are sent again: {error}")
                if self._abandoned.wait(waits[min(failures, len(waits) - 1)]):
                    raise
                failures += 1
                self.sent.retries += 1

    def _account(self, batches: Sequence[Batch], known: Sequence[int | None]) -> None:
        with self._changed:
            for batch, before in zip(batches, known, strict=True):
                self._account_one(batch, before)
                self._events -= batch.events
                self._bytes -= batch.size
            self._changed.notify_all()

    def _account_one(self, batch: Batch, before: int | None) -> None:
        sent = self.sent
        sent.events += batch.events
        if before is not None and before >= batch.first:
            sent.again += 1
            return
        sent.entries += len(batch.entries)
        if before is None and batch.first > 1:
            self._report(f"partition {batch.partition} has forgotten this producer: was the server begun anew?")
        elif before is not None and before < batch.first - 1:
            sent.lost += batch.first - 1 - before
            self._report(f"partition {batch.partition} has lost {batch.first - 1 - before} acknowledged events")
