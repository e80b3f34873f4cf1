"""Tables, lists and rosters: what files (and Redis hashes) hold, by key.

Keys are kept as text and read in the kind of what they are compared with. Cells are read in the kind of their column,
which is declared, or stated in the header (`risk:number`), or told from all cells of the column.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cep.lang import ast
from cep.lang.checked.schema import Kind, Table, Value
from cep.lang.operators import KindError, read_as
from cep.lang.report import Page, nearest

FIELD_KINDS = ("text", "number", "integer", "money", "flag", "time")
KEY_KINDS = (Kind.TEXT, Kind.INTEGER)
REDIS = "redis:"

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)

Reader = Callable[[str, str], "tuple[str, str] | None"]  # (the asking file, a path) -> (name, content) of that file
Cells = Mapping[str, str]  # column → cell; an empty or absent cell is null


@dataclass(frozen=True, slots=True)
class Keyed:
    """Rows by the text of their key. A list's and a roster's rows are empty."""

    columns: Mapping[str, Kind]
    rows: Mapping[str, tuple[Value | None, ...]]

    def in_kind(self, name: str, kind: Kind) -> Table:
        """The table with its keys in a kind. Raises KindError when one is not of it."""
        rows: dict[Value, tuple[Value | None, ...]] = {}
        for text, row in self.rows.items():
            key = read_as(kind, text).value
            if key in rows:
                raise KindError("CEP123", f'the key "{text}" stands twice in "{name}"')
            rows[key] = row
        return Table(name, kind, tuple(self.columns.items()), tuple(rows.items()))


class _TableError(Exception):
    """What is wrong with a table; the caller knows the place."""

    def __init__(self, message: str, code: str = "CEP122", hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.code, self.hint = message, code, hint


def entries(name: str, content: str) -> Iterator[str]:
    """The entries of a list's or roster's file: the first column of a .csv below its header, else one a line."""
    if name.endswith(".csv"):
        rows = iter(csv.reader(io.StringIO(content)))
        next(rows, None)
        yield from (row[0].strip() for row in rows if row and row[0].strip())
        return
    lines = (line.split("#", 1)[0].strip() for line in content.splitlines())
    yield from (line for line in lines if line)


def listing(names: Iterable[str]) -> Keyed:
    """A list: keys alone; one that stands twice is there once."""
    return Keyed({}, dict.fromkeys(names, ()))


def table(node: ast.Table, page: Page, read: Reader) -> Keyed | None:
    """The table; None when something in it was reported. One in Redis is empty where there is no Redis to ask."""
    declared = _declared(node, page)
    source = node.source.text
    found = read(page.text.name, source)
    if found is None and not source.startswith(REDIS):
        page.error("CEP108", node.source.at, f'the file "{source}" is not there', "paths are relative to the rule file")
        return None
    try:
        if not source.startswith(REDIS):
            assert found is not None
            header, rows = _of_csv(found[1], node.key.text)
            for name in declared.keys() - header.keys():
                raise _TableError(f'the file has no column "{name}"', hint=nearest(name, header))
            return _keyed(header | declared, rows)
        if not declared:
            raise _TableError("the columns of a table in Redis are declared", hint="as in: key merchant (risk number)")
        return _keyed(declared, () if found is None else _of_hash(found[1], source))
    except _TableError as wrong:
        page.error(wrong.code, node.source.at, wrong.message, wrong.hint)
        return None


def _declared(node: ast.Table, page: Page) -> dict[str, Kind | None]:
    kinds: dict[str, Kind | None] = {}
    for field in node.fields:
        if field.name.text in kinds:
            page.error("CEP107", field.name.at, f'the column "{field.name.text}" stands twice')
        elif field.kind.text not in FIELD_KINDS:
            hint = nearest(field.kind.text, FIELD_KINDS) or f"kinds are {', '.join(FIELD_KINDS)}"
            page.error("CEP104", field.kind.at, f'there is no kind of field "{field.kind.text}"', hint)
        elif field.path is not None or field.privacy is not None:
            page.error("CEP122", field.at, "a column of a table has a name and a kind, and nothing more")
        else:
            kinds[field.name.text] = Kind(field.kind.text)
    return kinds


def _of_csv(content: str, key: str) -> tuple[dict[str, Kind | None], list[tuple[str, Cells]]]:
    """The columns with the kinds that the header states, and the rows by key."""
    lines = [row for row in csv.reader(io.StringIO(content)) if any(cell.strip() for cell in row)]
    if not lines:
        raise _TableError("the file is empty: its first line names the columns")
    heads = [cell.strip().partition(":") for cell in lines[0]]
    names = [name for name, _, _ in heads]
    if key not in names:
        raise _TableError(f'the file has no column "{key}"', hint=nearest(key, names) or f"it has {', '.join(names)}")
    if len(set(names)) < len(names):
        raise _TableError("a column stands twice in the header")
    unknown = [kind for _, _, kind in heads if kind and kind not in FIELD_KINDS]
    if unknown:
        raise _TableError(f'there is no kind of column "{unknown[0]}"', hint=f"kinds are {', '.join(FIELD_KINDS)}")
    rows: list[tuple[str, Cells]] = []
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(names):
            raise _TableError(f"row {number} has {len(line)} cells, and the header {len(names)}")
        cells = dict(zip(names, (cell.strip() for cell in line), strict=True))
        rows.append((cells[key], cells))
    return {name: Kind(kind) if kind else None for name, _, kind in heads if name != key}, rows


def _of_hash(content: str, source: str) -> Iterator[tuple[str, Cells]]:
    """The rows of a Redis hash, given as a JSON object: field → the text of a JSON object. Numbers stay as written."""
    for key, text in json.loads(content).items():
        try:
            row = json.loads(text, parse_int=str, parse_float=str)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise _TableError(f'the field "{key}" of {source} holds no JSON object')
        yield key, {name: _cell(value) for name, value in row.items()}


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _keyed(columns: Mapping[str, Kind | None], rows: Iterable[tuple[str, Cells]]) -> Keyed:
    rows = list(rows)
    kinds = {name: kind or _told([cells.get(name, "") for _, cells in rows]) for name, kind in columns.items()}
    by_key: dict[str, tuple[Value | None, ...]] = {}
    for key, cells in rows:
        if not key:
            raise _TableError("a row has no key")
        if key in by_key:
            raise _TableError(f'the key "{key}" stands twice', "CEP123", "a key has one row")
        by_key[key] = tuple(_value(key, name, kind, cells.get(name, "")) for name, kind in kinds.items())
    return Keyed(kinds, by_key)


def _told(cells: Sequence[str]) -> Kind:
    """The kind that all cells of a column are of."""
    present = [cell for cell in cells if cell]
    for kind, fits in ((Kind.INTEGER, _INTEGER.fullmatch), (Kind.NUMBER, _NUMBER.fullmatch)):
        if present and all(map(fits, present)):
            return kind
    return Kind.FLAG if present and set(present) <= {"true", "false"} else Kind.TEXT


def _value(key: str, column: str, kind: Kind, cell: str) -> Value | None:
    if not cell:
        return None
    try:
        return read_as(kind, cell).value
    except KindError as mistake:
        raise _TableError(f'in column "{column}" of the key "{key}" {mistake.message}') from None
