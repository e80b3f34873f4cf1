"""`cep test`: the `test` blocks of rule files, run on the engine that runs in production."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from xml.etree import ElementTree

from cep.adapters.cli.console import FINDINGS, OK, CommandError, counted, paint, say
from cep.adapters.cli.rules import accepted
from cep.adapters.cli.warmup import ensure_warm
from cep.compile import compile_rules
from cep.testing import TestResult, run_tests


def test(paths: Sequence[str], form: str) -> int:
    """Results on stdout, a summary on stderr."""
    rules = accepted(paths)
    if not rules.tests:
        raise CommandError("these rule files have no test blocks: write one under a rule", FINDINGS)
    program = compile_rules(rules)
    ensure_warm()
    results = run_tests(rules, program)
    {"text": _text, "json": _json, "junit": _junit}[form](results)
    failed = sum(not result.passed for result in results)
    say(f"{counted(len(results), 'test')} · {len(results) - failed:,} passed · {failed:,} failed")
    return FINDINGS if failed else OK


def _text(results: Sequence[TestResult]) -> None:
    for result in results:
        word = paint("PASS", "green", sys.stdout) if result.passed else paint("FAIL", "red", sys.stdout)
        print(f"{word} {result.rule} › {result.title}  {result.span}")
        for failure in result.failures:
            print("     " + failure.replace("\n", "\n     "))


def _json(results: Sequence[TestResult]) -> None:
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
    print(json.dumps(documents, indent=2, ensure_ascii=False))


def _junit(results: Sequence[TestResult]) -> None:
    failed = sum(not result.passed for result in results)
    suite = ElementTree.Element("testsuite", name="cep", tests=str(len(results)), failures=str(failed))
    for result in results:
        place = {"file": result.span.file, "line": str(result.span.line)}
        case = ElementTree.SubElement(suite, "testcase", {"classname": result.rule, "name": result.title, **place})
        if not result.passed:
            text = "\n".join(result.failures)
            ElementTree.SubElement(case, "failure", message=text.partition("\n")[0]).text = text
    ElementTree.indent(suite)
    print('<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode"))
