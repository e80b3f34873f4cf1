"""The checker: all files of a rule set → one `RuleSet`, or every mistake in them, found in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from cep.errors import Diagnostic
from cep.lang import ast
from cep.lang.alerts import ALERT, STRATA_MAX, Alerts, strata
from cep.lang.checked.rules import Fed, Rule
from cep.lang.checked.ruleset import RuleSet, Test
from cep.lang.declarations import Declared, collect
from cep.lang.lints import lint
from cep.lang.names import Asked, Names
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


@dataclass(slots=True)
class Memory:
    """What one check leaves to the next one, so that a changed file costs little more than itself.

    trees: of files without a finding, by name and content. basis: all that rules may speak of, and `rules` that were
    checked on it: rules over declared events, without a finding, by their nodes, and the tables that they ask.
    """

    trees: dict[tuple[str, str], ast.File] = field(default_factory=dict)
    basis: tuple[object, ...] = ()
    rules: dict[int, tuple[ast.Rule, Rule, frozenset[Asked]]] = field(default_factory=dict)

    def stand_on(self, basis: tuple[object, ...]) -> None:
        """Forget the rules where they would mean something else, or might."""
        if len(basis) != len(self.basis) or any(a is not b and a != b for a, b in zip(basis, self.basis, strict=True)):
            self.basis, self.rules = basis, {}

    def rule(self, names: Names, node: ast.Rule) -> Rule | None:
        """What was made of this very node; the tables that it asks are in use again."""
        known = self.rules.get(id(node))
        if known is None or known[0] is not node:
            return None
        for name, kind in known[2]:
            names.keyed(name, kind)
        return known[1]

    def keep(self, contents: Mapping[str, str], nodes: Iterable[ast.Rule]) -> None:
        """Forget what is gone."""
        self.trees = {named: tree for named, tree in self.trees.items() if contents.get(named[0]) == named[1]}
        kept = [id(node) for node in nodes]
        self.rules = {place: self.rules[place] for place in kept if place in self.rules}


def check(files: Mapping[str, str], read: Reader, report: Report, memory: Memory | None = None) -> Loaded:
    """Parse and check these files and what they import. `report` may hold findings from reading the files."""
    memory = Memory() if memory is None else memory
    contents = dict(files)
    beside: list[object] = []

    def reading(asking: str, path: str) -> tuple[str, str] | None:
        found = read(asking, path)
        beside.append((path, found))
        return found

    declared: list[Declared] = []
    broken: set[str] = set()
    waiting = list(files)
    while waiting:
        file = _parsed((name := waiting.pop(0), contents[name]), memory, report)
        declared += [(file.text, node) for node in file.declarations]
        broken |= file.broken
        waiting += _imports(file, contents, read, report)
    names = Names(report, broken=broken)
    collect(names, declared, reading)
    basis = [node for _, node in declared if not isinstance(node, ast.Rule | ast.Test | ast.Import)]
    memory.stand_on((*basis, *beside))
    ruleset = _check(names, declared, memory, report)
    memory.keep(contents, names.rules.values())
    if not report.failed:
        for warning in lint(ruleset):
            report.add(warning)
    return Loaded(None if report.failed else ruleset, report.sorted(), contents)


def _parsed(named: tuple[str, str], memory: Memory, report: Report) -> ast.File:
    """The tree of a file, which is given by name and content."""
    if named in memory.trees:
        return memory.trees[named]
    text, before = Text.of(*named), len(report.found)
    file = parse(text, report.on(text))
    if len(report.found) == before:
        memory.trees[named] = file
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


def _check(names: Names, declared: list[Declared], memory: Memory, report: Report) -> RuleSet:
    tests: list[Test] = []
    rules, fed = _rules(names, _declared_rules(names, declared), memory)
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


def _rules(names: Names, pages: Mapping[str, Page], memory: Memory) -> tuple[dict[str, Rule | None], tuple[Fed, ...]]:
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
        rules[name] = rule = _rule(names, names.rules[name], pages[name], (layers.stratum[name], memory))
        if rule is not None and name in layers.heard:
            alerts.declare(rule)
            if rule.mode != "live":
                names.silent[name] = rule.mode
    return rules, tuple(alerts.fed.values())


def _rule(names: Names, node: ast.Rule, page: Page, of: tuple[int, Memory]) -> Rule | None:
    """A rule of a stratum, checked now or before."""
    stratum, memory = of
    if stratum == 0 and (known := memory.rule(names, node)) is not None:
        return known
    before = len(names.report.found)
    names.asked = set()
    rule = check_rule(names, node, page, names.given(node.name.text))
    if rule is not None:
        rule = replace(rule, stratum=stratum)
        if stratum == 0 and len(names.report.found) == before:
            memory.rules[id(node)] = node, rule, frozenset(names.asked)
    return rule
