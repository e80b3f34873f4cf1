"""The real command line in a process of its own: `cep replay` from a file, `cep run` from a server, starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from bench.measure import seconds_of
from bench.workloads import RULES, Events, lines, write
from cep.adapters.redis.session import Session
from tests.servers import BINARIES, Server

ROOT = Path(__file__).parents[1]
_ENTRY = "import sys; from cep.adapters.cli.main import main; sys.exit(main())"  # what the installed script does
STREAM, GROUP, ALERTS = "events", "cep", "alerts"
FULL = "events:full"  # the same entries, until they all arrive at once
META = f"cep:{{{GROUP}}}:meta"
DRAIN_COUNT = 2000
SEED_ENTRIES = 10
COLD = "cold compile (cep warmup)"
_FILL_ENTRIES = 5000
_POLL_S = 0.005
_PATIENCE_S = 600.0


def command(*arguments: str) -> list[str]:
    """`cep` with some arguments, run from the source tree."""
    return [sys.executable, "-c", _ENTRY, *arguments]


def environment(**changes: str) -> dict[str, str]:
    """Ours, with the source tree importable."""
    return os.environ | {"PYTHONPATH": str(ROOT)} | changes


def cep(*arguments: str, fine: tuple[int, ...] = (0,), **changes: str) -> bytes:
    """Run `cep` to its end; its stdout. Raises RuntimeError, with what it said, when its exit code is not `fine`."""
    done = subprocess.run(command(*arguments), env=environment(**changes), capture_output=True, check=False)
    if done.returncode not in fine:
        raise RuntimeError(f"cep {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
    return done.stdout


# ------------------------------------------------------------------------------------------ start


def starts(cache: Path) -> dict[str, Callable[[], object]]:
    """What an author or an operator waits for. `cache`: an empty folder, for the start that compiles everything.

    A rule set with findings (1) takes as long to look at as one without.
    """
    rules = str(ROOT / "rules")
    return {
        COLD: lambda: cep("warmup", CEP_CACHE_DIR=str(cache)),
        "cep --help": lambda: cep("--help"),
        "cep check": lambda: cep("check", rules, fine=(0, 1)),
        "cep test": lambda: cep("test", rules, fine=(0, 1)),
    }


# ----------------------------------------------------------------------------------------- replay


class ReplayRun:
    """`cep replay` of one workload. What it takes to start is in the time, as it is for whoever waits for it."""

    def __init__(self, name: str, file: Path) -> None:
        self._arguments = ("replay", str(RULES / f"{name}.cep"), "--from", str(file))
        self.alerts = -1

    def run(self) -> None:
        """From the start of the process to its end."""
        self.alerts = cep(*self._arguments).count(b"\n")

    def timed(self) -> float:
        """One pass, in seconds."""
        return seconds_of(self.run)


def write_file(events: Events, path: Path) -> Path:
    """The events in a file."""
    with path.open("wb") as file:
        write(events, file)
    return path


# ------------------------------------------------------------------------------------------ Redis


@contextmanager
def private_server(kind: str = "valkey", *options: str) -> Iterator[Server]:
    """A server of our own with an append-only file, gone afterwards. Kinds: those of `tests.servers`."""
    binary = BINARIES[kind]
    assert binary is not None, f"{kind} is not installed"
    with tempfile.TemporaryDirectory() as folder:
        server = Server(binary, Path(folder), *options)
        try:
            yield server
        finally:
            server.kill()


def fill(server: Server, events: Events, per_entry: int = 1) -> None:
    """The events as entries of one field, `per_entry` lines of JSON in each.

    An entry's id is `ts-place` of its last event, so an offset tells how many events were applied.
    """
    session = Session(server.url)
    session.call("FLUSHALL")
    documents = [line for block in lines(events) for line in block.splitlines()]
    last = len(events) - 1
    entries = [
        (min(at + per_entry - 1, last), b"\n".join(documents[at : at + per_entry]))
        for at in range(0, len(documents), per_entry)
    ]
    ts = events.ts.tolist()
    for at in range(0, len(entries), _FILL_ENTRIES):
        part = entries[at : at + _FILL_ENTRIES]
        session.pipeline([("XADD", FULL, f"{ts[place]}-{place}", "event", document) for place, document in part])
    session.close()


def drain_xread(server: Server) -> int:
    """Read everything the way the library is meant to be used; how many entries."""
    client, last, count = server.client(), b"0-0", 0
    while reply := client.xread({FULL: last}, count=DRAIN_COUNT):
        entries = reply[FULL.encode()][0] if isinstance(reply, dict) else reply[0][1]  # protocol 3, protocol 2
        last, count = entries[-1][0], count + len(entries)
    return count


def drain_raw(server: Server) -> int:
    """Read everything over the library's connection, replies as they come; how many entries."""
    session, last, count = Session(server.url), b"0-0", 0
    while reply := session.call("XREAD", "COUNT", DRAIN_COUNT, "STREAMS", FULL, last):
        entries = reply[0][1]
        last, count = entries[-1][0], count + len(entries)
    session.close()
    return count


class ServiceRun:
    """`cep run` over a filled server, until everything has been applied and committed.

    The service starts on the first few entries. Once it has committed them all the others arrive in one moment, by a
    renaming, and the time runs until the last is committed. The offset is asked for every few milliseconds.
    """

    def __init__(self, name: str, server: Server, events: Events) -> None:
        self._server, self._n = server, len(events)
        self._command = command("run", str(RULES / f"{name}.cep"), "--redis", server.url, "--group", GROUP)
        self.alerts = -1
        self.start_s = 0.0  # from the start of the process to its first commit

    def timed(self) -> float:
        """One pass, in seconds, scaled from the events that were timed to all."""
        client = self._server.client()
        client.delete(STREAM, *(key for key in client.scan_iter() if key != FULL.encode()))
        for entry, fields in client.xrange(FULL, count=SEED_ENTRIES):
            client.xadd(STREAM, fields, entry)
        seeded = _events_up_to(entry)
        with tempfile.TemporaryFile() as said:
            began = time.perf_counter()
            process = subprocess.Popen(self._command, env=environment(), stdout=said, stderr=said)
            try:
                _wait(client, process, seeded)
                self.start_s = time.perf_counter() - began
                client.rename(FULL, STREAM)
                began = time.perf_counter()
                _wait(client, process, self._n)
                taken = time.perf_counter() - began
            except RuntimeError as error:
                said.seek(0)
                raise RuntimeError(f"{error}: {said.read().decode(errors='replace')}") from None
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()
        client.rename(STREAM, FULL)
        self.alerts = client.xlen(ALERTS)
        return taken * self._n / (self._n - seeded)


def _wait(client: redis.Redis, process: subprocess.Popen[bytes], events: int) -> None:
    """Until so many events have been committed. Raises RuntimeError."""
    deadline = time.monotonic() + _PATIENCE_S
    while (offset := client.hget(META, f"offset:{STREAM}")) is None or _events_up_to(offset) < events:
        if process.poll() is not None:
            raise RuntimeError("cep run has ended")
        if time.monotonic() > deadline:
            raise RuntimeError(f"cep run has not come to event {events}")
        time.sleep(_POLL_S)


def _events_up_to(entry: bytes) -> int:
    """How many events there are up to and including an entry of `fill`."""
    return int(entry.partition(b"-")[2]) + 1
