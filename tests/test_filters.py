"""The index of filters passes what each filter passes by itself, whatever is compared with what, and null."""

from __future__ import annotations

import random

import pytest

from cep.compile import compile_rules
from cep.lang import check_texts
from tests import oracle
from tests.generate import Case
from tests.oracle import OracleEvent
from tests.test_engine import difference, engine_outcomes

FIELDS = {"a": "text", "n": "integer", "m": "money", "w": "number", "f": "flag", "t": "time"}
SCHEMA = f"stream s time ts\nevent e from s (k text, {', '.join(f'{name} {kind}' for name, kind in FIELDS.items())})\n"
WRITTEN = {
    "a": ('"x"', '"y"', '"z"'),
    "n": ("-1", "0", "1", "2"),
    "m": ("-0.5", "0", "0.01", "10"),
    "w": ("-1.5", "-0.0", "0", "0.5", "1e300"),
    "f": ("true", "false"),
}
VALUES = {
    "a": ("x", "y", "other", None),
    "n": (-1, 0, 1, 2, 3, None),
    "m": (-5_000, 0, 100, 100_000, None),
    "w": (-1.5, -0.0, 0.0, 0.5, 1e300, float("inf"), -float("inf"), None),
    "f": (True, False, None),
    "t": (0, 5, None),
}


def asked(rng: random.Random) -> str:
    """A conjunction of comparisons, and of things that are none."""
    parts = []
    for name in rng.choices(tuple(WRITTEN), k=rng.choice((1, 1, 2, 3, 4))):
        comparison = rng.choice(("==", "!=") if name in "af" else ("==", "!=", "<", "<=", ">", ">="))
        sides = [name, rng.choice(WRITTEN[name])]
        parts.append(f" {comparison} ".join(sides if rng.random() < 0.7 else sides[::-1]))
    if rng.random() < 0.2:
        parts.append(rng.choice(("not missing(w)", "missing(n)", "n + 1 > 1", 'a in ["x", "y"]', "w * 2 >= m")))
    return " and ".join(parts)


@pytest.mark.parametrize("sequence", ["", "e where n >= 0 then "])
def test_an_index_passes_what_each_filter_passes(sequence: str) -> None:
    for seed in range(12):
        rng = random.Random(seed)
        rules = [f"rule r{i} by k within 1h when {sequence}e where {asked(rng)}\n" for i in range(40)]
        refused = {d.span.line for d in check_texts({"rules.cep": SCHEMA + "".join(rules)}).diagnostics}
        rules = [rule for line, rule in enumerate(rules, 3) if line not in refused]  # contradictions are mistakes
        ruleset = check_texts({"rules.cep": SCHEMA + "".join(rules)}).ruleset
        assert ruleset is not None
        assert len(rules) > 20
        assert len(compile_rules(ruleset).plans) == 1, "all rules share one plan"
        events = [
            OracleEvent(0, 1_000_000 * i, {"k": rng.choice("pq")} | {n: rng.choice(v) for n, v in VALUES.items()})
            for i in range(60)
        ]
        case = Case(seed, "".join(rules), ruleset, events, 10**9, [], frozenset())
        expected = oracle.run(ruleset, events, 10**9)
        assert len(expected) > 100
        made = engine_outcomes(case, [], shards=1 + seed % 2)
        assert made == expected, difference(case, [], made, expected)
