"""Snapshots in a directory: one file each, whole or not there, damaged ones refused.

A file is MAGIC, the digest of all that follows, the length of the header, the header (JSON: the point of the log's
history, its streams by name, and `identity`, which says whose state it is), the data. It appears under its name only
when all of it is on the disk. Its name is that of the point, so that two processes which keep the same snapshot, as one
that has been replaced and does not know it yet, do not spoil each other's.

With a key the digest is one that only its holder can make: what another has written is refused like a damaged one.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from cep.errors import ConfigurationError
from cep.ports import Data, EntryId, Point, Position

MAGIC = b"cepsnap2"
KEEP = 3
LEFT_S = 60.0  # a file that is not there under its name yet, and was not written to for so long, was left
SETTLED_S = 10.0  # what is older is not lost with the last seconds of a server that loses power
HEADER_BYTES_MAX = 2**20
DATA_BYTES_MAX = 2**34
_DIGEST_BYTES = 32
_PART_BYTES = 2**20
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

    Streams are kept by name, so that their numbers may change with the rules. key: of the digests, at most 64 bytes.
    """

    def __init__(
        self, directory: str | os.PathLike[str], identity: str, streams: Sequence[str], key: bytes = b""
    ) -> None:
        self._directory, self._identity, self._streams = Path(directory), identity, list(streams)
        self._key = key
        self._whole: dict[str, bytes] = {}  # by file: how it began when it was known to be whole
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._unfit(error) from error

    def check(self) -> None:
        """Raise ConfigurationError where no snapshot could be kept; and clear away what a killed process has left."""
        for left in filter(_is_left, self._directory.glob("*.tmp")):
            left.unlink(missing_ok=True)
        path = self._directory / f"{os.getpid()}.tmp"
        try:
            _write(path, [MAGIC])
            path.unlink(missing_ok=True)
            self._sync()
        except OSError as error:
            raise self._unfit(error) from error

    def save(self, point: Point, data: Data) -> None:
        """Keep a snapshot durably, and let the oldest ones go."""
        streams = {
            self._streams[stream]: _Stream(*at.entry, at.ordinal, at.digest, stream in point.idle)
            for stream, at in point.offsets.items()
        }
        header = msgspec.json.encode(_Header(self._identity, point.seq, point.chain, streams, len(data)))
        head = len(header).to_bytes(4, "little") + header
        path = self._path(point)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            digest = self._digest(head, data)
            _write(temporary, [MAGIC, digest, head, data])
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)  # half a snapshot would take the room that the next one needs
            raise
        self._whole[path.name] = digest + head
        for old in self._superseded(point):
            self.discard(old)
        self._sync()

    def points(self) -> Sequence[Point]:
        """Of the snapshots that are kept, newest first. Whether they are damaged is not looked at."""
        found = [point for path in self._directory.glob(f"*{_SUFFIX}") if (point := self._point_of(path)) is not None]
        return sorted(found, key=lambda point: -point.seq)

    def oldest(self) -> Point | None:
        """Of the snapshots that are kept and whole, header and data."""
        return next(filter(self._is_whole, reversed(self.points())), None)

    def load(self, point: Point) -> bytes | None:
        """The snapshot of a point; None where it is damaged, gone or another's."""
        path = self._path(point)
        self._whole.pop(path.name, None)  # until it is read, whatever it was before
        try:
            with _opened(path) as file:
                head = _head(file)
                if head is None or not _fits(file, head.header.data_bytes):
                    return None
                data = file.read()
        except (OSError, ValueError, msgspec.MsgspecError):
            return None
        if self._stands_for(path, head) != point or not hmac.compare_digest(self._digest(head.raw, data), head.digest):
            return None
        self._whole[path.name] = head.digest + head.raw
        return data

    def discard(self, point: Point) -> None:
        """Drop a snapshot."""
        path = self._path(point)
        self._whole.pop(path.name, None)
        path.unlink(missing_ok=True)

    def _is_whole(self, point: Point) -> bool:
        """Whether a file is what it says. Its data are read once; how it begins is compared each time."""
        path = self._path(point)
        head = _head_of(path)
        if head is None or self._stands_for(path, head) != point:
            return False
        if self._whole.get(path.name) != head.digest + head.raw:
            self._whole.pop(path.name, None)
            if hmac.compare_digest(self._digest_in(path) or b"", head.digest):
                self._whole[path.name] = head.digest + head.raw
        return path.name in self._whole

    def _superseded(self, newest: Point) -> Sequence[Point]:
        """All but the newest. A whole one that has settled stays: it stands for a history that a server cannot lose.

        Those beyond the one that was kept just now are of another history, or this process has lost the log.
        """
        points = [point for point in self.points() if point.seq <= newest.seq]
        old = points[KEEP:]
        if old and not any(map(self._has_settled, points[:KEEP])):
            spared = next(filter(self._has_settled, old), old[-1])
            return [point for point in old if point != spared]
        return old

    def _has_settled(self, point: Point) -> bool:
        try:
            is_old = self._path(point).stat().st_mtime < time.time() - SETTLED_S
        except OSError:
            return False
        return is_old and self._is_whole(point)

    def _path(self, point: Point) -> Path:
        return self._directory / f"{point.seq:012d}-{point.chain}{_SUFFIX}"

    def _point_of(self, path: Path) -> Point | None:
        """What a file says of itself; None where it is none of ours."""
        head = _head_of(path)
        return None if head is None else self._stands_for(path, head)

    def _stands_for(self, path: Path, head: _Head) -> Point | None:
        """The point that a file of this name with this head is of."""
        named = _NAME.fullmatch(path.name)
        if named is None or head.header.identity != self._identity:
            return None
        header = head.header
        if (header.seq, header.chain) != (int(named[1]), named[2]):
            return None
        numbers = {name: number for number, name in enumerate(self._streams)}
        found = [(numbers[name], stream) for name, stream in header.streams.items() if name in numbers]
        offsets = {number: Position(EntryId(s.ms, s.seq), s.ordinal, s.digest) for number, s in found}
        return Point(header.seq, header.chain, offsets, frozenset(number for number, s in found if s.is_idle))

    def _unfit(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"no snapshot can be kept in {self._directory}: {error.strerror}: give a folder that this user may write "
            "to, on a disk that has room, with --snapshots"
        )

    def _digest_in(self, path: Path) -> bytes | None:
        """Of what is in a file, which is read bit by bit; None where it is none of ours, or too long or too short."""
        try:
            with _opened(path) as file:
                head = _head(file)
                if head is None or not _fits(file, head.header.data_bytes):
                    return None
                digest = self._digest_of(head.raw)
                while part := file.read(_PART_BYTES):
                    digest.update(part)
                return digest.digest()
        except (OSError, ValueError, msgspec.MsgspecError):
            return None

    def _digest(self, head: bytes, data: Data) -> bytes:
        digest = self._digest_of(head)
        digest.update(data)
        return digest.digest()

    def _digest_of(self, head: bytes) -> hashlib.blake2b:
        """Begun with what stands before the data, which are to follow."""
        return hashlib.blake2b(head, digest_size=_DIGEST_BYTES, key=self._key)

    def _sync(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Head(NamedTuple):
    """What stands before the data. raw: its bytes, with their length before them."""

    digest: bytes
    raw: bytes
    header: _Header


def _head_of(path: Path) -> _Head | None:
    """What stands before the data of a file; None where nobody can read it."""
    try:
        with _opened(path) as file:
            return _head(file)
    except (OSError, ValueError, msgspec.MsgspecError):  # ValueError: text that is no UTF-8
        return None


def _head(file: BinaryIO) -> _Head | None:
    if file.read(len(MAGIC)) != MAGIC:
        return None
    digest, size = file.read(_DIGEST_BYTES), file.read(4)
    length = int.from_bytes(size, "little")
    if length > HEADER_BYTES_MAX:
        return None
    text = file.read(length)
    return _Head(digest, size + text, msgspec.json.decode(text, type=_Header))


def _fits(file: BinaryIO, data_bytes: int) -> bool:
    """Whether so much is left of a file; asked before there is room made for it."""
    return data_bytes <= DATA_BYTES_MAX and os.fstat(file.fileno()).st_size == file.tell() + data_bytes


def _opened(path: Path) -> BinaryIO:
    """A file to read, if it is one, and no link to one that somebody else has chosen."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} is no file")
    return file


def _is_left(path: Path) -> bool:
    """Whether nobody writes a file any more: other workers keep their snapshots in the same folder."""
    try:
        return path.stat().st_mtime < time.time() - LEFT_S
    except OSError:
        return False


def _write(path: Path, parts: Sequence[Data]) -> None:
    """Write a file, for nobody else to read, and wait until it is on the disk."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
