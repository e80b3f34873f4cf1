"""The formatter: the same tree, every comment, one layout that is reached at once."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest

from cep.lang import ast
from cep.lang.format import WIDTH, formatted
from cep.lang.parse import parse
from cep.lang.report import Report
from cep.lang.text import Text
from tests.generate import random_case
from tests.generate_grammar import all_productions, random_file

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("rules", "bench", "tests") for path in (ROOT / folder).rglob("*.cep"))
DEEP = {"CEP102"}  # what the grammar allows and the builder does not


def laid_out(text: str) -> str:
    report = Report()
    result = formatted(Text.of("x.cep", text), report)
    assert result is not None, report.sorted()
    return result


def tree(text: str) -> object:
    report = Report()
    file = parse(Text.of("x.cep", text), report.on(Text.of("x.cep", text)))
    assert not report.failed
    return without_places(file.declarations)


def without_places(node: object) -> object:
    if isinstance(node, tuple):
        return [without_places(item) for item in node]
    if type(node).__module__ in (ast.__name__, "cep.lang.expressions"):
        parts = {part.name: without_places(getattr(node, part.name)) for part in fields(node) if part.name != "at"}
        return type(node).__name__, parts
    return node


def comments(text: str) -> list[str]:
    return [found.rstrip() for found in re.findall(r'"(?:[^"\\\n]|\\.)*"|(#[^\n]*)', text) if found]


def holds(text: str) -> None:
    """What is true of every file that parses."""
    once = laid_out(text)
    assert laid_out(once) == once
    assert tree(once) == tree(text)
    assert comments(once) == comments(text)
    assert not re.search(r"[ \t]$|\n\n\n|\A\n|\n\n\Z", once, re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_rule_file_is_formatted(path):
    text = path.read_text("utf-8")
    if "errors" in path.parts and formatted(Text.of(path.name, text), Report()) is None:
        return  # what does not parse is left alone
    holds(text)
    assert laid_out(text) == text, "run: cep fmt rules bench tests"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("rule   r  by k when a", "rule r by k when a\n"),
        ("rule r by k when a\nalert low", "rule r by k\n  when a\n  alert low\n"),
        ("rule r within 1h by k\nwhen a then b\nalert low", "rule r within 1h by k\n  when a then b\n  alert low\n"),
        ("rule r by k\nwhen a\nthen b", "rule r by k\n  when a\n  then b\n"),
        ("rule r when a then b\nuntil c resume at p", "rule r\n  when a\n  then b\n  until c\n  resume at p\n"),
        (
            "rule r while a.n>-5 for 5m until a.n<1\nkeep 1m",
            "rule r\n  while a.n > -5\n  for 5m\n  until a.n < 1\n  keep 1m\n",
        ),
        ("rule r when 5 + a\nthen 2 .. 4 b", "rule r\n  when 5+ a\n  then 2..4 b\n"),
        ('rule r by k about "x" when a\nalert low', 'rule r by k\n  about "x"\n  when a\n  alert low\n'),
        ("let f( a,b )=a/ -b", "let f(a, b) = a / -b\n"),
        ('list l = [ "a", "b" , ]', 'list l = ["a", "b"]\n'),
        (
            'list l = [\n"a", # one\n"b" # two\n, # three\n]',
            'list l = ["a",  # one\n    "b"         # two\n    # three\n    ]\n',
        ),
        ("test r at 0s a {k:1} x 5 every 10s at 1h expect r", "test r at 0s a {k: 1} x 5 every 10s at 1h expect r\n"),
        ("test r\nat 0s a {}\nat 10m expect nothing", "test r\n  at 0s  a {}\n  at 10m expect nothing\n"),
        ("template t(e) rule r\nwhen 3 e", "template t(e)\n  rule r\n    when 3 e\n"),
        ("let a = 1\n\n\n\nlet b = 2 # two\n# of c\nlet c = 3", "let a = 1\n\nlet b = 2  # two\n# of c\nlet c = 3\n"),
        (
            "let a = 1\nrule r\n  when a\n  # under\n# over\nlet b = 2",
            "let a = 1\n\nrule r\n  when a\n  # under\n\n# over\nlet b = 2\n",
        ),
        ("# alone", "# alone\n"),
        ("", ""),
    ],
)
def test_layout(written, expected):
    assert laid_out(written) == expected
    holds(written)


def test_long_lines_are_broken_at_the_outermost_place():
    long = " and ".join(f"name_of_a_field_{i} > {i}" for i in range(6))
    text = laid_out(f"rule r by k when a where {long} then b alert low")
    assert text.split("\n")[:4] == [
        "rule r by k",
        "  when a",
        "      where name_of_a_field_0 > 0",
        "      and name_of_a_field_1 > 1",
    ]
    fields_ = ", ".join(f"field_{i} text" for i in range(20))
    assert max(map(len, laid_out(f"event e from s ({fields_})").split("\n"))) <= WIDTH


def test_random_rules():
    for seed in range(100):
        print("seed", seed)
        holds(random_case(seed).text)


def test_random_files_in_which_every_production_occurs():
    used: Counter = Counter()
    for seed in range(len(all_productions())):
        print("seed", seed)
        text = random_file(seed, used)
        report = Report()
        once = formatted(Text.of("x.cep", text), report)
        if once is None:
            assert {diagnostic.code for diagnostic in report.sorted()} <= DEEP, text
        else:
            holds(text)
    assert [rule for rule in all_productions() if not used[rule]] == []
