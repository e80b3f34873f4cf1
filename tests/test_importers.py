"""Rules of other systems, translated: what comes out is checked, and some of it is run."""

from __future__ import annotations

import textwrap

import pytest

from cep.adapters.cli.main import main
from cep.adapters.importers import eql, prometheus, sigma
from cep.adapters.importers.draft import Draft
from cep.errors import ConfigurationError
from cep.lang import check_texts

CONVERT = {"sigma": sigma.convert, "prometheus": prometheus.convert, "eql": eql.convert}


def convert(system: str, text: str, name: str = "some.yml") -> Draft:
    return CONVERT[system]({name: textwrap.dedent(text)})


def accepted(draft: Draft) -> str:
    """The file, which has no mistake."""
    text = draft.text()
    checked = check_texts({"imported.cep": text})
    assert not checked.diagnostics, (text, checked.diagnostics)
    return text


def clauses(text: str, word: str) -> list[str]:
    """The lines that begin with a word."""
    return [line.strip() for line in text.split("\n") if line.strip().startswith(f"{word} ")]


# --------------------------------------------------------------------------------------------------------------- sigma

BAKERY = """
title: Oven opened
id: 11111111-0000-4000-8000-000000000001
name: oven_opened
logsource: {product: bakery, category: oven}
detection:
  selection: {Door: open, Code: [7, 9]}
  condition: selection
---
title: Loaves burnt
name: loaves_burnt
logsource: {product: bakery, category: oven}
detection:
  selection: {Smell|contains: smoke}
  condition: selection
---
"""
CORRELATION = """
title: Careless baker
level: high
correlation:
  type: %s
  rules: [oven_opened%s]
  group-by: [Baker]
  timespan: 15m
  %s
"""


def correlation(kind: str, condition: str = "", more: str = "") -> str:
    condition = f"condition: {condition}" if condition else ""
    return accepted(convert("sigma", BAKERY + CORRELATION % (kind, more, condition)))


@pytest.mark.parametrize(
    ("kind", "condition", "trigger"),
    [
        ("event_count", "{gte: 5}", "while count(oven_opened) >= 5"),
        ("event_count", "{gt: 5, lte: 9}", "while count(oven_opened) > 5 and count(oven_opened) <= 9"),
        ("value_count", "{field: Oven, gt: 2}", "while count(distinct oven_opened.Oven) > 2"),
        ("value_sum", "{field: Grams, gt: 2.5}", "while sum(oven_opened.Grams) > 2.5"),
        ("value_avg", "{field: Grams, lt: 2}", "while avg(oven_opened.Grams) < 2"),
        ("temporal", "", "when oven_opened"),
    ],
)
def test_a_correlation_of_one_rule(kind, condition, trigger):
    text = correlation(kind, condition)
    assert trigger in clauses(text, trigger.split()[0])
    assert 'event oven_opened = bakery_oven where lower(Door) == "open" and Code in [7, 9]' in text
    assert "rule careless_baker by Baker within 15m" in text
    assert 'alert high "{Baker}: Careless baker"' in text


def test_an_order_is_a_sequence():
    text = correlation("temporal_ordered", more=", loaves_burnt")
    assert clauses(text, "when") == ["when oven_opened then loaves_burnt"]


def test_a_condition_over_rules_counts_them():
    text = correlation("temporal", "oven_opened and not loaves_burnt", ", loaves_burnt")
    assert clauses(text, "while") == ["while count(oven_opened) > 0 and not count(loaves_burnt) > 0"]


def test_several_rules_are_counted_together():
    text = correlation("event_count", "{gte: 5}", ", loaves_burnt")
    assert clauses(text, "while") == ["while count(oven_opened) + count(loaves_burnt) >= 5"]
    text = correlation("value_count", "{field: Oven, gte: 5}", ", loaves_burnt")
    assert "event careless_baker_event = bakery_oven where " in text
    assert clauses(text, "while") == ["while count(distinct careless_baker_event.Oven) >= 5"]


