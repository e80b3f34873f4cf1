"""The mixed rules: however many there are and however the stream is cut, each finds the same."""

from __future__ import annotations

from collections import Counter

from bench.engine import EngineRun
from bench.mixed import compile_mixed, generate_mixed
from cep.engine.step import step


def _found(rules: int, size: int) -> Counter[str]:
    """The matches of each rule."""
    program = compile_mixed(rules)
    state, stream = EngineRun(program, generate_mixed(10_000), batch_events=size).prepare()
    found: Counter[str] = Counter()
    for batch in stream:
        for matches in step(program, state, batch).matches:
            found[program.rules[matches.rule].name] += len(matches.row)
    return found


def test_a_rule_finds_the_same_in_company() -> None:
    few, many = _found(60, 10_000), _found(500, 10_000)
    assert few
    assert few == {name: number for name, number in many.items() if int(name.rpartition("_")[2]) < 60}


def test_a_rule_finds_the_same_however_the_stream_is_cut() -> None:
    assert _found(60, 999) == _found(60, 10_000)
