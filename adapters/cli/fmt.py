"""`cep fmt`: rule files in their one layout, in place, or what would change."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cep.adapters.cli.console import DEV_STDIN, FINDINGS, OK, counted, paint, say
from cep.adapters.cli.rules import readable, show
from cep.lang.format import formatted
from cep.lang.report import Report
from cep.lang.text import Text


def fmt(paths: Sequence[str], check: bool, diff: bool) -> int:
    """Differences and the text of stdin go to stdout, a summary to stderr. What does not parse is left alone."""
    report = Report()
    texts = {DEV_STDIN: sys.stdin.read()} if list(paths) == [DEV_STDIN] else readable(paths, report)
    changed = refused = 0
    for name, content in texts.items():
        result = formatted(Text.of(name, content), report)
        if result is None:
            refused += 1
            continue
        changed += result != content
        if diff:
            sys.stdout.writelines(_difference(name, content, result))
        elif name == DEV_STDIN and not check:
            sys.stdout.write(result)
        elif check and result != content:
            print(f"{name} is not formatted")
        elif result != content:
            Path(name).write_text(result, "utf-8", newline="\n")
    found = report.sorted()
    show(found, texts, sys.stderr)
    wanting = check or diff
    if list(texts) != [DEV_STDIN]:
        verb = "would change" if wanting else "changed"
        say(f"{counted(len(texts), 'file')} · {changed:,} {verb}" + (f" · {refused:,} left alone" if refused else ""))
    return FINDINGS if found or (wanting and changed) else OK


def _difference(name: str, before: str, after: str) -> Iterator[str]:
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, f"{name}, formatted")
    styles = {"-": "red", "+": "green", "@": "dim"}
    for line in lines:
        text = line if line.endswith("\n") else f"{line}\n\\ no newline at the end\n"
        yield paint(text, styles[line[0]], sys.stdout) if line[0] in styles else text
