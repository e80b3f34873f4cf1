"""Snapshots: the state of a program as bytes, and back, also into another program.

Layout: MAGIC, the header's length (8 bytes, little endian), the header (JSON), the digest of all that follows it, then
the arrays one after the other. Raw arrays, no pickle. A snapshot is a cache of the log, so `load` refuses whatever is
damaged. What it holds of a plan goes to the plan of equal structure, if the program has one: see `cep.engine.picture`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from cep.engine.picture import Picture, restore, take
from cep.engine.state import EngineState
from cep.layout.program import Program

MAGIC = b"CEPSNAP1"
FORMAT = 5
DIGEST_BYTES = 32

Arrays = dict[str, npt.NDArray[Any]]
Bytes = npt.NDArray[np.uint8]


class SnapshotError(Exception):
    """Bytes that are not a snapshot, or not one that this version can read."""


class _Array(msgspec.Struct):
    name: str
    dtype: str
    shape: list[int]


class _Header(msgspec.Struct):
    format: int
    facts: Any
    arrays: list[_Array]


class Freezer:
    """Copies states for snapshots into a buffer that it keeps: fresh memory takes longer to get than to fill."""

    def __init__(self) -> None:
        self._spare: list[Bytes] = []

    def freeze(self, program: Program, state: EngineState) -> AbstractContextManager[memoryview]:
        """A snapshot of the state as it is now, between two steps, to be entered once, in any thread.

        Who waits for this waits for little more than the copy; the digest is made on entering. The bytes may be used
        inside.
        """
        picture = take(program, state)
        listed = [_Array(name, array.dtype.str, list(array.shape)) for name, array in picture.arrays.items()]
        header = msgspec.json.encode(_Header(FORMAT, picture.facts(), listed))
        start = MAGIC + len(header).to_bytes(8, "little") + header
        at = len(start) + DIGEST_BYTES
        size = at + sum(array.nbytes for array in picture.arrays.values())
        buffer = self._spare.pop() if self._spare else np.empty(0, np.uint8)
        if size > len(buffer):
            buffer = np.empty(size + size // 4, np.uint8)
        buffer[: len(start)] = np.frombuffer(start, np.uint8)
        for array in picture.arrays.values():
            buffer[at : at + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            at += array.nbytes
        return self._sealed(buffer, size, len(header))

    @contextmanager
    def _sealed(self, buffer: Bytes, size: int, header: int) -> Iterator[memoryview]:
        data, start = buffer.data[:size], len(MAGIC) + 8
        body = start + header + DIGEST_BYTES
        digest = hashlib.blake2b(data[start : start + header], digest_size=DIGEST_BYTES)
        digest.update(data[body:])
        data[start + header : body] = digest.digest()
        try:
            yield data
        finally:
            self._spare = [buffer]


def dump(program: Program, state: EngineState) -> bytes:
    """The state, between two steps."""
    with Freezer().freeze(program, state) as data:
        return bytes(data)


def load(program: Program, data: bytes) -> EngineState:
    """The state that `dump` wrote, for this program: see `restore`. Raises SnapshotError."""
    return restore(program, _read(data))


def _read(data: bytes) -> Picture:
    start = len(MAGIC) + 8
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    if data[: len(MAGIC)] != MAGIC or length > len(data) - start - DIGEST_BYTES:
        raise SnapshotError("these bytes are no snapshot")
    body = start + length + DIGEST_BYTES
    digest = hashlib.blake2b(data[start : start + length], digest_size=DIGEST_BYTES)
    digest.update(memoryview(data)[body:])
    if digest.digest() != data[start + length : body]:
        raise SnapshotError("the snapshot is damaged")
    header = msgspec.json.decode(data[start : start + length], type=_Header)
    if header.format != FORMAT:
        raise SnapshotError(f"the snapshot has format {header.format}, this version reads {FORMAT}")
    arrays: Arrays = {}
    for array in header.arrays:
        count = int(np.prod(array.shape, dtype=np.int64))
        values = np.frombuffer(data, np.dtype(array.dtype), count, body).reshape(array.shape)
        arrays[array.name] = values.copy()
        body += values.nbytes
    return Picture.of(header.facts, arrays)