def test_a_rule_that_is_elsewhere_becomes_an_event_that_names_it():
    draft = convert(
        "sigma",
        """
        title: Far
        correlation: {type: event_count, rules: [22222222-0000-4000-8000-000000000002], group-by: [who.name],
          timespan: 1d, condition: {gte: 2}}
        """,
    )
    text = accepted(draft)
    assert 'event rule_22222222 = sigma_match where sigma_rule == "22222222-0000-4000-8000-000000000002"' in text
    assert "who_name text at who.name" in text
    assert any("not in this file" in note for note in draft.notes)
    assert "# note: the rule is not in this file" in text


def test_aliases_rename_fields_for_the_key():
    text = accepted(
        convert(
            "sigma",
            """
            title: Both ends
            correlation:
              type: temporal_ordered
              rules: [sent, received]
              group-by: [parcel]
              timespan: 10s
              aliases: {parcel: {sent: out.id, received: in.id}}
            """,
        )
    )
    assert "event sent_for_both_ends = sent with parcel = out_id" in text
    assert clauses(text, "when") == ["when sent_for_both_ends then received_for_both_ends"]


def test_a_detection_on_its_own_is_a_rule():
    text = accepted(convert("sigma", BAKERY.split("---", maxsplit=1)[0]))
    assert clauses(text, "when") == ["when oven_opened"]


DETECTION = """
title: D
name: d
logsource: {category: c}
detection:
  a: %s
  b: {Other: x}
  condition: %s
"""


@pytest.mark.parametrize(
    ("selection", "condition", "where"),
    [
        ("{F|startswith: [Ab, Cd]}", "a", 'lower(F) starts with "ab" or lower(F) starts with "cd"'),
        ("{F|contains|all: [x, y]}", "a", 'lower(F) contains "x" and lower(F) contains "y"'),
        ("{F|endswith|cased: Exe}", "a", 'F ends with "Exe"'),
        (r"{F: 'C:\*\run?.exe'}", "a", r'F matches "(?is)^C:\\*\\\\run.\\.exe$"'),
        ("{F|re|i: '^a.+b$'}", "a", 'F matches "(?i)^a.+b$"'),
        ("{F|cidr: 10.1.0.0/16}", "a", 'cidr(F, "10.1.0.0/16")'),
        ("{F|gte: 5}", "a", "F >= 5"),
        ("{F: null}", "a", "missing(F)"),
        ("{F|exists: true}", "a", "not missing(F)"),
        ("{F: 5}", "not a", "missing(F) or not F == 5"),
        ("{F|neq: x}", "a", 'missing(F) or not lower(F) == "x"'),
        ("[{F: x}, {G: 1.5}]", "a", 'lower(F) == "x" or G == 1.5'),
        ("{F: x}", "all of them", 'lower(F) == "x" and lower(Other) == "x"'),
        ("{F: x}", "1 of a* or b", 'lower(F) == "x" or lower(Other) == "x"'),
        ("{F: x}", "a and not (b)", 'lower(F) == "x" and (missing(Other) or not lower(Other) == "x")'),
        ("{F|fieldref: G}", "a", "F == G"),
        ("{F|windash|contains: ' -e '}", "a", 'F matches "(?is) [-/–—―]e "'),
        ("[alarm, fire]", "a", 'lower(message) contains "alarm" or lower(message) contains "fire"'),
        (
            "{F|base64offset|contains: foobar}",
            "a",
            'F contains "Zm9vYmFy" or F contains "Zvb2Jhc" or F contains "mb29iYX"',
        ),
    ],
)
def test_detections(selection, condition, where):
    text = accepted(convert("sigma", DETECTION % (selection, condition)))
    assert f"event d = c where {where}" in text.split("\n")


