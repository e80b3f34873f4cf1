"""One seed: the world it makes, the trouble in it, and what is left when the trouble is over."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from cep.adapters.files.snapshots import SETTLED_S, DirectorySnapshots
from cep.adapters.redis.keys import Keys
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.server import LIBRARY
from cep.delivery.recovery import HistoryError
from cep.delivery.runtime import Change, Detector, Options, Runtime
from cep.errors import ConfigurationError
from cep.ports import FencedError
from tests.simulation import halts
from tests.simulation.checker import ViolationError, check_history, waiting
from tests.simulation.commands import Store
from tests.simulation.data import Stream
from tests.simulation.detectors import STREAMS, Digests, event_of, real
from tests.simulation.disk import Disk, in_place
from tests.simulation.hub import Beside, Hub, Process, Stop
from tests.simulation.network import Server, SimulatedSession
from tests.simulation.plan import Plan, plan_of
from tests.simulation.streams import after

KEYS = Keys("g")
LAST = "last"
MISSING = "is missing in the state from now on"
PATIENCE = 40_000  # turns in which everything has to come to rest once the trouble is over
RESTART_S = 0.5
SOON = 40  # turns
LAG_S = SETTLED_S - 1  # a replica is no further behind than is said to be borne
BACKOFF_S = (0.05, 0.2, 1.0)


class Place:
    """Where a worker runs, one process after the other."""

    def __init__(self, name: str, host: int) -> None:
        self.name, self.host = name, host
        self.process: Process | None = None
        self.stop: Stop
        self.faults: list[str] = []  # of the next commands
        self.detector: Detector
        self.change: Change | None = None


class World:
    """What happens is counted in `counts`."""

    def __init__(self, seed: int, plan: Plan | None = None, trace: list[str] | None = None) -> None:
        self.rng = self.random(seed)
        drawn = plan_of(self.rng)
        self.plan = plan or drawn
        self.hub = Hub(self.rng, trace)
        self.server = Server(self.hub, KEYS.own("journal").encode(), self.plan.grain_ms)
        self.disk = Disk(self.hub)
        self.places = [Place(n, host) for n, host in zip(self.plan.workers, self.plan.hosts, strict=True)]
        self.goes_on = self.plan.goes_on
        self.is_torn = self.is_partial = False  # others took entries away; a state had to be given up
        self.renewed = set[bytes]()  # streams that were deleted
        self.counts, self.tokens = Counter[str](), 0
        self.unsent, self.saved_at = self.plan.entries, 0.0
        self.deadly: bytes | None = None
        self.is_calm = self.is_over = False

    @staticmethod
    def random(seed: int) -> random.Random:
        """What all of a seed is drawn from, the plan first."""
        return random.Random(f"simulation {seed}")

    def run(self) -> None:
        """Raises ViolationError."""
        with in_place(self.disk):
            try:
                self._live()
            finally:
                for process in self.hub.processes:
                    if not process.greenlet.dead and process.greenlet:
                        process.kill()

    def _live(self) -> None:
        for place in self.places:
            self.hub.after(self.rng.random() * 2, self._starter(place))
        self.hub.after(self.rng.random(), self._produce)
        for _ in range(self.plan.turns):
            if self.rng.random() < self.plan.rate and self.plan.trouble:
                self._disturb(self.rng.choice(self.plan.trouble))
            self._turn()
        self._calm()
        self._until(lambda: not self.unsent and not waiting(self.server.data, self._streams()), "does not come to rest")
        self.is_over = True
        for place in self.places:
            if place.process is not None:
                place.stop.set()
        self._until(lambda: not self.hub.processes, "does not stop")
        self.goes_on = True
        last = Place(LAST, self.plan.hosts[0])
        self.places = [last]
        self._start(last)
        self._until(lambda: self._is_level(last), "the last one does not come to rest")
        check_history(self, last.detector)

    # ------------------------------------------------------------------------------------ processes

    def _streams(self) -> list[bytes]:
        return [key.encode() for key in STREAMS[: self.plan.streams]]

    def _starter(self, place: Place) -> Callable[[], None]:
        def start() -> None:
            if place.process is None and not self.is_over:
                self._start(place)

        return start

    def _start(self, place: Place) -> None:
        """A new process of a worker."""
        place.stop, place.faults = Stop(self.hub), []
        place.process = process = Process(self.hub, place.name + f"#{self.counts['starts']}", lambda: None)
        self.counts["starts"] += 1
        place.detector = self._detector(process)
        streams = STREAMS[: self.plan.streams]
        log = RedisLog(
            lambda: SimulatedSession(self.server, process, place.faults),
            streams,
            KEYS,
            worker=place.name,
            lease_s=self.plan.lease_s,
            trims=self.plan.trims,
            clock=lambda: self.hub.now,
            token=self._token,
        )
        log._reader.count = 1
        options = Options(
            snapshot_entries=self.plan.snapshot_entries,
            snapshot_s=self.plan.snapshot_s,
            backoff_s=BACKOFF_S,
            streams=streams,
            idle_s=self.plan.idle_s,
            goes_on=self.goes_on,
        )
        runtime = Runtime(
            log,
            place.detector,
            DirectorySnapshots(f"/host{place.host}", "g", streams),
            options=options,
            stop=place.stop,
            report=lambda message: self._reported(process, message),
            clock=lambda: self.hub.now,
            changed=lambda: self._changed(place),
            beside=Beside(self.hub, process),
        )
        process._target = runtime.run

    def _reported(self, process: Process, message: str) -> None:
        self.hub.note(f"{process.name} reports: {message}")
        if message.endswith(MISSING):
            halts.judge_missing(self, message)

    def _detector(self, process: Process) -> Detector:
        def look(content: bytes) -> None:
            if content == self.deadly:
                self.counts["deaths"] += 1
                process.die()

        return real() if self.plan.is_real else Digests(look)

    def _changed(self, place: Place) -> Change | None:
        """Now and then others rules that mean the same."""
        if not self.plan.changes or self.is_calm or self.rng.random() > 0.02 or place.process is None:
            return None
        detector = self._detector(place.process)

        def done() -> None:
            place.detector = detector

        self.counts["changes"] += 1
        return Change(detector, done)

    def _token(self) -> str:
        self.tokens += 1
        return f"token {self.tokens}"

    def _turn(self) -> None:
        self.hub.turn()
        for process in self.hub.ended():
            self.server.hang_up(process)
            place = next((place for place in self.places if place.process is process), None)
            if place is not None:
                place.process = None
                self._look_after(place, process)

    def _look_after(self, place: Place, process: Process) -> None:
        """A process has ended: whether it may, and when there is another."""
        self.hub.note(f"{process.name} ended: {process.error!r}")
        error = process.error
        if isinstance(error, HistoryError):
            halts.judge(self, error)
            self.goes_on = True  # as an operator would say who has read it
        elif isinstance(error, ConfigurationError):
            halts.judge_refusal(self, error)
        elif error is not None and not isinstance(error, FencedError):
            raise ViolationError(f"{process.name} ended with {error!r}") from error
        if place.name != LAST:
            self.hub.after(self.rng.random() * RESTART_S, self._starter(place))
        elif error is not None:
            raise ViolationError(f"the last one ended with {error!r}") from error

    def _calm(self) -> None:
        """The trouble is over."""
        self.is_calm = True
        self.hub.note("calm")
        self.server.is_up, self.disk.is_full = True, False
        for place in self.places:
            place.faults.clear()
        for process in self.hub.processes:
            process.wake = min(process.wake, self.hub.now + 1.0)
        for key in filter(self._is_deleted, self._streams()):
            self._add(key, event_of(self.rng, 0, 0))

    def _until(self, is_done: Callable[[], bool], complaint: str) -> None:
        for _ in range(PATIENCE):
            if is_done():
                return
            self._turn()
        raise ViolationError(f"I12: {complaint}")

    def _is_level(self, place: Place) -> bool:
        """Whether a worker has nothing left to do, and waits."""
        if place.process is None or waiting(self.server.data, self._streams()):
            return False
        return self.server.is_waited_for(place.process)

    # --------------------------------------------------------------------------------- what comes in

    def execute(self, *words: bytes | str | int) -> object:
        """Somebody else's command."""
        reply = self.server.execute(words)
        self.hub.note(f"foreign {words} {reply!r}")
        return reply

    def _produce(self) -> None:
        """Add some entries, and again later."""
        if not self.server.is_up:
            self.hub.after(0.2, self._produce)
            return
        for _ in range(min(self.unsent, self.rng.choice((1, 1, 2, 5)))):
            stream = self.rng.randrange(self.plan.streams)
            fields = event_of(self.rng, self.unsent, stream)
            if self.plan.has_deadly and self.deadly is None and self.rng.random() < 0.1:
                self.deadly = fields[1]
            self.unsent -= 1
            self._add(STREAMS[stream].encode(), fields)
        if self.unsent:
            self.hub.after(self.rng.choice((0.001, 0.05, 0.5)), self._produce)

    def _is_deleted(self, key: bytes) -> bool:
        return key in self.server.data.added and key not in self.server.data.keys

    def _add(self, key: bytes, fields: list[bytes]) -> None:
        """Add an entry. A stream that is begun anew goes on behind where it ended, as with a clock that goes right."""
        entry = b"*"
        if self._is_deleted(key):
            end = self.server.data.added[key][-1].id
            entry = b"%d-%d" % max(after(end), (self.server.now_ms(), 0))
        self.execute("XADD", key, entry, *fields)

    # --------------------------------------------------------------------------------------- trouble

    def _disturb(self, kind: str) -> None:
        self.hub.note(f"trouble: {kind}")
        if TROUBLE[kind](self) is not False:
            self.counts[kind] += 1

    def _committing(self) -> Place | None:
        """Somebody who is about to commit, if one comes to that soon: the worst of moments."""
        for _ in range(SOON):
            for place in self.places:
                if place.process is not None and place.process.doing == f"{LIBRARY}_commit":
                    return place
            self._turn()
        return None

    def _somebody(self) -> Place | None:
        if self.rng.random() < 0.4 and (found := self._committing()) is not None:
            return found
        running = [place for place in self.places if place.process is not None]
        return self.rng.choice(running) if running else None

    def kill(self) -> object:
        place = self._somebody()
        return place.process.kill() if place and place.process else False

    def kill_host(self) -> object:
        host = self.rng.choice(self.plan.hosts)
        for place in self.places:
            if place.host == host and place.process is not None:
                place.process.kill()
        return self.disk.lose_power(f"/host{host}/")

    def pause(self) -> object:
        place = self._somebody()
        if place is None or place.process is None:
            return False
        place.process.pause(self.hub.now + self.rng.random() * 3 * self.plan.lease_s)
        return True

    def stop(self) -> object:
        place = self._somebody()
        return place.stop.set() if place else False

    def on_the_wire(self, kind: str) -> object:
        place = self._somebody()
        return place.faults.append(kind) if place else False

    def _down(self) -> None:
        """The server is away for a while."""
        self.server.end_life(self.rng.choice((0.0, 0.5, 1.0)))
        self.server.is_up = False
        life = self.server.life

        def up() -> None:
            self.server.is_up = self.server.is_up or self.server.life == life

        self.hub.after(self.rng.random() * 3, up)

    def restart(self) -> None:
        self._down()

    def save(self) -> None:
        """From here on, until the next time, a replica gets nothing, and a disk neither."""
        self.server.saved, self.saved_at = self.server.data.copy(), self.hub.now

    def fail_over(self) -> object:
        """What was not saved is gone, and the clock is another."""
        if self.server.saved is None or self.hub.now - self.saved_at > LAG_S:
            self.save()
            return False
        if self.rng.random() < 0.5:
            self._committing()
        self._down()
        self.server.past.append(self.server.data)
        self.server.data, self.server.saved = self.server.saved, None
        self.server.offset_s += self.rng.choice((0.0, 0.0, -0.05, -0.3, -1.0, -60.0, 60.0, 3600.0, -3600.0))
        return True

    def disk_full(self) -> None:
        self.disk.is_full = not self.disk.is_full

    def flip(self) -> object:
        names = sorted(self.disk.names)
        return self.disk.flip(self.rng.choice(names)) if names else False

    def _unapplied(self, key: bytes) -> list[bytes]:
        """The ids of the entries of a stream that are still to be applied, by a detector that has begun."""
        store = Store(self.server.data, self.server.now_ms)
        if not store.execute(["EXISTS", KEYS.meta]):
            return []
        offset = store.execute(["HGET", KEYS.meta, b"offset:" + key]) or b"0-0"
        return [entry[0] for entry in store.execute(["XRANGE", key, b"(" + offset, b"+"])]

    def delete_entries(self) -> object:
        key = self.rng.choice(self._streams())
        ids = self._unapplied(key)
        return bool(ids) and self.execute("XDEL", key, *self.rng.sample(ids, min(len(ids), self.rng.randrange(1, 4))))

    def trim_entries(self) -> object:
        key = self.rng.choice(self._streams())
        ids = self._unapplied(key)
        if not ids:
            return False
        self.is_torn = True
        return self.execute("XTRIM", key, "MINID", self.rng.choice(ids))

    def delete_stream(self) -> object:
        key = self.rng.choice(self._streams())
        stream = self.server.data.keys.get(key)
        if not isinstance(stream, Stream) or not self.server.data.turns():
            return False
        self.is_torn = True
        self.renewed.add(key)
        return self.execute("DEL", key)


TROUBLE: dict[str, Callable[[World], object]] = {
    "kill": World.kill,
    "kill host": World.kill_host,
    "pause": World.pause,
    "stop": World.stop,
    "lost": lambda world: world.on_the_wire("lost"),
    "late": lambda world: world.on_the_wire("late"),
    "unanswered": lambda world: world.on_the_wire("unanswered"),
    "restart": World.restart,
    "save": World.save,
    "fail over": World.fail_over,
    "disk full": World.disk_full,
    "flip": World.flip,
    "delete entries": World.delete_entries,
    "trim entries": World.trim_entries,
    "delete stream": World.delete_stream,
}
