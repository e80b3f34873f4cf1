"""Events from Parquet and Arrow files: each row is an entry, its number counted on from the files before.

pyarrow is an extra, imported when there is such a file. Only columns that somebody wants are read of a Parquet file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Generator, Iterator
from typing import Any

import numpy as np

from cep.decoding.arrow import MAGIC, Table
from cep.errors import ConfigurationError
from cep.ports import Entries

SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".arrows": "arrow", ".feather": "arrow"}
_BLOCK_ROWS = 65_536

Progress = Callable[[int], None]


def read_tables(
    path: str | None, form: str, stream: int, line: int, progress: Progress | None, names: Collection[str] | None
) -> Generator[Entries, None, int]:
    """The rows of a file, None being stdin, as entries numbered from `line` on; returns the number behind the last.

    names: the columns that are wanted, of those that there are; None: all. Raises ConfigurationError.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigurationError(f"{path or 'stdin'}: {form} files need pyarrow: install cep[arrow]") from error
    batches = _parquet(path, names) if form == "parquet" else _arrow(path)
    size, told = os.path.getsize(path) if path else 0, 0
    try:
        for share, batch in batches:
            wanted = [at for at, name in enumerate(batch.schema.names) if names is None or name in names]
            chosen = batch.select(wanted) if len(wanted) < batch.num_columns else batch
            chosen.validate(full=True)
            for first in range(0, batch.num_rows, _BLOCK_ROWS):
                part = chosen.slice(first, _BLOCK_ROWS)
                numbers = np.arange(line, line + part.num_rows)
                yield Entries(stream, np.zeros(len(numbers), np.int64), numbers, Table(part))
                line += part.num_rows
            if progress is not None:
                progress(int(size * share) - told)
                told = int(size * share)
    except (pyarrow.ArrowException, ValueError) as error:
        raise ConfigurationError(f"cannot read {path or 'stdin'}: {error}") from error
    return line


def _parquet(path: str | None, names: Collection[str] | None) -> Iterator[tuple[float, Any]]:
    """Record batches, and what share of the file has been read with each. Texts come as places in a dictionary."""
    import pyarrow
    from pyarrow import parquet

    source = pyarrow.BufferReader(sys.stdin.buffer.read()) if path is None else path
    with parquet.ParquetFile(source) as file:
        schema = file.schema_arrow
    wanted = [name for name in dict.fromkeys(schema.names) if names is None or name in names]
    texts = [name for name in wanted if schema.names.count(name) == 1 and _is_text(schema.field(name).type)]
    with parquet.ParquetFile(source, read_dictionary=texts) as file:
        done, rows = 0, file.metadata.num_rows
        for batch in file.iter_batches(_BLOCK_ROWS, columns=wanted, use_threads=False):
            done += batch.num_rows
            yield done / rows, batch


def _is_text(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _arrow(path: str | None) -> Iterator[tuple[float, Any]]:
    """Record batches of a file, or of a stream of them; of the latter it is not known how much there is."""
    import pyarrow

    source = sys.stdin.buffer if path is None else pyarrow.memory_map(path)
    with pyarrow.PythonFile(source, "r") if path is None else source as file:
        if path is not None and file.read(len(MAGIC[0])) == MAGIC[0]:
            reader = pyarrow.ipc.open_file(file)
            for number in range(reader.num_record_batches):
                yield (number + 1) / reader.num_record_batches, reader.get_batch(number)
            return
        if path is not None:
            file.seek(0)
        for batch in pyarrow.ipc.open_stream(file):
            yield 0.0, batch
