"""Rule files as the commands take them: read, checked, and their diagnostics shown."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TextIO

from cep.adapters.cli.console import FINDINGS, OK, CommandError, counted, paint, say
from cep.errors import Diagnostic
from cep.lang import load
from cep.lang.check import Loaded, Memory
from cep.lang.checked.ruleset import RuleSet
from cep.lang.codes import SCHEMA, catalogue, explain
from cep.lang.cost import Cost, costs
from cep.lang.files import read_files
from cep.lang.lints import beyond
from cep.lang.report import Report
from cep.lang.spelling import length_us


def loaded(paths: Sequence[str], remote: Callable[[str], str] | None = None, memory: Memory | None = None) -> Loaded:
    """The rule files under the paths, checked. Raises CommandError where there are none. remote, memory: as `load`."""
    _exist(paths)
    found = load(paths, remote, memory)
    _any(paths, found.files, found.diagnostics)
    return found


def readable(paths: Sequence[str], report: Report) -> dict[str, str]:
    """The text of the rule files under the paths, unchecked. Raises CommandError where there are none."""
    _exist(paths)
    texts = read_files(paths, report)
    _any(paths, texts, report.sorted())
    return texts


def _exist(paths: Sequence[str]) -> None:
    for path in paths:
        if not os.path.exists(path):
            raise CommandError(f"there is no file or folder {path}: give a rule file or a folder of them")


def _any(paths: Sequence[str], files: Mapping[str, str], found: Sequence[Diagnostic]) -> None:
    if not files and not found:
        raise CommandError(f"there is no .cep file under {' '.join(paths)}: give a rule file or a folder of them")


def accepted(paths: Sequence[str], remote: Callable[[str], str] | None = None) -> RuleSet:
    """The rule set of the paths; its mistakes go to stderr and end the command."""
    return without_mistakes(paths, remote)[1]


def without_mistakes(
    paths: Sequence[str], remote: Callable[[str], str] | None = None, memory: Memory | None = None
) -> tuple[Loaded, RuleSet]:
    """The same, with the files that were read."""
    found = loaded(paths, remote, memory)
    if found.ruleset is None:
        show(found.diagnostics, found.files, sys.stderr)
        raise CommandError(code=FINDINGS)
    return found, found.ruleset


def show(diagnostics: Sequence[Diagnostic], files: Mapping[str, str], stream: TextIO) -> None:
    """Each diagnostic with its source line."""
    lines = {name: text.split("\n") for name, text in files.items()}
    for diagnostic in diagnostics:
        source = lines.get(diagnostic.span.file, [])
        at = diagnostic.span.line - 1
        text = diagnostic.render(source[at] if at < len(source) else "")
        word = f"{diagnostic.severity}[{diagnostic.code}]"
        style = "red" if diagnostic.severity == "error" else "yellow"
        print(text.replace(word, paint(word, style, stream), 1), file=stream)


def check(paths: Sequence[str], form: str, strict: bool, cost: bool, retention: str | None) -> int:
    """`cep check`: the diagnostics, and the cost of each rule when asked for, on stdout; a summary on stderr."""
    gc.disable()  # the process ends soon, and looking for cycles among what it keeps took a seventh of its time
    found = loaded(paths)
    if retention is not None:
        found = _within(found, retention)
    errors = sum(diagnostic.severity == "error" for diagnostic in found.diagnostics)
    warnings = len(found.diagnostics) - errors
    if form == "json":
        diagnostics = list(map(_document, found.diagnostics))
        rules = [] if found.ruleset is None else list(map(_cost_document, costs(found.ruleset)))
        document = {"errors": errors, "warnings": warnings, "diagnostics": diagnostics, "rules": rules}
        print(json.dumps(document, indent=2, ensure_ascii=False))
    elif form == "github":
        for diagnostic in found.diagnostics:
            print(_annotation(diagnostic))
    else:
        show(found.diagnostics, found.files, sys.stdout)
        if cost and found.ruleset is not None:
            print("\n".join(line for entry in costs(found.ruleset) for line in _cost_lines(entry)))
    parts = [counted(len(found.files), "file")]
    if found.ruleset is not None:
        parts += [counted(len(found.ruleset.rules), "rule"), counted(len(found.ruleset.tests), "test")]
    say(" · ".join([*parts, counted(errors, "error"), counted(warnings, "warning")]))
    return FINDINGS if errors or (strict and warnings) else OK


def _within(found: Loaded, retention: str) -> Loaded:
    """The same with what looks back further than the streams reach."""
    reach_us = length_us(retention)
    if reach_us is None:
        raise CommandError(f"{retention} is not a duration: say 7d or 1h30m")
    if found.ruleset is None:
        return found
    return replace(found, diagnostics=(*found.diagnostics, *beyond(found.ruleset, reach_us)))


def _cost_lines(cost: Cost) -> Iterator[str]:
    """What a rule costs, for people."""
    most = f"{cost.bytes_max:,} bytes a key at most" if cost.bytes_max is not None else "bytes a key:"
    yield (
        f"{paint(cost.rule, 'bold', sys.stdout)} by {', '.join(cost.keys)}: {most}"
        if cost.keys
        else (f"{paint(cost.rule, 'bold', sys.stdout)}, one for all events: {most}")
    )
    yield from (f"  {'+ ' if number else '  '}{part.told()}" for number, part in enumerate(cost.parts))
    if cost.windows_shared_with:
        yield f"    windows shared with {', '.join(cost.windows_shared_with)}"
    if cost.alike:
        yield f"    keyed as {', '.join(cost.alike)}"


def _cost_document(cost: Cost) -> dict[str, object]:
    return {**asdict(cost), "bytes_max": cost.bytes_max}


def explain_error(code: str) -> int:
    """`cep explain-error`: what a code means, with a bad and a good example."""
    entry = explain(code)
    if entry is None:
        raise CommandError(f"there is no code {code}: the codes are {', '.join(catalogue())}")
    print(f"{entry.code}  {entry.title}\n\n{entry.explanation}")
    for title, example in (("Bad", entry.bad), ("Good", entry.good)):
        print(f"\n{title}:\n" + _indented(example))
    print("\nThe examples stand on:\n" + _indented(SCHEMA))
    return OK


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.strip("\n").split("\n"))


def _document(diagnostic: Diagnostic) -> dict[str, str | int | None]:
    span = diagnostic.span
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "help": diagnostic.hint,
    }


def _annotation(diagnostic: Diagnostic) -> str:
    """A line that GitHub's runners show beside the source."""
    span = diagnostic.span
    text = f"{diagnostic.message} ({diagnostic.hint})" if diagnostic.hint else diagnostic.message
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    file = span.file.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    place = f"file={file},line={span.line},col={span.column},endLine={span.end_line},endColumn={span.end_column}"
    return f"::{diagnostic.severity} {place},title={diagnostic.code}::{text}"
