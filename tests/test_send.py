"""`cep send` and `cep dlq` on real servers: what arrives is what was in the files, once, where its key belongs."""

from __future__ import annotations

import gzip
import io
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from cep.adapters.cli.detector import build
from cep.adapters.cli.main import main
from cep.adapters.cli.rules import accepted
from cep.adapters.redis.keys import Keys
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.session import Session
from cep.delivery.history import following
from cep.ports import BadEvent, Commit, Entries, EntryId, Position
from cep.producer import partition_of
from tests.servers import Server, own_server, server, shared_server

__all__ = ["own_server", "server", "shared_server"]

RULES = """
stream payments time ts
event payment from payments (card text, amount number)
rule two by card within 1h
  when 2 payment as p where amount > 5
  alert high "{card}: {p.last.amount}"
"""
EVENTS = [{"ts": 1767607361000 + n * 1000, "card": f"c{n % 7}", "amount": n % 11 + 0.5} for n in range(2500)]


def written(folder: Path, form: str) -> Path:
    path = folder / f"events.{form}"
    lines = "".join(json.dumps(event) + "\n" for event in EVENTS)
    if form == "ndjson":
        path.write_text("\n" + lines, "utf-8")
    elif form == "ndjson.gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif form == "csv":
        rows = [",".join(str(event[name]) for name in ("ts", "card", "amount")) for event in EVENTS]
        path.write_text("\n".join(["ts,card,amount", *rows]) + "\n", "utf-8")
    elif form == "parquet":
        parquet.write_table(pa.Table.from_pylist(EVENTS), path)
    return path


def entries_of(server: Server, key: str) -> Entries:
    session = Session(server.url)
    found = [(EntryId(*map(int, e.split(b"-"))), fields) for e, fields in session.call("XRANGE", key, "-", "+")]
    session.close()
    return Entries.of(0, found)


def alerts(folder: Path, parts: list[Entries]) -> Counter[str]:
    (folder / "rules.cep").write_text(RULES, "utf-8")
    found: Counter[str] = Counter()
    for part in parts:
        _, detector = build(accepted([str(folder / "rules.cep")]))
        outcome = detector.apply([part])
        assert not outcome.bad
        found.update(json.loads(alert)["data"]["annotations"]["summary"] for alert in outcome.alerts)
    return found


def sent(server: Server, *words: str) -> int:
    return main(["send", "payments", "--redis", server.url, *words])


@pytest.mark.parametrize("form", ["ndjson", "ndjson.gz", "csv", "parquet"])
def test_what_arrives_gives_the_alerts_of_the_file(server: Server, tmp_path: Path, form: str, capsys: Any) -> None:
    path = written(tmp_path, form)
    assert sent(server, "--from", str(path)) == 0
    assert "2,500" in capsys.readouterr().err
    whole = alerts(tmp_path, [entries_of(server, "payments")])
    assert sum(whole.values()) > 100
    server.client().delete("payments")
    assert sent(server, "--from", str(path), "--key", "card", "--partitions", "3") == 0
    parts = [entries_of(server, f"payments:{{p0{p}}}") for p in range(3)]
    assert alerts(tmp_path, parts) == whole
    assert sum(len(part) > 0 for part in parts) > 1


def test_a_key_in_an_object_and_none(server: Server, monkeypatch: Any) -> None:
    lines = b'{"user": {"id": 7}}\n{"user": {"id": "c1"}}\n{"user": 1}\n{"user": {"id": true}}\nnonsense\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert sent(server, "--from", "-", "--key", "user.id", "--partitions", "8") == 0
    found = {p: [f for _, f in server.client().xrange(f"payments:{{p0{p}}}")] for p in range(8)}
    assert found[partition_of("7", 8)] == [{b"event": b'{"user": {"id": 7}}'}]
    assert found[partition_of("c1", 8)] == [{b"event": b'{"user": {"id": "c1"}}'}]
    assert found[0] == [{b"event": b'{"user": 1}\n{"user": {"id": true}}'}, {b"event": b"nonsense"}]


