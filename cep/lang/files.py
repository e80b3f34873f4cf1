"""Rule files on disk: which ones, in which order, and what is wrong with those that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from cep.errors import Diagnostic, Span
from cep.lang.report import Report


def read_files(paths: Sequence[str | Path], report: Report) -> dict[str, str]:
    """The text of every `.cep` file under the paths, by its name as seen from where the paths start, in order."""
    texts: dict[str, str] = {}
    seen: set[str] = set()
    for path in paths:
        for name in _rule_files(os.fspath(path)):
            if (place := os.path.realpath(name)) in seen:
                continue
            seen.add(place)
            content = _read(name, report)
            if content is not None:
                texts[name] = content
    return texts


def read_beside(asking: str, path: str, known: dict[str, str], report: Report) -> tuple[str, str] | None:
    """The name and text of a file that `asking` speaks of; None when it is not there."""
    name = os.path.normpath(os.path.join(os.path.dirname(asking), path))
    for other, text in known.items():
        if os.path.realpath(other) == os.path.realpath(name):
            return other, text
    if not os.path.isfile(name):
        return None
    return name, _read(name, report) or ""


def _rule_files(path: str) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders.sort()
        yield from (os.path.join(folder, name) for name in sorted(files) if name.endswith(".cep"))


def _read(name: str, report: Report) -> str | None:
    beginning = Span(name, 1, 1, 1, 1)
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        message = f"the file cannot be read: {error.strerror or error}"
        report.add(Diagnostic("CEP108", message, beginning))
        return None
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        message = "this is not UTF-8 text"
        report.add(Diagnostic("CEP101", message, Span(name, line, column, line, column + 1)))
        return None
