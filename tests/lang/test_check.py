"""The checked form of what is right: names bound, kinds converted, refinements and lets written out, defaults set."""

from __future__ import annotations

import pytest

from cep.lang import check_texts, load
from cep.lang.checked.expressions import (
    Aggregate,
    CaptureAggregate,
    CaptureRef,
    Const,
    Expr,
    FieldRef,
    KeyRef,
    LatestRef,
    Op,
    Source,
)
from cep.lang.checked.rules import Rule, When, While
from cep.lang.checked.ruleset import Expect, Given, RuleSet
from cep.lang.checked.schema import Kind

SCHEMA = """\
stream s time meta.ts late 30s idle 5s
event a from s (k text, n integer, x number, m money at body.amount, t text, ok flag, seen time)
event b "B" from s (k text, n integer, m money, t text)
event small = a where n < 5
event mirror = small with k2 = t, double = n * 2 where ok
let limit_of = 2.5
let ratio(p, q) = p / q
let over_limit(p) = p > limit_of
list odd = ["x", "y"]
"""
DAY = 86_400_000_000
HOUR = 3_600_000_000
A_K, B_K = FieldRef(0, "k", Kind.TEXT), FieldRef(1, "k", Kind.TEXT)


def checked(text: str, schema: str = SCHEMA) -> RuleSet:
    loaded = check_texts({"x.cep": schema + text})
    assert loaded.diagnostics == ()
    assert loaded.ruleset is not None
    return loaded.ruleset


def rule(text: str) -> Rule:
    (only,) = checked(f"rule r {text}").rules
    return only


def shown(expr: Expr | None) -> str:
    """An expression as text: kinds of conversions and units to be seen."""
    match expr:
        case None:
            return "-"
        case Const():
            return f"{expr.value!r}:{expr.kind.value}"
        case FieldRef():
            return f"{'ab'[expr.event]}.{expr.field}"
        case CaptureRef():
            return f"{expr.which}({expr.step}).{expr.field}"
        case CaptureAggregate():
            return f"{expr.function}({expr.step} {shown(expr.argument)})"
        case KeyRef():
            return f"key {expr.index}"
        case LatestRef():
            return f"latest {'ab'[expr.source.event]}.{expr.field}"
        case Aggregate():
            where = f" where {shown(expr.source.where)}" if expr.source.where else ""
            argument = f"{'ab'[expr.source.event]} {shown(expr.argument)}{where}"
            return f"{expr.function}({argument}) over {expr.window.length_us}"
        case Op(name="convert"):
            return f"{expr.kind.value}({shown(expr.args[0])})"
        case Op():
            return f"{expr.name}({', '.join(map(shown, expr.args))})"


def where(text: str) -> str:
    trigger = rule(f"by k within 1h when a where {text}").trigger
    assert isinstance(trigger, When)
    return shown(trigger.steps[0].source.where)


def test_streams_and_events():
    rules = checked("")
    (stream,) = rules.streams
    assert (stream.time_path, stream.type_path, stream.late_us, stream.idle_us) == (
        ("meta", "ts"),
        ("type",),
        30_000_000,
        5_000_000,
    )
    assert [(event.name, event.index, event.wire_type) for event in rules.events] == [("a", 0, "a"), ("b", 1, "B")]
    assert rules.events[0].fields[2].path == ("x",)
    assert rules.events[0].fields[3].path == ("body", "amount")


