"""Rules drawn: every part of a rule is in the drawing, every format can be read, no box lies on another."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cep.adapters.cli.graph import document, dot, mermaid, text
from cep.adapters.cli.main import main
from cep.adapters.cli.svg import svg
from cep.lang import ast
from cep.lang.graph import Graph, graph
from cep.lang.parse import parse
from cep.lang.report import Report
from cep.lang.spelling import expression
from cep.lang.text import Text
from tests.generate_grammar import all_productions, random_file
from tests.lang.test_format import without_places

ROOT = Path(__file__).parents[1]
EVERYTHING = """
rule big by card, user in devices within 10m max 5
  match each
  when no x within 5m then 5+ decline as d where (amount < small or a) and b
  then no payment where amount > 5 within 2m
  then optional credit
  then 2..3 (a then b next c within 1m)
  then each 2 of (a, b then c where x matches "^y:;") as some
  then no z
  until cancel where k == 1
  resume at last d
  alert high "{card}" if amount > 5
  limit 1 per 1h by card
"""
CHAIN = """\
rule big by card, user in devices within 10m max 5
  match each
  until cancel where k == 1
  resume at last d

  ○ start
  │ no x within 5m
  │ then
  ● 5+ decline as d
  │   where (amount < small or a) and b
  │ no payment where amount > 5 within 2m
  │ then
  ● optional credit
  │ then
  ┬ 2..3 group
  │  ● a
  │  │ then
  │  ● b
  │  │ next within 1m
  │  ● c
  │ 2..3
  ┴ end of group
  │ then each
  ┬ 2 of as some
  │  ● a
  │  ● b
  │  │ then
  │  ● c
  │  │   where x matches "^y:;"
  ┴ end of 2 of
  │ no z
  ■ alert high
      if amount > 5
      limit 1 per 1h by card
"""
STATES = """\
rule hot by device

  ○ closed
    → pending: temperature.value > 80
  ◐ pending
      for 5m
    → closed: the condition stops
    → open: 5m later
  ■ open
      alert high
    → ending: until temperature.value < 75
  ◐ ending
      keep 10m
    → open: not over any more
    → closed: 10m later · alert resolved
"""


def parsed(content: str) -> list[ast.Declaration]:
    page = Report().on(Text.of("x.cep", content))
    file = parse(page.text, page)
    assert not page.report.failed
    return list(file.declarations)


def graphs(content: str) -> list[Graph]:
    return [graph(node, content) for node in parsed(content) if isinstance(node, ast.Rule)]


def test_a_chain():
    (drawn,) = graphs(EVERYTHING)
    assert text(drawn) == CHAIN


def test_states():
    (drawn,) = graphs(
        "rule hot by device while temperature.value>80 for 5m until temperature.value<75 keep 10m alert high"
    )
    assert text(drawn) == STATES


def test_what_other_tools_read():
    (drawn,) = graphs(EVERYTHING)
    assert '    state "c<br>where x matches #quot;^y#58;#59;#quot;" as n11' in mermaid(drawn).split("\n")
    assert "    n7 --> n3 : 2..3" in mermaid(drawn).split("\n")
    assert '    n11 [label="c\\nwhere x matches \\"^y:;\\""];' in dot(drawn).split("\n")
    assert json.loads(document(drawn))["nodes"][1]["title"] == "5+ decline as d"


@pytest.mark.parametrize("path", sorted((ROOT / "rules").rglob("*.cep")), ids=lambda path: path.stem)
def test_shipped_rules(path):
    for drawn in graphs(path.read_text("utf-8")):
        holds(drawn)


def test_random_rules():
    for seed in range(0, len(all_productions()), 3):
        print("seed", seed)
        for drawn in graphs(random_file(seed, Counter())):
            holds(drawn)


def holds(drawn: Graph) -> None:
    """What is true of every drawing."""
    for form in (text, mermaid, dot, document):
        shown = form(drawn)
        assert all(node.title.split()[0] in shown for node in drawn.nodes)
    reached = {0} | {edge.target for edge in drawn.edges if not edge.back}
    assert reached == set(range(len(drawn.nodes)))
    image = ElementTree.fromstring(svg(drawn))
    width, height = float(image.get("width", 0)), float(image.get("height", 0))
    boxes = [[float(box.get(name, 0)) for name in ("x", "y", "width", "height")] for box in image.iter() if is_box(box)]
    assert len(boxes) == len(drawn.nodes)
    for x, y, w, h in boxes:
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
    for (ax, ay, aw, ah), (bx, by, bw, bh) in combinations(boxes, 2):
        assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay


def is_box(element: ElementTree.Element) -> bool:
    return element.tag.endswith("}rect")


def test_the_command(tmp_path, capsys):
    path = tmp_path / "r.cep"
    path.write_text("rule one by k when a\nrule two by k wen a", "utf-8")
    assert main(["graph", "one", str(path)]) == 0
    assert "● a" in capsys.readouterr().out
    assert main(["graph", "two", str(path)]) == 1
    assert "CEP104" in capsys.readouterr().err
    assert main(["graph", "ono", str(path)]) == 1
    assert 'did you mean "one"?' in capsys.readouterr().err


def test_expressions_are_spelled_as_they_mean():
    for seed in range(0, 2 * len(all_productions()), 2):
        content = random_file(seed, Counter())
        for node in parsed(content):
            if isinstance(node, ast.Let):
                (again,) = parsed(f"let x = {expression(node.value, content)}")
                assert isinstance(again, ast.Let)
                assert without_places(again.value) == without_places(node.value)
