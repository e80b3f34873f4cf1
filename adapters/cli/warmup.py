"""Compiling the kernels before they are needed: small programs that touch every one of them.

A test holds that whatever rules run afterwards, no kernel is compiled that was not compiled here.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import numpy as np

import cep
from cep.adapters.cli.console import OK, counted, progress, say
from cep.adapters.cli.detector import build
from cep.adapters.redis.reply import of_streams
from cep.kernels import CACHE_FOLDER
from cep.kernels import resp as rp
from cep.lang import check_texts
from cep.ports import Entries, EntryId

_SCHEMA = """
stream s time ts type t
event a from s (k text, m money, x number, n integer, f flag)
"""

RULES = {  # what each compiles, and rules that need it; what takes longest comes first
    "sequences with structure": """
rule r by k within 1m when 1+ all of (a as p then optional a where m > p.last.m) as g then each all of (a, a)
  until a where x < 0 and count(g) > 9
rule s by k within 1m when any of (a as p, a) then no a where x > p.x within 5s""",
    "sequences, aggregates and conditions": """
rule r by k within 1m match each when 2+ a where x > 0 and f then no a where x < 0 within 5s
rule s by k within 1m when a where count(a) > 1 and sum(a.m * 2) > 1 and min(a.x) < 9 and count(distinct a.n) > 0
  and avg(a.x) > 0 and km(x, x, n, n) >= 0
rule t by k within 10s while count(a) > 1 or max(a.m) > 100 for 1s until sum(a.x) < 0 keep 1s
rule u by k within 1m when a then a where x > 1
rule v by k within 1m when a then a where x > 2""",
    "sequences that look back": """
rule r by k within 1m when 2 a as p then a as q where m > p.last.m and q.n != p.first.n
  alert high "{count(p)} {sum(p.m) * 2} {q.x}" limit 1 per 1h by k
rule s by k within 1m when a as p then no a where x > p.x within 5s""",
    "combinations": "rule r by k within 1m match all when a where x > 0 then a where x > 1",
}
_REPLY = b'*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\ne\r\n$7\r\n{"t":1}\r\n'  # of XREAD
# Compiled kernels are kept for each place that the package is installed at, so the mark is as well.
_MARK = f"warm-{hashlib.blake2b(os.path.dirname(cep.__file__).encode(), digest_size=8).hexdigest()}"
_LOCK = "lock"
_NO_CACHE = "warning: no folder for compiled kernels can be written, so each start compiles: set CEP_CACHE_DIR to one"


def warm_up(done: Callable[[str], None] = lambda name: None) -> None:
    """Compile every kernel, or fetch it from the cache. `done` is told of each part."""
    if CACHE_FOLDER is not None and not is_warm():
        _fill_cache(done)
    for name in RULES:
        _run(name)
        done(name)
    if CACHE_FOLDER is not None:
        (CACHE_FOLDER / _MARK).touch()


def _fill_cache(done: Callable[[str], None]) -> None:
    """Compile the parts side by side: numba compiles one kernel at a time in each process."""
    workers = min(len(RULES), os.cpu_count() or 1)
    try:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            parts = {pool.submit(_run, name): name for name in RULES}
            for part in as_completed(parts):
                part.result()
                done(parts[part])
    except BrokenProcessPool:
        say("warning: a process that compiled kernels was ended; going on in this one")


def _run(name: str) -> None:
    """Run one of the programs on a few events."""
    rules = check_texts({"warmup.cep": _SCHEMA + RULES[name]}).ruleset
    assert rules is not None, name
    _, detector = build(rules)
    for first in (1, 9, 1):  # the second batch finds a state, the third comes late
        detector.apply([Entries.of(0, [_entry(n) for n in range(first, first + 8)])])
    for plan in detector.state.shards[0].plans:  # as `cep test` asks
        for slot in (0, 1):
            plan.waiting_at(slot, 0)
    detector.drain()
    rp.follow(np.frombuffer(bytearray(_REPLY), np.uint8), len(_REPLY), np.array([0, 1]))
    detector.apply(of_streams(_REPLY, ["s"], [0]))


def is_warm() -> bool:
    """Whether every kernel is in the cache."""
    return CACHE_FOLDER is not None and (CACHE_FOLDER / _MARK).exists()


def ensure_warm() -> None:
    """Compile what is not in the cache, under a progress bar. Without a cache kernels are compiled as they are used."""
    if CACHE_FOLDER is None:
        say(_NO_CACHE)
    elif not is_warm():
        say("compiling the kernels: about a minute, once")
        with _alone():
            if not is_warm():
                _warm_up_shown()


def warmup() -> int:
    """`cep warmup`."""
    began = time.perf_counter()
    with _alone():
        _warm_up_shown()
    print(
        f"{counted(len(RULES), 'group')} of kernels ready in {time.perf_counter() - began:.1f} s, cache {CACHE_FOLDER}"
    )
    if CACHE_FOLDER is None:
        say(_NO_CACHE)
    return OK


@contextmanager
def _alone() -> Iterator[None]:
    """No other process compiles meanwhile: of eight that start at once one does, and the others wait for it."""
    if CACHE_FOLDER is None:
        yield
        return
    with open(CACHE_FOLDER / _LOCK, "wb") as lock:
        if sys.platform != "win32":  # where several that start at once compile side by side
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed, however the process ends
        yield


def _warm_up_shown() -> None:
    with progress() as bar:
        steps = len(RULES) if CACHE_FOLDER is None or is_warm() else 2 * len(RULES)
        task = bar.add_task("compiling kernels", total=steps) if bar else None

        def done(name: str) -> None:
            if bar and task is not None:
                bar.update(task, advance=1, description=f"compiled {name}")

        warm_up(done)


def _entry(n: int) -> tuple[EntryId, list[bytes]]:
    event = b'{"t":"a","ts":%d,"k":"k%d","m":%d,"x":%d.5,"n":%d,"f":true}' % (n, n % 2, n, n, n)
    return EntryId(0, n), [b"e", event]
