"""The command line as scripts see it: exit codes, what is on stdout, what is on stderr."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from cep.adapters.cli.main import main
from cep.adapters.cli.town import Town
from tests.servers import Server, own_server, server, shared_server

__all__ = ["own_server", "server", "shared_server"]  # fixtures

ROOT = Path(__file__).parents[1]
SCHEMA = """\
stream payments time ts type kind late 10s
event txn from payments (card text, amount money)
"""
RULE = """
rule twice by card within 1m
  when txn as a where amount > 10
  then txn as b where amount > a.amount
  alert high "{card}: {a.amount}, then {b.amount}"
rule quiet by card within 1m
  when txn then no txn
  alert low "{card} is quiet"
"""
TESTS = """
test twice "more"
  at 0s txn {card: "c", amount: 11}
  at 1s txn {card: "c", amount: 12}
  at 1s expect twice {card: "c"}
test twice "less"
  at 0s txn {card: "c", amount: 12}
  at 1s txn {card: "c", amount: 11}
  at 1s expect no twice
"""
COMMAND = [sys.executable, "-c", "import sys; from cep.adapters.cli.main import main; sys.exit(main())"]


class Cli:
    """Runs a command in this process; `out` and `err` are what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys, self.folder = capsys, folder
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        code = main(arguments)
        self.out, self.err = self._capsys.readouterr()
        return code

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return str(path)


@pytest.fixture
def cli(capsys, tmp_path):
    return Cli(capsys, tmp_path)


@pytest.fixture
def rules(cli):
    return cli.file("rules.cep", SCHEMA + RULE + TESTS)


def lines(*events: tuple[int, str, float]) -> str:
    return "".join(f'{{"ts":{ts},"kind":"txn","card":"{card}","amount":{amount}}}\n' for ts, card, amount in events)


# ------------------------------------------------------------------------------------------- check


def test_check_accepts(cli, rules):
    assert cli("check", rules) == 0
    assert cli.out == ""
    assert cli.err == "1 file · 2 rules · 2 tests · 0 errors · 0 warnings\n"


def test_check_shows_every_mistake(cli):
    path = cli.file("bad.cep", SCHEMA + RULE.replace("amount > 10", "amuont > 10").replace("alert low", "alert lwo"))
    assert cli("check", path) == 1
    assert f'{path}:5:23 error[CEP104] unknown name "amuont"' in cli.out
    assert '^^^^^^ help: did you mean "amount"?' in cli.out
    assert cli.out.count("error[") == 2
    assert cli.err == "1 file · 2 errors · 0 warnings\n"
    assert "\x1b" not in cli.out + cli.err


def test_check_for_programs(cli):
    path = cli.file("bad.cep", SCHEMA + "rule r when nobody")
    assert cli("check", path, "--format", "json") == 1
    (found,) = json.loads(cli.out)["diagnostics"]
    assert (found["code"], found["line"], found["column"], found["severity"]) == ("CEP104", 3, 13, "error")
    assert cli("check", path, "--format", "github") == 1
    assert cli.out.startswith(
        f"::error file={path},line=3,col=13,endLine=3,endColumn=19,title=CEP104::there is no event"
    )


def test_usage(cli, tmp_path):
    for arguments in (["check"], ["check", "--no-such-option", "x"], ["nonsense"], ["check", "x", "--format", "yaml"]):
        assert cli(*arguments) == 2, arguments
        assert cli.out == ""
    assert cli("check", str(tmp_path / "absent.cep")) == 2
    assert cli.err.startswith("error: there is no file or folder ")
    assert cli("check", str(tmp_path)) == 2
    assert "there is no .cep file under" in cli.err


def test_explain_error(cli):
    assert cli("explain-error", "cep104") == 0
    assert cli.out.startswith("CEP104  ")
    assert cli("explain-error", "CEP000") == 2
    assert "CEP104" in cli.err


def test_version(cli):
    assert cli("--version") == 0
    assert cli.out.startswith("cep")


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"], ["run", "--help"], ["check", "rules/fraud"]])
def test_what_is_asked_for_often_imports_little(arguments):
    script = f"from cep.adapters.cli.main import main; import sys; main({arguments!r}); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(eval(done.stdout.splitlines()[-1]))
    assert not modules & {"numba", "numpy", "redis", "orjson", "msgspec"}


# -------------------------------------------------------------------------------------------- test


def test_test(cli, rules):
    assert cli("test", rules) == 0
    passed, _, wanted = cli.out.partition("\n\n")
    assert [line.split("  ")[0] for line in passed.splitlines()] == ["PASS twice › more", "PASS twice › less"]
    assert wanted == "Not shown by any test\n  quiet  no tests\n"
    assert cli.err.endswith("2 tests · 2 passed · 0 failed\n")


def test_test_fails(cli):
    path = cli.file("rules.cep", SCHEMA + RULE + TESTS.replace("amount: 12", "amount: 9"))
    assert cli("test", path) == 1
    assert "FAIL twice › more" in cli.out
    assert cli("test", path, "--format", "json") == 1
    assert [result["passed"] for result in json.loads(cli.out)["tests"]] == [False, True]
    assert [entry["rule"] for entry in json.loads(cli.out)["coverage"]] == ["twice", "quiet"]
    assert cli("test", path, "--format", "junit") == 1
    suite = ElementTree.fromstring(cli.out)
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failed = suite.find("testcase[@name='more']")
    assert failed is not None
    assert failed.find("failure") is not None


def test_test_of_one_rule_in_every_way(cli, rules):
    assert cli("test", rules, "--rule", "twice", "--shuffle", "--cut", "--restart", "--seed", "5") == 0
    assert "Not shown" not in cli.out
    assert cli("test", rules, "--rule", "twise") == 2
    assert 'did you mean "twice"?' in cli.err
    assert cli("test", rules, "--rule", "quiet") == 1
    assert "quiet has no test blocks" in cli.err


def test_without_tests_nothing_is_proved(cli):
    assert cli("test", cli.file("rules.cep", SCHEMA + RULE)) == 1
    assert "no test blocks" in cli.err


# ------------------------------------------------------------------------------------------ replay

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


# --------------------------------------------------------------------------------------------- fmt


def test_fmt_writes_in_place_and_is_done(cli):
    path = cli.file("r.cep", SCHEMA + "rule   r by card when  txn # odd\n")
    assert cli("fmt", "--check", path) == 1
    assert cli.out == f"{path} is not formatted\n"
    assert cli("fmt", "--diff", path) == 1
    assert "+rule r by card when txn  # odd\n" in cli.out
    assert cli("fmt", path) == 0
    assert Path(path).read_text("utf-8") == SCHEMA + "rule r by card when txn  # odd\n"
    assert cli("fmt", "--check", str(cli.folder)) == 0
    assert (cli.out, cli.err) == ("", "1 file · 0 would change\n")


def test_fmt_leaves_alone_what_does_not_parse(cli):
    path = cli.file("r.cep", "rule   r wen a")
    assert cli("fmt", path) == 1
    assert "CEP104" in cli.err
    assert "1 left alone" in cli.err
    assert Path(path).read_text("utf-8") == "rule   r wen a"


def test_fmt_of_stdin(cli, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("let   a=1"))
    assert cli("fmt", "-") == 0
    assert (cli.out, cli.err) == ("let a = 1\n", "")
