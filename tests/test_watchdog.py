"""A turn without end ends the process; one that ends in time, on whatever thread, does not."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import sys, threading, time
from cep.adapters.cli.watchdog import Watchdog

dog = Watchdog(float(sys.argv[1]))

def turns(count, seconds):
    for _ in range(count):
        with dog.watched():
            time.sleep(seconds)

others = [threading.Thread(target=turns, args=(40, 0.02), daemon=True) for _ in range(2)]
for thread in others:
    thread.start()
turns(1, float(sys.argv[2]))
for thread in others:
    thread.join()
time.sleep(float(sys.argv[1]))
print("the end")
"""


@pytest.mark.parametrize(("limit_s", "longest_s", "dies"), [(0.5, 60, True), (5, 0.1, False), (0, 1, False)])
def test_watchdog(limit_s: float, longest_s: float, dies: bool) -> None:
    began = time.monotonic()
    command = [sys.executable, "-c", PROGRAM, str(limit_s), str(longest_s)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    if dies:
        assert done.returncode == 1
        assert "in turns" in done.stderr, "it says where it was"
        assert time.monotonic() - began < longest_s
    else:
        assert (done.returncode, done.stdout) == (0, "the end\n")
