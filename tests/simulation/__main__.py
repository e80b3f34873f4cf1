"""`python -m tests.simulation`: many seeds, one seed, the planted bugs, or the fake server beside real ones.

--seeds 100000 --processes 2    run so many seeds; the first violation of each process is printed
--seed 17                       run one and print its trace, which is the same each time
--mutants [NAME …]              break the detector in each known way; how many seeds it takes to find out
--compare 100000                send so many random commands to the fake server and to real ones
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.simulation import compare, planting
from tests.simulation.world import World

BLOCK = 50  # seeds that a process takes at once


def run_block(first: int, last: int) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Run seeds: what happened in them, and the ones that broke the promise."""
    counts, broken = Counter[str](), []
    for seed in range(first, last):
        world = World(seed)
        try:
            world.run()
        except Exception as error:  # noqa: BLE001  # whatever it is, it should not have happened
            broken.append((seed, f"{type(error).__name__}: {error}"))
        counts.update(world.counts)
        counts.update(seeds=1, commands=world.server.commands, steps=world.hub.steps)
        counts["seeds with the real detector"] += world.plan.is_real
        counts["seeds that only numbers are checked of"] += world.is_torn
    return counts, broken


def run_many(first: int, count: int, processes: int) -> int:
    """Run seeds; the number of those that broke the promise."""
    began, counts, broken = time.monotonic(), Counter[str](), list[tuple[int, str]]()
    end = first + count
    with ProcessPoolExecutor(processes) as pool:
        blocks = [pool.submit(run_block, at, min(at + BLOCK, end)) for at in range(first, end, BLOCK)]
        for number, block in enumerate(as_completed(blocks), 1):
            of_block, in_block = block.result()
            counts, broken = counts + of_block, broken + in_block
            for seed, complaint in in_block:
                print(f"seed {seed}: {complaint}\n  repeat: python -m tests.simulation --seed {seed}", flush=True)
            if number % 20 == 0:
                seconds = time.monotonic() - began
                print(f"{counts['seeds']:,} seeds in {seconds:.0f} s, {len(broken)} violations", file=sys.stderr)
    seconds = time.monotonic() - began
    for name in ("seeds", "commands", "steps"):
        print(f"{counts[name]:12,}  {name}")
    for name, number in sorted(counts.items()):
        if name not in ("seeds", "commands", "steps"):
            print(f"{number:12,}  {name}")
    print(f"{len(broken):12,}  violations")
    print(f"{seconds:12,.0f}  seconds, {counts['seeds'] / seconds:.0f} seeds a second")
    return len(broken)


def run_one(seed: int) -> int:
    """Run a seed and print what happens in it."""
    trace: list[str] = []
    world = World(seed, trace=trace)
    try:
        world.run()
    finally:
        print(world.plan, *trace, sep="\n")
    return 0


def main() -> int:
    """The exit code is 1 where the promise was broken, a planted bug was not found, or a reply differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mutants", nargs="*", metavar="NAME")
    parser.add_argument("--compare", type=int)
    options = parser.parse_args()
    if options.seed is not None:
        return run_one(options.seed)
    if options.mutants is not None:
        return planting.report(options.mutants, options.processes)
    if options.compare is not None:
        return compare.report(options.compare, options.first)
    return 1 if run_many(options.first, options.seeds, options.processes) else 0


if __name__ == "__main__":
    sys.exit(main())
