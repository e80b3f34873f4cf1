"""How many instructions an event takes, beside what is kept: a guard that a busy machine does not disturb.

    python -m bench.instructions            # measure and compare; exit code 1 beyond +5 %
    python -m bench.instructions --keep     # what is measured becomes what is kept

Valgrind counts, so it can be said of any machine whose processor need not tell. Only `step` is counted: a process loads
the kernels, decodes the stream, and is forked into one that runs it and one that does not; the difference is the
figure. Kernels are compiled for no processor in particular, since each may have other instructions, and before: the
compiler itself would take an hour under Valgrind.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.engine import EngineRun
from bench.measure import machine
from bench.workloads import NAMES, compile_workload, generate

EVENTS = 100_000
BEYOND = 1.05
KEPT = Path(__file__).parent / "record" / "instructions.json"
SAME = {  # what would otherwise make two runs differ
    "PYTHONHASHSEED": "0",
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "OPENBLAS_NUM_THREADS": "1",
}
_COUNTED = re.compile(r"I\s+refs:\s+([\d,]+)")


def measure(events: int) -> dict[str, dict[str, float]]:
    """For each workload its matches and the instructions an event takes."""
    command = [sys.executable, "-m", "bench.instructions", "--events", str(events), "--counted"]
    environment = os.environ | SAME
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)  # compiles, at full speed
    with tempfile.TemporaryDirectory() as folder:
        valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        done = subprocess.run(
            [*valgrind, f"--log-file={folder}/%p", *command],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        told = [json.loads(line) for line in done.stdout.splitlines()]
        return {
            row["workload"]: {
                "matches": row["matches"],
                "instructions": (_counted(folder, row["with"]) - _counted(folder, row["without"])) / events,
            }
            for row in told
        }


def _counted(folder: str, pid: int) -> int:
    """The instructions of a process."""
    found = _COUNTED.search((Path(folder) / str(pid)).read_text("utf-8"))
    assert found, f"Valgrind told nothing of process {pid}"
    return int(found[1].replace(",", ""))


def counted(events: int) -> None:
    """What Valgrind watches. Prints a line for each workload: its matches, and the two processes."""
    stream = generate(events)
    for name in NAMES:
        engine = EngineRun(compile_workload(name), stream)
        engine.run(*engine.prepare())  # loads the kernels
        state, batches = engine.prepare()
        gc.collect()
        gc.freeze()
        pids = {}
        for part in ("without", "with"):
            pids[part] = os.fork()
            if not pids[part]:
                if part == "with":
                    engine.run(state, batches)
                os._exit(0)
            assert os.waitpid(pids[part], 0)[1] == 0, name
        print(json.dumps({"workload": name, "matches": engine.matches} | pids), flush=True)


def compare(measured: dict[str, Any], kept: dict[str, Any]) -> dict[str, float]:
    """How many times what is kept each workload takes; the two must have found the same matches."""
    ratios = {}
    for name, row in measured.items():
        assert row["matches"] == kept[name]["matches"], f"{name}: {row['matches']} matches"
        ratios[name] = row["instructions"] / kept[name]["instructions"]
    return ratios


def main() -> None:
    """Measure, then keep or compare."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--keep", action="store_true", help="what is measured becomes what is kept")
    parser.add_argument("--counted", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.counted:
        counted(given.events)
        return
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not installed")
    measured = measure(given.events)
    if given.keep or not KEPT.exists():
        document = {"events": given.events, "machine": machine(), "workloads": measured}
        KEPT.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    kept = json.loads(KEPT.read_text("utf-8"))
    if kept["events"] != given.events:
        parser.error(f"what is kept was measured with --events {kept['events']}")
    ratios = compare(measured, kept["workloads"])
    for name, ratio in ratios.items():
        was, now = kept["workloads"][name]["instructions"], measured[name]["instructions"]
        print(f"{name}: {now:9.2f} instructions an event, {was:9.2f} kept, {ratio:.4f} ×")
    sys.exit(any(ratio > BEYOND for ratio in ratios.values()))


if __name__ == "__main__":
    main()
