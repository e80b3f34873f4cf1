"""The compiler takes whatever the checker lets through."""

from __future__ import annotations

import pytest

from cep.compile import compile_rules
from cep.engine.state import EngineState
from cep.lang import check_texts
from cep.layout import Program

SCHEMA = """
stream s
event a from s (k text, n integer, x number, t text)
"""


def compiled(rules: str) -> Program:
    ruleset = check_texts({"a.cep": SCHEMA + rules}).ruleset
    assert ruleset is not None
    return compile_rules(ruleset)


def test_the_deepest_expressions() -> None:
    deep = "x"
    for _ in range(60):
        deep = f"km(x, x, x, {deep})"
    compiled(f"rule r by k when a where {deep} > 1")
    deep = "abs(" * 60 + "n" + ")" * 60
    assert len(compiled(f"rule r by k when a where {deep} > 1").code) < 100


@pytest.mark.parametrize("rules", ["", "rule r by k mode off when a"])
def test_nothing_to_run(rules: str) -> None:
    program = compiled(rules)
    assert program.rules == ()
    EngineState.create(program)


@pytest.mark.parametrize(
    "rules",
    [
        "rule r by k within 1h when " + " then ".join(["a where n > 1"] * 60),
        "rule r by k while " + " or ".join(f"count(a where n > {i}) over 1h > 1" for i in range(60)),
        "rule r by k when a where " + " and ".join(f"count(a where n > {i}) over 1h > 1" for i in range(80)),
    ],
)
def test_as_large_as_the_checker_lets_through(rules: str) -> None:
    EngineState.create(compiled(rules))
