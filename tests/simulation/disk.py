"""A disk as the snapshot store sees it: what was not synced may be gone after a loss of power, in any combination.

It stands in for `os`, `time`, `open` and `Path` in the module under test.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import io
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from cep.adapters.files import snapshots
from cep.ports import Data
from tests.simulation.hub import Hub


class File:
    """content: as processes see it; synced: as the disk has it."""

    def __init__(self) -> None:
        self.content, self.synced, self.st_mtime = b"", b"", 0.0

    st_mode = stat.S_IFREG | 0o600

    @property
    def st_size(self) -> int:
        return len(self.content)


class Disk:
    """names: the files as processes see them; synced: as the disk has them."""

    O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_RDONLY = os.O_WRONLY, os.O_CREAT, os.O_TRUNC, os.O_NOFOLLOW, os.O_RDONLY
    O_NONBLOCK = os.O_NONBLOCK

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.names: dict[str, File] = {}
        self.synced: dict[str, File] = {}
        self.is_full = False
        self._open: dict[int, File | str] = {}
        self._descriptors = 2

    def step(self, what: str) -> None:
        self._hub.current().step(what)

    # ---------------------------------------------------------- in the place of `os`, `time` and `open`

    def time(self) -> float:
        return self._hub.now

    def getpid(self) -> int:
        """Processes in containers often have the same."""
        process = self._hub.current()
        return 1 + self._hub.processes.index(process.owner or process)

    def open(self, path: Any, flags: int, mode: int = 0) -> int:
        self.step(f"opens {path}")
        self._descriptors += 1
        if flags & os.O_CREAT:
            file = self._open[self._descriptors] = self.names.setdefault(str(path), File())
            file.content = b""
        elif str(path) in self.names or "." not in PurePosixPath(path).name:
            self._open[self._descriptors] = self.names.get(str(path), str(path))
        else:
            raise FileNotFoundError(str(path))
        return self._descriptors

    def fstat(self, descriptor: int) -> File:
        file = self._open[descriptor]
        assert isinstance(file, File)
        return file

    def fdopen(self, descriptor: int, mode: str) -> Reader:
        return Reader(self, self.fstat(descriptor), descriptor)

    def fsync(self, descriptor: int) -> None:
        self.step("syncs")
        opened = self._open[descriptor]
        if isinstance(opened, File):
            opened.synced = opened.content
        else:
            ours = {name: file for name, file in self.names.items() if name.startswith(opened)}
            self.synced = {n: f for n, f in self.synced.items() if not n.startswith(opened)} | ours

    def replace(self, source: Any, target: Any) -> None:
        self.step(f"renames {source}")
        if str(source) not in self.names:  # another process of the same number has just done so
            raise FileNotFoundError(str(source))
        self.names[str(target)] = self.names.pop(str(source))

    def close(self, descriptor: int) -> None:
        del self._open[descriptor]

    def opened(self, descriptor: int, mode: str) -> Writer:
        file = self._open[descriptor]
        assert isinstance(file, File)
        return Writer(self, file, descriptor)

    # ----------------------------------------------------------------------------------------- trouble

    def lose_power(self, folder: str) -> None:
        """What was not synced is there or not, each name and each content for itself."""
        rng = self._hub.rng
        for name in sorted(name for name in self.names.keys() | self.synced.keys() if name.startswith(folder)):
            kept = rng.choice((self.names.get(name), self.synced.get(name)))
            if kept is None:
                self.names.pop(name, None)
            else:
                self.names[name] = kept
            if kept is not None and kept.content != kept.synced:
                kept.content = kept.synced = kept.content[: rng.randrange(len(kept.content) + 1)]
        others = {name: file for name, file in self.synced.items() if not name.startswith(folder)}
        self.synced = others | {name: file for name, file in self.names.items() if name.startswith(folder)}

    def flip(self, name: str) -> None:
        """One bit of a file is no longer what it was."""
        file, rng = self.names[name], self._hub.rng
        if file.content:
            at = rng.randrange(len(file.content))
            changed = bytes([file.content[at] ^ (1 << rng.randrange(8))])
            file.content = file.synced = file.content[:at] + changed + file.content[at + 1 :]


class Writer:
    """A file that is open for writing."""

    def __init__(self, disk: Disk, file: File, descriptor: int) -> None:
        self._disk, self._file, self._descriptor = disk, file, descriptor

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._disk.close(self._descriptor)

    def writelines(self, pieces: Sequence[Data]) -> None:
        for piece in pieces:
            self._disk.step("writes")
            if self._disk.is_full:
                raise OSError(errno.ENOSPC, "no space left on device")
            self._file.content += bytes(piece)
            self._file.st_mtime = self._disk.time()

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        return self._descriptor


class Reader(io.BytesIO):
    """A file that is open for reading."""

    def __init__(self, disk: Disk, file: File, descriptor: int) -> None:
        super().__init__(file.content)
        self._disk, self._descriptor = disk, descriptor

    def close(self) -> None:
        if not self.closed:
            self._disk.close(self._descriptor)
        super().close()

    def fileno(self) -> int:
        return self._descriptor


class Path(PurePosixPath):
    """A path on the disk of the seed that runs."""

    disk: Disk

    def mkdir(self, **_: object) -> None:
        pass

    def glob(self, pattern: str) -> Iterator[Path]:
        self.disk.step("lists")
        inside = [self / PurePosixPath(name).name for name in self.disk.names if name.startswith(f"{self}/")]
        return (path for path in inside if fnmatch.fnmatch(path.name, pattern))

    def stat(self) -> File:
        if str(self) not in self.disk.names:
            raise FileNotFoundError(str(self))
        return self.disk.names[str(self)]

    def unlink(self, missing_ok: bool = False) -> None:
        self.disk.step(f"removes {self.name}")
        if self.disk.names.pop(str(self), None) is None and not missing_ok:
            raise FileNotFoundError(str(self))


@contextlib.contextmanager
def in_place(disk: Disk) -> Iterator[None]:
    """The snapshot store works on this disk."""
    real, Path.disk = (snapshots.os, snapshots.time, snapshots.Path), disk
    snapshots.os, snapshots.time, snapshots.Path = disk, disk, Path  # type: ignore[assignment, misc]
    snapshots.open = disk.opened  # type: ignore[attr-defined]
    try:
        yield
    finally:
        snapshots.os, snapshots.time, snapshots.Path = real
        del snapshots.open  # type: ignore[attr-defined]
