"""`cep graph`: a rule's chain or states, in the terminal or for other tools."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from cep.adapters.cli.console import FINDINGS, OK, CommandError, paint
from cep.adapters.cli.rules import readable, show
from cep.adapters.cli.svg import svg
from cep.lang import ast
from cep.lang.graph import Edge, Graph, Node, graph
from cep.lang.parse import parse
from cep.lang.report import Report, nearest
from cep.lang.text import Text

_MARKS = {"start": "○", "step": "●", "split": "┬", "join": "┴", "state": "◐", "alert": "■"}


def draw(rule: str, paths: Sequence[str], form: str) -> int:
    """The drawing on stdout. It is made from the tree: the rule needs to parse, and nothing more."""
    report = Report()
    texts = readable(paths, report)
    found: dict[str, Graph] = {}
    broken: set[str] = set()
    for name, content in texts.items():
        text = Text.of(name, content)
        file = parse(text, report.on(text))
        broken |= file.broken
        for node in file.declarations:
            written = node.rule if isinstance(node, ast.Template) else node
            if isinstance(written, ast.Rule):
                found.setdefault(written.name.text, graph(written, content))
    if rule not in found:
        if rule in broken or not found:
            show(report.sorted(), texts, sys.stderr)
        hint = nearest(rule, found) or "cep check shows what there is"
        raise CommandError(f"there is no rule {rule} that parses: {hint}", FINDINGS)
    sys.stdout.write(_FORMS[form](found[rule]))
    return OK


def text(drawn: Graph) -> str:
    """For the terminal: a chain from top to bottom, states with what leads out of them."""
    lines = [paint(drawn.heading, "bold", sys.stdout), *(f"  {note}" for note in drawn.notes), ""]
    lines += _chain(drawn) if drawn.trigger == "when" else _states(drawn)
    return "\n".join([*lines, ""])


def _chain(drawn: Graph) -> Iterator[str]:
    for place, node in enumerate(drawn.nodes):
        indent = "  " + "│  " * node.level
        for label in dict.fromkeys(label for edge in _into(drawn, place) for label in edge.labels):
            yield f"{indent}│ {paint(label, 'dim', sys.stdout)}"
        yield f"{indent}{_MARKS[node.kind]} {node.title}"
        last = place + 1 == len(drawn.nodes)
        yield from (f"{indent}{' ' if last else '│'}   {detail}" for detail in node.details)


def _into(drawn: Graph, place: int) -> list[Edge]:
    """The edges into a node, that of a step left out not told twice; one that leads back is told where it begins."""
    edges = [edge for edge in drawn.edges if (edge.source if edge.back else edge.target) == place]
    direct = [edge for edge in edges if edge.back or edge.source == place - 1]
    return direct if direct and drawn.nodes[place].kind != "join" else edges


def _states(drawn: Graph) -> Iterator[str]:
    for place, node in enumerate(drawn.nodes):
        yield f"  {_MARKS[node.kind]} {node.title}"
        yield from (f"      {detail}" for detail in node.details)
        for edge in drawn.edges:
            if edge.source == place:
                yield f"    → {drawn.nodes[edge.target].title}: {paint(' · '.join(edge.labels), 'dim', sys.stdout)}"


def mermaid(drawn: Graph) -> str:
    """A state diagram as Mermaid reads it."""
    lines = ["---", f"title: {json.dumps(drawn.heading, ensure_ascii=False)}", "---", "stateDiagram-v2"]
    for place, node in enumerate(drawn.nodes):
        lines.append(f'    state "{_mermaid([node.title, *node.details])}" as n{place}')
    lines.append("    [*] --> n0")
    for edge in drawn.edges:
        label = f" : {_mermaid(edge.labels)}" if edge.labels else ""
        lines.append(f"    n{edge.source} --> n{edge.target}{label}")
    if drawn.trigger == "when":
        lines.append(f"    n{len(drawn.nodes) - 1} --> [*]")
    if drawn.notes:
        lines += ["    note right of n0", *(f"        {_mermaid([note])}" for note in drawn.notes), "    end note"]
    return "\n".join([*lines, ""])


def _mermaid(lines: Sequence[str]) -> str:
    entities = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", ":": "#58;", ";": "#59;"}
    return "<br>".join("".join(entities.get(sign, sign) for sign in line) for line in lines)


def dot(drawn: Graph) -> str:
    """A digraph as Graphviz reads it."""
    lines = [f"digraph {_dot([drawn.name])} {{", f"    label={_dot([drawn.heading, *drawn.notes])};"]
    lines += ["    labelloc=t;", "    rankdir=TB;", '    node [shape=box, style=rounded, fontname="sans-serif"];']
    for place, node in enumerate(drawn.nodes):
        lines.append(f"    n{place} [label={_dot([node.title, *node.details])}{_shape(node)}];")
    for edge in drawn.edges:
        back = ", constraint=false" if edge.back else ""
        lines.append(f"    n{edge.source} -> n{edge.target} [label={_dot(edge.labels)}{back}];")
    return "\n".join([*lines, "}", ""])


def _shape(node: Node) -> str:
    return {"start": ", shape=circle", "alert": ", penwidth=2", "split": ", shape=diamond"}.get(node.kind, "")


def _dot(lines: Sequence[str]) -> str:
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'


def document(drawn: Graph) -> str:
    """The graph as one JSON document; edges name their nodes by place."""
    return json.dumps(asdict(drawn), indent=2, ensure_ascii=False) + "\n"


_FORMS: dict[str, Callable[[Graph], str]] = {
    "text": text,
    "mermaid": mermaid,
    "dot": dot,
    "svg": svg,
    "json": document,
}
