"""`cep replay` as scripts see it."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest

from tests.cli import SCHEMA, Cli, cli, lines, rules

__all__ = ["cli", "rules"]  # fixtures


EVENTS = lines((1000, "a", 11), (1001, "b", 11), (1002, "a", 12), (1050, "b", 5), (1100, "c", 1))


def alerts(cli: Cli) -> list[tuple[str, str]]:
    documents = [json.loads(line) for line in cli.out.splitlines()]
    return [(document["data"]["rule"]["id"], document["subject"]) for document in documents]


def test_replay(cli, rules):
    events = cli.file("events.ndjson", EVENTS)
    assert cli("replay", rules, "--from", events) == 0
    until_the_last_event = alerts(cli)
    assert [rule for rule, _ in until_the_last_event] == ["twice", "quiet"]
    whole = cli.out
    for size in ("1", "2", "3"):
        assert cli("replay", rules, "--from", events, "--batch", size, "--shards", size) == 0
        assert cli.out == whole
    assert cli("replay", rules, "--from", events, "--drain") == 0
    assert [rule for rule, _ in alerts(cli)] == ["twice", "quiet", "quiet", "quiet"]
    assert cli("replay", rules, "--from", events, "--format", "text") == 0
    assert cli.out.splitlines()[0] == "1970-01-01 00:16:42  HIGH      fired     twice  card=a  a: 11.00, then 12.00"


def test_replay_shows_what_a_shadow_rule_would_do_and_what_was_held_back(cli):
    outputs = "  limit 1 per 1h\nrule big by card when txn as a where amount > 0 alert low if a.amount > 100\n"
    shadow = "rule trial by card mode shadow when txn where amount > 10 alert low\n" + outputs
    rules, events = cli.file("rules.cep", SCHEMA + shadow), cli.file("events.ndjson", EVENTS)
    assert cli("replay", rules, "--from", events) == 0
    whole = cli.out
    assert [alert["data"]["disposition"] for alert in map(json.loads, whole.splitlines())] == ["shadow"]
    figures = {line[:13].strip(): line[13:].split() for line in cli.err.splitlines()}
    assert figures["alerts"] == ["1", "trial", "shadow", "fired", "1"]
    assert figures["held back"][1:] == ["by", "limit", "2", "·", "by", "if", "5"]
    assert cli("replay", rules, "--from", events, "--format", "text") == 0
    assert "  shadow fired  trial  " in cli.out


def test_replay_asks_for_the_secret_of_hashed_fields(cli, monkeypatch):
    hashed = SCHEMA.replace("card text", "card text hash") + "rule r by card when txn where amount > 10 alert low\n"
    rules, events = cli.file("rules.cep", hashed), cli.file("events.ndjson", EVENTS)
    for name in ("CEP_HASH_KEY", "CEP_HASH_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert cli("replay", rules, "--from", events) == 2
    assert "CEP_HASH_KEY" in cli.err
    monkeypatch.setenv("CEP_HASH_KEY", "a secret of a test")
    assert cli("replay", rules, "--from", events) == 0
    keys = [alert["data"]["key"]["card"] for alert in map(json.loads, cli.out.splitlines())]
    assert {len(key) for key in keys} == {16}


def test_replay_counts_what_it_cannot_use(cli, rules):
    odd = 'nonsense\n{"ts":1101,"kind":"txn","card":"c","amount":"x"}\n{"ts":1102,"kind":"other"}\n'
    keyless = '{"ts":1103,"kind":"txn","amount":1}\n'
    events = cli.file("events.ndjson", EVENTS + odd + keyless + lines((1000, "late", 1)))
    dead = cli.folder / "dead.ndjson"
    assert cli("replay", rules, "--from", events, "--dead", str(dead)) == 0
    figures = {line[:13].strip(): line[13:].split() for line in cli.err.splitlines()}
    assert figures["events"][0] == "7"
    assert figures["bad"][0] == "2"
    assert figures["unknown types"] == ["1", "other", "1"]
    assert figures["late"] == ["1"]
    assert figures["without key"][0] == "2"
    assert figures["alerts"][0] == "2"
    letters = [json.loads(line) for line in dead.read_text("utf-8").splitlines()]
    assert [(letter["stream"], letter["line"], letter["path"]) for letter in letters] == [
        ("payments", 6, ""),
        ("payments", 7, "$.amount"),
    ]


def test_replay_of_csv_and_of_stdin(cli, rules, monkeypatch):
    rows = [json.loads(line) for line in EVENTS.splitlines()]
    table = "ts,kind,card,amount\n" + "".join(f"{r['ts']},{r['kind']},{r['card']},{r['amount']}\n" for r in rows)
    assert cli("replay", rules, "--from", cli.file("events.csv", table)) == 0
    assert len(alerts(cli)) == 2
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(EVENTS.encode()))))
    assert cli("replay", rules, "--from", "-") == 0
    assert len(alerts(cli)) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        "RULES --from FILE --format ndjson",
        "RULES --from FILE MORE --format ndjson",
        "RULES --from FILE --from MORE --format ndjson",
        "RULES --from=FILE --from=MORE --format=ndjson",
        "RULES --format ndjson --from FILE MORE",
        "RULES --from - --format ndjson",
        "RULES --from FILE - --batch 2",
        "--from FILE --format ndjson RULES",
        "--from - --format ndjson RULES",
        "--format ndjson --from FILE MORE --stream payments RULES",
        "--from FILE MORE -- RULES",
    ],
)
def test_replay_takes_its_options_in_any_order(cli, rules, arguments, monkeypatch):
    later = lines((1200, "c", 20), (1201, "c", 21))
    words = {"RULES": rules, "FILE": cli.file("events.ndjson", EVENTS), "MORE": cli.file("more.ndjson", later)}
    piped = EVENTS if "FILE" not in arguments else later
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(piped.encode()))))
    given = [f"--from={words[w[7:]]}" if w.startswith("--from=") else words.get(w, w) for w in arguments.split()]
    assert cli("replay", *given) == 0, cli.err
    both = "MORE" in arguments or "FILE - " in arguments
    assert [rule for rule, _ in alerts(cli)].count("twice") == (2 if both else 1)


def test_replay_of_no_file(cli, rules):
    for arguments in (["--from"], ["--from", "--format", "ndjson"]):
        assert cli("replay", rules, *arguments) == 2
        assert cli.err == "error: no file follows --from: give a file of events, or - for stdin\n"


TWO_STREAMS = """
stream visits time ts
event visit from visits (card text)
stream payments time ts
event txn from payments (card text, amount money)
rule both by card within 1h when visit then txn alert high "{card}"
"""


def test_replay_of_several_streams(cli):
    rules = cli.file("two.cep", TWO_STREAMS)
    visits = cli.file("visits.ndjson", "".join(f'{{"ts":{1000 + n},"card":"c{n}"}}\n' for n in range(100)))
    payments = cli.file("payments.ndjson", lines(*((1000 + n, f"c{n}", 1) for n in range(50, 150))))
    files = ["--from", f"visits={visits}", f"payments={payments}"]
    assert cli("replay", rules, *files) == 0
    whole = cli.out
    assert len(alerts(cli)) == 50
    assert cli("replay", rules, *files, "--batch", "7") == 0
    assert cli.out == whole
    assert cli("replay", rules, "--from", visits) == 2
    assert "--stream NAME" in cli.err
    assert cli("replay", rules, "--from", visits, "--stream", "vists") == 2
    assert "declare no stream vists" in cli.err
    assert cli("replay", rules, "--from", "payments=absent.ndjson") == 2
    assert "there is no file absent.ndjson" in cli.err
