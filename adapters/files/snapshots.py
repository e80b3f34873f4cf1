"""Snapshots in a directory: one file each, whole or not there, damaged ones refused.

A file is MAGIC, the digest of all that follows, the length of the header, the header (JSON: the point of the log's
history, its streams by name, and `identity`, which says whose state it is), the data. It appears under its name only
when all of it is on the disk. Its name is that of the point, so that two processes which keep the same snapshot, as one
that has been replaced and does not know it yet, do not spoil each other's.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from cep.ports import EntryId, Point, Position

MAGIC = b"cepsnap2"
KEEP = 3
SETTLED_S = 10.0  # what is older is not lost with the last seconds of a server that loses power
HEADER_BYTES_MAX = 2**20
_DIGEST_BYTES = 32
_SUFFIX = ".snapshot"
_NAME = re.compile(r"(\d{12,})-([0-9a-f]+)\.snapshot")


class _Stream(msgspec.Struct):
    ms: int
    seq: int
    ordinal: int
    digest: int
    is_idle: bool


class _Header(msgspec.Struct):
    identity: str
    seq: int
    chain: str
    streams: dict[str, _Stream]
    data_bytes: int


class DirectorySnapshots:
    """A `SnapshotStore` of a log's streams. `identity` names the log; snapshots of another one are passed over.

    Streams are kept by name, so that their numbers may change with the rules.
    """

    def __init__(self, directory: str | os.PathLike[str], identity: str, streams: Sequence[str]) -> None:
        self._directory, self._identity, self._streams = Path(directory), identity, list(streams)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._directory.glob("*.tmp"):  # by a process that was killed
            left.unlink(missing_ok=True)

    def save(self, point: Point, data: bytes) -> None:
        """Keep a snapshot durably, and let the oldest ones go."""
        streams = {
            self._streams[stream]: _Stream(*at.entry, at.ordinal, at.digest, stream in point.idle)
            for stream, at in point.offsets.items()
        }
        header = msgspec.json.encode(_Header(self._identity, point.seq, point.chain, streams, len(data)))
        head = len(header).to_bytes(4, "little") + header
        digest = hashlib.blake2b(head, digest_size=_DIGEST_BYTES)
        digest.update(data)
        path = self._path(point)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.writelines((MAGIC, digest.digest(), head, data))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)  # half a snapshot would take the room that the next one needs
            raise
        for old in self._superseded():
            self.discard(old)
        self._sync()

    def points(self) -> Sequence[Point]:
        """Of the snapshots that are kept, newest first. Whether they are damaged is not looked at."""
        found = [point for path in self._directory.glob(f"*{_SUFFIX}") if (point := self._point_of(path)) is not None]
        return sorted(found, key=lambda point: -point.seq)

    def load(self, point: Point) -> bytes | None:
        """The snapshot of a point; None where it is damaged, gone or another's."""
        try:
            content = memoryview(self._path(point).read_bytes())
        except OSError:
            return None
        digest, body = content[len(MAGIC) : len(MAGIC) + _DIGEST_BYTES], content[len(MAGIC) + _DIGEST_BYTES :]
        if content[: len(MAGIC)] != MAGIC or hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() != digest:
            return None
        length = int.from_bytes(body[:4], "little")
        return bytes(body[4 + length :])

    def discard(self, point: Point) -> None:
        """Drop a snapshot."""
        self._path(point).unlink(missing_ok=True)

    def _superseded(self) -> Sequence[Point]:
        """All but the newest. One that has settled stays: it stands for a history that a server cannot lose."""
        points = self.points()
        old = points[KEEP:]
        if old and not any(map(self._has_settled, points[:KEEP])):
            spared = next(filter(self._has_settled, old), old[-1])
            return [point for point in old if point != spared]
        return old

    def _has_settled(self, point: Point) -> bool:
        try:
            return self._path(point).stat().st_mtime < time.time() - SETTLED_S
        except OSError:
            return False

    def _path(self, point: Point) -> Path:
        return self._directory / f"{point.seq:012d}-{point.chain}{_SUFFIX}"

    def _point_of(self, path: Path) -> Point | None:
        """What a file says of itself; None where it is none of ours."""
        named = _NAME.fullmatch(path.name)
        try:
            with path.open("rb") as file:
                header = _header(file)
        except (OSError, ValueError, msgspec.MsgspecError):  # ValueError: text that is no UTF-8
            return None
        if named is None or header is None or header.identity != self._identity:
            return None
        if (header.seq, header.chain) != (int(named[1]), named[2]):
            return None
        numbers = {name: number for number, name in enumerate(self._streams)}
        found = [(numbers[name], stream) for name, stream in header.streams.items() if name in numbers]
        offsets = {number: Position(EntryId(s.ms, s.seq), s.ordinal, s.digest) for number, s in found}
        return Point(header.seq, header.chain, offsets, frozenset(number for number, s in found if s.is_idle))

    def _sync(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _header(file: BinaryIO) -> _Header | None:
    if file.read(len(MAGIC)) != MAGIC:
        return None
    file.read(_DIGEST_BYTES)
    length = int.from_bytes(file.read(4), "little")
    return msgspec.json.decode(file.read(length), type=_Header) if length <= HEADER_BYTES_MAX else None
