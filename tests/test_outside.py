"""Functions that authors bring along, and models: what they are given, what they may give, and what a failure costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cep.adapters.cli.main import main
from cep.alerting import Alerting
from cep.compile import compile_rules
from cep.engine.outside import answer_words
from cep.engine.state import EngineState
from cep.engine.step import drain, step
from cep.engine.strings import Strings
from cep.errors import ConfigurationError
from cep.lang import load
from cep.layout.columns import NAN_WORD, NULL
from cep.layout.program import Program
from cep.testing import VirtualEvent, batch_of

SCHEMA = "stream s\nevent a from s (k text, n integer, x number, m money, t text, ok flag, at_time time)\n"
MODULE = """
import numpy as np

calls = []

def risk(n, x):
    calls.append(len(n))
    if np.nansum(n) >= 100 and len(n) > 1:
        raise RuntimeError("together they are too much")
    if (n == 13).any():
        raise ValueError("thirteen")
    return n + x

def tier(text, money):
    return ["?" if t is None else f"{t}{m:g}" for t, m in zip(text, money)]

def whole(n):
    return [None if np.isnan(v) else 2 * v for v in n]

def yes(ok, moment, length):
    hour = moment.astype("M8[h]").astype(int) % 24
    return (ok == 1) & (hour == 5) & (length == np.timedelta64(1, "m"))

def short(n):
    return n[:-1]

not_callable = 3
"""


def program_of(folder: Path, rules: str, module: str = MODULE) -> Program:
    (folder / "scoring_of_tests.py").write_text(module)
    (folder / "r.cep").write_text(SCHEMA + rules)
    loaded = load([folder])
    assert loaded.ruleset is not None, loaded.diagnostics
    return compile_rules(loaded.ruleset)


@pytest.fixture(autouse=True)
def _fresh_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "scoring_of_tests", raising=False)


def shows(program: Program, *events: dict[str, object], at: tuple[int, ...] = ()) -> tuple[list[dict], EngineState]:
    """What the alerts of some events show, the stream being cut at some places."""
    state, alerting = EngineState.create(program), Alerting(program)
    given = [VirtualEvent(0, i * 1_000_000, {"k": "k", **event}) for i, event in enumerate(events)]
    told = []
    for first, last in zip((0, *at), (*at, len(given)), strict=True):
        output = step(program, state, batch_of(program, state.strings, given[first:last], first))
        told += [alert.shows for alert in alerting.alerts(state, output)]
    told += [alert.shows for alert in alerting.alerts(state, drain(program, state))]
    return told, state


def test_what_functions_are_given_and_give(tmp_path: Path) -> None:
    program = program_of(
        tmp_path,
        'function risk from "scoring_of_tests:risk"\n'
        'function tier text from "scoring_of_tests:tier"\n'
        'function whole integer from "scoring_of_tests:whole"\n'
        'function yes flag from "scoring_of_tests:yes"\n'
        "rule r by k when a as e where risk(n, x) > 2 or yes(ok, at_time, at_time - at_time + 1m)\n"
        "  alert low show risk = risk(e.n, e.x), tier = tier(e.t, e.m), whole = whole(e.n) + 1,\n"
        "  upper = upper(tier(e.t, e.m))\n",
    )
    five_us = 5 * 3_600_000_000
    told, state = shows(
        program,
        {"n": 1, "x": 0.5, "t": "a"},
        {"n": 2, "x": 0.5, "t": "a", "m": 15_000},
        {"ok": True, "at_time": five_us},
        {"ok": False, "at_time": five_us},
        {"ok": True},
    )
    assert told == [
        {"risk": 2.5, "tier": "a1.5", "whole": 5, "upper": "A1.5"},
        {"risk": None, "tier": "?", "whole": None, "upper": "?"},
    ]
    assert state.counters.failed_calls == 0


def test_a_function_may_look_back_and_stand_in_windows(tmp_path: Path) -> None:
    program = program_of(
        tmp_path,
        'function risk from "scoring_of_tests:risk"\n'
        "rule r by k within 1m when a as p then a as q where risk(n, x) > risk(p.n, p.x) and sum(risk(a.n, a.x)) > 2\n"
        "  alert low show both = risk(p.n, q.x)\n",
    )
    told, _ = shows(program, {"n": 3, "x": 0.0}, {"n": 2, "x": 0.0}, {"n": 4, "x": 5.0})
    assert told == [{"both": 8.0}]


@pytest.mark.parametrize("cuts", [(), (1,), (2, 4), (1, 2, 3, 4, 5)])
def test_a_row_that_fails_alone_is_null_and_counted(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    program = program_of(
        tmp_path,
        'function risk from "scoring_of_tests:risk"\n'
        "rule r by k when a as e where risk(n, x) > 0 alert low show n = e.n\n",
    )
    events = [{"n": n, "x": 1.0} for n in (1, 13, 60, 70, 2, 13)]
    told, state = shows(program, *events, at=cuts)
    assert [show["n"] for show in told] == [1, 60, 70, 2]
    assert state.counters.failed_calls == 2


def test_an_answer_of_another_length_is_a_failure(tmp_path: Path) -> None:
    program = program_of(
        tmp_path, 'function short from "scoring_of_tests:short"\nrule r by k when a where missing(short(n)) alert low\n'
    )
    told, state = shows(program, {"n": 1}, {"n": 2})
    assert len(told) == 2
    assert state.counters.failed_calls == 2


def test_kinds_of_answers() -> None:
    strings = Strings()
    assert answer_words([1.5, float("nan"), float("inf")], 3, "number", strings).tolist()[1:] == [NAN_WORD, NAN_WORD]
    assert answer_words(np.array([2**62, 1]), 2, "integer", strings).tolist() == [2**62, 1]
    assert answer_words([1, None], 2, "integer", strings).tolist() == [1, NULL]
    assert answer_words([True, None, 0.0], 3, "flag", strings).tolist() == [1, NULL, 0]
    assert [strings.text(word) for word in answer_words(["x", None], 2, "text", strings)] == ["x", None]
    for answer, kind in (([1.5], "integer"), ([2], "flag"), (["x"], "number"), ("x", "text"), ([1], "text")):
        with pytest.raises((ValueError, TypeError)):
            answer_words(answer, 1, kind, strings)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("no_such_module_anywhere:risk", "ModuleNotFoundError"),
        ("scoring_of_tests:nothing", "AttributeError"),
        ("scoring_of_tests:not_callable", "no function"),
    ],
)
def test_a_function_that_is_not_there_is_a_matter_of_configuration(tmp_path: Path, source: str, said: str) -> None:
    program = program_of(tmp_path, f'function risk from "{source}"\nrule r by k when a where risk(n) > 0 alert low\n')
    with pytest.raises(ConfigurationError, match=said):
        EngineState.create(program)


def test_check_does_not_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = 'function risk from "scoring_of_tests:risk"\nrule r by k when a where risk(n) > 0 alert low\n'
    rules += 'test r at 0s a {k: "k", n: 1} at 0s expect r\n'
    program_of(tmp_path, rules, 'raise RuntimeError("this module was imported")')
    assert main(["check", str(tmp_path)]) == 0
    assert main(["test", str(tmp_path)]) == 2
    assert "this module was imported" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------- models


def _field(number: int, value: bytes | str | int) -> bytes:
    """A field of a protocol buffer; numbers stay below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    raw = value.encode() if isinstance(value, str) else value
    assert len(raw) < 2**14
    length = bytes([len(raw)]) if len(raw) < 128 else bytes([len(raw) & 127 | 128, len(raw) >> 7])
    return bytes([number << 3 | 2]) + length + raw


