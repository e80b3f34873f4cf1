"""Random rule files and random streams, drawn from one seed, for comparing the engine with the oracle.

The rule it keeps: whatever is drawn, the checker accepts, and the domains are so small that things happen: two or three
keys, values from 0 to 4, whole seconds with many ties. `python -m tests.generate --count 2000` prints what is covered,
`python -m tests.generate --seed 7` prints one case.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hypothesis.strategies import SearchStrategy, integers

from cep.compile import compile_rules
from cep.lang import check_texts
from cep.lang.checked.ruleset import RuleSet
from cep.layout.program import Program
from tests.generate_rules import Author, Schema, Seen
from tests.generate_tables import FILES
from tests.generate_variants import with_variants
from tests.oracle import OracleEvent, report, run

SECOND_US = 1_000_000
REDRAWN = ("CEP302", "CEP303")  # an absence at the end of `match last`, and a contradiction
NULL_SHARE = 0.06
VALUES: dict[str, Sequence[object]] = {
    "integer": (0, 1, 2, 3, 4),
    "money": (0, 5_000, 10_000, 20_000, 25_000, 30_000, 40_000),
    "number": (0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 4.0),
    "text": ("x", "y", "xy"),
    "flag": (True, False),
}
KEYS: dict[str, Sequence[str]] = {"k": ("1", "2", "3"), "m": ("p", "q"), "src": ("1", "2", "3"), "dst": ("1", "2", "3")}


@dataclass(frozen=True, repr=False)
class Case:
    """A rule file, a stream for it in the order of law 2, and when time ends.

    `ruleset` is the checked file; `features` are the productions drawn.
    """

    seed: int
    text: str
    ruleset: RuleSet
    events: list[OracleEvent]
    until_us: int
    roots: list[Seen]
    features: frozenset[str]

    def __repr__(self) -> str:
        return f"<{repeat(self.seed)}>"

    def with_stream(self, number: int) -> Case:
        """The same file with another stream, a short one."""
        rng = random.Random(f"{self.seed} {number}")
        events = _stream(rng, self.roots, rng.randint(8, 30))
        until_us = events[-1].time_us + rng.choice((0, 1, 5, 30)) * SECOND_US
        made = replace(self, events=events, until_us=until_us)
        made.__dict__["program"] = self.program
        return made

    @cached_property
    def program(self) -> Program:
        """The file, compiled."""
        return compile_rules(self.ruleset)


def cases() -> SearchStrategy[Case]:
    """For property tests: only the seed is drawn, and a failing example prints the command that repeats it."""
    return integers(0, 2**32 - 1).map(random_case)


def random_case(seed: int) -> Case:
    """The case of this seed, always the same. A file with a mistake of `REDRAWN` is drawn again."""
    rng = random.Random(seed)
    while True:
        features: set[str] = set()
        schema = Schema(rng, features)
        author = Author(rng, schema, features)
        rules = [author.rule(f"r{i}") for i in range(1, rng.choice((1, 2, 2, 3)) + 1)]
        text = "\n".join([schema.text(), *with_variants(seed, rules, features)])
        loaded = check_texts({"case.cep": text} | FILES)
        if loaded.ruleset is not None:
            break
        refused = [d for d in loaded.diagnostics if d.severity == "error" and d.code not in REDRAWN]
        assert not refused, f"{repeat(seed)}\n{text}\n{refused}"
    events = _stream(rng, schema.roots, rng.randint(20, 80))
    until_us = events[-1].time_us + rng.choice((0, 1, 5, 30)) * SECOND_US
    return Case(seed, text, loaded.ruleset, events, until_us, schema.roots, frozenset(features))


def _stream(rng: random.Random, roots: Sequence[Seen], length: int) -> list[OracleEvent]:
    """Events; one null in about sixteen, many ties, now and then a long silence."""
    few_keys = rng.choice((1, 2, 2, 3))
    steps = rng.choice(((0, 1, 1, 2), (0, 0, 1), (0, 0, 0, 1, 1), (1, 1, 2, 3), (0, 0, 1, 2, 4, 12)))
    time_us, events = 0, []
    for _ in range(length):
        time_us += rng.choice(steps) * SECOND_US
        index = rng.randrange(len(roots))
        values: dict[str, object] = {}
        for name, kind in roots[index].fields.items():
            if rng.random() >= NULL_SHARE:
                values[name] = rng.choice(KEYS[name][:few_keys] if name in KEYS else VALUES[kind])
        events.append(OracleEvent(index, time_us, values))
    return events


def describe(case: Case) -> str:
    """The file, the events and how to get them again."""
    names = [line.split()[1] for line in case.text.splitlines() if line.startswith("event ") and " from " in line]
    lines = [f"# {repeat(case.seed)}", case.text.rstrip(), "", f"# events, until {case.until_us / SECOND_US:g}s"]
    for ordinal, event in enumerate(case.events):
        values = ", ".join(f"{name}: {value!r}" for name, value in event.values.items())
        lines.append(f"# {ordinal:3} {event.time_us / SECOND_US:4g}s {names[event.event]} {{{values}}}")
    return "\n".join(lines)


def repeat(seed: int) -> str:
    """The command that prints the case again."""
    return f"python -m tests.generate --seed {seed}"


def main() -> None:
    """Print one case with what the oracle makes of it, or what a number of seeds cover."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, help="the one case to print")
    parser.add_argument("--count", type=int, default=500, help="how many seeds to measure")
    options = parser.parse_args()
    if options.seed is None:
        _measure(options.count)
        return
    case = random_case(options.seed)
    print(describe(case))
    for outcome in run(case.ruleset, case.events, case.until_us):
        print("#", outcome)


def _measure(count: int) -> None:
    features: Counter[str] = Counter()
    for seed in range(count):
        case = random_case(seed)
        found = report(case.ruleset, case.events, case.until_us)
        features.update(case.features)
        features.update({f"outcome: {outcome.status}" for outcome in found.outcomes} or {"outcome: none at all"})
        features.update(f"counter: {name}" for name, number in vars(found.counters).items() if number)
        loud = {outcome.rule for outcome in found.outcomes}
        features["rules"] += len(case.ruleset.rules)
        features["rules with an outcome"] += len(loud)
        features["outcomes"] += len(found.outcomes)
    for name, number in sorted(features.items()):
        print(f"{number:6} {100 * number / count:6.1f} %  {name}")


if __name__ == "__main__":
    main()
