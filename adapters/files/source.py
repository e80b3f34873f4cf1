"""Events from files: lines of JSON, CSV whose header names the fields, Parquet or Arrow; gzip, and `-` for stdin.

The files of a stream are read one after the other as one log. An entry's id is (0, its line number), counted from 1
over all of them, so a file needs no ids of its own and a bad event can be found again.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO, cast

import numpy as np

from cep.adapters.files.tables import SUFFIXES, read_tables
from cep.errors import ConfigurationError
from cep.ports import ENTRY_BYTES_MAX, Entries, Lines

FORMATS = ("ndjson", "csv", "parquet", "arrow")
STDIN = "-"
_BLOCK_BYTES = 2**20
_BLOCK_ROWS = 16384
_BOM = b"\xef\xbb\xbf"

Progress = Callable[[int], None]
"""Told how many more bytes of the files, as they lie on the disk, have been read."""

_Blocks = Generator[Entries, None, int]  # returns the number of the line behind the last


def format_of(path: str) -> str:
    """The format that a file's name stands for, "ndjson" where it says nothing."""
    if path.removesuffix(".gz").endswith(".csv"):
        return "csv"
    return SUFFIXES.get(os.path.splitext(path)[1], "ndjson")


def total_bytes(paths: Sequence[str]) -> int | None:
    """The size of all the files on the disk; None when one of them is stdin."""
    return None if STDIN in paths else sum(os.path.getsize(path) for path in paths)


def read_files(
    paths: Sequence[str],
    format: str | None = None,
    stream: int = 0,
    progress: Progress | None = None,
    names: Collection[str] | None = None,
) -> Iterator[Entries]:
    """The entries of the files, in blocks of some thousand. `format` None: by each file's name.

    names: the columns that need to be read of files that can be read by columns; None: all. Raises ConfigurationError
    when a file cannot be read.
    """
    line = 1
    for path in paths:
        form = format or format_of(path)
        read = _read_csv if form == "csv" else _read_lines
        try:
            if form in SUFFIXES.values():
                line = yield from read_tables(None if path == STDIN else path, form, stream, line, progress, names)
                continue
            with ExitStack() as stack:
                raw = sys.stdin.buffer if path == STDIN else stack.enter_context(open(path, "rb"))
                file = cast(BinaryIO, _Counted(raw, progress))
                if path.endswith(".gz"):
                    file = cast(BinaryIO, stack.enter_context(gzip.open(file)))
                line = yield from read(file, stream, line)
        except (OSError, EOFError, zlib.error) as error:
            raise ConfigurationError(f"cannot read {path}: {error}") from error


def _read_lines(file: BinaryIO, stream: int, line: int) -> _Blocks:
    """Lines of JSON; blank ones are counted and left out."""
    rest, is_start = b"", True
    while block := file.read(_BLOCK_BYTES):
        if is_start:
            block, is_start = block.removeprefix(_BOM), False
        end = block.rfind(b"\n") + 1
        if end:
            whole, rest = rest + block[:end], b""
            yield from _blocks(stream, line, whole)
            line += whole.count(b"\n")
        rest = (rest + block[end:])[: ENTRY_BYTES_MAX + 1]  # a longer line is refused for its size, however long it is
    if rest:
        yield from _blocks(stream, line, rest + b"\n")
    return line + bool(rest)


def _blocks(stream: int, line: int, data: bytes) -> Iterator[Entries]:
    """Whole lines as entries."""
    view = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(view == ord("\n"))
    begins = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
    lines, numbers = Lines(data, np.column_stack((begins, ends))), np.arange(line, line + len(ends))
    doubtful = np.flatnonzero(view[begins] <= ord(" ")).tolist()
    if blank := [at for at in doubtful if not lines[at][1].strip()]:
        numbers = np.delete(numbers, blank)
        lines = Lines.of([lines[at - line][1] for at in numbers.tolist()])
    for start in range(0, len(lines), _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        yield Entries(stream, np.zeros(len(numbers[part]), np.int64), numbers[part], lines[part])


def _read_csv(file: BinaryIO, stream: int, line: int) -> _Blocks:
    """Rows under a header, as flat entries; a row that does not fit the header is one nameless field, so it is refused.

    Text passes through Latin-1, which keeps every byte as it is.
    """
    text = io.TextIOWrapper(io.BufferedReader(cast(Any, file), _BLOCK_BYTES), "latin-1", newline="")
    reader = csv.reader(text)
    header: list[bytes] | None = None
    numbers: list[int] = []
    fields: list[list[bytes]] = []
    for number, row in _rows(reader, line):
        cells = [cell.encode("latin-1") for cell in row]
        if header is None:
            header = [cells[0].removeprefix(_BOM), *cells[1:]]
            continue
        entry = [b"", b",".join(cells)]
        if len(cells) == len(header):
            entry = [b""] * (2 * len(cells))
            entry[::2], entry[1::2] = header, cells
        numbers.append(number)
        fields.append(entry)
        if len(fields) == _BLOCK_ROWS:
            yield _entries(stream, numbers, fields)
            numbers, fields = [], []
    if fields:
        yield _entries(stream, numbers, fields)
    text.detach().detach()
    return line + reader.line_num


def _rows(reader: Any, line: int) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of its last line; a row that the parser refuses is one cell, the complaint."""
    while True:
        try:
            for row in reader:
                if row:
                    yield line + reader.line_num - 1, row
            return
        except csv.Error as error:
            yield line + reader.line_num - 1, [str(error)]


def _entries(stream: int, numbers: list[int], fields: list[list[bytes]]) -> Entries:
    return Entries(stream, np.zeros(len(numbers), np.int64), np.array(numbers, np.int64), fields)


class _Counted(io.RawIOBase):
    """A file that tells how much of it has been read."""

    def __init__(self, raw: Any, progress: Progress | None) -> None:
        self._raw, self._progress = raw, progress

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some."""
        count: int = self._raw.readinto1(buffer)  # what is there: a pipe need not fill the block
        if self._progress is not None and count:
            self._progress(count)
        return count
