"""Snapshots in a directory: one file each, whole or not there, damaged ones refused.

A file is MAGIC, the digest of all that follows, the length of the header, the header (JSON: the offset of each stream
by name, and `identity`, which says whose state it is), the data. It appears under its name only when all of it is on
the disk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from cep.ports import EntryId, Offsets

MAGIC = b"cepsnap1"
KEEP = 3
_DIGEST_BYTES = 32
_SUFFIX = ".snapshot"


class _Header(msgspec.Struct):
    identity: str
    offsets: dict[str, tuple[int, int]]
    data_bytes: int


class DirectorySnapshots:
    """A `SnapshotStore` of a log's streams. `identity` names the log; snapshots of another one are passed over.

    Streams are kept by name, so that their numbers may change with the rules.
    """

    def __init__(self, directory: str | os.PathLike[str], identity: str, streams: Sequence[str]) -> None:
        self._directory, self._identity, self._streams = Path(directory), identity, list(streams)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def save(self, offsets: Offsets, data: bytes) -> None:
        """Keep a snapshot durably, and let the oldest ones go."""
        named = {self._streams[stream]: (at.ms, at.seq) for stream, at in offsets.items()}
        header = msgspec.json.encode(_Header(self._identity, named, len(data)))
        head = len(header).to_bytes(4, "little") + header
        digest = hashlib.blake2b(head, digest_size=_DIGEST_BYTES)
        digest.update(data)
        numbers = [number for number, _ in self._files()]
        path = self._directory / f"{max(numbers, default=0) + 1:012d}{_SUFFIX}"
        temporary = path.with_suffix(".tmp")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.writelines((MAGIC, digest.digest(), head, data))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        self._sync()
        for _, old in list(self._files())[KEEP:]:
            old.unlink(missing_ok=True)

    def load(self, upto: Offsets) -> tuple[Offsets, bytes] | None:
        """The newest readable snapshot of this identity whose offsets are not past `upto`."""
        for _, path in self._files():
            found = self._read(path)
            if found is not None and all(stream in upto and at <= upto[stream] for stream, at in found[0].items()):
                return found
        return None

    def _files(self) -> Iterator[tuple[int, Path]]:
        """Numbers and paths, newest first."""
        paths = [path for path in self._directory.glob(f"*{_SUFFIX}") if path.stem.isdecimal()]
        yield from sorted(((int(path.stem), path) for path in paths), reverse=True)

    def _read(self, path: Path) -> tuple[Offsets, bytes] | None:
        """A snapshot; None where it is damaged or another's."""
        try:
            content = memoryview(path.read_bytes())
        except OSError:
            return None
        digest, body = content[len(MAGIC) : len(MAGIC) + _DIGEST_BYTES], content[len(MAGIC) + _DIGEST_BYTES :]
        if content[: len(MAGIC)] != MAGIC or hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() != digest:
            return None
        length = int.from_bytes(body[:4], "little")
        header = msgspec.json.decode(body[4 : 4 + length], type=_Header)
        data = bytes(body[4 + length :])
        if header.identity != self._identity or len(data) != header.data_bytes:
            return None
        numbers = {name: number for number, name in enumerate(self._streams)}
        offsets = {numbers[name]: EntryId(*at) for name, at in header.offsets.items() if name in numbers}
        return offsets, data

    def _sync(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
