"""The controls of docs/security.md: roles, TLS, secrets, snapshots that somebody has tampered with, no eval."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from cep.adapters.cli.address import Address, is_near
from cep.adapters.cli.console import CommandError
from cep.adapters.cli.detector import build
from cep.adapters.cli.dlq import Box, Choice
from cep.adapters.cli.journal import Journal
from cep.adapters.cli.main import main
from cep.adapters.cli.run import Service
from cep.adapters.files import snapshots
from cep.adapters.files.snapshots import DirectorySnapshots
from cep.adapters.redis.keys import Keys
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.producer import connect
from cep.adapters.redis.selfcheck import findings
from cep.adapters.redis.server import APPEND, LIBRARY, load_library
from cep.adapters.redis.session import Session
from cep.adapters.redis.workers import Membership
from cep.delivery.history import following
from cep.errors import ConfigurationError
from cep.lang import check_texts
from cep.ports import BadEvent, Commit, Entries, EntryId, LateEvent, LogError, Point, Position
from tests.servers import BINARIES, Server, server, shared_server

__all__ = ["server", "shared_server"]
ROOT = Path(__file__).parents[1]
ROLES = {line.split()[1]: line.split()[2:] for line in (ROOT / "adapters/redis/roles.acl").read_text().splitlines()}

# ------------------------------------------------------------------------------------------------- roles


@pytest.fixture
def guarded(server: Server) -> Iterator[Server]:
    """A server with the roles of the shipped file, whose functions an administrator has loaded."""
    client = server.client()
    session = Session(server.url)
    for library in (LIBRARY, APPEND):
        load_library(session, library)
    session.close()
    for role, rules in ROLES.items():
        client.execute_command("ACL", "SETUSER", role, *_grouped(rules), f">secret-of-{role}")
    yield server
    client.execute_command("ACL", "DELUSER", *ROLES)


def _grouped(rules: list[str]) -> list[str]:
    """A selector is one word."""
    text = " ".join(rules).replace(" (", "\n(").split("\n")
    return [*text[0].split(), *text[1:]]


def url_of(server: Server, role: str) -> str:
    return f"redis://{role}:secret-of-{role}@127.0.0.1:{server.port}/0"


@pytest.mark.parametrize("kind", BINARIES)
def test_a_server_starts_with_the_shipped_file(kind: str, tmp_path: Path) -> None:
    binary = BINARIES[kind]
    if binary is None:
        pytest.skip("redis-server is not installed")
    shutil.copy(ROOT / "adapters/redis/roles.acl", tmp_path / "roles.acl")
    running = Server(binary, tmp_path, "--aclfile", str(tmp_path / "roles.acl"))
    try:
        assert set(ROLES) < set(running.client().acl_users())
        for role in ROLES:
            with pytest.raises(ConfigurationError, match="refuses the user or the password"):
                Session(f"redis://{role}:@127.0.0.1:{running.port}/0")
    finally:
        running.kill()


@pytest.mark.parametrize("partition", [None, 3])
def test_each_role_can_do_its_work(guarded: Server, partition: int | None) -> None:
    keys = Keys("cep", "alerts", partition)
    (stream,) = keys.of_streams(["payments"])
    with connect(url_of(guarded, "cep-producer"), "payments", None if partition is None else 4, name="p") as producer:
        for n in range(20):
            producer.send({"n": n}, n)
    session = lambda: Session(url_of(guarded, "cep-detector"))  # noqa: E731
    log = RedisLog(session, ["payments"], keys, trims=True, allow_volatile=True)
    point = log.open().point
    (entries,) = log.read(point.offsets, None)
    last, count = entries.id(-1), len(entries)
    bad, late = BadEvent(0, last, 0, "json", "", "", b"{"), LateEvent(0, last, 0, b"{}")
    commit = Commit({0: Position(last, count, entries.digest)}, [b"one"], [bad], [late], [b"trial"])
    after = following(point, commit)
    log.commit(point, commit, after)
    log.suspect(0, last, 1)
    log.settle()
    assert log.turns(Point(), after) is not None
    assert log.read({}, after.offsets)
    log.trim(after)
    log.close()
    membership = Membership(session, keys.own("workers"), "one", 5)
    membership.agree(keys.own("partitions"), 4)
    assert membership.beat() == ["one"]
    membership.leave()
    assert findings(session, [stream], is_near=True) == []
    assert not [said for said in findings(session, [stream], is_near=False) if said.startswith("the account")]
    reader = Session(url_of(guarded, "cep-reader"))
    assert reader.call("XREAD", "COUNT", 1, "STREAMS", keys.outputs()[0], "0")[0][1][0][1] == [b"alert", b"one"]
    box = Box(Address(url_of(guarded, "cep-operator")), "alerts", None if partition is None else 4)
    assert [box.send_again(letter) for letter in box.letters(Choice())] == ["sent"]


FOREIGN = [
    ("cep-detector", "XADD", "payments", "*", "a", "1"),
    ("cep-detector", "DEL", "payments"),
    ("cep-detector", "GET", "other"),
    ("cep-detector", "XRANGE", "other", "-", "+"),
    ("cep-producer", "XRANGE", "payments", "-", "+"),
    ("cep-producer", "XTRIM", "payments", "MAXLEN", "0"),
    ("cep-producer", "DEL", "payments"),
    ("cep-producer", "XADD", "alerts", "*", "alert", "forged"),
    ("cep-producer", "XRANGE", "alerts", "-", "+"),
    ("cep-producer", "FCALL", "cep_v3_commit", "2", "cep:{cep}:meta", "alerts", "x"),
    ("cep-producer", "FCALL", "cep_append_v1", "2", "alerts", "{payments}:producer:x", "1", "1", "9", "2", "a", "1"),
    ("cep-reader", "XADD", "alerts", "*", "alert", "forged"),
    ("cep-reader", "XDEL", "alerts", "1-0"),
    ("cep-reader", "XRANGE", "payments", "-", "+"),
    ("cep-reader", "FCALL", "cep_v3_note", "1", "cep:{cep}:meta", "x"),
    ("cep-operator", "XDEL", "alerts", "1-0"),
    ("cep-operator", "XDEL", "payments", "1-0"),
    ("cep-operator", "HSET", "cep:{cep}:meta", "token", "x"),
]
NOBODY = [
    ("EVAL", "return 1", "0"),
    ("FUNCTION", "FLUSH"),
    ("FUNCTION", "LOAD", "REPLACE", "#!lua name=x\nredis.register_function('x', function() end)"),
    ("CONFIG", "SET", "appendonly", "no"),
    ("FLUSHALL",),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("ACL", "LIST"),
    ("MONITOR",),
    ("DEBUG", "SLEEP", "0"),
    ("SHUTDOWN", "NOSAVE"),
    ("REPLICAOF", "NO", "ONE"),
    ("CLIENT", "LIST"),
    ("PUBLISH", "channel", "x"),
    ("SAVE",),
    ("XGROUP", "CREATE", "payments", "g", "0"),
    ("XSETID", "payments", "9-0"),
    ("RENAME", "payments", "other"),
    ("RESTORE", "payments", "0", "x"),
]


@pytest.mark.parametrize("command", [*FOREIGN, *((role, *command) for role in ROLES for command in NOBODY)], ids=str)
def test_no_role_can_do_anything_else(guarded: Server, command: tuple[str, ...]) -> None:
    client = guarded.client()
    for key in ("payments", "alerts", "other"):
        client.xadd(key, {"a": "1"}, id="1-0")
    role, *words = command
    with pytest.raises(LogError, match=r"NOPERM|ACL failure|The user executing the script can't"):
        Session(url_of(guarded, role)).call(*words)
    assert [client.xlen(key) for key in ("payments", "alerts", "other")] == [1, 1, 1]


def test_the_commands_of_a_role_are_those_of_the_file(guarded: Server) -> None:
    """Every command that the server has is tried, with as many keys of the stream and of others as it takes words."""
    client = guarded.client()
    for role, rules in ROLES.items():
        listed = {rule.strip("(+)") for rule in rules if rule.lstrip("(").startswith("+")}
        allowed = set()
        for name, least in _commands(client):
            for key in ("payments", "alerts", "alerts:dlq", "cep:{cep}:meta", "{payments}:producer:p", "other", "1"):
                words = [*name.split("|"), *([key] * (least - 1 - name.count("|")))]
                if client.execute_command("ACL", "DRYRUN", role, *words) in (b"OK", "OK"):
                    allowed.add(name)
        assert allowed <= listed | ALWAYS, role
        assert listed - allowed <= {"fcall", "xread", "zadd"}, "which take other words; the test above has them"


ALWAYS = {"auth", "hello", "quit", "reset"}  # which no rule takes away


def _commands(client: redis.Redis) -> list[tuple[str, int]]:
    """Of a server, with the least number of words of each."""
    session = Session(f"redis://127.0.0.1:{client.connection_pool.connection_kwargs['port']}/0")
    found = []
    for told in session.call("COMMAND"):
        found += [(name.decode(), abs(arity)) for name, arity, *_ in told[9] or [told]]
    session.close()
    return found


# --------------------------------------------------------------------------------------------------- TLS


def certificates(folder: Path) -> None:
    """An authority, a certificate of it for localhost, and another authority."""
    for name in ("ca", "other"):
        _openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                 "-keyout", f"{name}.key", "-out", f"{name}.crt")  # fmt: skip
    _openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key",
             "-out", "server.csr")  # fmt: skip
    (folder / "names").write_text("subjectAltName=DNS:localhost", "utf-8")
    _openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "2",
             "-extfile", "names", "-out", "server.crt")  # fmt: skip


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A server that speaks TLS, on its plain port's neighbour."""
    binary, folder = BINARIES["redis"], tmp_path_factory.mktemp("tls")
    if binary is None or shutil.which("openssl") is None:
        pytest.skip("redis-server or openssl is not installed")
    certificates(folder)
    probe = Server(binary, folder)
    probe.kill()
    options = ["--tls-port", str(probe.port), "--port", "0", "--tls-auth-clients", "no"]
    for option, file in (("cert-file", "server.crt"), ("key-file", "server.key"), ("ca-cert-file", "ca.crt")):
        options += [f"--tls-{option}", str(folder / file)]
    command = [binary, "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "yes", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while True:
        try:
            Session(Address(f"rediss://localhost:{probe.port}/0", str(folder / "ca.crt")).url()).close()
            break
        except LogError:
            assert process.poll() is None, "the server has no TLS"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.02)
    yield folder, probe.port
    process.kill()
    process.wait()


