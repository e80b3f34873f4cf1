"""Bytes in, alerts out: decode and step joined, however the entries come."""

from __future__ import annotations

from cep.compile.program import compile_rules
from cep.detector import RuleDetector
from cep.engine.state import EngineState
from cep.engine.step import StepOutput
from cep.lang import check_texts
from cep.layout.program import Program
from cep.ports import Entries, EntryId, LateEvent

RULES = """
stream payments time ts late 5s
stream visits time ts late 5s type kind
event txn from payments (card text, amount money)
event visit from visits (card text)
rule twice by card within 10m
  when visit then 2 txn where amount > 10
  alert high "{card}"
"""


def program() -> Program:
    rules = check_texts({"rules.cep": RULES}).ruleset
    assert rules is not None
    return compile_rules(rules)


def render(state: EngineState, output: StepOutput) -> list[bytes]:
    return [b"%d" % len(matches.row) for matches in output.matches if len(matches.row)]


def no_snapshot(*_: object) -> None:
    raise AssertionError


def payment(n: int, ts: int, amount: object = 11.5) -> tuple[EntryId, list[bytes]]:
    return EntryId(7, n), [b"e", b'{"ts":%d,"card":"c","amount":%s}' % (ts, str(amount).encode())]


def test_entries_of_several_streams() -> None:
    detector = RuleDetector(program(), render, no_snapshot, no_snapshot)  # type: ignore[arg-type]  # not asked for
    visits = Entries.of(1, [(EntryId(1, 0), [b"kind", b"visit", b"ts", b"1000", b"card", b"c"])])
    payments = [payment(1, 1001), payment(2, 1002, "11.50001"), payment(3, 1003), payment(4, 1020), payment(5, 1001)]
    first = detector.apply([visits, Entries.of(0, payments)])
    assert (first.events, [bad.path for bad in first.bad]) == (5, ["$.amount"])
    assert first.late == [LateEvent(0, EntryId(7, 5), 0, payment(5, 1001)[1][1])]
    second = detector.apply([Entries.of(1, [(EntryId(2, 0), [b"kind", b"leave", b"ts", b"1030"])])])
    assert (second.events, second.unknown) == (0, {"leave": 1})
    assert first.alerts + second.alerts + detector.drain().alerts == [b"1"]
    detector.load(None)
    assert detector.apply([visits]).events == 1
