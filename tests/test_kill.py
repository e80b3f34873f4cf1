"""`cep run`, killed at random moments while events come in, writes what it writes when nobody disturbs it.

The same bytes in the same order: alerts, dead letters and late events. Detector and server are real processes, and what
kills them is SIGKILL. CEP_SEED repeats a run, as far as the machine does.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import pytest
import redis

from bench.workloads import NAMES, PAYMENT, Events, generate, lines
from bench.workloads import RULES as BENCH_RULES
from cep.adapters.cli.warmup import ensure_warm
from tests.servers import BINARIES, Server

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "import sys; from cep.adapters.cli.main import main; sys.exit(main())", "run"]
STREAMS = ("payments", "sessions")
PATIENCE_S = 120.0
TICK_S = 0.01
TICKS_FOR_A_KILL = 250
PHASES = {"starting": 1.0, "recovering": 0.2, "working": 4.0, "keeping snapshots": 2.0}  # and how long it lasts, in s
BURST = 40  # entries a tick when nothing is left to be killed

# The benchmark's events, from two streams that wait for stragglers: what is held back goes through snapshots as well.
SCHEMA = """
stream payments time ts type type late 2s
stream sessions time ts type type late 5s
event payment         from payments (card text, amount number, country text)
event login_ok        from sessions (card text)
event login_failed    from sessions (card text)
event password_change from sessions (card text)
event logout          from sessions (card text)
"""
RULES = """
import "schema.cep"
rule busy by card within 30s
  while count(payment) >= 4 and count(distinct payment.country) > 2
  keep 10s
  alert low "{card}: {count(payment)} payments"
rule guessing by card within 10m
  while count(login_failed) >= 3 for 5s
  until sum(payment.amount) > 500
  alert medium "{card}: {count(login_failed)} failed log-ins"
  limit 1 per 5m by card
rule rising by card within 3m
  match all
  when payment as a where amount > 100
  then payment as b where amount > a.amount
  alert high "{card}: {a.amount}, {b.amount}"
  limit 2 per 10m by card
rule quiet by card within 5m
  match each
  when 2..3 login_failed as f
  then no payment within 1m
  then no logout within 2m
  alert low "{card}: nothing after {count(f)} failed log-ins"
rule returns by card within 20m
  when no logout within 10m
  then payment as p where country in ["NL", "DE", "FR"]
  next payment as q where country != p.country
  alert low "{card}: {p.country}, {q.country}"
"""

Entry = tuple[str, str, bytes]  # stream, id, JSON


def entries(n: int, seed: int) -> list[Entry]:
    """n events, one an entry, nearly in order of time: one in 300 too late, one in 500 not to be understood."""
    events = generate(n, cards=n // 50, seed=seed, rate=5)
    documents = [line for block in lines(events) for line in block.splitlines()]
    rng = random.Random(seed)
    places = sorted(range(n), key=_arrivals(events, rng).__getitem__)
    found = []
    for number, place in enumerate(places, 1):
        text = documents[place] if rng.random() > 1 / 500 else _spoilt(documents[place], rng)
        found.append((STREAMS[int(events.kind[place] != PAYMENT)], f"{number // 3 + 1}-{number % 3}", text))
    return found


def _arrivals(events: Events, rng: random.Random) -> list[float]:
    """When each event comes in, in ms: within its stream's lateness, save for a few."""
    return [ts + rng.uniform(0, 1900) + (30_000 if rng.random() < 1 / 300 else 0) for ts in events.ts.tolist()]


