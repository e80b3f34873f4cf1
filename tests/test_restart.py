"""A loop in a process of its own and its server, both killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cep.adapters.files.snapshots import DirectorySnapshots
from cep.adapters.redis.keys import Keys
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.session import Session
from cep.delivery.runtime import Options, Runtime
from tests.loop import Chain, expected
from tests.servers import Server, own_server

__all__ = ["own_server"]


def main(url: str, directory: str) -> None:
    """The process under test: SIGTERM ends it, kill -9 as well."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    log = RedisLog(lambda: Session(url), ["in"], Keys("test"))
    log._reader.count = 20
    Runtime(
        log,
        Chain(),
        DirectorySnapshots(directory, "chain", ["events"]),
        options=Options(snapshot_entries=100),
        stop=stop,
    ).run()


def start(server: Server, directory: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.test_restart", server.url, str(directory)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[1])


def test_kill_9_of_detector_and_server(own_server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    rng = random.Random(os.environ.get("CEP_SEED", "7"))
    client = own_server.client()
    events = [b"%d" % n for n in range(6000)]
    process = start(own_server, tmp_path / "snapshots")
    request.addfinalizer(lambda: process.kill())  # noqa: PLW0108  # whichever is the last
    for round_number in range(10):
        with client.pipeline(transaction=False) as pipeline:
            for event in events[round_number * 600 : (round_number + 1) * 600]:
                pipeline.xadd("in", {"e": event})
            pipeline.execute()
        time.sleep(rng.uniform(0, 0.25))
        if round_number % 4 == 3:
            own_server.kill()
            own_server.start()
        if round_number % 3:
            process.kill()
            process.wait()
            process = start(own_server, tmp_path / "snapshots")
    want = expected(events)
    deadline = time.monotonic() + 10
    while client.hget("cep:{test}:meta", "offset:in") != client.xrevrange("in", count=1)[0][0]:
        assert time.monotonic() < deadline, "the detector does not come to the end"
        time.sleep(0.05)
    process.terminate()
    assert process.wait(5) == 0
    assert [fields[b"alert"] for _, fields in client.xrange("alerts")] == want.delivered()
    assert [fields[b"alert"] for _, fields in client.xrange("alerts:shadow")] == want.shadowed()


if __name__ == "__main__":
    main(*sys.argv[1:])