def test_events_go_by_tls(sealed: tuple[Path, int], tmp_path: Path, monkeypatch: Any) -> None:
    folder, port = sealed
    (tmp_path / "events.ndjson").write_text('{"n": 1}\n', "utf-8")
    words = ["send", "payments", "--from", str(tmp_path / "events.ndjson"), "--redis", f"rediss://localhost:{port}/0"]
    assert main([*words, "--redis-ca", str(folder / "ca.crt")]) == 0
    monkeypatch.setenv("CEP_REDIS_CA", str(folder / "ca.crt"))
    assert main(words) == 0
    session = Session(Address(f"valkeys://localhost:{port}/0", str(folder / "ca.crt")).url())
    assert session.call("XLEN", "payments") == 2


@pytest.mark.parametrize(
    ("host", "ca"), [("localhost", None), ("localhost", "other.crt"), ("127.0.0.1", "ca.crt")], ids=str
)
def test_who_cannot_show_who_it_is_is_refused(sealed: tuple[Path, int], host: str, ca: str | None) -> None:
    folder, port = sealed
    with pytest.raises(LogError, match=r"(?i)certificate.verify.failed"):
        Session(Address(f"rediss://{host}:{port}/0", ca and str(folder / ca)).url())
    with pytest.raises(LogError):
        Session(f"redis://{host}:{port}/0").call("PING")


