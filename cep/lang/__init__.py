"""The rule language: text → syntax tree → checked rule set.

`load` reads rule files, `check_texts` takes their texts. Both give every diagnostic of one pass and, when none of them
is an error, the checked rule set.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cep.lang.check import Loaded, Memory

__all__ = ["check_texts", "load"]


def load(
    paths: Sequence[str | Path], remote: Callable[[str], str] | None = None, memory: Memory | None = None
) -> Loaded:
    """Check every `.cep` file under the paths, folders searched to the bottom, and the files that they import.

    remote: reads the Redis hash of a table, as a JSON object of texts; without it such a table is empty.
    memory: of the call before; what has not changed since is not parsed and checked again.
    """
    from cep.lang.check import check
    from cep.lang.files import Beside, read_files
    from cep.lang.report import Report
    from cep.lang.tables import REDIS

    report = Report()
    texts = read_files(paths, report)
    beside = Beside(texts, report)

    def read(asking: str, path: str) -> tuple[str, str] | None:
        if path.startswith(REDIS):
            return None if remote is None else (path, remote(path.removeprefix(REDIS)))
        return beside(asking, path)

    return replace(check(texts, read, report, memory), beside=frozenset(beside.asked))


def check_texts(files: Mapping[str, str]) -> Loaded:
    """Check texts by name: those that end in `.cep`, or all when none does; imports and lists are found by name too."""
    from cep.lang.check import check
    from cep.lang.report import Report

    def read(asking: str, path: str) -> tuple[str, str] | None:
        name = posixpath.normpath(posixpath.join(posixpath.dirname(asking), path))
        return (name, files[name]) if name in files else None

    rules = {name: text for name, text in files.items() if name.endswith(".cep")}
    return check(rules or files, read, Report())
