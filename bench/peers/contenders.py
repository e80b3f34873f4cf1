"""Who is compared, and how each is asked for a workload.

A contender answers with an `Outcome`, or with the reason why it has none: it is not installed, its language cannot say
the rule, or it was not done within the time limit. A further one is a line in `contenders`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.engine import EngineRun
from bench.measure import PASSES, Timing, settle
from bench.workloads import KINDS, Events, card_name, compile_workload

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Stream:
    """The events, in memory and as the file that the peers read."""

    events: Events
    path: Path

    @classmethod
    def create(cls, events: Events, path: Path) -> Stream:
        """Write the file: what the rules look at, one line an event."""
        columns = (column.tolist() for column in (events.ts, events.kind, events.card, events.amount))
        with path.open("w", encoding="utf-8") as file:
            file.write("ts,type,card,amount\n")
            file.writelines(
                f"{ts},{KINDS[kind]},{card_name(card)},{amount}\n"
                for ts, kind, card, amount in zip(*columns, strict=True)
            )
        return cls(events, path)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The matches of a pass, and how long each pass took that counts."""

    matches: int
    timing: Timing


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no outcome. `below`: the time limit was reached, so it takes fewer events a second than this."""

    why: str
    below: float | None = None


class Contender(Protocol):
    """An engine. `differs`: why it finds other matches than the reference in a workload, where that is known."""

    @property
    def name(self) -> str: ...
    @property
    def differs(self) -> Mapping[str, str]: ...
    def version(self) -> str | None:
        """Which one it is; None if it is not installed, or is ours."""
        ...

    def measure(self, workload: str, stream: Stream, passes: int) -> Outcome | Refusal:
        """One pass that does not count, then `passes` that do."""
        ...


@dataclass(frozen=True, slots=True)
class Ours:
    """This engine: decoded events in, matches out, on so many cores."""

    name: str
    cores: int
    differs: Mapping[str, str] = field(default_factory=dict)

    def measure(self, workload: str, stream: Stream, passes: int) -> Outcome | Refusal:
        """The state is empty in each pass; the kernels are loaded in the one that does not count.

        A pass is over in a moment, so there are some more of them than a peer may have time for.
        """
        run = EngineRun(compile_workload(workload), stream.events, shards=self.cores)
        seconds = []
        for _ in range(max(passes, PASSES) + 1):
            settle()
            seconds.append(run.timed())
        return Outcome(run.matches, Timing(len(stream.events), tuple(seconds[1:])))

    def version(self) -> str | None:
        """The record names the commit."""
        return None


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that is given WORKLOAD EVENTS.csv PASSES and prints a line of JSON, matches and seconds, for each pass.

    `command`: how it is started, or why it cannot be. `release`: which version that is. `cannot`: the workloads that
    its language cannot say, and why.
    """

    name: str
    command: Callable[[], Sequence[str] | Refusal]
    release: Callable[[], str]
    cannot: Mapping[str, str]
    differs: Mapping[str, str]
    limit_s: float

    def measure(self, workload: str, stream: Stream, passes: int) -> Outcome | Refusal:
        """A run of the program; the limit is for all its passes and for its start."""
        if workload in self.cannot:
            return Refusal(self.cannot[workload])
        command = self.command()
        if isinstance(command, Refusal):
            return command
        arguments = [*command, workload, str(stream.path), str(passes + 1)]
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=self.limit_s)
        except subprocess.TimeoutExpired:
            handed_over = len(stream.events) * (passes + 1)
            return Refusal(f"{handed_over:,} events took longer than {self.limit_s:g} s", handed_over / self.limit_s)
        if done.returncode:
            raise RuntimeError(f"{self.name}, {workload}: {done.stderr[-2000:]}")
        told = [json.loads(line) for line in done.stdout.splitlines()]
        (matches,) = {line["matches"] for line in told}
        return Outcome(matches, Timing(len(stream.events), tuple(line["seconds"] for line in told[1:])))

    def version(self) -> str | None:
        """Whatever can be started has one."""
        return None if isinstance(self.command(), Refusal) else f"{self.name} {self.release()}"