def test_a_field_has_the_kind_that_suits_all_of_its_uses():
    text = accepted(convert("sigma", DETECTION % ("[{Id: 4}, {Id|contains: x}]", "a")))
    assert 'event d = c where Id == "4" or lower(Id) contains "x"' in text


@pytest.mark.parametrize(
    "text",
    [
        DETECTION % ("{F|expand: '%x%'}", "a"),
        DETECTION % ("{F: x}", "a | count() > 5"),
        DETECTION % ("{F: x}", "a and missing_one"),
        CORRELATION % ("sideways", "", "condition: {gte: 1}"),
        (CORRELATION % ("event_count", "", "condition: {gte: 1}")).replace("15m", "15 minutes"),
        "title: neither\n",
    ],
)
def test_what_sigma_says_and_cannot_be_carried_over_is_said(text):
    draft = convert("sigma", text)
    accepted(draft)
    assert draft.lost == 1
    (note,) = [note for note in draft.notes if "not carried over" in note]
    assert f"# note: {note.split(': ', maxsplit=1)[1]}" in draft.text()


# ---------------------------------------------------------------------------------------------------------- prometheus


def alert(expr: str, more: str = "") -> Draft:
    return convert("prometheus", f"groups: [{{name: g, rules: [{{alert: A, expr: '{expr}', {more}}}]}}]")


@pytest.mark.parametrize(
    ("expr", "rule", "condition"),
    [
        ("temperature > 80", "by instance within 5m", "last(temperature.value) > 80"),
        ('up{job="x"} == 0', "by instance within 5m", 'last(up.value where job == "x") == 0'),
        ("rate(sold_total[2m]) > 1.5", "by instance within 2m", "sum(sold_total.value) / 120 > 1.5"),
        ("5 < increase(sold_total[1h])", "by instance within 1h", "5 < sum(sold_total.value)"),
        ("increase(sold[1h]) < 5", "by instance within 1h", "count(sold) > 0 and sum(sold.value) < 5"),
        ("sum by (shop) (rate(sold_total[1m])) > 2", "by shop within 1m", "sum(sold_total.value) / 60 > 2"),
        (
            'sum by (shop) (rate(sold_total{kind=~"a.*"}[5m])) / sum by (shop) (rate(sold_total[5m])) > 0.5',
            "by shop within 5m",
            'sum(sold_total.value where kind matches "^a.*$") / sum(sold_total.value) > 0.5',
        ),
        ("avg_over_time(t[10m]) >= 1", "by instance within 10m", "avg(t.value) >= 1"),
        ("max_over_time(t[1h]) - min_over_time(t[1h]) > 3", "by instance within 1h", "max(t.value) - min(t.value) > 3"),
        ("count_over_time(t[1d]) > 9 or t > 5", "by instance within 1d", "count(t) > 9 or last(t.value) over 5m > 5"),
        ("t > 5 unless u == 1", "by instance within 5m", "last(t.value) > 5 and not last(u.value) == 1"),
        ("absent(up)", "within 5m", "count(up) == 0"),
        ('t{k!="x",b=~"y|z",c=""} > 1', "by instance within 5m",
         'last(t.value where (missing(k) or k != "x") and b in ["y", "z"] and missing(c)) > 1'),
        ("max by (shop) (max_over_time(t[1h])) > 1", "by shop within 1h", "max(t.value) > 1"),
        ("count by (shop) (up == 0) > 2", "by shop within 5m", "count(distinct up.instance where value == 0) > 2"),
        ("abs(t - -2) * 2 > 1e3", "by instance within 5m", "abs(last(t.value) - -2) * 2 > 1000"),
        ("t > on (shop) u", "by instance, shop within 5m", "last(t.value) > last(u.value)"),
        ("ALERTS", "by instance within 5m", "count(ALERTS) > 0"),
    ],
)  # fmt: skip
def test_expressions(expr, rule, condition):
    text = accepted(alert(expr.replace("'", "''")))
    assert clauses(text, "rule") == [f"rule A {rule}"]
    assert clauses(text, "while") == [f"while {condition}"]