def test_a_stream_of_one_event_needs_no_type():
    assert checked("", "stream s event a from s (k text)").streams[0].type_path == ()
    assert checked("", "stream s type kind event a from s (k text)").streams[0].type_path == ("kind",)
    assert checked("", "stream s").streams[0].time_path == ("ts",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n > 5", "gt(a.n, 5:integer)"),
        ("n > 2.5", "gt(number(a.n), 2.5:number)"),
        ("x > 5", "gt(a.x, 5.0:number)"),
        ("m > 5", "gt(a.m, 50000:money)"),
        ("m > 0.1234", "gt(a.m, 1234:money)"),
        ("m == -2.5", "eq(a.m, -25000:money)"),
        ("m > limit_of", "gt(a.m, 25000:money)"),
        ("m > n", "gt(a.m, money(a.n))"),
        ("m > x", "gt(number(a.m), a.x)"),
        ("m * 3 == 0.3", "eq(mul(a.m, 3:integer), 3000:money)"),
        ("3 * m == m", "eq(mul(a.m, 3:integer), a.m)"),
        ("m * 1.5 > 3", "gt(mul(number(a.m), 1.5:number), 3.0:number)"),
        ("m + 1.5 > 3", "gt(add(a.m, 15000:money), 30000:money)"),
        ("m / n > 2", "gt(div(number(a.m), number(a.n)), 2.0:number)"),
        ("n / 2 > 2", "gt(div(number(a.n), 2.0:number), 2.0:number)"),
        ("n + 2 * 3 > 1", "gt(add(a.n, 6:integer), 1:integer)"),
        ("n % 3 == 1", "eq(mod(a.n, 3:integer), 1:integer)"),
        ("time - seen > 5m", "gt(sub(a.time, a.seen), 300000000:duration)"),
        ("seen + 5m > time", "gt(add(a.seen, 300000000:duration), a.time)"),
        ("minutes(a.time - seen) > 5", "gt(minutes(sub(a.time, a.seen)), 5.0:number)"),
        ('seen > "1970-01-01T00:00:01Z"', "gt(a.seen, 1000000:time)"),
        ("n between 1 and 3", "and(ge(a.n, 1:integer), le(a.n, 3:integer))"),
        ('t in ["p", "q"]', "in(a.t, 'p':text, 'q':text)"),
        ("t not in odd", "not(in(a.t, 'x':text, 'y':text))"),
        ("m in [1, 2.5]", "in(a.m, 10000:money, 25000:money)"),
        ("n in [1, 2.5]", "in(number(a.n), 1.0:number, 2.5:number)"),
        ('t matches "^x" and ok', "and(matches(a.t, '^x':text), a.ok)"),
        ('t starts with "x" or not ok', "or(starts_with(a.t, 'x':text), not(a.ok))"),
        ("missing(t)", "missing(a.t)"),
        ("ratio(n, x) > 2", "gt(div(number(a.n), a.x), 2.0:number)"),
        ("over_limit(m)", "gt(a.m, 25000:money)"),
        ("over_limit(ratio(n, 2))", "gt(div(number(a.n), 2.0:number), 2.5:number)"),
        ("abs(-n) > 2", "gt(abs(neg(a.n)), 2:integer)"),
        ("round(n) > 2", "gt(a.n, 2:integer)"),
        ("max2(n, 2.5) > 2", "gt(max2(number(a.n), 2.5:number), 2.0:number)"),
        ("a.n > 2", "gt(a.n, 2:integer)"),
        ("ok and ok and ok", "and(and(a.ok, a.ok), a.ok)"),
        ("m > 5 * avg(a.m)", f"gt(number(a.m), mul(5.0:number, avg(a a.m) over {HOUR}))"),
        ("count(b where n > 2) over 1d > 2", f"gt(count(b - where gt(b.n, 2:integer)) over {DAY}, 2:integer)"),
        ("count(distinct b.t) > 2", f"gt(count_distinct(b b.t) over {HOUR}, 2:integer)"),
        ("sum(b.m * b.n) > 2", f"gt(sum(b mul(b.m, b.n)) over {HOUR}, 20000:money)"),
        ("last(b.t) == t", f"eq(last(b b.t) over {HOUR}, a.t)"),
    ],
)
def test_conditions(text, expected):
    assert where(text) == expected


