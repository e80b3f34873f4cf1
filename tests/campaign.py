"""The long comparison of engine and oracle: `python -m tests.campaign --cases 100000` (see --help).

Each case is a random rule file, a random stream, places where it is cut into batches, and those of them where the state
goes through bytes, all drawn from one seed. The engine's matches must be those of the oracle, in order. The first
difference ends the campaign and prints the command that repeats it. A campaign that ends well prints what its cases
used of the engine, and every tenth file of the grammar.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed

from lark.grammar import Rule

from tests import oracle
from tests.generate import random_case
from tests.generate_grammar import all_productions, productions_of
from tests.test_engine import difference, engine_outcomes, random_cuts

BLOCK = 100  # seeds that a process takes at once
PARSED = 10  # one file in so many is parsed once more, to count productions


def compare_seed(seed: int, found: Counter[str]) -> None:
    """Compare one case; what it used and what it gave is added to `found`."""
    case = random_case(seed)
    expected = oracle.run(case.ruleset, case.events, case.until_us)
    cuts = random_cuts(seed, len(case.events))
    rng = random.Random(f"restores {seed}")
    restores = sorted(rng.sample(cuts, rng.choice((0, min(len(cuts), 1), len(cuts)))))
    made = engine_outcomes(case, cuts, restores)
    assert made == expected, f"restored at {restores}, {difference(case, cuts, made, expected)}"
    found.update(case.features)
    found["restores"] += len(restores)
    found["cases"] += 1
    found["rules"] += len(case.ruleset.rules)
    found["events"] += len(case.events)
    found["outcomes"] += len(expected)
    found["cuts"] += len(cuts)
    found["cases with an outcome"] += bool(expected)


def compare_block(first: int, last: int) -> tuple[Counter[str], Counter[Rule]]:
    """Compare the cases of the seeds from `first` up to, and without, `last`; what they used."""
    found, productions = Counter[str](), Counter[Rule]()
    for seed in range(first, last):
        try:
            compare_seed(seed, found)
            if seed % PARSED == 0:
                productions += productions_of(random_case(seed).text)
        except Exception as error:
            error.add_note(f"seed {seed}; repeat: python -m tests.campaign --first {seed} --cases 1")
            raise
    return found, productions


def main() -> None:
    """Run a campaign. The exception of the first case that fails ends it and tells how to repeat that case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=2, help="how many processes share the work")
    options = parser.parse_args()
    found, productions, began = Counter[str](), Counter[Rule](), time.monotonic()
    end = options.first + options.cases
    compare_block(options.first, min(options.first + 1, end))  # compiles once, before there are several processes
    with ProcessPoolExecutor(options.processes) as pool:
        blocks = [pool.submit(compare_block, at, min(at + BLOCK, end)) for at in range(options.first, end, BLOCK)]
        for block in as_completed(blocks):
            try:
                of_block, in_block = block.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            found, productions = found + of_block, productions + in_block
            if found["cases"] % (20 * BLOCK) == 0:
                print(f"{found['cases']} cases in {time.monotonic() - began:.0f} s", file=sys.stderr)
    for name in ("cases", "cases with an outcome", "rules", "events", "outcomes", "cuts", "restores"):
        print(f"{found.pop(name, 0):9,}  {name}")
    print(f"{time.monotonic() - began:9.0f}  seconds\nequal. What the cases used, by the number of cases:")
    for name, number in sorted(found.items()):
        print(f"{number:9,}  {name}")
    every = all_productions()
    print(f"{sum(rule in productions for rule in every)} of {len(every)} productions of the grammar; not drawn:")
    for rule in every:
        if rule not in productions:
            print(f"           {rule}")


if __name__ == "__main__":
    main()
