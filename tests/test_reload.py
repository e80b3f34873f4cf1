"""Rules change while `cep run` runs: the good ones take over in time, the bad ones are refused, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cep.adapters.cli import reload
from cep.adapters.cli.detector import Before, build
from cep.adapters.cli.journal import Journal
from cep.adapters.cli.rules import without_mistakes
from cep.adapters.cli.warmup import ensure_warm
from cep.adapters.redis.tables import RedisTables
from cep.delivery.runtime import Change
from cep.layout.program import Program
from tests.servers import Server, own_server

__all__ = ["own_server"]
ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "import sys; from cep.adapters.cli.main import main; sys.exit(main())", "run"]
PATIENCE_S = 60.0
SCHEMA = """
stream payments time ts type kind
event payment from payments (card text, amount integer)
list watched from "watched.txt"
"""
STEADY = """
rule three by card within 1h
  when 3 payment
  alert low "{card}"
"""
OTHER = """
rule dear by card within 1h
  when 2 payment where amount > 100 and card in watched
  alert high "{card}"
"""


class Service:
    """A detector process; `journal` fills with what it logs."""

    def __init__(self, server: Server, rules: Path, snapshots: Path) -> None:
        environment = {**os.environ, "CEP_REDIS_URL": server.url, "CEP_SNAPSHOTS": str(snapshots)}
        command = [*COMMAND, str(rules), "--log-format", "json"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        self.journal: list[dict[str, object]] = []
        self._client = server.client()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.journal.append(json.loads(line))

    def said(self, message: str) -> list[dict[str, object]]:
        return [line for line in self.journal if str(line["message"]).startswith(message)]

    def wait(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not until():
            assert self.process.poll() is None, self.journal
            assert time.monotonic() < deadline, self.journal
            time.sleep(0.01)

    def pay(self, ts: int, card: str, amount: int) -> None:
        event = {"ts": ts, "kind": "payment", "card": card, "amount": amount}
        self._client.xadd("payments", {"event": json.dumps(event)})
        applied = self._client.xinfo_stream("payments")["last-generated-id"]
        self.wait(lambda: self._client.hget("cep:{cep}:meta", "offset:payments") == applied)

    def alerts(self) -> list[tuple[str, str]]:
        found = [json.loads(fields[b"alert"]) for _, fields in self._client.xrange("alerts")]
        return [(alert["data"]["rule"]["id"], alert["data"]["key"]["card"]) for alert in found]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_S) == 0
        self._reader.join()


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    ensure_warm()
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "schema.cep").write_text(SCHEMA)
    (folder / "watched.txt").write_text("x\n")
    (folder / "steady.cep").write_text(STEADY)
    return folder


@pytest.fixture
def service(own_server: Server, rules: Path, tmp_path: Path) -> Iterator[Service]:
    service = Service(own_server, rules, tmp_path / "snapshots")
    service.wait(lambda: bool(service.said("started")))
    yield service
    service.process.kill()
    service.process.wait()


def replace(path: Path, text: str) -> None:
    """As a careful tool does it: in one go."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def test_rules_come_change_and_go(service: Service, rules: Path) -> None:
    service.pay(1000, "a", 500)
    service.pay(1001, "a", 500)
    replace(rules / "other.cep", OTHER)
    service.wait(lambda: len(service.said("rules changed")) == 1)
    assert service.said("rules changed")[0]["anew"] == "dear"
    service.pay(1002, "a", 500)  # the third for the rule that was there, the first for the new one
    assert service.alerts() == [("three", "a")]
    service.pay(1003, "x", 500)
    replace(rules / "watched.txt", "y\n")  # another list is another rule
    service.wait(lambda: len(service.said("rules changed")) == 2)
    service.pay(1004, "x", 500)
    service.pay(1005, "y", 500)
    service.pay(1006, "y", 500)
    assert service.alerts() == [("three", "a"), ("dear", "y")]
    (rules / "other.cep").unlink()
    service.wait(lambda: len(service.said("rules changed")) == 3)
    service.pay(1007, "x", 500)
    assert service.alerts() == [("three", "a"), ("dear", "y"), ("three", "x")]
    service.stop()
    assert service.journal[-1]["changes"] == 3