def test_what_is_near() -> None:
    near = ["redis://localhost", "redis://127.0.0.1:1/0", "redis://u:p@[::1]:7/0", "unix:///run/redis.sock", "redis://"]
    far = ["redis://10.0.0.1", "redis://redis:6379", "redis://127.0.0.1.evil.example", "redis://localhost.example"]
    far += ["redis://localhost@10.0.0.1", "redis://0.0.0.0"]
    assert [is_near(url) for url in near + far] == [True] * len(near) + [False] * len(far)
    for url in far:
        with pytest.raises(CommandError, match="--allow-plain"):
            Address(url).url()
        assert Address(url, allow_plain=True).url() == url
        assert Address(url.replace("redis:", "rediss:", 1)).url().startswith("rediss:")


# ----------------------------------------------------------------------------------------------- secrets

PASSWORD = "correct-horse-battery"
RULES = """stream s time ts
event e from s (k text)
rule r by k within 1m when e as p alert high "{k}"
"""


def test_secrets_are_shown_nowhere(server: Server, tmp_path: Path) -> None:
    """Neither when all goes well, nor in any complaint, nor where other processes look."""
    (tmp_path / "rules.cep").write_text(RULES, "utf-8")
    client, url = server.client(), f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0"
    (tmp_path / "url").write_text(url, "utf-8")
    client.config_set("requirepass", PASSWORD)
    environment = {**os.environ, "CEP_REDIS_URL_FILE": str(tmp_path / "url"), "CEP_SNAPSHOT_KEY": PASSWORD}
    environment.pop("CEP_REDIS_URL", None)
    command = [sys.executable, "-c", "import sys; from cep.adapters.cli.main import main; sys.exit(main())"]
    said = []
    try:
        run = subprocess.Popen(
            [*command, "run", str(tmp_path / "rules.cep"), "--snapshots", str(tmp_path / "kept")],
            env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert run.stderr is not None
        said.append(run.stderr.readline())
        assert '"started"' in said[0], said[0] + run.stderr.read()
        said.append(Path(f"/proc/{run.pid}/cmdline").read_text() if Path("/proc").is_dir() else "")
        run.send_signal(signal.SIGTERM)
        said += run.communicate(timeout=60)
        assert run.returncode == 0
        for wrong in (url.replace(PASSWORD, PASSWORD + "!"), f"http://:{PASSWORD}@h", f"redis://:{PASSWORD}@10.9.9.9"):
            (tmp_path / "url").write_text(wrong, "utf-8")
            words = [*command, "run", str(tmp_path / "rules.cep")]
            done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 2, done.stderr
            said += [done.stdout, done.stderr]
    finally:
        redis.Redis(port=server.port, password=PASSWORD).config_set("requirepass", "")
    assert not [text for text in said if PASSWORD in text]
    for path in (tmp_path / "kept").rglob("*"):
        assert PASSWORD.encode() not in path.read_bytes()


def test_what_holds_a_secret_does_not_show_it() -> None:
    address = Address(f"redis://:{PASSWORD}@localhost/0")
    service = Service(address, "g", "alerts", None, 30, False, 1)
    for thing in (address, service):
        assert PASSWORD not in repr(thing)


# --------------------------------------------------------------------------------------------- snapshots

POINT = Point(5, "ab", {0: Position(EntryId(1, 0), 1, 7)})


def test_only_who_has_the_key_can_make_a_snapshot(tmp_path: Path) -> None:
    ours = DirectorySnapshots(tmp_path, "g", ["a"], b"k" * 64)
    ours.save(POINT, b"state")
    assert ours.load(POINT) == b"state"
    for key in (b"", b"K" * 64):
        other = DirectorySnapshots(tmp_path, "g", ["a"], key)
        assert list(other.points()) == [POINT]
        assert other.load(POINT) is None
        other.save(POINT, b"forged")
        assert ours.load(POINT) is None
        ours.save(POINT, b"state")


def test_no_link_is_followed_and_nothing_but_files_is_read(tmp_path: Path) -> None:
    elsewhere = DirectorySnapshots(tmp_path / "elsewhere", "g", ["a"])
    elsewhere.save(POINT, b"state")
    (file,) = (tmp_path / "elsewhere").iterdir()
    store = DirectorySnapshots(tmp_path / "s", "g", ["a"])
    place = tmp_path / "s" / file.name
    place.symlink_to(file)
    assert (list(store.points()), store.load(POINT)) == ([], None)
    place.unlink()
    os.mkfifo(place)
    assert (list(store.points()), store.load(POINT)) == ([], None)
    place.unlink()
    target = tmp_path / "precious"
    target.write_text("precious", "utf-8")
    (tmp_path / "s" / f"{place.stem}.{os.getpid()}.tmp").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        store.save(POINT, b"state")
    assert target.read_text("utf-8") == "precious"


def test_a_snapshot_of_any_length_costs_no_more_than_its_header(tmp_path: Path, monkeypatch: Any) -> None:
    store = DirectorySnapshots(tmp_path, "g", ["a"])
    store.save(POINT, b"state")
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("r+b") as file:
        file.truncate(2**40)  # which takes no room on the disk
    assert store.load(POINT) is None
    store.save(POINT, b"state")
    monkeypatch.setattr(snapshots, "DATA_BYTES_MAX", 4)
    assert store.load(POINT) is None


# ------------------------------------------------------------------------- what authors and events may hold

EVIL = ["(a+)+$", "([a-zA-Z]+)*$", "(a|aa)+$", "(a|a?)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y",
        "(a*)*b", "((a{1,30}){1,30}){1,30}$", r"(a+)\\1$", "(?=a+)b", "(a?){50}a{50}$"]  # fmt: skip


@pytest.mark.parametrize("pattern", EVIL)
def test_no_pattern_explodes(pattern: str) -> None:
    """A backtracking matcher would need longer than anybody lives: that this ends is what it shows."""
    text = RULES.replace("when e as p", f'when e as p where k matches "{pattern}"')
    loaded = check_texts({"rules.cep": text})
    if loaded.ruleset is None:
        assert "matches" in str(loaded.diagnostics) or "pattern" in str(loaded.diagnostics)
        return
    _, detector = build(loaded.ruleset)
    for subject in ("a" * 5000 + "!", "ax" * 2500 + "!"):
        event = b'{"ts": 1767607361000, "k": "%b"}' % subject.encode()
        assert not detector.apply([Entries.of(0, [(EntryId(1, 0), [b"event", event])])]).bad


def test_a_log_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    nasty = 'a\r\nlevel=error\x1b[2J\u2028"}'
    Journal("json").write("progress", {"rule": nasty})
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert json.loads(line)["rule"] == nasty


def test_nothing_runs_a_text() -> None:
    """Neither eval nor pickle, which would make of a rule, an event or a file a program."""
    for path in [*(ROOT / "cep").rglob("*.py"), *(ROOT / "adapters").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile", "__import__"}, f"{path}:{node.lineno}"
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not {"pickle", "marshal", "shelve", "dill"} & set(names), path
            assert not (isinstance(node, ast.ImportFrom) and node.module in {"pickle", "marshal"}), path
