"""The grammar file: every alternative carries an example, and every example parses as what it is an example of."""

from __future__ import annotations

import re
from functools import lru_cache

import pytest
from lark import Lark

from cep.lang.build import PRODUCTIONS
from cep.lang.parse import grammar_text, whole_word

_LINE = re.compile(r"^(?:[!?]*(?P<rule>[a-z_]+):|\s+\|)\s+(?P<body>.*?)\s*(?:// example: (?P<example>.*))?$")


def alternatives() -> list[tuple[str, str, str | None]]:
    """(production, body, example) of every alternative in the file."""
    found = []
    rule = ""
    for line in grammar_text().split("\n"):
        if line.startswith("//") or not (match := _LINE.match(line)):
            continue
        rule = match["rule"] or rule
        found.append((rule, match["body"], match["example"]))
    return found


ALTERNATIVES = alternatives()


@lru_cache(maxsize=1)
def every_start() -> Lark:
    """A parser that can begin with any production."""
    rules = list(dict.fromkeys(rule for rule, _, _ in ALTERNATIVES))
    return Lark(grammar_text(), parser="lalr", start=rules, maybe_placeholders=True, edit_terminals=whole_word)


@pytest.mark.parametrize(("rule", "body", "example"), ALTERNATIVES, ids=lambda value: str(value)[:40])
def test_example(rule, body, example):
    assert example, f"no example beside {rule}: {body}"
    tree = every_start().parse(example, start=rule)
    if alias := re.search(r"-> (\w+)$", body):
        assert getattr(tree, "data", alias[1]) == alias[1]


def test_every_production_is_built():
    """A production that Lark does not inline has its entry in the builder's table, and the table has no other."""
    made = set()
    for line in grammar_text().split("\n"):
        if line.startswith("//") or not (match := _LINE.match(line)):
            continue
        if alias := re.search(r"-> (\w+)\s*$", match["body"]):
            made.add(alias[1])
        elif match["rule"] and not line.startswith(("?", "!?")):
            made.add(match["rule"])
    assert made == set(PRODUCTIONS)
