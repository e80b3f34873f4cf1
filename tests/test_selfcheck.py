"""What is said at the start, with its remedy: on real servers, and of such as cannot be had here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cep.adapters.files.snapshots import DirectorySnapshots
from cep.adapters.redis.selfcheck import findings
from cep.adapters.redis.session import Session
from cep.errors import ConfigurationError
from tests.servers import Server, server, shared_server

__all__ = ["server", "shared_server"]


def found(server: Server, *streams: str, is_near: bool = True, now: Callable[[], float] = time.time) -> list[str]:
    return findings(lambda: Session(server.url), streams, is_near, now)


def test_nothing_is_said_of_what_is_right(server: Server) -> None:
    server.client().xadd("a", {"e": "1"})
    server.client().xadd("b", {"e": "1"}, id="5-0")
    server.client().set("text", "which is refused elsewhere")
    assert found(server, "a", "b", "none", "text") == []


def test_ids_of_the_future(server: Server) -> None:
    now_ms = int(time.time() * 1000)
    server.client().xadd("near", {"e": "1"}, id=f"{now_ms + 30_000}-0")
    server.client().xadd("far", {"e": "1"}, id=f"{now_ms + 120_000}-0")
    server.client().xadd("end", {"e": "1"}, id=f"{2**64 - 1}-{2**64 - 1}")
    far, end = found(server, "near", "far", "end")
    assert f"stream 'far' ends at {now_ms + 120_000}-0" in far
    assert "begin a new stream" in far
    assert "stream 'end' ends at" in end


@pytest.mark.parametrize(("shift_s", "said"), [(4, None), (-4, None), (60, "60 s behind"), (-60, "60 s ahead of")])
def test_clocks_that_are_apart(server: Server, shift_s: int, said: str | None) -> None:
    told = found(server, now=lambda: round(time.time()) + shift_s)
    assert len(told) == (said is not None)
    assert said is None or (said.split()[-1] in told[0] and "NTP" in told[0])


def test_an_account_that_may_do_everything(server: Server) -> None:
    (*_, account) = found(server, is_near=False)
    assert account.startswith("the account 'default' may run every command")
    assert "docs/security.md" in account


class Released:
    """A server of some release whose account has what it needs."""

    name = "redis://old"

    def __init__(self, kind: str, version: str) -> None:
        self._info = {"redis_version": "7.2.4", f"{kind}_version": version}

    def call(self, *command: str) -> object:
        if command == ("TIME",):
            now = f"{time.time():.6f}".split(".")
            return [part.encode() for part in now]
        return b"app" if command[1] == "WHOAMI" else [b"commands", b"-@all +fcall"]

    def info(self, section: str) -> dict[str, str]:
        return self._info

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("kind", "version", "is_old"),
    [
        ("redis", "7.0.15", True),
        ("redis", "7.2.10", True),
        ("redis", "7.2.11", False),
        ("redis", "8.2.1", True),
        ("redis", "8.6.3", False),
        ("valkey", "8.0.5", True),
        ("valkey", "8.1.4", False),
        ("valkey", "9.0.0", False),
    ],
)
def test_releases_with_a_hole(kind: str, version: str, is_old: bool) -> None:
    told = findings(lambda: Released(kind, version), [], False)  # type: ignore[arg-type,return-value]
    assert [f"{kind} {version}" in text and "upgrade it" in text for text in told] == [True] * is_old
    assert findings(lambda: Released(kind, version), [], True) == []  # type: ignore[arg-type,return-value]


def test_a_folder_that_cannot_keep_snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectorySnapshots(tmp_path / "kept", "mine", ["a"])
    store.check()
    assert list((tmp_path / "kept").iterdir()) == []
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(ConfigurationError, match=r"in .*file/within: .* with --snapshots"):
        DirectorySnapshots(tmp_path / "file" / "within", "mine", ["a"])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left on device: give a folder"):
        store.check()
