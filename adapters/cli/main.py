"""`cep`: every command and option on one page. What a command does is in the module that it imports when it is run.

Exit codes: 0 ok · 1 findings (a mistake in a rule, a failed test) · 2 usage or configuration · 3 failure at run time ·
130 interrupted. Options come before `CEP_*` variables, which come before defaults.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import App, Parameter, validators

from cep.adapters.cli.console import DEV_STDIN, FAILED, INTERRUPTED, OK, USAGE, CommandError, paint, say
from cep.adapters.cli.options import Alerts, AllowPlain, AtLeastOne, Partitions, Redis, RedisCa, Shards
from cep.adapters.cli.traffic import dlq, send
from cep.errors import ConfigurationError


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"cep {version('cep')}"
    except PackageNotFoundError:
        return "cep, run from its source without being installed"


app = App(
    name="cep",
    help="Complex event processing: readable rules over streams of events.",
    help_epilogue="Exit codes: 0 ok, 1 findings, 2 usage or configuration, 3 failure at run time, 130 interrupted.",
    version=_version,
    suppress_keyboard_interrupt=False,
)

app.command(send)
app.command(dlq)


@app.command
def check(
    *path: Annotated[str, Parameter(required=True)],
    format: Literal["text", "json", "github"] = "text",
    strict: Annotated[bool, Parameter(negative=())] = False,
    cost: Annotated[bool, Parameter(name=("--cost", "-v"), negative=())] = False,
    retention: str | None = None,
) -> int:
    """Check rule files: every mistake in one pass.

    Parameters
    ----------
    path
        Rule files, or folders of them.
    format
        text, one JSON document, or annotations as GitHub shows them.
    strict
        Warnings are findings too.
    cost
        Say what each rule remembers for a key, and what bounds it; JSON always does.
    retention
        How far back the streams reach, such as 7d: longer windows are warned of.
    """
    from cep.adapters.cli.rules import check

    return check(path, format, strict, cost, retention)


@app.command
def fmt(
    *path: Annotated[str, Parameter(required=True)],
    check: Annotated[bool, Parameter(negative=())] = False,
    diff: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Write rule files in their one layout. Comments stay, and what does not parse is left alone.

    Parameters
    ----------
    path
        Rule files, or folders of them; - takes a text from stdin to stdout.
    check
        Change nothing; exit with 1 when something would change.
    diff
        The same, and show what would change.
    """
    from cep.adapters.cli.fmt import fmt

    return fmt(path, check, diff)


@app.command
def graph(
    rule: str,
    *path: Annotated[str, Parameter(required=True)],
    format: Literal["text", "mermaid", "dot", "svg", "json"] = "text",
) -> int:
    """Draw a rule: the chain of a `when`, the states of a `while`.

    Parameters
    ----------
    rule
        The rule's name.
    path
        Rule files, or folders of them.
    format
        text for the terminal, a Mermaid state diagram, a Graphviz digraph, an SVG image, or one JSON document.
    """
    from cep.adapters.cli.graph import draw

    return draw(rule, path, format)


@app.command(name="test")
def verify(
    *path: Annotated[str, Parameter(required=True)],
    format: Literal["text", "json", "junit"] = "text",
    rule: str | None = None,
    shuffle: Annotated[bool, Parameter(negative=())] = False,
    cut: Annotated[bool, Parameter(negative=())] = False,
    restart: Annotated[bool, Parameter(negative=())] = False,
    seed: int = 1,
) -> int:
    """Run the `test` blocks of rule files on the engine, and say what they do not show.

    Parameters
    ----------
    path
        Rule files, or folders of them.
    format
        text, one JSON document, or JUnit's XML.
    rule
        Run the tests of this rule only.
    shuffle
        Run each test again with its events out of order, by less than their stream's `late`.
    cut
        Run each test again with every event in a batch of its own.
    restart
        Run each test again, writing and reading a snapshot after every event.
    seed
        Of --shuffle.
    """
    from cep.adapters.cli.tests import Trials, test

    return test(path, format, rule, Trials(shuffle, cut, restart, seed))


