"""The partitions of a worker: a thread with a runtime for each that is its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from cep.adapters.cli.journal import Journal
from cep.adapters.redis.workers import HEARTBEAT_S, Membership, assigned
from cep.delivery.outcome import Counters
from cep.delivery.runtime import Runtime
from cep.ports import FencedError, LogError

_LOOK_S = 0.1  # how often a lone runtime's process looks whether it is to end
Make = Callable[[int | None, threading.Event], Runtime]


@dataclass(frozen=True, slots=True)
class _Running:
    """A runtime in its thread."""

    runtime: Runtime
    stop: threading.Event
    future: Future[None]


class Partitions:
    """Runs the partitions that fall to this worker.

    count: of all partitions; None: there are none, and one runtime has everything. make: a runtime, ready to run.
    """

    def __init__(
        self, count: int | None, membership: Membership | None, worker: str, make: Make, journal: Journal
    ) -> None:
        self._count, self._membership, self._worker = count, membership, worker
        self._make, self._journal = make, journal
        self._running: dict[int | None, _Running] = {}
        self._past: list[Counters] = []
        self._ended = threading.Event()

    def counters(self) -> list[Counters]:
        """Of all that run or ran here."""
        return self._past + [running.runtime.counters for running in list(self._running.values())]

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set. Raises what has ended a runtime that nobody stopped."""
        with ThreadPoolExecutor(self._count or 1, thread_name_prefix="partition") as threads:
            try:
                while not stop.is_set():
                    self._settle(threads, self._wanted())
                    self._ended.wait(_LOOK_S if self._count is None else HEARTBEAT_S)
                    self._ended.clear()
            finally:
                for running in self._running.values():
                    running.stop.set()
                threads.shutdown(wait=True)
                with contextlib.suppress(LogError):  # the others find out when nothing is heard any more
                    if self._membership is not None:
                        self._membership.leave()
        self._reap()

    def _wanted(self) -> set[int | None]:
        if self._count is None or self._membership is None:
            return {None}
        try:
            return set(assigned(self._worker, self._membership.beat(), self._count))
        except LogError:
            self._membership.forget()
            return set(self._running)  # until the server is back nobody can commit anyway

    def _settle(self, threads: ThreadPoolExecutor, wanted: set[int | None]) -> None:
        """Let go of partitions that are another's, and begin with those that are ours."""
        for number, running in self._running.items():
            if number not in wanted:
                running.stop.set()
        self._reap()
        for number in sorted(wanted - self._running.keys(), key=lambda n: n or 0):
            stop = threading.Event()
            runtime = self._make(number, stop)
            future = threads.submit(runtime.run)
            future.add_done_callback(lambda _: self._ended.set())
            self._running[number] = _Running(runtime, stop, future)
            self._tell("partition taken", number)

    def _reap(self) -> None:
        """Put what has ended aside. Where there are many partitions it is no failure that another worker took one."""
        for number, running in list(self._running.items()):
            if not running.future.done():
                continue
            del self._running[number]
            self._past.append(running.runtime.counters)
            self._tell("partition let go", number)
            with contextlib.suppress(*(() if number is None else (FencedError,))):
                running.future.result()

    def _tell(self, message: str, number: int | None) -> None:
        if number is not None:
            self._journal.write(message, {"partition": number})
