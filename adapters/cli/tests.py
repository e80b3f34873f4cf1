"""`cep test`: the `test` blocks of rule files, run on the engine that runs in production, and what they cover."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from xml.etree import ElementTree

from cep.adapters.cli.console import FINDINGS, OK, CommandError, counted, paint, say
from cep.adapters.cli.rules import accepted
from cep.adapters.cli.warmup import ensure_warm
from cep.compile import compile_rules
from cep.lang.checked.ruleset import RuleSet
from cep.lang.report import nearest
from cep.testing import RuleCoverage, TestResult, Way, covered, run_tests, singly


@dataclass(frozen=True, slots=True)
class Trials:
    """What else each test must stand: events out of order by less than `late`, one a batch, restarts between them."""

    shuffle: bool
    cut: bool
    restart: bool
    seed: int

    def ways(self) -> list[Way]:
        """Each trial by itself, so that a failure says which one it was."""
        asked = [
            (self.shuffle, Way(f"shuffled (--seed {self.seed})", seed=self.seed)),
            (self.cut, Way("cut into single events", singly)),
            (self.restart, Way("restarted after each event", singly, restart=True)),
        ]
        return [way for wanted, way in asked if wanted]


def test(paths: Sequence[str], form: str, rule: str | None, trials: Trials) -> int:
    """Results and coverage on stdout, a summary on stderr."""
    rules = accepted(paths)
    chosen = rules if rule is None else _only(rules, rule)
    if not chosen.tests:
        what = "these rule files have" if rule is None else f"{rule} has"
        raise CommandError(f"{what} no test blocks: write one under a rule", FINDINGS)
    program = compile_rules(rules)
    ensure_warm()
    results = run_tests(chosen, program, ways=trials.ways())
    coverage = [entry for entry in covered(chosen, program) if rule in (None, entry.rule)]
    {"text": _text, "json": _json, "junit": _junit}[form](results, coverage)
    failed = sum(not result.passed for result in results)
    say(f"{counted(len(results), 'test')} · {len(results) - failed:,} passed · {failed:,} failed")
    return FINDINGS if failed else OK


def _only(rules: RuleSet, rule: str) -> RuleSet:
    """The rule set with the tests of one rule: the other rules run on, since it may listen to their alerts."""
    names = {one.name for one in rules.rules}
    if rule not in names:
        raise CommandError(f"there is no rule {rule}: {nearest(rule, names) or 'cep check shows what there is'}")
    return replace(rules, tests=tuple(one for one in rules.tests if one.rule == rule))


def _text(results: Sequence[TestResult], coverage: Sequence[RuleCoverage]) -> None:
    for result in results:
        word = paint("PASS", "green", sys.stdout) if result.passed else paint("FAIL", "red", sys.stdout)
        print(f"{word} {result.rule} › {result.title}  {result.span}")
        for failure in result.failures:
            print("     " + failure.replace("\n", "\n     "))
    wanting = [(entry.rule, wants) for entry in coverage if (wants := _wanting(entry))]
    if wanting:
        print(f"\n{paint('Not shown by any test', 'bold', sys.stdout)}")
    width = max((len(name) for name, _ in wanting), default=0)
    for name, wants in wanting:
        print(f"  {name:<{width}}  {' · '.join(wants)}")


def _wanting(entry: RuleCoverage) -> list[str]:
    """What the tests of a rule leave open."""
    if not entry.tests:
        return ["no tests"]
    wants = [] if entry.hits else ["never fires"]
    wants += ["no near miss"] if entry.misses == 0 else []
    wants += ["never resolves"] if entry.resolves == 0 else []
    wants += [f"{name} is never reached" for name in entry.unreached]
    return wants + [f'nothing would change without "{name}"' for name in entry.unnoticed]


def _json(results: Sequence[TestResult], coverage: Sequence[RuleCoverage]) -> None:
    documents = [
        {
            "rule": result.rule,
            "title": result.title,
            "file": result.span.file,
            "line": result.span.line,
            "passed": result.passed,
            "failures": list(result.failures),
        }
        for result in results
    ]
    document = {"tests": documents, "coverage": [asdict(entry) for entry in coverage]}
    print(json.dumps(document, indent=2, ensure_ascii=False))


def _junit(results: Sequence[TestResult], coverage: Sequence[RuleCoverage]) -> None:
    failed = sum(not result.passed for result in results)
    suite = ElementTree.Element("testsuite", name="cep", tests=str(len(results)), failures=str(failed))
    properties = ElementTree.SubElement(suite, "properties")
    for entry in coverage:
        for wants in _wanting(entry):
            ElementTree.SubElement(properties, "property", name=f"not shown: {entry.rule}", value=wants)
    for result in results:
        place = {"file": result.span.file, "line": str(result.span.line)}
        case = ElementTree.SubElement(suite, "testcase", {"classname": result.rule, "name": result.title, **place})
        if not result.passed:
            text = "\n".join(result.failures)
            ElementTree.SubElement(case, "failure", message=text.partition("\n")[0]).text = text
    ElementTree.indent(suite)
    print('<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode"))