def test_sent_twice_under_one_name_it_arrives_once(server: Server, tmp_path: Path, capsys: Any) -> None:
    for form in ("ndjson", "csv", "parquet"):
        server.client().flushall()
        path = str(written(tmp_path, form))
        words = ("--from", path, "--name", "monday", "--key", "card", "--partitions", "2")
        assert sent(server, *words) == 0
        before = [server.client().xlen(f"payments:{{p0{p}}}") for p in range(2)]
        capsys.readouterr()
        assert sent(server, *words) == 0
        assert "there already          2,500" in capsys.readouterr().err
        assert [server.client().xlen(f"payments:{{p0{p}}}") for p in range(2)] == before


def test_too_large_is_left_out_and_said(server: Server, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text('{"a": 1}\n{"a": "' + "x" * 2**20 + '"}\n{"a": 2}\n', "utf-8")
    assert sent(server, "--from", str(path)) == 1
    assert "too large" in capsys.readouterr().err
    assert [fields for _, fields in server.client().xrange("payments")] == [{b"event": b'{"a": 1}\n{"a": 2}'}]


def test_a_rate(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text('{"a": 1}\n' * 30, "utf-8")
    began = time.monotonic()
    assert sent(server, "--from", str(path), "--rate", "100") == 0
    assert time.monotonic() - began >= 0.29


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["--key", "card"], 2, "--key and --partitions go together"),
        (["--redis", "redis://10.1.2.3/0"], 2, "--allow-plain"),
        (["--redis", "redis://127.0.0.1:1/0"], 3, "cannot connect to redis://127.0.0.1:1/0"),
        (["--redis", "rediss://h/0", "--redis-ca", "/no/such"], 2, "there is no file /no/such"),
        (["--from", "/no/such"], 2, "cannot read /no/such"),
    ],
)
def test_what_is_refused(
    server: Server, tmp_path: Path, capsys: Any, words: list[str], code: int, complaint: str
) -> None:
    defaults = {"--redis": server.url, "--from": str(written(tmp_path, "ndjson"))}
    for option, value in defaults.items():
        words = words if option in words else [*words, option, value]
    assert main(["send", "payments", *words]) == code
    assert complaint in capsys.readouterr().err
    assert not server.client().exists("payments")


# ---------------------------------------------------------------------------------------------- dead letters


def dead_letters(server: Server) -> list[str]:
    """A stream with bad events of every kind of entry, and their letters; the ids of these."""
    client = server.client()
    table = io.BytesIO()
    rows = pa.Table.from_pylist([{"n": 1}, {"n": 2}])
    with pa.ipc.new_stream(table, rows.schema) as writer:
        writer.write_table(rows)
    shapes: list[dict[str, bytes | str]] = [
        {"event": '{"n": 1}'},
        {"event": '{"n": 1}\n\n{"n": "x"}\n{"n": 3}'},
        {"event": '[{"n": 1}, {"n": "y"}]'},
        {"n": "5", "text": "flat"},
        {"event": table.getvalue()},
        {"event": '{"n": 1}\n{"n": 2}'},
        {"event": '{"gone": 1}'},
        {"event": '{"gone": "and more than its letter holds"}'},
        {"event": "bad\nworse"},
    ]
    for n, shape in enumerate(shapes, 1):
        client.xadd("s", shape, id=f"{n}-0")  # type: ignore[arg-type]
    bad = [
        BadEvent(0, EntryId(1, 0), 0, "field", "$.n", "", b""),
        BadEvent(0, EntryId(2, 0), 1, "field", "$.n", "a text", b'{"n": "x"}'),
        BadEvent(0, EntryId(3, 0), 1, "field", "$.n", "", b'{"n": "y"}'),
        BadEvent(0, EntryId(4, 0), 0, "type", "", "", b'{"n": "5", "text": "flat"}'),
        BadEvent(0, EntryId(5, 0), 1, "field", "$.n", "", b'{"n": 2}'),
        BadEvent(0, EntryId(6, 0), 0, "poison", "", "", b'{"n": 1}\n{"n": 2}'),
        BadEvent(0, EntryId(7, 0), 0, "json", "", "", b'{"gone": 1}'),
        BadEvent(0, EntryId(8, 0), 0, "json", "", "", b"x" * 1024),
        BadEvent(0, EntryId(9, 0), 0, "json", "", "", b"bad", 2),
    ]
    log = RedisLog(lambda: Session(server.url), ["s"], Keys("g"))
    before = log.open().point
    commit = Commit({0: Position(EntryId(9, 0), 9, 0)}, dead=bad)
    log.commit(before, commit, following(before, commit))
    log.close()
    client.xdel("s", "7-0", "8-0")
    return [letter.decode() for letter, _ in client.xrange("alerts:dlq")]