def test_a_refinement_is_written_out():
    trigger = rule("by k2 when mirror where double > 3").trigger
    assert isinstance(trigger, When)
    source = trigger.steps[0].source
    assert shown(source.where) == ("and(and(lt(a.n, 5:integer), a.ok), gt(mul(a.n, 2:integer), 3:integer))")
    assert source.key == (FieldRef(0, "t", Kind.TEXT),)
    assert trigger.steps[0].name == "mirror"


def test_a_sequence():
    found = rule(
        "by k within 10m match each when 2..4 a as d where n > 1 then no b where n > d.first.n within 1m "
        "next b as q where m > sum(d.m) and n > d.n within 5m"
    )
    assert isinstance(found.trigger, When)
    assert found.trigger.policy == "each"
    first, guard, last = found.trigger.steps
    assert (first.link, first.negated, first.least, first.most, first.within_us, first.alias) == (
        None, False, 2, 4, None, "d",
    )  # fmt: skip
    assert (guard.link, guard.negated, guard.least, guard.most, guard.within_us) == ("then", True, 1, 1, 60_000_000)
    assert shown(guard.source.where) == "gt(b.n, first(0).n)"
    assert (last.link, last.alias, last.within_us) == ("next", "q", 300_000_000)
    assert shown(last.source.where) == "and(gt(b.m, sum(0 a.m)), gt(b.n, last(0).n))"
    assert (first.source.key, last.source.key) == ((A_K,), (B_K,))
    assert (found.within_us, found.forget_us, found.max_starts, found.mode) == (10 * 60_000_000, DAY, 1000, "live")


def test_a_loop_speaks_of_what_it_has_captured():
    trigger = rule("by k within 1h when 2+ a as d where missing(d.last.n) or n > d.last.n and d.n > count(d)").trigger
    assert isinstance(trigger, When)
    assert shown(trigger.steps[0].source.where) == (
        "or(missing(last(0).n), and(gt(a.n, last(0).n), gt(a.n, count(0 -))))"
    )


def test_an_alias_wins_over_an_event():
    trigger = rule("by k within 1h when a as b then b where n > b.n").trigger
    assert isinstance(trigger, When)
    assert shown(trigger.steps[1].source.where) == "gt(b.n, last(0).n)"


def test_outputs_of_a_when():
    found = rule(
        'by k, n within 1h when 2+ a as d then b alert high "{k}: {count(d)} of {m} {{x}} \\"{d.first.t}\\"" '
        'show total = sum(d.m), at = time label team = "x" label size = n score 40 limit 2 per 1d by k, t'
    )
    (alert,) = found.alerts
    assert alert.level == "high"
    assert alert.message is not None
    assert [part if isinstance(part, str) else shown(part) for part in alert.message.parts] == [
        "key 0", ": ", "count(0 -)", " of ", "last(1).m", ' {x} "', "first(0).t", '"',
    ]  # fmt: skip
    assert [(name, shown(value)) for name, value in found.shows] == [("total", "sum(0 a.m)"), ("at", "last(1).time")]
    assert [(name, shown(value)) for name, value in found.labels] == [("team", "'x':text"), ("size", "key 1")]
    assert shown(found.score) == "40.0:number"
    assert found.limit is not None
    assert (found.limit.count, found.limit.per_us) == (2, DAY)
    assert [shown(key) for key in found.limit.keys] == ["key 0", "last(1).t"]
    assert [(key.name, key.kind) for key in found.keys] == [("k", Kind.TEXT), ("n", Kind.INTEGER)]


def test_quotes_in_a_hole():
    found = rule('by k when a alert low "{lower(\\"AB\\")} {t == \\"x y\\"}"')
    message = found.alerts[0].message
    assert message is not None
    assert [part if isinstance(part, str) else shown(part) for part in message.parts] == [
        "'ab':text", " ", "eq(last(0).t, 'x y':text)",
    ]  # fmt: skip