def _spoilt(document: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        [
            document[: len(document) // 2],
            document.replace(b'"ts":', b'"time":'),
            document.replace(b'"card":"', b'"card":["').replace(b'","amount', b'"],"amount'),
            b"\xff\xfe" + document,
            document.replace(b'"type":"', b'"type":"no_such_'),  # not bad: of no interest
        ]
    )


class Producer(threading.Thread):
    """Appends entries at a pace that leaves some for every kill to come.

    A server that does not answer is waited for. An entry whose fate is unknown is sent again, under its own id.
    """

    def __init__(self, server: Server, given: Sequence[Entry], kills: int) -> None:
        super().__init__(daemon=True)
        self._server, self._entries, self.kills_to_come = server, given, kills

    def run(self) -> None:
        sent = 0
        while sent < len(self._entries):
            left = len(self._entries) - sent
            size = left // (TICKS_FOR_A_KILL * (self.kills_to_come + 1)) if self.kills_to_come else BURST
            while not self._append(self._entries[sent : sent + size]):
                time.sleep(TICK_S)
            sent += size
            time.sleep(TICK_S)

    def _append(self, part: Sequence[Entry]) -> bool:
        with self._server.client() as client, client.pipeline(transaction=False) as pipeline:
            for stream, entry, text in part:
                pipeline.xadd(stream, {"event": text}, id=entry)
            try:
                replies = pipeline.execute(raise_on_error=False)
            except redis.ConnectionError:
                return False
        refused = [reply for reply in replies if isinstance(reply, redis.RedisError)]
        return all("equal or smaller" in str(reply) for reply in refused)  # it was there already


class Service:
    """A `cep run` and its journal."""

    def __init__(self, server: Server, folder: Path, group: str, *options: str) -> None:
        self._server, self._meta = server, f"cep:{{{group}}}:meta"
        self._journal = folder / f"{group}.log"
        self._journal.write_bytes(b"")
        self._snapshots = folder / "snapshots"
        self._before, self._snapshot = self._commits(), self._last_snapshot()
        where = ("--redis", server.url, "--group", group, "--alerts", group)
        command = [*COMMAND, str(folder / "rules"), *where, *options]
        with self._journal.open("ab") as file:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=file)

    def _commits(self) -> int:
        return int(self._server.client().hget(self._meta, "seq") or 0)

    def _last_snapshot(self) -> str:
        return max((path.stem for path in self._snapshots.glob("*.snapshot")), default="")

    def _wait(self, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not reached():
            assert self.process.poll() is None, f"cep run has ended: {self._journal.read_text()}"
            assert time.monotonic() < deadline, f"cep run is not {what}: {self._journal.read_text()}"
            time.sleep(0.005)

    def wait_until(self, phase: str) -> None:
        """Until it recovers (it says that it has started), works (it commits) or has kept a snapshot."""
        if phase == "recovering":
            self._wait(lambda: b'"started"' in self._journal.read_bytes(), phase)
        elif phase == "working":
            self._wait(lambda: self._commits() > self._before, phase)
        elif phase == "keeping snapshots":
            self._wait(lambda: self._last_snapshot() > self._snapshot, phase)

    def wait_for_end(self) -> None:
        """Until it has applied everything there is."""
        client = self._server.client()
        ends = [client.xrevrange(stream, count=1)[0][0] for stream in STREAMS]
        self._wait(lambda: client.hmget(self._meta, *(f"offset:{s}" for s in STREAMS)) == ends, "at the end")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> str:
        """End it in peace; its journal."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self._journal.read_text()
        return self._journal.read_text()


class Storm:
    """A server, rules, events that come in, and a service that is disturbed. `figures`: what to tell of it."""

    def __init__(self, kind: str, folder: Path, seed: int, fsync: str, snapshots: bool) -> None:
        binary = BINARIES[kind]
        if binary is None:
            pytest.skip("redis-server is not installed")
        self._rng, self._seed, self._folder, self._snapshots = random.Random(seed), seed, folder, snapshots
        (folder / "data").mkdir()
        self._server = Server(binary, folder / "data", "--appendfsync", fsync)
        shutil.copytree(BENCH_RULES, folder / "rules", ignore=shutil.ignore_patterns("latency.cep"))
        (folder / "rules" / "schema.cep").write_text(SCHEMA, "utf-8")
        (folder / "rules" / "more.cep").write_text(RULES, "utf-8")
        self._services: list[Service] = []
        self.figures: Counter[str] = Counter()

    def close(self) -> None:
        for service in self._services:
            service.kill()
        self._server.kill()

    def rage(self, n: int, victims: Sequence[str]) -> None:
        """Kill the victims (the server, or the detector in one of its phases) while n events come in, and compare."""
        given = entries(n, self._seed)
        producer = Producer(self._server, given, len(victims))
        service = self._start()
        producer.start()
        for victim in victims:
            service = self._kill_server(service) if victim == "server" else self._kill_detector(service, victim)
            assert producer.is_alive(), "events no longer come in"
            producer.kills_to_come -= 1
        producer.join()
        service.wait_for_end()
        journal = service.stop()
        self.figures["sessions lost"] = journal.count("session has ended")
        assert sum(self._server.client().xlen(stream) for stream in STREAMS) == n
        calm = self._add(Service(self._server, self._folder, "calm"))
        calm.wait_for_end()
        calm.stop()
        self._compare()

    def _start(self) -> Service:
        if any(self._folder.glob("snapshots/*.snapshot")):
            self.figures["starts from a snapshot"] += 1
        options = ("--snapshots", str(self._folder / "snapshots"), "--snapshot-seconds", self._rng.choice("112"))
        return self._add(Service(self._server, self._folder, "test", *(options if self._snapshots else ())))

    def _add(self, service: Service) -> Service:
        self._services.append(service)
        return service

    def _kill_detector(self, service: Service, phase: str) -> Service:
        service.wait_until(phase)
        time.sleep(self._rng.uniform(0, PHASES[phase]))
        service.kill()
        self.figures[f"killed while {phase}"] += 1
        return self._start()

    def _kill_server(self, service: Service) -> Service:
        """The service stays, and waits."""
        service.wait_until("working")
        time.sleep(self._rng.uniform(0, PHASES["working"]))
        self._server.kill()
        time.sleep(self._rng.uniform(0, 0.5))
        self._server.start()
        self.figures["servers killed"] += 1
        assert service.process.poll() is None, "the service has not waited for the server"
        return service

    def _compare(self) -> None:
        ids, rules = set(), set()
        pairs = zip_longest(self._read("test"), self._read("calm"), fillvalue=(b"", {b"alert": b"nothing"}))
        for place, ((_, found), (_, wanted)) in enumerate(pairs):
            assert found == wanted, f"alert {place} of seed {self._seed}"
            document = json.loads(found[b"alert"])
            ids.add(document["id"])
            rules.add((document["data"]["rule"]["id"], document["data"]["status"]))
            self.figures["alerts"] += 1
        assert len(ids) == self.figures["alerts"], "two alerts have the same id"
        assert {name for name, _ in rules} == {*NAMES, *re.findall(r"^rule (\w+)", RULES, re.MULTILINE)}
        assert {("busy", "resolved"), ("guessing", "resolved")} <= rules
        for output, name in ((":dlq", "dead letters"), (":late", "late")):
            letters = self._letters("test" + output)
            assert letters == self._letters("calm" + output), f"{name} of seed {self._seed}"
            self.figures[name] = sum(map(len, letters.values()))
            assert self.figures[name] > 0

    def _letters(self, key: str) -> dict[bytes, list[dict[bytes, bytes]]]:
        """By stream: which of two streams has its turn first is no part of the promise."""
        found: dict[bytes, list[dict[bytes, bytes]]] = {}
        for _, fields in self._read(key):
            found.setdefault(fields[b"stream"], []).append(fields)
        return found

    def _read(self, key: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        client, last = self._server.client(), b"-"
        while part := client.xrange(key, min=last, count=5000):
            yield from part
            last = b"(" + part[-1][0]


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """Starts are short, so that there are events while it matters."""
    ensure_warm()


def rage(
    kind: str, folder: Path, n: int, victims: Sequence[str], *, fsync: str = "everysec", snapshots: bool = True
) -> None:
    seed = int(os.environ.get("CEP_SEED", random.randrange(10**6)))
    print(f"CEP_SEED={seed}")  # shown when the test fails
    began, storm = time.monotonic(), Storm(kind, folder, seed, fsync, snapshots)
    try:
        storm.rage(n, random.Random(seed).sample(victims, len(victims)))
    finally:
        storm.close()
        figures = " · ".join(f"{name} {number:,}" for name, number in storm.figures.items())
        print(f"{kind}, appendfsync {fsync}: {n:,} events · {figures} · {time.monotonic() - began:.0f} s")


@pytest.mark.parametrize("kind", list(BINARIES))
def test_the_detector_is_killed(kind: str, tmp_path: Path) -> None:
    rage(kind, tmp_path, 20_000, ["recovering", "working", "keeping snapshots"])


@pytest.mark.parametrize(("kind", "fsync"), [("valkey", "always"), ("redis", "everysec")])
def test_the_server_is_killed(kind: str, fsync: str, tmp_path: Path) -> None:
    rage(kind, tmp_path, 10_000, ["server"] * 2, fsync=fsync)


@pytest.mark.soak
@pytest.mark.parametrize("kind", list(BINARIES))
def test_a_long_storm(kind: str, tmp_path: Path) -> None:
    rage(kind, tmp_path, 200_000, [*PHASES] * 5)


@pytest.mark.soak
@pytest.mark.parametrize("kind", list(BINARIES))
def test_a_long_storm_without_snapshots(kind: str, tmp_path: Path) -> None:
    victims = ["starting", "recovering", "working", "server"] * 5
    rage(kind, tmp_path, 200_000, victims, snapshots=False)
