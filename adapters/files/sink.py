"""Alerts as lines: on stdout or at the end of a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import BinaryIO


class LineSink:
    """Writes alerts to a binary stream that belongs to somebody else, one a line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    @classmethod
    def stdout(cls) -> LineSink:
        """On the process's own stdout."""
        return cls(sys.stdout.buffer)

    def write(self, alerts: Sequence[bytes]) -> None:
        """Append alerts; they are on their way when it returns."""
        if alerts:
            self._stream.write(b"".join(alert + b"\n" for alert in alerts))
            self._stream.flush()

    def close(self) -> None:
        """Nothing is left to be done."""


class FileSink(LineSink):
    """Appends alerts to a file, and makes them durable on close."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(open(path, "ab"))  # noqa: SIM115  # close() closes it

    def close(self) -> None:
        """Flush to the disk and let go. May be called more than once."""
        if not self._stream.closed:
            os.fsync(self._stream.fileno())
            self._stream.close()
