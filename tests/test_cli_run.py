"""`cep run`, `cep demo` and `cep warmup` as scripts see them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

from cep.adapters.cli.town import Town
from tests.cli import COMMAND, ROOT, cli, lines, rules
from tests.servers import Server, own_server, server, shared_server

__all__ = ["cli", "own_server", "rules", "server", "shared_server"]  # fixtures


# --------------------------------------------------------------------------------------------- run


def test_run_without_a_server(cli, rules, monkeypatch):
    monkeypatch.delenv("CEP_REDIS_URL", raising=False)
    monkeypatch.delenv("CEP_REDIS_URL_FILE", raising=False)
    assert cli("run", rules) == 2
    assert "--redis" in cli.err
    monkeypatch.setenv("CEP_REDIS_URL_FILE", cli.file("url", "redis://user:secret@127.0.0.1:1/0\n"))
    assert cli("run", rules) == 3
    assert "cannot connect to redis://127.0.0.1:1/0" in cli.err
    assert "secret" not in cli.err


def test_run_refuses_a_server_that_forgets(cli, rules, server: Server):
    server.client().config_set("appendonly", "no")
    assert cli("run", rules, "--redis", server.url) == 2
    assert "--allow-volatile" in cli.err


def test_run_until_told_to_stop(rules, own_server: Server, tmp_path):
    client = own_server.client()
    environment = {**os.environ, "CEP_REDIS_URL": own_server.url, "CEP_SNAPSHOTS": str(tmp_path / "snapshots")}

    def add(text: str) -> None:
        for line in text.splitlines():
            client.xadd("payments", {"event": line})

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([*COMMAND, "run", rules], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)

    def stop(service: subprocess.Popen[str]) -> list[dict[str, object]]:
        service.send_signal(signal.SIGTERM)
        journal = [json.loads(line) for line in service.communicate(timeout=30)[1].splitlines()]
        assert service.returncode == 0, journal
        return journal

    def wait_for_alerts(count: int) -> None:
        deadline = time.monotonic() + 120
        while client.xlen("alerts") < count:
            assert service.poll() is None, service.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)

    service = start()
    add(lines((1000, "a", 11), (1002, "a", 12), (1020, "b", 11)))
    wait_for_alerts(1)
    journal = stop(service)
    assert [line["message"] for line in journal] == ["started", "stopped"]
    assert (journal[-1]["events"], journal[-1]["alerts"], journal[-1]["snapshots"]) == (3, 1, 1)
    service = start()
    add(lines((1021, "b", 12), (1040, "c", 1)))
    wait_for_alerts(2)
    journal = stop(service)
    assert (journal[-1]["events"], journal[-1]["replayed"]) == (2, 0)
    found = [json.loads(fields[b"alert"])["subject"] for _, fields in client.xrange("alerts")]
    assert len(found) == len(set(found)) == 2


# --------------------------------------------------------------------------------- warm-up and demo

NEW_SIGNATURES = """
import cep.kernels, importlib, pkgutil
from pathlib import Path
from cep.adapters.cli.rules import accepted
from cep.adapters.cli.warmup import warm_up
from cep.compile import compile_rules
from cep.testing import run_tests
warm_up()
modules = [importlib.import_module(m.name) for m in pkgutil.iter_modules(cep.kernels.__path__, "cep.kernels.")]
def compiled():
    kernels = {f"{m.__name__}.{n}": k for m in modules for n, k in vars(m).items() if hasattr(k, "signatures")}
    return {(name, str(signature)) for name, kernel in kernels.items() for signature in kernel.signatures}
before = compiled()
assert before
for path in [*Path("rules").iterdir(), *Path("tests/cases").glob("*.cep")]:
    rules = accepted([str(path)])
    run_tests(rules, compile_rules(rules))
print(compiled() - before)
"""


def test_after_the_warm_up_nothing_is_compiled():
    command = [sys.executable, "-c", NEW_SIGNATURES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_town_is_the_same_every_time():
    def week(seed: int) -> list[bytes]:
        events = Town(500, seed).events()
        return [next(events).to_json() for _ in range(3000)]

    assert week(1) == week(1) != week(2)


def test_demo():
    command = [*COMMAND, "demo", "--for", "5s", "--rate", "500"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert "card_testing" in done.stdout
    assert "1 of 1 planted fraud found" in done.stderr or "2 of 2 planted frauds found" in done.stderr, done.stderr


def test_demo_takes_durations(cli):
    assert cli("demo", "--for", "soon") == 2
    assert "20s, 5m or 1h" in cli.err


AT_ONCE = """
from cep.adapters.cli import warmup
from cep.kernels.combinations import feed
name = "combinations"
warmup.RULES = {name: warmup.RULES[name]}
warmup.ensure_warm()
warmup._run(name)
print(feed.stats.cache_hits.total(), feed.stats.cache_misses.total())
"""


def test_of_several_that_start_at_once_one_compiles(tmp_path):
    command, environment = [sys.executable, "-c", AT_ONCE], {**os.environ, "CEP_CACHE_DIR": str(tmp_path)}
    started = [subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) for _ in "1234"]
    assert [process.communicate(timeout=120)[0].strip() for process in started] == ["1 0"] * 4


def test_warmup_without_a_place_for_the_cache(tmp_path):
    (tmp_path / "file").touch()
    environment = {**os.environ, "CEP_CACHE_DIR": str(tmp_path / "file"), "NUMBA_DISABLE_JIT": "1"}
    command = [*COMMAND, "warmup"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "cache None" in done.stdout
    assert done.stderr.count("CEP_CACHE_DIR") == 1
