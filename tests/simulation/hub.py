"""Time, and who comes next. Whatever a process does to the outside is a step, at which others may come first.

Processes are greenlets: the code that runs in them knows nothing of it. One that crashes never takes another step; what
its `finally` clauses try to do to the outside is not done, as it would not be in a process that was killed.
"""

from __future__ import annotations

import contextlib
import heapq
import random
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from greenlet import getcurrent, greenlet

STEP_S = 0.002  # a step takes up to so long


class Crash(BaseException):
    """The process was killed."""


class Process:
    """Something that runs. wake: when it goes on; doing: what it is about to do; error: what ended it.

    threads: what it does beside, each a `Process` that dies with it. owner: of a thread, whose it is.
    """

    def __init__(self, hub: Hub, name: str, target: Callable[[], None], owner: Process | None = None) -> None:
        self._hub, self.name, self._target, self.owner = hub, name, target, owner
        self.threads: list[Process] = []
        self.wake, self.doing, self.is_dead, self.error = hub.now, "", False, None
        self.greenlet = greenlet(self._run, hub.main)
        hub.processes.append(self)

    def _run(self) -> None:
        try:
            self._target()
        except Exception as error:  # noqa: BLE001  # the world looks at it
            self.error: Exception | None = error
        except Crash:
            self.is_dead = True

    def step(self, what: str) -> None:
        """Something is about to be done to the outside."""
        if self.is_dead:
            raise Crash
        if self._hub.trace is not None:
            self._hub.trace.append(f"{self._hub.now:.4f} {self.name} {what}")
        self._hub.main.switch()

    def sleep(self, seconds: float, what: str) -> None:
        """Go on after some time, or when somebody sets `wake`."""
        self.wake = self._hub.now + seconds
        self.step(what)

    def die(self) -> None:
        """From within."""
        for thread in self.threads:
            self._hub.after(0, thread.kill)
        self.is_dead = True
        raise Crash

    def kill(self) -> None:
        """From without: it gets no further than the step at which it stands."""
        for thread in self.threads:
            thread.kill()
        self.is_dead = True
        if not self.greenlet.dead:
            with contextlib.suppress(Crash):  # which comes back from one that had not begun
                self.greenlet.throw(Crash)

    def pause(self, until: float) -> None:
        """Let it, and all that it does beside, do nothing before some time."""
        for process in (self, *self.threads):
            process.wake = until


class Hub:
    """now: in seconds. trace: what happens, line by line, where somebody wants to know."""

    def __init__(self, rng: random.Random, trace: list[str] | None = None) -> None:
        self.rng, self.trace = rng, trace
        self.now, self.main = 0.0, getcurrent()
        self.processes: list[Process] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = self.steps = 0

    def current(self) -> Process:
        """The process that runs."""
        running = getcurrent()
        return next(process for process in self.processes if process.greenlet is running)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something later."""
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, act))

    def note(self, what: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.now:.4f} {what}")

    def turn(self) -> None:
        """Let one process take a step; where none can, time moves on to when one can."""
        while self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()
        ready = [process for process in self.processes if process.wake <= self.now]
        if ready:
            self.now += self.rng.random() * STEP_S
            self.steps += 1
            ready[int(self.rng.random() * len(ready))].greenlet.switch()
        else:
            times = [process.wake for process in self.processes] + [at for at, _, _ in self._events[:1]]
            self.now = max(self.now, min(times, default=self.now + 1.0))

    def ended(self) -> list[Process]:
        """The processes that have ended since it was asked last."""
        ended = [process for process in self.processes if process.greenlet.dead]
        if ended:
            self.processes = [process for process in self.processes if not process.greenlet.dead]
        return ended


class Stop:
    """Stands for `threading.Event`."""

    def __init__(self, hub: Hub) -> None:
        self._hub, self._is_set = hub, False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def wait(self, seconds: float) -> bool:
        if not self._is_set:
            self._hub.current().sleep(seconds, "waits")
        return self._is_set


class Beside(Executor):
    """Threads of a process, one at a time, whose steps come between its own."""

    def __init__(self, hub: Hub, process: Process) -> None:
        self._hub, self._process = hub, process

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        done = _Done(self._hub)

        def run() -> None:
            try:
                done.set_result(work(*arguments, **options))
            except Exception as error:  # noqa: BLE001  # whoever asks for the result has it
                done.set_exception(error)

        self._process.threads = [Process(self._hub, f"{self._process.name} beside", run, self._process)]
        return done


class _Done(Future[Any]):
    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub

    def result(self, timeout: float | None = None) -> Any:
        while not self.done():
            self._hub.current().sleep(STEP_S, "waits for what is done beside")
        return super().result()
