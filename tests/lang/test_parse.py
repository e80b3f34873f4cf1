"""Text → tree: what is kept, how mistakes are told and survived, and the limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from cep.lang import ast
from cep.lang.parse import parse
from cep.lang.report import Report
from cep.lang.text import Text


def parsed(content: str) -> tuple[ast.File, list[str]]:
    """The file, and its findings as "line:column code hint"."""
    report = Report()
    text = Text.of("x.cep", content)
    file = parse(text, report.on(text))
    return file, [f"{d.span.line}:{d.span.column} {d.code} {d.hint or ''}" for d in report.sorted()]


def condition(content: str) -> ast.Expr:
    file, found = parsed(f"let x = {content}")
    assert found == []
    (let,) = file.declarations
    assert isinstance(let, ast.Let)
    return let.value


def shape(node: ast.Expr) -> str:
    """An expression with all its brackets."""
    match node:
        case ast.Name():
            return node.text
        case ast.Literal():
            return str(node.value)
        case ast.Unary():
            return f"({node.op} {shape(node.operand)})"
        case ast.Binary():
            return f"({shape(node.left)} {node.op} {shape(node.right)})"
        case ast.Logic():
            return f"({f' {node.op} '.join(map(shape, node.operands))})"
        case ast.Between():
            return f"({shape(node.value)} between {shape(node.low)} {shape(node.high)})"
        case ast.Member():
            return f"{shape(node.base)}.{node.name.text}"
        case _:
            return type(node).__name__


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a or b and not c == d + e * -f", "(a or (b and (not (c == (d + (e * (neg f)))))))"),
        ("a - b - c", "((a - b) - c)"),
        ("a / b * c % d", "(((a / b) * c) % d)"),
        ("not not a", "(not (not a))"),
        ("a between 1 and 2 and b", "((a between 1 2) and b)"),
        ("(a or b) and c", "((a or b) and c)"),
        ("a and b and c", "(a and b and c)"),
        ("d.last.country", "d.last.country"),
        ("1_000 + 2.5e3", "(1000 + 2500.0)"),
        ("1h30m", "5400000000"),
        ("250ms", "250000"),
        ('path starts with "/a"', "(path starts_with /a)"),
        (r'"a\"b\d"', r"a\"b\d".replace(r"\"", '"')),
    ],
)
def test_precedence_and_literals(content, expected):
    assert shape(condition(content)) == expected


@pytest.mark.parametrize(
    "word",
    [
        "count",
        "level",
        "status",
        "first",
        "last",
        "time",
        "type",
        "x",
        "a",
        "row",
        "each",
        "session",
        "key",
        "on",
        "at",
    ],
)
def test_a_keyword_is_a_field_where_it_cannot_be_meant(word):
    file, found = parsed(f"rule r by {word} when e where {word} > 1 and e.{word} == {word}")
    assert found == []
    assert isinstance(file.declarations[0], ast.Rule)


def test_a_field_in_back_ticks():
    file, found = parsed('event e from s (`not` text)\nrule r when e where `not` == "x" and `true`')
    assert found == []
    event = file.declarations[0]
    assert isinstance(event, ast.Event)
    assert event.fields[0].name.text == "not"


def test_a_mistake_costs_its_declaration_only():
    file, found = parsed(
        """\
rule one by k whithin 1h when a then b
rule two by k when a where x = 1
event e fron s (k text)
let fine = 1
rule three by k
let y = "abc
let z = 10min
let also = 2
"""
    )
    assert found == [
        '1:15 CEP104 did you mean "within"?',
        '2:30 CEP103 two values are compared with "=="',
        '3:9 CEP104 did you mean "from"?',
        '6:1 CEP103 expected ",", "about", "active", "by", "forget", "in", "match", "max", "mode", "owner", "tags", '
        '"when", "while" or "within"',
        '6:9 CEP105 close it with a double quote; inside it write \\"',
        "7:11 CEP106 units are us, ms, s, m, h, d and w, as in 10m",
    ]
    assert [declared.name.text for declared in file.declarations] == ["fine", "also"]
    assert file.broken == {"one", "two", "e", "three", "y", "z"}


def test_every_declaration_of_a_broken_file_is_read_once():
    file, found = parsed("let a = 1\nrule r when\nlet b = 2\nrule q when 5 5\nlet c = 3")
    assert [declared.name.text for declared in file.declarations] == ["a", "b", "c"]
    assert found[0].startswith("3:1 CEP103 expected")
    assert len(found) == 2


def test_places():
    file, _ = parsed("let x = 1\n\nrule r by k when a where nn > 5")
    rule = file.declarations[1]
    assert isinstance(rule, ast.Rule)
    assert str(file.text.span(rule.at)) == "x.cep:3:6"
    assert isinstance(rule.trigger, ast.When)
    body = rule.trigger.sequence.steps[0].body
    assert isinstance(body, ast.Atom)
    assert body.where is not None
    span = file.text.span(body.where.at)
    assert (span.column, span.end_column) == (26, 32)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n\n# nothing\n",
        "rule",
        "rule r when a where " + "(" * 20_000,
        "rule r when a where " + "(\n" * 20_000,
        "rule r when a where " + "not\n" * 20_000 + "x",
        "rule r when a where " + "-\n" * 20_000 + "1",
        "let x = 1" + "+1\n" * 20_000,
        "let x = a" + ".b\n" * 20_000,
        "let x = [" * 20_000,
        "rule r when " + "(\n" * 20_000,
        "x" * 1_000_000,
        '"' * 1_000_000,
        "()" * 500_000,
        "rule r when a\x00b",
        "\x01\x02\x03" * 1000,
        "\ufeff\u2028\u2029" * 100,
        "let x = " + "9" * 5000,
        "let x = 1e999",
        "let x = " + "9" * 50 + "d",
        "rule r when (\n" * 1000,
        'rule r when a alert low "' + '{\\"' * 3000,
        "garbage\n" * 10_000,
        "let x = \n" * 2_000,
    ],
    ids=range(24),
)
def test_a_broken_file_is_answered(content):
    file, found = parsed(content)
    assert found or not file.declarations or "alert" in content


def test_what_stands_after_a_long_chain():
    """A chain of `and` may be long: it is flat."""
    file, found = parsed("let x = a" + " and a\n" * 2000)
    assert found == []
    assert len(file.declarations) == 1


def test_a_thousand_rules():
    rule = (
        'rule r{i} by card within 10m when 5+ decline as d where amount < 5 then approval as hit alert high "{card}"\n'
    )
    content = "".join(rule.replace("{i}", str(i)) for i in range(1000))
    file, found = parsed(content)
    assert found == []
    assert len(file.declarations) == 1000


def test_a_complete_rule_set():
    file, found = parsed((Path(__file__).parent / "complete.cep").read_text("utf-8"))
    assert found == []
    assert len(file.declarations) == 21