def dlq(server: Server, command: str, *words: str) -> int:
    return main(["dlq", command, "--redis", server.url, *words])


def test_letters_are_counted_and_shown(server: Server, capsys: Any) -> None:
    assert dlq(server, "list") == 0
    assert "no dead letters" in capsys.readouterr().err
    ids = dead_letters(server)
    assert dlq(server, "list") == 0
    counts = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert counts == [
        "s field 4 letters 4 events",
        "s json 3 letters 4 events",
        "s poison 1 letters 1 events",
        "s type 1 letters 1 events",
    ]
    for words, chosen in (
        ((), ids),
        (("--limit", "2"), ids[:2]),
        (("--reason", "json"), ids[6:]),
        ((ids[3],), [ids[3]]),
        (("--stream", "other"), []),
    ):
        assert dlq(server, "show", *words) == 0
        shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [letter["id"] for letter in shown] == chosen
    assert dlq(server, "show", ids[1]) == 0
    letter = json.loads(capsys.readouterr().out)
    assert (letter["entry"], letter["index"], letter["path"], letter["excerpt"]) == ("2-0", 1, "$.n", '{"n": "x"}')


def test_events_are_sent_again_as_they_came(server: Server, capsys: Any) -> None:
    dead_letters(server)
    assert dlq(server, "replay") == 2
    assert "--all" in capsys.readouterr().err
    assert dlq(server, "replay", "--reason", "field") == 0
    assert dlq(server, "replay", "--all") == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "4 letters: sent 4"
    assert said[1].startswith("5 letters: ")
    assert set(said[1].partition(": ")[2].split(" · ")) == {
        "sent 3", "gone from their stream 1", "several events in one letter 1",
    }  # fmt: skip
    came = [fields for _, fields in server.client().xrange("s", min="(9-0")]
    table = pa.ipc.open_stream(came.pop(3)[b"event"]).read_all()
    assert table.to_pylist() == [{"n": 2}]
    assert came == [
        {b"event": b'{"n": 1}'},
        {b"event": b'{"n": "x"}'},
        {b"event": b'{"n": "y"}'},
        {b"n": b"5", b"text": b"flat"},
        {b"event": b'{"n": 1}\n{"n": 2}'},
        {b"event": b'{"gone": 1}'},
    ]
    assert server.client().xlen("alerts:dlq") == 2, "what could not be sent stays"


def test_a_letter_that_is_replayed_twice_is_appended_once(server: Server) -> None:
    """As by two people at a time, or after a crash before the letter was taken away."""
    ids = dead_letters(server)
    letter = server.client().xrange("alerts:dlq", min=ids[0], max=ids[0])[0]
    assert dlq(server, "replay", ids[0]) == 0
    server.client().delete("alerts:dlq")
    server.client().xadd("alerts:dlq", letter[1], id=letter[0])  # type: ignore[arg-type]
    assert dlq(server, "replay", ids[0]) == 0
    assert len(server.client().xrange("s", min="(9-0")) == 1
    assert server.client().xlen("alerts:dlq") == 0


def test_letters_of_partitions(server: Server, capsys: Any) -> None:
    client = server.client()
    for p in (0, 1):
        client.xadd(f"s:{{p0{p}}}", {"event": f'{{"p": {p}}}'}, id="1-0")
        letter = {"stream": f"s:{{p0{p}}}", "id": "1-0", "index": "0", "reason": "type", "count": "1", "excerpt": ""}
        client.xadd(f"alerts:dlq:{{p0{p}}}", letter, id="1-0")  # type: ignore[arg-type]
    assert dlq(server, "replay", "--partitions", "2", "--all") == 0
    assert capsys.readouterr().err == "2 letters: sent 2\n"
    for p in (0, 1):
        assert [f for _, f in client.xrange(f"s:{{p0{p}}}")] == 2 * [{b"event": b'{"p": %d}' % p}]
