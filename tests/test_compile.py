"""The compiler takes whatever the checker lets through."""

from __future__ import annotations

from pathlib import Path

import pytest

from cep.compile import compile_rules
from cep.compile.structure import Known
from cep.engine.state import EngineState
from cep.lang import check_texts, load
from cep.lang.check import Memory
from cep.layout.program import Program

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


SOME = """
rule one by k within 1h when a where good then a
rule two by k within 1h while count(a where n > 1) > 2 alert low "{k}"
"""
CHANGES = {
    "nothing": ("stream s", "stream s"),
    "a rule": ("count(a where n > 1)", "sum(a.n)"),
    "a rule comes": ("rule two", "rule three by k when a where x > 1\nrule two"),
    "where a field stands": ("n integer", "n integer at m"),
    "the order of declarations": ("event a from s", "event b from s (x number)\nevent a from s"),
    "what a name stands for": ('let good = t starts with "n"', "let good = n > 0"),
    "a rule over alerts": ("rule two", 'rule three by k within 1h when one then two where status == "fired"\nrule two'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_remembered_of_the_rules_before_changes_nothing(change: str, tmp_path: Path) -> None:
    text = SCHEMA + '\nlet good = t starts with "n"\n' + SOME
    memory, known, file = Memory(), Known(), tmp_path / "rules.cep"
    for content in (text, text.replace(*CHANGES[change]), text):
        file.write_text(content)
        ruleset = load([tmp_path], memory=memory).ruleset
        fresh = load([tmp_path]).ruleset
        assert ruleset is not None, content
        assert fresh is not None
        assert compile_rules(ruleset, known) == compile_rules(fresh)