@app.command
def replay(
    *path: Annotated[str, Parameter(required=True)],
    from_: Annotated[list[str], Parameter(name="--from", consume_multiple=True, negative=())],
    stream: str | None = None,
    format: Literal["text", "ndjson"] | None = None,
    input_format: Literal["ndjson", "csv", "parquet", "arrow"] | None = None,
    drain: Annotated[bool, Parameter(negative=())] = False,
    batch: Annotated[int | None, Parameter(validator=AtLeastOne)] = None,
    shards: Shards = 1,
    dead: str | None = None,
) -> int:
    """Run rules over events in files: one alert a line on stdout, a summary on stderr.

    Time moves on to the last event.

    Parameters
    ----------
    path
        Rule files, or folders of them.
    from_
        Files of events, FILE or STREAM=FILE: JSON lines, CSV with a header (both .gz too), Parquet, Arrow; - is stdin.
    stream
        The stream of files given without one; by default the only one declared.
    format
        How alerts are written; by default text on a terminal, and ndjson elsewhere.
    input_format
        The format of the files; by default by their names.
    drain
        Move time on until nothing is pending.
    batch
        The most events taken at once. The alerts do not depend on it.
    shards
        In how many parts the keys stand, each with a thread. The alerts do not depend on it.
    dead
        Write what could not be read to this file.
    """
    from cep.adapters.cli.replay import Inputs, replay

    return replay(path, Inputs(from_, stream, input_format, batch), format, drain, dead, shards)


@app.command
def run(
    *path: Annotated[str, Parameter(required=True, env_var="CEP_RULES")],
    redis: Redis = None,
    group: Annotated[str, Parameter(env_var="CEP_GROUP")] = "cep",
    alerts: Alerts = "alerts",
    snapshots: Annotated[str | None, Parameter(env_var="CEP_SNAPSHOTS")] = None,
    snapshot_seconds: Annotated[int, Parameter(env_var="CEP_SNAPSHOT_SECONDS", validator=AtLeastOne)] = 30,
    shards: Shards = 1,
    partitions: Partitions = None,
    worker: Annotated[str | None, Parameter(env_var="CEP_WORKER")] = None,
    lease_seconds: Annotated[int, Parameter(env_var="CEP_LEASE_SECONDS", validator=AtLeastOne)] = 10,
    trim: Annotated[bool, Parameter(env_var="CEP_TRIM", negative=())] = False,
    replicas: Annotated[int, Parameter(env_var="CEP_REPLICAS", validator=validators.Number(gte=0))] = 0,
    on_gap: Annotated[Literal["halt", "continue"], Parameter(env_var="CEP_ON_GAP")] = "halt",
    watchdog_seconds: Annotated[
        int, Parameter(env_var="CEP_WATCHDOG_SECONDS", validator=validators.Number(gte=0))
    ] = 60,
    allow_volatile: Annotated[bool, Parameter(env_var="CEP_ALLOW_VOLATILE", negative=())] = False,
    redis_ca: RedisCa = None,
    allow_plain: AllowPlain = False,
    log_format: Annotated[Literal["text", "json"] | None, Parameter(env_var="CEP_LOG_FORMAT")] = None,
    report_seconds: Annotated[int, Parameter(env_var="CEP_REPORT_SECONDS", validator=AtLeastOne)] = 10,
) -> int:
    """Run rules over Redis Streams as a service, until SIGTERM or SIGINT.

    Parameters
    ----------
    path
        Rule files, or folders of them.
    redis
        The server, redis://HOST:PORT/DB. CEP_REDIS_URL_FILE may name a file that holds it.
    group
        Names the detector, of which one process runs, or several that share partitions.
    alerts
        The stream of alerts; dead letters, late events and alerts of shadow rules go to KEY:dlq, KEY:late, KEY:shadow.
    snapshots
        A folder for snapshots. Without one a start reads the streams from their beginning.
    snapshot_seconds
        How often a snapshot is taken: a start reads no more than what came in since.
    shards
        In how many parts the keys stand, each with a thread; a snapshot keeps its own number.
    partitions
        Into how many parts the streams are divided: STREAM:{p00} and so on, which workers of a group share.
    worker
        The name of this process among its group; by default the machine's. It takes over at once what it had before.
    lease_seconds
        How long another worker waits for one that has died.
    trim
        Delete from the streams what the oldest snapshot covers.
    replicas
        How many replicas of the server have to have a commit before the next one.
    on_gap
        Whether to stop, with the number, when a stream has lost entries that were not applied, or to note it and go on.
    watchdog_seconds
        How long a batch may take before the process ends itself, so that the next finds what it was; 0: for ever.
    allow_volatile
        Accept a server that loses data when it stops.
    redis_ca
        A file of certificates that the server's is checked against, for rediss://.
    allow_plain
        Speak to another machine without TLS.
    log_format
        How log lines are written; by default text on a terminal, and json elsewhere.
    report_seconds
        How often figures are logged while there are events.
    """
    from cep.adapters.cli.address import Address
    from cep.adapters.cli.run import Service, run

    service = Service(
        Address(redis, redis_ca, allow_plain),
        group,
        alerts,
        snapshots,
        snapshot_seconds,
        allow_volatile,
        shards,
        partitions,
        worker,
        lease_seconds,
        trim,
        replicas,
        on_gap == "continue",
        watchdog_seconds,
    )
    return run(path, service, log_format, report_seconds)


