"""Changed rules in a running detector: files are watched, checked in the background, and handed over when good.

Files are looked at again and again instead of being told about: that also works where folders are swapped as a whole,
as for a mounted ConfigMap, and over networks. Only what differs in content counts. A bad set is refused, with its
diagnostics in the log, and the rules that run go on.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cep.adapters.cli.console import CommandError
from cep.adapters.cli.detector import Before, build, detector_of
from cep.adapters.cli.journal import Journal
from cep.adapters.redis.tables import RedisTables
from cep.delivery.runtime import Change
from cep.detector import RuleDetector
from cep.errors import ConfigurationError, Diagnostic
from cep.lang import load
from cep.lang.check import Loaded
from cep.lang.files import rule_files
from cep.layout.program import Program
from cep.ports import LogError

EVERY_S = 0.1
TABLES_EVERY_S = 5.0  # tables in Redis are read as a whole to be looked at


@dataclass(frozen=True, slots=True)
class _Ready:
    """Rules that are good: the number of the change, and when it was seen."""

    program: Program
    number: int
    began_s: float


class Watcher:
    """Watches the files of a rule set from a thread of its own; each thread that runs the rules has a subscription.

    `loaded` is what runs, `program` made of it, and `before` what that has left; `tables` are those in Redis. `again`
    asks for a look at once, as SIGHUP does.
    """

    def __init__(
        self,
        paths: Sequence[str],
        loaded: Loaded,
        before: Before,
        tables: RedisTables,
        program: Program,
        journal: Journal,
    ) -> None:
        self._paths, self._before, self._tables, self._journal = paths, before, tables, journal
        self._tables_seen_s = time.monotonic()
        self._missed = False  # whether a table could not be read for rules that have changed
        self._streams = [stream.name for stream in program.streams]
        self._beside = frozenset(loaded.beside)
        self._seen = self._looks()
        self._content = self._digest({name: text.encode() for name, text in loaded.files.items()})
        self._ready = _Ready(program, 0, time.monotonic())
        self._telling = threading.Lock()
        self._told = 0
        self._again, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def program(self) -> Program:
        """Of the rules as they are now."""
        return self._ready.program

    def subscribe(self) -> Callable[[], Change | None]:
        """What the runtime of a new detector of `program` asks between turns; it is given each change once."""
        seen = self._ready

        def changed() -> Change | None:
            nonlocal seen
            ready = self._ready
            if ready is seen:
                return None
            seen = ready
            detector = detector_of(ready.program)
            return Change(detector, lambda: self._tell(ready, detector))

        return changed

    def again(self) -> None:
        """Look at once, and load the rules whether they have changed or not."""
        self._again.set()

    def close(self) -> None:
        """Watch no more."""
        self._ended.set()
        self._again.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            asked = self._again.wait(EVERY_S)
            if self._ended.is_set():
                return
            self._again.clear()
            asked = asked or self._tables_changed()
            looks = self._looks()
            if not asked and looks == self._seen:
                continue
            content = self._digest({})
            self._seen = looks
            if asked or content != self._content:
                self._content = content
                self._load()

    def _tables_changed(self) -> bool:
        """Whether a table in Redis has changed, as often as it is time to look; not while the server is away."""
        if time.monotonic() - self._tables_seen_s < TABLES_EVERY_S:
            return False
        self._tables_seen_s = time.monotonic()
        try:
            return self._missed or self._tables.have_changed()
        except (ConfigurationError, LogError):
            return False

    def _load(self) -> None:
        began, self._missed = time.monotonic(), False
        try:
            found = load(self._paths, self._tables.read, self._before.checked)
            self._beside = frozenset(found.beside)
            if found.ruleset is None:
                self._refuse(found.diagnostics)
                return
            program, _ = build(found.ruleset, self._before.compiled)
        except (CommandError, ConfigurationError, LogError, OSError) as error:
            self._missed = isinstance(error, ConfigurationError | LogError)
            self._journal.write(f"changed rules are refused: {error}", {}, "error")
            return
        if [stream.name for stream in program.streams] != self._streams:
            self._journal.write("changed rules are refused: other streams need a restart", {}, "error")
            return
        self._ready = _Ready(program, self._ready.number + 1, began)

    def _refuse(self, diagnostics: Iterable[Diagnostic]) -> None:
        errors = [d for d in diagnostics if d.severity == "error"]
        self._journal.write("changed rules are refused", {"errors": len(errors)}, "error")
        for error in errors:
            self._journal.write(error.message, {"code": error.code, "at": str(error.span)}, "error")

    def _tell(self, ready: _Ready, detector: RuleDetector) -> None:
        """The first of the detectors has taken over."""
        with self._telling:
            is_first, self._told = self._told < ready.number, max(self._told, ready.number)
        if is_first:
            figures = {"rules": len(ready.program.rules), "seconds": round(time.monotonic() - ready.began_s, 3)}
            anew = {"anew": " ".join(detector.anew)} if detector.anew else {}
            self._journal.write("rules changed", {**figures, **anew})

    # ----------------------------------------------------------------------------------- files

    def _files(self) -> list[str]:
        """Every file that the rules are made of, and those that they ask for in vain."""
        return sorted({*rule_files(self._paths), *self._beside})

    def _looks(self) -> list[tuple[object, ...]]:
        """What files look like from outside: cheap, and different after every change but the most contrived."""
        return [(name, *_stat(name)) for name in self._files()]

    def _digest(self, known: Mapping[str, bytes]) -> bytes:
        """Of what they hold; `known` is what some of them held when they were read."""
        digest = hashlib.blake2b()
        for name in self._files():
            content = known[name] if name in known else _content(name)
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.digest()


def _content(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError:
        return b""


def _stat(name: str) -> tuple[int, ...]:
    try:
        found = os.stat(name)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
