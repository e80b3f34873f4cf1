"""The engine in two processes that have half of the cards each, as partitions with a worker each divide them."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import fields
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from types import TracebackType

import numpy as np

from bench.engine import EngineRun
from bench.measure import settle, touch_memory
from bench.workloads import Events, compile_workload

PROCESSES = 2
PATIENCE_S = 600.0


class PartedRun:
    """A workload, again and again, in processes that begin at the same moment; it takes as long as the slower one."""

    def __init__(self, name: str, events: Events) -> None:
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(PROCESSES, timeout=PATIENCE_S)
        self.matches = -1
        self._pipes, self._processes = list[Connection](), []
        for number in range(PROCESSES):
            ours, theirs = context.Pipe()
            arguments = (name, of_cards(events, number), barrier, theirs)
            self._processes.append(context.Process(target=_serve, args=arguments, daemon=True))
            self._pipes.append(ours)
        for process in self._processes:
            process.start()

    def __enter__(self) -> PartedRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def timed(self) -> float:
        """One pass, in seconds."""
        for pipe in self._pipes:
            pipe.send("again")
        answers = [pipe.recv() for pipe in self._pipes]
        self.matches = sum(matches for _, matches in answers)
        return float(max(seconds for seconds, _ in answers))


def of_cards(events: Events, number: int) -> Events:
    """The events of every so manieth card."""
    chosen = events.card % PROCESSES == number
    return Events(**{field.name: np.ascontiguousarray(getattr(events, field.name)[chosen]) for field in fields(events)})


def _serve(name: str, events: Events, barrier: Barrier, pipe: Connection) -> None:
    run = EngineRun(compile_workload(name), events)
    while pipe.recv():
        settle()
        state, stream = run.prepare()
        touch_memory()
        barrier.wait()
        began = time.perf_counter()
        run.run(state, stream)
        pipe.send((time.perf_counter() - began, run.matches))