@app.command
def demo(
    *,
    for_: Annotated[str, Parameter(name="--for")] = "20s",
    rate: Annotated[int, Parameter(validator=AtLeastOne)] = 2000,
    seed: int = 1,
) -> int:
    """Watch fraud being found: a private Valkey, invented card payments with planted frauds, and the shipped rules.

    Parameters
    ----------
    for_
        How long, such as 20s or 5m.
    rate
        Events a second.
    seed
        Of the invented events.
    """
    from cep.adapters.cli.demo import demo

    return demo(for_, rate, seed)


@app.command
def warmup() -> int:
    """Compile every kernel now, into the cache, as the first start would."""
    from cep.adapters.cli.warmup import warmup

    return warmup()


@app.command(name="import")
def import_(
    system: Literal["sigma", "prometheus", "eql"],
    *file: Annotated[str, Parameter(required=True)],
    out: Annotated[str | None, Parameter(name=["--out", "-o"])] = None,
) -> int:
    """Translate the rules of another system, with a note for all that could not be carried over.

    Parameters
    ----------
    system
        sigma (correlations and detections), prometheus (alerting rules), or eql (queries, also in TOML).
    file
        Files of one rule set, which become one rule file.
    out
        Where to write it; by default to stdout.
    """
    from cep.adapters.cli.imports import import_rules

    return import_rules(system, file, out)


@app.command
def explain_error(code: str) -> int:
    """Explain a code such as CEP104, with a bad and a good example.

    Parameters
    ----------
    code
        The code, as `cep check` shows it.
    """
    from cep.adapters.cli.rules import explain_error

    return explain_error(code)


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911  # one return for each way to end
    """Run a command; its exit code. What the user can put right is one sentence on stderr."""
    try:
        # The parser takes a lone hyphen for an option; it stands for stdin, which has another name.
        given = [DEV_STDIN if word == "-" else word for word in (sys.argv[1:] if arguments is None else arguments)]
        result = app(given, result_action="return_value")
        return result if isinstance(result, int) else OK
    except SystemExit as end:  # a usage error, which has been shown
        return end.code if isinstance(end.code, int) else USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except ConfigurationError as error:
        return _complain(str(error), USAGE)
    except CommandError as error:
        return _complain(str(error), error.code)
    except OSError as error:
        return _complain(f"{error.filename or 'the system'}: {error.strerror or error}", FAILED)


def _complain(message: str, code: int) -> int:
    if message:
        say(f"{paint('error:', 'red', sys.stderr)} {message}")
    return code
