"""The checker: all files of a rule set → one `RuleSet`, or every mistake in them, found in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cep.errors import Diagnostic
from cep.lang import ast
from cep.lang.checked import Rule, RuleSet, Test
from cep.lang.declarations import Declared, collect
from cep.lang.names import Names
from cep.lang.parse import parse
from cep.lang.report import Report
from cep.lang.rules import check_rule
from cep.lang.tables import Reader
from cep.lang.testblocks import check_test
from cep.lang.text import Text


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load gives: `ruleset` is None when any diagnostic is an error; `files` maps names to texts."""

    ruleset: RuleSet | None
    diagnostics: tuple[Diagnostic, ...]
    files: Mapping[str, str]


def check(files: Mapping[str, str], read: Reader, report: Report) -> Loaded:
    """Parse and check these files and what they import. `report` may hold findings from reading the files."""
    contents = dict(files)
    declared: list[Declared] = []
    broken: set[str] = set()
    waiting = list(files)
    while waiting:
        text = Text.of(name := waiting.pop(0), contents[name])
        file = parse(text, report.on(text))
        declared += [(text, node) for node in file.declarations]
        broken |= file.broken
        waiting += _imports(file, contents, read, report)
    ruleset = _check(declared, broken, read, report)
    return Loaded(None if report.failed else ruleset, report.sorted(), contents)


def _imports(file: ast.File, contents: dict[str, str], read: Reader, report: Report) -> Iterable[str]:
    """Take in the imported files that are not there yet; their names."""
    for node in file.declarations:
        if not isinstance(node, ast.Import):
            continue
        found = read(file.text.name, node.path.text)
        if found is None:
            message = f'the file "{node.path.text}" is not there'
            report.on(file.text).error("CEP108", node.path.at, message, "paths are relative to the importing file")
        elif found[0] not in contents:
            contents[found[0]] = found[1]
            yield found[0]


def _check(declared: list[Declared], broken: set[str], read: Reader, report: Report) -> RuleSet:
    names = Names(report, broken=broken)
    collect(names, declared, read)
    rules: dict[str, Rule | None] = {}
    tests: list[Test] = []
    for text, node in declared:
        if isinstance(node, ast.Rule) and names.rules.get(node.name.text) is node:
            rules[node.name.text] = check_rule(names, node, report.on(text))
        elif isinstance(node, ast.Use) and (made := names.expansions.get(node.name.text)) is not None:
            rules[node.name.text] = check_rule(names, made.rule, made.page, made.given)
    _refuse_chains(names)
    for text, node in declared:
        if isinstance(node, ast.Test) and (test := check_test(names, rules, node, report.on(text))) is not None:
            tests.append(test)
    return RuleSet(
        tuple(names.streams.values()),
        tuple(names.events.values()),
        tuple(rule for rule in rules.values() if rule is not None),
        tuple(tests),
        tuple(names.used.values()),
        tuple(names.outside.values()),
    )


def _refuse_chains(names: Names) -> None:
    """Report rules over alerts: as a circle where one depends on its own, and otherwise as not built yet."""
    for name, places in names.chains.items():
        reached: set[str] = set()
        waiting = {word.text for word, _ in places}
        while waiting:
            reached.add(other := waiting.pop())
            waiting |= {word.text for word, _ in names.chains.get(other, ())} - reached
        for word, page in places:
            if name in reached:
                page.error("CEP307", word.at, f'"{name}" depends on its own alerts')
            else:
                page.error("CEP922", word.at, "rules over alerts are not built yet")
