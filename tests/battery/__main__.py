"""The whole battery, and its record: `python -m tests.battery --minutes 30 --record bench/record/DATE-battery.md`.

A part that finds a difference is reported with its seed, the others go on, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import machine
from tests.battery.detectors import prepare
from tests.battery.parts import PARTS, Part

TOTALS = (
    "kill -9 of the detector",
    "kill -9 of the detector, at a step",
    "kill -9 of the server",
    "proxy faults",
    "network cuts",
    "failovers with loss",
    "zombies",
    "partitions moved",
    "spoilt snapshots refused",
    "malformed documents",
    "alerts",
)


def main() -> int:
    """Run the parts one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="for the parts that have no size of their own")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 10**6)
    parser.add_argument("--only", help="parts whose name contains this")
    parser.add_argument("--without", nargs="*", default=(), help="parts that are left out, by their whole names")
    parser.add_argument("--record", type=Path, help="where to write the record as well")
    options = parser.parse_args()
    prepare()
    record = _Record(options.record, options.minutes, options.seed)
    for number, part in enumerate(PARTS):
        if part.name not in options.without and (options.only or "").lower() in part.name.lower():
            record.run(part, 60 * options.minutes * part.share, options.seed + 1000 * number)
    record.end()
    return 1 if record.failed else 0


class _Record:
    """What is printed and written, part by part."""

    def __init__(self, path: Path | None, minutes: float, seed: int) -> None:
        self._path, self._text, self._total = path, "", Counter[str]()
        self.failed = 0
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        self._say(f"# The battery, {now}\n")
        on, command = machine(), f"python -m tests.battery --minutes {minutes:g} --seed {seed}"
        where = (
            f"{on['cpu']}, {on['cores']} cores that others use as well (load {on['load_1m']}), Python {on['python']}"
        )
        self._say(f"`{command}`, commit {on['commit']}, {where}.\n")
        self._say(
            "Detectors are processes that run the whole of `cep run`, forked from one that has its kernels at hand; "
            "SIGKILL kills them. Servers are real ones. `alerts`, `events`, `dead` and `late` were compared one by "
            "one, in order, with a run that nobody disturbed, and each commit with the chain of the history.\n"
        )

    def run(self, part: Part, seconds: float, seed: int) -> None:
        began = time.monotonic()
        try:
            found = part.run(seconds, seed)
        except Exception as error:  # noqa: BLE001 (the other parts go on)
            self.failed += 1
            traceback.print_exc()
            self._say(f"- **{part.name}** FAILED (seed {seed}): {str(error)[:300]}")
            return
        self._total += Counter({name: number for name, number in found.items() if name in TOTALS})
        figures = " · ".join(f"{name} {number:,}" for name, number in found.items())
        self._say(f"- **{part.name}** ({time.monotonic() - began:.0f} s): {figures}")

    def end(self) -> None:
        self._say("\n| in all | |\n|---|---|")
        for name in TOTALS:
            self._say(f"| {name} | {self._total[name]:,} |")
        verdict = (
            f"{self.failed} parts found a difference"
            if self.failed
            else "lost 0, twice 0, order equal, every gap counted"
        )
        self._say(f"| verdict | {verdict} |")

    def _say(self, text: str) -> None:
        print(text, flush=True)
        self._text += text + "\n"
        if self._path is not None:
            self._path.write_text(self._text, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