def test_bad_rules_are_refused_and_the_old_ones_go_on(service: Service, rules: Path) -> None:
    service.pay(1000, "a", 1)
    replace(rules / "steady.cep", STEADY.replace("payment", "paiment"))
    service.wait(lambda: bool(service.said('there is no event "paiment"')))
    assert service.said('there is no event "paiment"')[0]["code"] == "CEP104"
    service.pay(1001, "a", 1)
    replace(rules / "schema.cep", SCHEMA.replace("payments", "others"))
    replace(rules / "steady.cep", STEADY)
    service.wait(lambda: bool(service.said("changed rules are refused: other streams")))
    service.pay(1002, "a", 1)
    assert service.alerts() == [("three", "a")]
    replace(rules / "schema.cep", SCHEMA)
    service.process.send_signal(signal.SIGHUP)
    service.wait(lambda: bool(service.said("rules changed")))
    assert "anew" not in service.said("rules changed")[-1]
    service.stop()


def test_a_restart_with_other_rules_keeps_the_state_of_those_that_stay(
    service: Service, rules: Path, own_server: Server, tmp_path: Path
) -> None:
    service.pay(1000, "a", 500)
    service.pay(1001, "a", 500)
    service.stop()
    own_server.client().xtrim("payments", maxlen=0)  # so the snapshot is all there is
    replace(rules / "other.cep", OTHER)
    again = Service(own_server, rules, tmp_path / "snapshots")
    again.wait(lambda: bool(again.said("started")))
    again.pay(1002, "a", 500)
    assert again.alerts() == [("three", "a")]
    again.stop()


def test_a_crash_right_after_a_change_loses_nothing(
    service: Service, rules: Path, own_server: Server, tmp_path: Path
) -> None:
    service.pay(1000, "a", 500)
    service.pay(1001, "a", 500)
    replace(rules / "other.cep", OTHER)
    service.wait(lambda: bool(service.said("rules changed")))
    service.process.kill()
    service.process.wait()
    again = Service(own_server, rules, tmp_path / "snapshots")
    again.pay(1002, "a", 500)
    assert again.alerts() == [("three", "a")]
    again.stop()


TABLED = """
stream payments time ts
event payment from payments (card text, amount integer)
table bars from "redis:bars" key card (bar integer)
rule above by card
  when payment where amount > bars[card].bar
  alert low "{card}"
"""


def rows_of(change: Change) -> dict[object, object]:
    (table,) = program_of(change).tables
    return {key: row[0] for key, row in table.rows}


def program_of(change: Change) -> Program:
    program: Program = change.detector._program  # type: ignore[attr-defined]
    return program


def test_a_table_in_redis_is_looked_at_again(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another row is another set of rules, which goes on with its state; a row that cannot be read changes nothing."""
    monkeypatch.setattr(reload, "TABLES_EVERY_S", 0.05)
    client, file = own_server.client(), tmp_path / "tabled.cep"
    client.hset("bars", "a", '{"bar": 5}')
    file.write_text(TABLED)
    tables, before = RedisTables(lambda: own_server.url), Before()
    loaded, ruleset = without_mistakes([str(file)], tables.read, before.checked)
    program, detector = build(ruleset, before.compiled)
    watcher = reload.Watcher([str(file)], loaded, before, tables, program, Journal("json"))
    changed = watcher.subscribe()

    def wait(until: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def change() -> Change:
        found: list[Change] = []
        wait(lambda: found or ((made := changed()) is not None and not found.append(made)))
        return found[0]

    def is_refused() -> bool:
        return "changed rules are refused" in capsys.readouterr().err

    try:
        client.hset("bars", "b", '{"bar": 7}')
        made = change()
        assert rows_of(made) == {"a": 5, "b": 7}
        made.detector.take_over(detector)
        assert made.detector.anew == []  # type: ignore[attr-defined]
        client.hset("bars", "b", "seven")
        wait(is_refused)
        assert changed() is None
        client.hset("bars", "b", '{"bar": 8}')
        assert rows_of(change()) == {"a": 5, "b": 8}
        own_server.kill()
        replace(file, TABLED.replace("alert low", "alert high"))
        wait(is_refused)
        own_server.start()
        assert program_of(change()).rules[0].clauses[0].level == "high"
        own_server.client().hdel("bars", "a")
        assert rows_of(change()) == {"b": 8}
        own_server.client().delete("bars")
        assert rows_of(change()) == {}
    finally:
        watcher.close()