def _value(name: str, columns: int | None) -> bytes:
    """A tensor of floats, of shape (n, columns) or (n,)."""
    shape = _field(1, _field(2, "n")) + (_field(1, _field(1, columns)) if columns else b"")
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape)))


def _model(nodes: bytes, inputs: list[bytes], output: bytes) -> bytes:
    graph = nodes + _field(2, "g") + b"".join(_field(11, made) for made in inputs) + _field(12, output)
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13))


def _node(operator: str, inputs: list[str], output: str) -> bytes:
    return _field(1, b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, operator))


@pytest.mark.parametrize("several", [False, True])
def test_a_model(tmp_path: Path, several: bool) -> None:
    pytest.importorskip("onnxruntime")
    if several:
        made = _model(_node("Mul", ["a", "b"], "y"), [_value("a", 1), _value("b", 1)], _value("y", 1))
    else:
        made = _model(_node("Abs", ["x"], "y"), [_value("x", 2)], _value("y", 2))
    (tmp_path / "m.onnx").write_bytes(made)
    rule = "rule r by k when a as e where score(n, x) > 2 alert low show s = score(e.n, e.x)"
    program = program_of(tmp_path, f'model score from "m.onnx"\n{rule}\n')
    told, _ = shows(program, {"n": 1, "x": 1.0}, {"n": 2, "x": 2.5}, {"n": 2}, {"n": 1, "x": 3.0})
    assert told == [{"s": 5.0}, {"s": 3.0}] if several else [{"s": 2.5}, {"s": 3.0}]


def test_a_model_without_the_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    program = program_of(tmp_path, 'model score from "m.onnx"\nrule r by k when a where score(n) > 2 alert low\n')
    with pytest.raises(ConfigurationError, match=r"pip install .cep\[onnx\]"):
        EngineState.create(program)