def test_the_rest_of_an_alerting_rule():
    draft = convert(
        "prometheus",
        """
        groups:
          - name: kiln
            rules:
              - alert: KilnTooHot
                expr: kiln_celsius{job="kilns"} > 1200
                for: 5m
                keep_firing_for: 90s
                labels: {severity: page, team: potters, place: "{{ $labels.hall }}"}
                annotations:
                  summary: 'Kiln {{ $labels.instance }} of {{ $labels.job }} has {{ printf "%.0f" $value }} {degrees}'
                  description: The clay cracks
                  runbook_url: https://kilns.example/hot
        """,
    )
    text = accepted(draft)
    assert "rule KilnTooHot by instance, hall within 5m" in text
    assert 'while last(kiln_celsius.value where job == "kilns") > 1200 for 5m keep 1m30s' in text
    message = 'Kiln {instance} of kilns has {last(kiln_celsius.value where job == \\"kilns\\")} {{degrees}}'
    assert f'alert critical "{message}"' in text
    assert 'label team = "potters"' in text
    assert "label place = hall" in text
    assert 'about "The clay cracks"' in text
    assert "# runbook_url: https://kilns.example/hot" in text
    assert not draft.notes


def test_a_recording_rule_is_written_out_where_it_is_used():
    draft = convert(
        "prometheus",
        """
        groups:
          - rules:
              - {record: "shop:sold:rate5m", expr: "sum by (shop) (rate(sold_total[5m]))"}
              - {alert: Busy, expr: "shop:sold:rate5m > 3"}
        """,
    )
    assert clauses(accepted(draft), "while") == ["while sum(sold_total.value) / 300 > 3"]
    assert draft.notes == ["shop:sold:rate5m: a recording rule: it is written out in the rules that use it"]


@pytest.mark.parametrize(
    "expr",
    [
        "histogram_quantile(0.9, sum by (le) (rate(b[5m]))) > 1",
        "topk(3, t) > 1",
        "time() - t > 60",
        "max_over_time(t[1h:5m]) > 1",
        "vector(1)",
        "t > bool 1",
        "sum by (a) (rate(x[1m])) / sum by (b) (rate(x[1m])) > 1",
        "t >",
    ],
)
def test_what_prometheus_says_and_cannot_be_carried_over_is_said(expr):
    draft = alert(expr)
    assert (draft.rules, draft.lost) == (0, 1)
    assert clauses(accepted(draft), "event") == []


# ----------------------------------------------------------------------------------------------------------------- eql


def test_a_sequence():
    draft = convert(
        "eql",
        """
        sequence by user.name with maxspan=5m
          [oven where door == "open" and heat > 200] with runs=3
          [loaf where not smell : ("smoke*", "ash")] by weight
        """,
        "baker.eql",
    )
    assert "keys of different lengths" in draft.notes[0]
    draft = convert(
        "eql",
        """
        sequence by user.name with maxspan=5m
          [oven where door == "open" and heat > 200] with runs=3
          ![fan where true]
          [loaf where not smell : ("smoke*", "ash")]
        """,
        "baker.eql",
    )
    text = accepted(draft)
    assert "stream events time `@timestamp` type event.category" in text
    assert "rule baker by user_name within 5m" in text
    assert clauses(text, "match") == ['match last when 3 oven where door == "open" and heat > 200']
    assert clauses(text, "then") == [
        "then no fan",
        'then loaf where not (lower(smell) starts with "smoke" or lower(smell) == "ash")',
    ]


def test_keys_of_other_names_are_renamed():
    text = accepted(
        convert("eql", "sequence with maxspan=1h [a1 where true] by x.id [b1 where z == 1] by y.id", "k.eql")
    )
    assert "event b1_for_k = b1 with x_id = y_id" in text
    assert "rule k by x_id within 1h" in text


