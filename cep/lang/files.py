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
    for name in rule_files(paths):
        if (place := os.path.realpath(name)) in seen:
            continue
        seen.add(place)
        content = _read(name, report)
        if content is not None:
            texts[name] = content
    return texts


def rule_files(paths: Sequence[str | Path]) -> Iterator[str]:
    """The name of every `.cep` file under the paths, in order."""
    for path in paths:
        yield from _rule_files(os.fspath(path))


class Beside:
    """Reads the files that others speak of. A file among `known` texts keeps the name that it has there.

    asked: the names of the others, also of those that are not there.
    """

    def __init__(self, known: dict[str, str], report: Report) -> None:
        self._known, self._report = known, report
        self._names = {os.path.realpath(name): name for name in known}
        self.asked: set[str] = set()

    def __call__(self, asking: str, path: str) -> tuple[str, str] | None:
        """The name and text of a file that `asking` speaks of; None when it is not there."""
        name = os.path.normpath(os.path.join(os.path.dirname(asking), path))
        other = self._names.get(os.path.realpath(name))
        if other is not None:
            return other, self._known[other]
        self.asked.add(name)
        return (name, _read(name, self._report) or "") if os.path.isfile(name) else None


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