def test_outputs_speak_of_the_last_step_that_happened():
    assert shown(rule("by k within 1h when a then no b show n = n").shows[0][1]) == "last(0).n"


def test_a_while():
    found = rule(
        'by k while a.m > 5 and count(b) over 1h >= 2 for 5m until a.n < 3 keep 1m alert low "{a.t} {sum(b.n) over 2d}"'
    )
    trigger = found.trigger
    assert isinstance(trigger, While)
    assert shown(trigger.condition) == f"and(gt(latest a.m, 50000:money), ge(count(b -) over {HOUR}, 2:integer))"
    assert (shown(trigger.until), trigger.for_us, trigger.keep_us) == (
        "lt(latest a.n, 3:integer)",
        300_000_000,
        60_000_000,
    )
    assert found.forget_us == 20 * DAY
    assert [shown(part) for part in found.alerts[0].message.parts[::2]] == ["latest a.t", f"sum(b b.n) over {2 * DAY}"]


def test_in_a_while_of_one_event_its_fields_need_no_name():
    found = rule("by k while small.n > 2 show text = t")
    ((_, value),) = found.shows
    assert isinstance(value, LatestRef)
    assert shown(value.source.where) == "lt(a.n, 5:integer)"


def test_headers():
    found = rule('by k about "what" owner "me" tags [fraud, "card testing"] mode off max 5 forget 2d when a')
    assert (found.about, found.owner, found.tags, found.mode) == ("what", "me", ("fraud", "card testing"), "off")
    assert (found.max_starts, found.forget_us, found.within_us) == (5, 2 * DAY, None)
    assert rule("by k within 7d when a then b").forget_us == 70 * DAY


def test_without_a_key_or_an_alert():
    found = rule("when a")
    assert found.keys == ()
    assert isinstance(found.trigger, When)
    assert found.trigger.steps[0].source == Source(0, None, ())
    assert [(alert.level, alert.message) for alert in found.alerts] == [("info", None)]


def test_tests():
    (test,) = checked(
        "rule r by k when a show m = m\n"
        'test r "title" at 1s a {k: "x", m: 2.5, n: 2, x: 1, ok: true, seen: 5m} x 3 every 10s '
        'at 1m expect r {k: "x", m: 1} at 2m expect no r at 3m expect nothing'
    ).tests
    given, fired, none, nothing = test.steps
    assert isinstance(given, Given)
    assert (given.at_us, given.event, given.times, given.every_us) == (1_000_000, 0, 3, 10_000_000)
    assert given.values == (("k", "x"), ("m", 25_000), ("n", 2), ("x", 1.0), ("ok", True), ("seen", 300_000_000))
    assert isinstance(fired, Expect)
    assert (fired.what, fired.rule, fired.values) == ("fired", "r", (("k", "x"), ("m", 10_000)))
    assert [(step.what, step.rule) for step in (none, nothing) if isinstance(step, Expect)] == [
        ("none", "r"),
        ("nothing", None),
    ]
    assert (test.rule, test.title) == ("r", "title")


# ---------------------------------------------------------------------------------- versions


def version(text: str, schema: str = SCHEMA) -> str:
    return checked(f"rule r {text}", schema).rules[-1].version


def test_a_version_stands_for_the_meaning():
    original = version("by k within 1h when a where n > 5 then b")
    assert len(original) == 12
    assert version("by k\n  within 60m # one hour\n  when a where a.n > 2 + 3\n  then b") == original
    assert (
        version("by k within 1h when a where n > 5 then b", "stream z event y from z (k text)\n" + SCHEMA) == original
    )
    assert version("by k within 1h when a where n > 6 then b") != original
    assert version("by k within 2h when a where n > 5 then b") != original


# ------------------------------------------------------------------------------------- files


