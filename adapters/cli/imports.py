"""`cep import`: the rules of other systems, translated; what could not be carried over is said."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from cep.adapters.cli.console import FINDINGS, OK, CommandError, counted, say
from cep.adapters.cli.rules import show
from cep.adapters.importers import eql, prometheus, sigma
from cep.lang import check_texts

_CONVERT = {"sigma": sigma.convert, "prometheus": prometheus.convert, "eql": eql.convert}


def import_rules(system: str, files: Sequence[str], out: str | None) -> int:
    """Write one rule file to `out` or stdout; notes and a summary go to stderr."""
    draft = _CONVERT[system]({file: _read(file) for file in files})
    text = draft.text()
    for note in draft.notes:
        say(f"note: {note}")
    if out is None:
        sys.stdout.write(text)
    else:
        Path(out).write_text(text, "utf-8")
    name = out or "imported.cep"
    checked = check_texts({name: text})
    show(checked.diagnostics, checked.files, sys.stderr)
    say(f"{counted(draft.rules, 'rule')} · {counted(draft.lost, 'rule')} not carried over")
    return OK if checked.ruleset is not None and draft.rules and not draft.lost else FINDINGS


def _read(file: str) -> str:
    try:
        return Path(file).read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not UTF-8 text: give a file of rules") from None