NO_AGGREGATE = "its language has no sum over a window"
HELD_BACK = (
    "Flink holds a completed match back while a partial match that began earlier is alive, and drops it when that one "
    "completes; the reference takes the first that completes"
)
NO_EVENT_TIME = "its keyed state has no timers in event time"
FORGETS = (
    "EQL's engine keeps one partial match for each card and stage, the newest, and a match ends no other partial match"
)
SCRIPTS = {"bytewax": HERE / "bytewax_flow.py", "eql": HERE / "eql_engine.py"}


def contenders(flink_home: Path | None, python: str, limit_s: float, build: Path) -> list[Contender]:
    """Everyone, in the order of the table. `build`: a folder for what is compiled."""
    flink = flink_home or _pyflink()
    return [
        Ours("ours, 1 core", 1),
        Ours("ours, 2 cores", 2),
        Peer(
            "Flink CEP",
            lambda: _flink(flink, build),
            lambda: _flink_release(flink),
            {"w6": NO_AGGREGATE},
            {"w4": HELD_BACK},
            limit_s,
        ),
        Peer(
            "bytewax",
            lambda: _script(python, "bytewax"),
            lambda: _release(python, "bytewax"),
            {"w5": NO_EVENT_TIME},
            {},
            limit_s,
        ),
        Peer(
            "eql",
            lambda: _script(python, "eql"),
            lambda: _release(python, "eql"),
            {
                "w4": "a condition cannot speak of the event before",
                "w5": "its Python engine has no absence at a deadline",
                "w6": NO_AGGREGATE,
            },
            dict.fromkeys(("w1", "w2", "w3"), FORGETS),
            limit_s,
        ),
    ]


def _script(python: str, package: str) -> Sequence[str] | Refusal:
    """One of our scripts, if that Python has the package."""
    probe = f"import importlib.util as u, sys; sys.exit(u.find_spec('{package}') is None)"
    if subprocess.run([python, "-c", probe], check=False).returncode:
        return Refusal("not installed")
    return [python, str(SCRIPTS[package])]


def _release(python: str, package: str) -> str:
    """The version that is installed there, and of what Python."""
    probe = (
        f"import importlib.metadata as m, platform as p; print(m.version('{package}'), 'on Python', p.python_version())"
    )
    return subprocess.run([python, "-c", probe], check=True, capture_output=True, text=True).stdout.strip()


def _pyflink() -> Path | None:
    """The jars inside the Python package of Flink, if this Python has it."""
    spec = importlib.util.find_spec("pyflink")
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None


def _flink(home: Path | None, build: Path) -> Sequence[str] | Refusal:
    """Our Java program, compiled against Flink's jars once."""
    java, javac = shutil.which("java"), shutil.which("javac")
    if home is None or not list(home.glob("lib/flink-cep*.jar")):
        return Refusal("not installed")
    if java is None or javac is None:
        return Refusal("no Java here")
    jars = f"{home}/lib/*"
    if not (build / "FlinkCep.class").exists():
        compiled = [javac, "-nowarn", "-proc:none", "-d", str(build), "-cp", jars, str(HERE / "FlinkCep.java")]
        subprocess.run(compiled, check=True, capture_output=True)
    return [java, "-Xmx4g", "-cp", os.pathsep.join((str(build), jars)), "FlinkCep"]


def _flink_release(home: Path | None) -> str:
    """The version in the name of the jar, and that of Java."""
    assert home is not None
    (jar,) = home.glob("lib/flink-cep-*.jar")
    told = subprocess.run(["java", "-version"], check=True, capture_output=True, text=True).stderr
    return f"{jar.stem.removeprefix('flink-cep-')} on {told.splitlines()[0]}"