def test_load_reads_folders_imports_and_lists(tmp_path):
    (tmp_path / "rules" / "deep").mkdir(parents=True)
    (tmp_path / "schema.cep").write_text("stream s\nevent a from s (k text, n integer)\n")
    (tmp_path / "odd.txt").write_text("# odd numbers\n1\n 3 # three\n\n")
    (tmp_path / "rules" / "one.cep").write_text('import "../schema.cep"\nlist odd from "../odd.txt"\n')
    (tmp_path / "rules" / "deep" / "two.cep").write_text("rule r by k when a where n in odd\n")
    (tmp_path / "rules" / "notes.txt").write_text("not a rule")
    loaded = load([tmp_path / "rules", tmp_path / "rules" / "one.cep"])
    assert loaded.diagnostics == ()
    assert loaded.ruleset is not None
    trigger = loaded.ruleset.rules[0].trigger
    assert isinstance(trigger, When)
    assert shown(trigger.steps[0].source.where) == "listed(a.n, 'odd':text)"
    assert [key for key, _ in loaded.ruleset.tables[0].rows] == [1, 3]
    assert {name.rsplit("/", 1)[-1] for name in loaded.files} == {"one.cep", "two.cep", "schema.cep"}


def test_what_cannot_be_read(tmp_path):
    (tmp_path / "binary.cep").write_bytes(b"let x = 1\nlet \xff\xfe = 2\n")
    loaded = load([tmp_path / "binary.cep", tmp_path / "absent.cep"])
    assert [(d.code, d.span.line, d.span.column) for d in loaded.diagnostics] == [("CEP108", 1, 1), ("CEP101", 2, 5)]
    assert loaded.ruleset is None


def test_order_between_files_does_not_matter():
    files = {"z.cep": "stream s\nevent a from s (k text)", "a.cep": "rule r by k when a"}
    assert check_texts(files).diagnostics == ()


def test_lets_that_grow_without_end_are_refused():
    lets = "let f0(p) = p + p\n" + "".join(f"let f{i}(p) = f{i - 1}(f{i - 1}(p))\n" for i in range(1, 20))
    loaded = check_texts({"x.cep": SCHEMA + lets + "rule r by k when a where f19(n) > 1"})
    assert {d.code for d in loaded.diagnostics} == {"CEP102"}


@pytest.mark.parametrize("clause", ["where n > 1", "with n = n + 1", "with n = n + n"])
def test_refinements_that_grow_without_end_are_refused(clause):
    chain = "event e0 = a\n" + "".join(f"event e{i} = e{i - 1} {clause}\n" for i in range(1, 300))
    loaded = check_texts({"x.cep": SCHEMA + chain + "rule r by k when e299 where n > 1"})
    assert [d.code for d in loaded.diagnostics] == ["CEP102"]


def test_a_thousand_rules_are_checked():
    text = "".join(
        f"rule r{i} by k within 10m when 5+ small as d where m < 5 then b as q where m > d.m "
        'alert high "{k} {q.m}"\n'
        for i in range(1000)
    )
    assert len(checked(text).rules) == 1000


@pytest.mark.parametrize(
    ("rule", "most"),
    [
        ("rule r by k within 1h when " + " then ".join(["a"] * 61), "60 steps"),
        ("rule r by k while " + " or ".join(f"count(a where n > {i}) over 1h > 1" for i in range(61)), "60 different"),
        ("rule r by k, n, x, m, t when a", "4 parts"),
    ],
)
def test_what_is_larger_than_the_engine_has_room_for_is_refused(rule, most):
    (diagnostic,) = check_texts({"x.cep": SCHEMA + rule}).diagnostics
    assert diagnostic.code == "CEP102"
    assert most in diagnostic.message


def test_a_roster_beside_an_event_without_the_key() -> None:
    rule = 'event other from s (z text)\nroster ks from "ks.csv"\nrule r by k in ks within 1h when a then other'
    loaded = check_texts({"x.cep": f"{SCHEMA}\n{rule}", "ks.csv": "k\nx\n"})
    assert [d.code for d in loaded.diagnostics] == ["CEP305"]