def test_a_missing_event_at_the_end():
    draft = convert("eql", "sequence by k with maxspan=1m [a1 where true] ![b1 where true]", "k.eql")
    assert clauses(accepted(draft), "when") == ["when a1 then no b1"]
    assert "the first one makes the alert" in draft.notes[0]


def test_events_of_any_category_are_of_one_root():
    text = accepted(convert("eql", "any where k == 1; oven where k == 2", "k.eql"))
    assert 'event oven = record where event_category == "oven"' in text
    assert clauses(text, "when") == ["when record where k == 1", "when oven where k == 2"]


@pytest.mark.parametrize(
    ("condition", "where"),
    [
        ('f == null and g != "x"', 'missing(f) and g != "x"'),
        ("f in (1, 2) or not f in (3)", "f in [1, 2] or not f == 3"),
        ('f in~ ("A", "b")', 'lower(f) in ["a", "b"]'),
        ('f like "a*b" and g like~ "*C"', 'f matches "(?s)^a.*b$" and lower(g) ends with "c"'),
        ('f regex "[ab]+"', 'f matches "(?s)^(?:[ab]+)$"'),
        ('startsWith~(f, "Ab") or endsWith(g, "c")', 'lower(f) starts with "ab" or g ends with "c"'),
        ('cidrMatch(f, "10.0.0.0/8", "::1/128")', 'cidr(f, "10.0.0.0/8") or cidr(f, "::1/128")'),
        ("length(f) > 3 and g + 1 < h * 2.5", "length(f) > 3 and g + 1 < h * 2.5"),
        ("not (f == true or g >= 1.5)", "not (f == true or g >= 1.5)"),
        (r'f == "a\\b\"c" and g == """x"y"""', r'f == "a\\b\"c" and g == "x\"y"'),
        ("a.b.c == 1 and `in` == 2", "a_b_c == 1 and `in` == 2"),
        ('?f : "x" /* a remark */ // and another', 'lower(f) == "x"'),
    ],
)
def test_conditions(condition, where):
    text = accepted(convert("eql", f"thing where {condition}", "k.eql"))
    assert clauses(text, "when") == [f"when thing where {where}"]


def test_toml_of_a_rule_collection():
    text = accepted(
        convert(
            "eql",
            '''
            [rule]
            name = "Late baker"
            severity = "high"
            risk_score = 73
            description = "Bread too late"
            query = """
            oven where hour > 6
            """
            ''',
            "late.toml",
        )
    )
    assert "rule late_baker" in text
    assert 'alert high "Late baker"' in text
    assert "score 73" in text


@pytest.mark.parametrize(
    "query", ["oven where concat(a, b) == 1", "oven where descendant of [x where true]", "oven were"]
)
def test_what_eql_says_and_cannot_be_carried_over_is_said(query):
    draft = convert("eql", query, "k.eql")
    assert (draft.rules, draft.lost) == (0, 1)
    accepted(draft)


# ------------------------------------------------------------------------------------------------------------- command


def test_the_command_writes_a_file_and_says_what_is_missing(tmp_path, capsys):
    source, out = tmp_path / "r.yml", tmp_path / "r.cep"
    source.write_text(BAKERY + CORRELATION % ("event_count", "", "condition: {gte: 5}"))
    assert main(["import", "sigma", str(source), "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "2 rules · 0 rules not carried over" in said.err
    assert main(["check", str(out)]) == 0
    source.write_text("groups: [{rules: [{alert: A, expr: 'topk(1, t) > 1'}]}]")
    capsys.readouterr()
    assert main(["import", "prometheus", str(source)]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("# Imported from r.yml.")
    assert "note: A: not carried over: topk over series" in said.err


@pytest.mark.parametrize(("system", "name", "text"), [("sigma", "a.yml", "a: [b"), ("eql", "a.toml", "= 1")])
def test_files_that_cannot_be_read(system, name, text):
    with pytest.raises(ConfigurationError, match=name):
        CONVERT[system]({name: text})
