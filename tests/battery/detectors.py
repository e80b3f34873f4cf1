"""`cep run` in processes forked from a warm one: the whole command, but for the start of Python and its imports."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cep.adapters.cli.main import main
from cep.adapters.files.snapshots import DirectorySnapshots
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.session import Session

PATIENCE_S = 60.0
Place = tuple[Any, str, bool]  # whose, which function, and whether a process that dies there has done it first

CRASH_POINTS: Mapping[str, Place] = {
    "before acquire": (RedisLog, "open", False),
    "after acquire": (RedisLog, "open", True),
    "before read": (RedisLog, "read", False),
    "after read": (RedisLog, "read", True),
    "before commit": (RedisLog, "commit", False),
    "commit sent": (Session, "send", True),
    "commit answered": (RedisLog, "commit", True),
    "before the journal is read": (RedisLog, "turns", False),
    "snapshot begun": (DirectorySnapshots, "save", False),
    "snapshot written": (os, "fsync", False),
    "snapshot on disk": (os, "fsync", True),
    "snapshot renamed": (os, "replace", True),
    "snapshot pruned": (DirectorySnapshots, "discard", True),
    "before trim": (RedisLog, "trim", False),
    "after trim": (RedisLog, "trim", True),
    "before release": (RedisLog, "close", False),
}


def plant(point: str, count: int) -> None:
    """From now on the process dies of SIGKILL when it comes to a point for the `count`th time."""
    whose, name, is_after = CRASH_POINTS[point]
    original, left = getattr(whose, name), count

    def dying(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1 if point != "commit sent" or _is_commit(arguments) else 0
        if not left and not is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **options)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(whose, name, dying)


def _is_commit(arguments: tuple[Any, ...]) -> bool:
    return any("_commit" in str(word) for command in arguments[1] for word in command[1:2])


def _serve(
    arguments: list[str],
    folder: str,
    journal: str,
    crash: tuple[str, int] | None,
    file_bytes: int | None,
    forgets: bool,
) -> None:
    os.chdir(folder)
    os.dup2(os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    if not forgets:
        RedisLog.trim = lambda *_: None  # type: ignore[method-assign]
    if crash is not None:
        plant(*crash)
    if file_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
    sys.exit(main(arguments))


def nursery() -> Any:
    """The context whose processes are forked from a warm one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.battery.warm"])
    return context


def prepare() -> None:
    """See to it that the first detector is there as quickly as the others."""
    process = nursery().Process(target=int)
    process.start()
    process.join()


class Detector:
    """One `cep run`. arguments: all but `run`. folder: where it runs. file_bytes: no file it writes may be longer.

    forgets: whether the journal is shortened.
    """

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        journal: Path,
        crash: tuple[str, int] | None = None,
        file_bytes: int | None = None,
        forgets: bool = True,
    ) -> None:
        journal.touch()
        self.journal, self._from = journal, journal.stat().st_size
        self.process = nursery().Process(
            target=_serve,
            args=(["run", *arguments], str(folder), str(journal), crash, file_bytes, forgets),
            daemon=True,
        )
        self.process.start()

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def said(self) -> str:
        """What this process has logged."""
        with self.journal.open("rb") as file:
            file.seek(self._from)
            return file.read().decode()

    def messages(self) -> list[dict[str, Any]]:
        """The lines of the log."""
        return [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]

    def wait(self, reached: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
        """Until something is so; the detector must be alive then."""
        deadline = time.monotonic() + seconds
        while not reached():
            assert self.process.exitcode is None, f"ended with {self.process.exitcode}: {self.said()}"
            assert time.monotonic() < deadline, f"not {what}: {self.said()}"
            time.sleep(0.005)

    def wait_for_end(self, seconds: float = PATIENCE_S) -> int:
        """Until the process has ended by itself; its exit code."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"has not ended: {self.said()}"
        return int(self.process.exitcode)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self, *, may_be_young: bool = False) -> float:
        """End it in peace once it has started; how many seconds that took.

        may_be_young: others log to the same journal, so that it may be told to end before it has begun to listen.
        """
        self.wait(lambda: '"started"' in self.said(), "started")
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        code = self.wait_for_end()
        assert code == 0 or (may_be_young and code == -signal.SIGTERM), f"ended with {code}: {self.said()}"
        return time.monotonic() - began
