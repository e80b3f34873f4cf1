"""Reading neutral cases: a file is a JSON array of them; events may stand in a file beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Node = Any  # JSON: a scalar, or [operator, ...]; a stage or an operator is an object


class Outside(Exception):  # noqa: N818  # no error: a verdict
    """The case asks for what our language does not have; the text says what, in one line."""


@dataclass(frozen=True)
class Case:
    """One case. `events` stand in the order of arrival, and results refer to them by their place.

    `family` is the name of the file of cases; `semantics["family"]` says which engine's semantics they have.
    """

    id: str
    family: str
    semantics: dict[str, Node]
    pattern: dict[str, Node]
    events: list[dict[str, Node]]
    result: dict[str, Node] = field(repr=False)

    @property
    def expected(self) -> list[list[int | None]] | None:
        """Event places for each match, or None where the source asserts something else."""
        return self.result["expected"]


def read(folder: Path) -> Iterator[Case]:
    """The cases of every file of a folder that holds an array of them, in order of the files' names.

    Each of the Sigma examples, which are documents without events, is a case of its own too.
    """
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        if isinstance(content, list):
            yield from (case_of(path.stem, raw, folder) for raw in content)
        elif "examples" in content:
            for raw in content["examples"]:
                pattern = {"documents": raw["documents"]}
                yield Case(raw["path"], path.stem, {"family": "sigma"}, pattern, [], {"expected": None})


def case_of(family: str, raw: dict[str, Node], folder: Path) -> Case:
    """A case from its JSON object."""
    events = raw["events"] if "events" in raw else json.loads((folder / raw["events_file"]).read_text())["events"]
    return Case(raw["id"], family, raw["semantics"], raw["pattern"], events, raw)
