"""The conformance runner itself, on small cases made up for it: each verdict, and what each family needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.cases import Case
from tests.conformance.report import table, write_json
from tests.conformance.verdict import Verdict, judge, judge_all


def named(name: str) -> list:
    return ["==", ["field", "name"], name]


def rows(names: str) -> list[dict]:
    """Events of one type, a second apart, by their one-letter names."""
    return [{"ts": 1000 * place, "type": "Event", "name": name} for place, name in enumerate(names, 1)]


def case(family: str, pattern: dict, events: list[dict], expected: object, **more: object) -> Case:
    semantics = {
        "flink-cep": {"skip": {"strategy": "no_skip"}, "time": "event", "partition_by": []},
        "eql": {"string_compare": "case_insensitive"},
        "esper-pattern": {"start_time": 0, "time": "event", "partition_by": []},
        "siddhi": {"start_time": 0, "time": "event", "mode": "pattern", "partition_by": []},
        "sql-match-recognize": {
            "skip": {"strategy": "skip_past_last"},
            "partition_by": [],
            "order_by": [["id", "asc"]],
        },
    }[family] | {"family": family}
    semantics |= more.pop("semantics", {})  # type: ignore[arg-type]
    return Case("made up", family, semantics, pattern, events, {"expected": expected, **more})


def flink(stages: list[dict], names: str, expected: list, **semantics: object) -> Verdict:
    return judge(case("flink-cep", {"kind": "sequence", "stages": stages}, rows(names), expected, semantics=semantics))


def stage(name: str, link: str | None = "relaxed", **more: object) -> dict:
    return {"name": name, "link": link, "where": named(name), **more}


def loop(least: int, most: int | None, greedy: bool = False, link: str = "relaxed") -> dict:
    return {"quantifier": {"min": least, "max": most, "greedy": greedy, "loop_link": link}}


def test_flink_every_length_of_a_loop_is_a_match() -> None:
    stages = [stage("a", None), stage("b", **loop(1, None)), stage("c")]
    verdict = flink(stages, "abbc", [[0, 1, 3], [0, 1, 2, 3]])
    assert verdict.outcome == "agrees"
    assert verdict.notes


def test_flink_nothing_comes_between() -> None:
    assert flink([stage("a", None), stage("x", negated=True), stage("b")], "axbab", [[3, 4]]).outcome == "agrees"
    assert flink([stage("a", None), stage("b", "strict")], "acbab", [[3, 4]]).outcome == "agrees"


def test_flink_wrong_expectations_are_not_explained_away() -> None:
    assert flink([stage("a", None), stage("b")], "aab", [[0, 2]]).outcome == "unexplained"
    assert flink([stage("a", None), stage("b")], "aab", [[0, 1], [1, 2]]).outcome == "unexplained"


def test_flink_stages_are_compared() -> None:
    stages = [stage("a", None), stage("b")]
    pattern = {"kind": "sequence", "stages": stages}
    for said, outcome in (({"a": [0], "b": [1]}, "agrees"), ({"a": [1], "b": [0]}, "unexplained")):
        assert judge(case("flink-cep", pattern, rows("ab"), [[0, 1]], expected_stages=[said])).outcome == outcome


def test_flink_late_events() -> None:
    pattern = {"kind": "sequence", "stages": [stage("a", None)]}
    events = [{"ts": ts, "type": "Event", "name": "a"} for ts in (20, 14, 16, 21)]
    watermark = {"max_out_of_order_ms": 5}
    made = case("flink-cep", pattern, events, None, semantics={"watermark": watermark}, expected_late=[1])
    assert judge(made).outcome == "agrees"


def eql(pattern: dict, events: list[dict], expected: list, **semantics: object) -> Verdict:
    return judge(case("eql", pattern, events, expected, semantics=semantics))


def where(condition: object, event_type: str = "Event", **more: object) -> dict:
    return {"event_type": event_type, "where": condition, **more}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (["==", ["field", "name"], "B"], [[1]]),
        (["in", ["field", "name"], ["A", "c"]], [[0], [2]]),
        (["like", ["field", "name"], ["?"]], [[0], [1], [2]]),
        (["not", ["is_null", ["field", "nowhere"]]], []),
        (["call", "startsWith", ["field", "path"], "C:\\"], [[0]]),
        (["==", ["call", "indexOf", ["field", "path"], "etc"], 1], [[1]]),
        (["==", ["call", "between", ["field", "path"], "/", "/", False], "ETC"], [[1]]),
        (["==", ["call", "substring", ["field", "path"], 3, 6], "win"], [[0]]),
        (["<", ["field", "path"], "d"], [[0], [1]]),
        (["==", ["field", "list[1]"], "Y"], [[2]]),
        (["call", "arrayContains", ["field", "list"], "X", "z"], [[1], [2]]),
        (["call", "arraySearch", ["field", "list"], ["field", "v"], ["==", ["field", "v"], "y"]], [[2]]),
        (["==", ["call", "length", ["field", "list"]], 1], [[1]]),
        (["==", ["+", ["field", "n"], 1], 3], [[1]]),
    ],
)
def test_eql_conditions(condition: list, expected: list) -> None:
    events = rows("abc")
    for event, path, values, n in zip(
        events, ("C:\\Win", "/etc/", None), ([], ["z"], ["x", "y"]), (1, 2, 3), strict=True
    ):
        event |= {"path": path, "list": values, "n": n}
    assert eql({"kind": "filter", "stages": [where(condition)]}, events, expected).outcome == "agrees"


def test_eql_pipes() -> None:
    pattern = {"kind": "filter", "stages": [where(True)]}
    unique = {"pipe": "unique", "args": [["field", "name"]]}
    tail = {"pipe": "tail", "args": [2]}
    assert eql({**pattern, "pipes": [unique, tail]}, rows("aabbc"), [[2], [4]]).outcome == "agrees"
    assert eql({**pattern, "pipes": [tail, unique]}, rows("aabbc"), [[3], [4]]).outcome == "outside"


def test_eql_differs_in_the_quotient() -> None:
    events = [{"ts": n, "type": "Event", "n": n} for n in (4, 5, 6)]
    halves = ["==", ["/", ["field", "n"], 2], 2]
    verdict = eql({"kind": "filter", "stages": [where(halves)]}, events, [[0], [1]])
    assert (verdict.outcome, verdict.why.split(":")[0]) == ("differs", "kinds")


def test_eql_sequence_with_a_key_of_two_names() -> None:
    events = [
        {"ts": 1, "type": "start", "pid": 1, "ppid": 0},
        {"ts": 2, "type": "start", "pid": 1, "ppid": 0},
        {"ts": 3, "type": "child", "pid": 2, "ppid": 1},
        {"ts": 4, "type": "child", "pid": 3, "ppid": 9},
    ]
    stages = [where(True, "start", by=[["field", "pid"]]), where(True, "child", by=[["field", "ppid"]])]
    assert eql({"kind": "sequence", "stages": stages, "within_ms": 1}, events, [[1, 2]]).outcome == "agrees"


def one(kind: str, tag: str | None = None, condition: object = True) -> dict:
    return {"op": "event", "type": kind, "tag": tag, "where": condition}


def then(*args: dict) -> dict:
    return {"op": "followed_by", "args": list(args)}


def every(arg: dict) -> dict:
    return {"op": "every", "arg": arg}


def typed(kinds: str) -> list[dict]:
    return [{"ts": 1000 * place, "type": kind, "n": place} for place, kind in enumerate(kinds, 1)]


ESPER = {
    "once": (then(one("A", "a"), one("B", "b")), "AABB", [[0, 2]]),
    "every": (then(every(one("A", "a")), one("B", "b")), "AABB", [[0, 2], [1, 2]]),
    "each": (then(one("A", "a"), every(one("B", "b"))), "AABB", [[0, 2], [0, 3]]),
    "anew": (every(then(one("A", "a"), one("B", "b"))), "AABAB", [[0, 2], [3, 4]]),
    "any order": ({"op": "and", "args": [one("A", "a"), one("B", "b")]}, "BBA", [[0, 2]]),
    "either": ({"op": "or", "args": [one("A", "a"), one("B", "b")]}, "BA", [[0]]),
    "pairs": ({"op": "and", "args": [every(one("A", "a")), every(one("B", "b"))]}, "ABA", [[0, 1], [1, 2]]),
    "not": ({"op": "and", "args": [one("B", "b"), {"op": "not", "arg": one("A")}]}, "ACB", []),
    "timer": (then(one("A", "a"), {"op": "timer", "ms": 1500}, one("B", "b")), "ABB", [[0, 2]]),
    "in time": (then(one("A", "a"), {"op": "within", "ms": 2000, "arg": one("B", "b")}), "ACB", []),
    "until": ({"op": "match_until", "arg": one("A", "a"), "until": one("B", "b")}, "AAB", [[0, 1, 2]]),
    "compared": (then(one("A", "a"), one("B", "b", [">", ["field", "n"], ["tag_field", "a", "n"]])), "AB", [[0, 1]]),
}


@pytest.mark.parametrize("name", ESPER)
def test_esper(name: str) -> None:
    tree, kinds, expected = ESPER[name]
    assert (
        judge(case("esper-pattern", {"kind": "operator_tree", "tree": tree}, typed(kinds), expected)).outcome
        == "agrees"
    )


def test_esper_outside_and_differing() -> None:
    twice = {"op": "and", "args": [one("A", "a"), one("A", "b")]}
    verdict = judge(case("esper-pattern", {"kind": "operator_tree", "tree": twice}, typed("AB"), [[0]]))
    assert (verdict.outcome, verdict.why[:5]) == ("differs", "law 3")
    tree = every(every(one("A", "a")))
    assert judge(case("esper-pattern", {"kind": "operator_tree", "tree": tree}, typed("A"), [[0]])).outcome == "outside"


def siddhi(tree: dict, kinds: str, found: list[list], mode: str = "pattern", **more: object) -> Verdict:
    select = [{"name": tag, "expr": ["tag_field", tag, "n"]} for tag in ("a", "b")]
    pattern = {"kind": "operator_tree", "tree": tree, "select": select, **more}
    result = {"expected_count": len(found), "expected_rows": {"columns": ["a", "b"], "rows": found}}
    result |= {"rows_complete": True, "end_time": 9000}
    return judge(case("siddhi", pattern, typed(kinds), None, semantics={"mode": mode}, **result))


def absent(kind: str, ms: int) -> dict:
    return {"op": "absent", "arg": one(kind), "for_ms": ms}


def test_siddhi() -> None:
    assert siddhi(then(one("A", "a"), absent("B", 1500)), "AAC", [[1, None]]).outcome == "agrees"
    assert siddhi(then(one("A", "a"), absent("C", 1500), one("B", "b")), "ABB", [[1, 3]]).outcome == "agrees"
    assert siddhi(then(absent("A", 1500), one("B", "b")), "ABB", [[None, 3]]).outcome == "agrees"
    ordered = {"op": "next", "args": [every(one("A", "a")), one("B", "b")]}
    assert siddhi(ordered, "AABAB", [[2, 3], [4, 5]], "sequence").outcome == "agrees"
    assert siddhi(then(every(one("A", "a")), one("B", "b")), "AB", [[1, 2]], within_ms=1000).outcome == "agrees"


def sql(pattern: list, define: dict, values: list[int], expected: list, **semantics: object) -> Verdict:
    events = [{"ts": None, "id": place, "value": value} for place, value in enumerate(values)]
    whole = {"kind": "row_pattern", "pattern": pattern, "define": define}
    return judge(case("sql-match-recognize", whole, events, expected, semantics=semantics))


FALLING = ["<", ["col", "B", "value"], ["prev", ["col", "B", "value"], 1]]
RISING = [">", ["col", "C", "value"], ["prev", ["col", "C", "value"], 1]]


def many(variable: str, least: int = 1, most: int | None = None, greedy: bool = True) -> list:
    return ["quant", ["var", variable], least, most, greedy]


def test_sql() -> None:
    shape = ["concat", ["var", "A"], many("B"), many("C")]
    define = {"B": FALLING, "C": RISING}
    assert sql(shape, define, [5, 4, 3, 4, 6, 1], [[0, 1, 2, 3, 4]]).outcome == "agrees"
    assert sql(many("B", greedy=False), define, [5, 4, 3], [[1], [2]]).outcome == "agrees"
    assert sql(["concat", ["var", "A"], ["partition_end"]], {}, [5, 4], [[1]]).outcome == "agrees"
    either = ["concat", ["alt", ["var", "B"], ["var", "C"]], ["var", "C"]]
    assert sql(either, define, [5, 5, 4, 6, 7, 8], [[2, 3], [4, 5]]).outcome == "agrees"
    assert sql(["permute", ["var", "B"], ["var", "C"]], define, [5, 6, 4], [[1, 2]]).outcome == "outside"


def test_sql_differs() -> None:
    empty = sql(many("B", 0), {"B": FALLING}, [5, 4, 3], [[], [1, 2]])
    assert (empty.outcome, empty.why[:5]) == ("differs", "law 5")
    low, odd = ["<", ["col", "A", "value"], 9], ["==", ["%", ["col", "B", "value"], 2], 1]
    greedy = sql(["concat", many("A"), ["var", "B"]], {"A": low, "B": odd}, [2, 3, 4, 9], [[0, 1, 2, 3]])
    assert (greedy.outcome, greedy.why[:5]) == ("differs", "law 4")


def test_a_folder_of_cases(tmp_path: Path) -> None:
    pattern = {"kind": "sequence", "stages": [stage("a", None), stage("b")]}
    semantics = {"family": "flink-cep", "skip": {"strategy": "no_skip"}, "time": "event"}
    raw = {"id": "x", "semantics": semantics, "pattern": pattern, "events": rows("ab"), "expected": [[0, 1]]}
    detections = {
        "title": "t",
        "name": "t",
        "logsource": {"product": "p"},
        "detection": {"s": {"a": 1}, "condition": "s"},
    }
    cases = tmp_path / "cases"
    cases.mkdir()
    (cases / "pairs.json").write_text(json.dumps([raw, {**raw, "id": "y", "expected": []}]))
    (cases / "rules.json").write_text(json.dumps({"examples": [{"path": "p", "documents": [detections]}]}))
    verdicts = judge_all(cases)
    assert [v.outcome for v in verdicts] == ["agrees", "unexplained", "agrees"]
    printed = table(verdicts, listed=True)
    assert "pairs                         2      1   50 %" in printed
    assert "pairs:1" in printed
    write_json(verdicts, tmp_path / "out.json")
    assert [v["id"] for v in json.loads((tmp_path / "out.json").read_text())] == ["x", "y", "p"]
    assert [v.case.id for v in judge_all(cases, "pairs", "y")] == ["y"]
