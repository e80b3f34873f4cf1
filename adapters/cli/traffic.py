"""The commands that put events into streams: `cep send`, and `cep dlq` for what could not be read."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from cep.adapters.cli.console import CommandError
from cep.adapters.cli.options import Alerts, AllowPlain, AtLeastOne, Partitions, Redis, RedisCa

dlq = App(name="dlq", help="What could not be read: list it, look at it, send it again.")


def send(
    stream: str,
    *,
    from_: Annotated[list[str], Parameter(name="--from", consume_multiple=True, negative=())],
    redis: Redis = None,
    key: str | None = None,
    partitions: Partitions = None,
    name: str | None = None,
    rate: Annotated[int | None, Parameter(validator=AtLeastOne)] = None,
    input_format: Literal["ndjson", "csv", "parquet", "arrow"] | None = None,
    redis_ca: RedisCa = None,
    allow_plain: AllowPlain = False,
) -> int:
    """Send events in files to a stream, or to its partitions, each once.

    Parameters
    ----------
    stream
        The stream's name.
    from_
        Files of events: JSON lines, CSV with a header (both .gz too), Parquet, Arrow; - is stdin.
    redis
        The server, redis://HOST:PORT/DB. CEP_REDIS_URL_FILE may name a file that holds it.
    key
        The field by whose text an event's partition is found; a.b is the field b of the object a.
    partitions
        How many partitions the stream has, as cep run was told.
    name
        Of this delivery: sent again under it within a week, the same files go on where they were.
    rate
        Events a second, at most.
    input_format
        The format of the files; by default by their names.
    redis_ca
        A file of certificates that the server's is checked against, for rediss://.
    allow_plain
        Speak to another machine without TLS.
    """
    from cep.adapters.cli.address import Address
    from cep.adapters.cli.send import Route, send

    return send(from_, input_format, Address(redis, redis_ca, allow_plain), Route(stream, key, partitions, name), rate)


@dlq.command(name="list")
def list_(
    *,
    redis: Redis = None,
    alerts: Alerts = "alerts",
    partitions: Partitions = None,
    redis_ca: RedisCa = None,
    allow_plain: AllowPlain = False,
) -> int:
    """Count the dead letters by stream and reason.

    Parameters
    ----------
    redis
        The server, as for cep send.
    alerts
        The stream of alerts, whose dead letters are in KEY:dlq.
    partitions
        How many partitions there are.
    redis_ca
        A file of certificates, for rediss://.
    allow_plain
        Speak to another machine without TLS.
    """
    from cep.adapters.cli.address import Address
    from cep.adapters.cli.dlq import list_letters

    return list_letters(Address(redis, redis_ca, allow_plain), alerts, partitions)


@dlq.command
def show(
    *id: str,
    redis: Redis = None,
    alerts: Alerts = "alerts",
    partitions: Partitions = None,
    reason: str | None = None,
    stream: str | None = None,
    limit: Annotated[int, Parameter(validator=AtLeastOne)] = 20,
    redis_ca: RedisCa = None,
    allow_plain: AllowPlain = False,
) -> int:
    """Show dead letters, one JSON object a line, the oldest first.

    Parameters
    ----------
    id
        Ids of letters; by default all of them.
    redis
        The server, as for cep send.
    alerts
        The stream of alerts, whose dead letters are in KEY:dlq.
    partitions
        How many partitions there are.
    reason
        Only those of this reason.
    stream
        Only those of this stream; of a partition, NAME:{p00}.
    limit
        At most so many.
    redis_ca
        A file of certificates, for rediss://.
    allow_plain
        Speak to another machine without TLS.
    """
    from cep.adapters.cli.address import Address
    from cep.adapters.cli.dlq import Choice, show_letters

    choice = Choice(id, reason, stream, limit)
    return show_letters(Address(redis, redis_ca, allow_plain), alerts, partitions, choice)


@dlq.command
def replay(
    *id: str,
    redis: Redis = None,
    alerts: Alerts = "alerts",
    partitions: Partitions = None,
    reason: str | None = None,
    stream: str | None = None,
    all: Annotated[bool, Parameter(negative=())] = False,
    redis_ca: RedisCa = None,
    allow_plain: AllowPlain = False,
) -> int:
    """Send the events of dead letters to their streams once more, and take the letters away.

    Parameters
    ----------
    id
        Ids of letters, as cep dlq show has them.
    redis
        The server, as for cep send.
    alerts
        The stream of alerts, whose dead letters are in KEY:dlq.
    partitions
        How many partitions there are.
    reason
        Those of this reason.
    stream
        Those of this stream; of a partition, NAME:{p00}.
    all
        All of them.
    redis_ca
        A file of certificates, for rediss://.
    allow_plain
        Speak to another machine without TLS.
    """
    from cep.adapters.cli.address import Address
    from cep.adapters.cli.dlq import Choice, replay_letters

    if not (id or reason or stream or all):
        raise CommandError("say which letters: ids, --reason, --stream, or --all")
    return replay_letters(Address(redis, redis_ca, allow_plain), alerts, partitions, Choice(id, reason, stream))
