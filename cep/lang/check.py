"""The checker: all files of a rule set → one `RuleSet`, or every mistake in them, found in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cep.errors import Diagnostic
from cep.lang import ast
from cep.lang.alerts import ALERT, STRATA_MAX, Alerts, strata
from cep.lang.checked import Fed, Rule, RuleSet, Test
from cep.lang.declarations import Declared, collect
from cep.lang.lints import lint
from cep.lang.names import Names
from cep.lang.parse import parse
from cep.lang.report import Page, Report
from cep.lang.rules import check_rule
from cep.lang.tables import Reader
from cep.lang.testblocks import check_test
from cep.lang.text import Text


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load gives: `ruleset` is None when any diagnostic is an error; `files` maps names to texts.

    beside: the names of all other files that were read, or asked for and not there.
    """

    ruleset: RuleSet | None
    diagnostics: tuple[Diagnostic, ...]
    files: Mapping[str, str]
    beside: frozenset[str] = frozenset()


Trees = dict[tuple[str, str], ast.File]  # of files without a syntax error, by name and content


def check(files: Mapping[str, str], read: Reader, report: Report, trees: Trees | None = None) -> Loaded:
    """Parse and check these files and what they import. `report` may hold findings from reading the files.

    trees: what was parsed before is not parsed again, and what is parsed now is added.
    """
    trees = {} if trees is None else trees
    contents = dict(files)
    declared: list[Declared] = []
    broken: set[str] = set()
    waiting = list(files)
    while waiting:
        file = _parsed((name := waiting.pop(0), contents[name]), trees, report)
        declared += [(file.text, node) for node in file.declarations]
        broken |= file.broken
        waiting += _imports(file, contents, read, report)
    ruleset = _check(declared, broken, read, report)
    if not report.failed:
        for warning in lint(ruleset):
            report.add(warning)
    return Loaded(None if report.failed else ruleset, report.sorted(), contents)


def _parsed(named: tuple[str, str], trees: Trees, report: Report) -> ast.File:
    """The tree of a file, which is given by name and content."""
    if named in trees:
        return trees[named]
    text, before = Text.of(*named), len(report.found)
    file = parse(text, report.on(text))
    if len(report.found) == before:
        trees[named] = file
    return file


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
    tests: list[Test] = []
    rules, fed = _rules(names, _declared_rules(names, declared))
    for text, node in declared:
        if isinstance(node, ast.Test) and (test := check_test(names, rules, node, report.on(text))) is not None:
            tests.append(test)
    return RuleSet(
        tuple(names.streams.values()),
        tuple(names.events.values()),
        tuple(rule for rule in rules.values() if rule is not None),
        tuple(tests),
        fed,
        tuple(names.used.values()),
        tuple(names.outside.values()),
    )


def _declared_rules(names: Names, declared: list[Declared]) -> dict[str, Page]:
    """The rules, as they were declared or written out, and where the mistakes of each are reported."""
    pages: dict[str, Page] = {}
    for text, node in declared:
        if isinstance(node, ast.Rule) and names.rules.get(node.name.text) is node:
            pages[node.name.text] = names.report.on(text)
        elif isinstance(node, ast.Use) and node.name.text in names.expansions:
            pages[node.name.text] = names.expansions[node.name.text].page
    return pages


def _rules(names: Names, pages: Mapping[str, Page]) -> tuple[dict[str, Rule | None], tuple[Fed, ...]]:
    """The rules as they were declared, None for what was refused, and which of them others listen to.

    They are checked in the order of their strata: a rule over alerts has to know what the alerts show.
    """
    layers = strata(names)
    names.circles = layers.circles
    alerts = Alerts(names)
    rules: dict[str, Rule | None] = dict.fromkeys(pages)
    for name in layers.deep:
        message = f"alerts feed at most {STRATA_MAX} rules one after the other"
        pages[name].error("CEP372", names.rules[name].name.at, message)
    for name in layers.order:
        if name in layers.of_all and ALERT not in names.alerts:
            members = [rule for member in layers.members if (rule := rules[member]) is not None]
            if len(members) == len(layers.members):  # else their fields are not known, and that has been reported
                alerts.declare_all(members)
        rule = check_rule(names, names.rules[name], pages[name], names.given(name))
        rules[name] = rule and replace(rule, stratum=layers.stratum[name])
        if rule is not None and name in layers.heard:
            alerts.declare(rule)
            if rule.mode != "live":
                names.silent[name] = rule.mode
    return rules, tuple(alerts.fed.values())
