"""The fake server beside real ones: the same random commands, and every reply must be the same.

Left out is what no client may build on: the order of a hash's fields, the shape of a stream's tree, and where in a
function an error arose.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import ResponseError

from cep.adapters.redis.keys import Keys
from cep.adapters.redis.server import LIBRARY, shipped
from tests.servers import BINARIES, Server
from tests.simulation.commands import RefusalError, Store
from tests.simulation.data import WORD_MAX, Data, Hash, Stream
from tests.simulation.network import BEGIN_MS
from tests.simulation.streams import an_id

KEYS = Keys("g")
NAMES = [*KEYS.all_own(), "in", "in2"]
PIPELINE = 50
FLUSH = 400  # commands after which all begin anew
Words = tuple[bytes | str | int, ...]


class Commands:
    """Random commands, of which many make sense to a server that has `data`."""

    def __init__(self, rng: random.Random, data: Data) -> None:
        self.rng, self.data = rng, data

    def one(self) -> Words:
        make = self.rng.choice(MAKERS)
        return make(self)

    def key(self, usual: Sequence[str] = ("in", "in2", "out")) -> str:
        return self.rng.choice(NAMES) if self.rng.random() < 0.01 else self.rng.choice(usual)

    def hash_key(self) -> str:
        return self.key((KEYS.meta, "h"))

    def number(self) -> int:
        return self.rng.choice((0, 1, 2, 3, 5, 10, self.rng.randrange(40), -1))

    def id(self) -> str:
        draw = self.rng.random()
        if draw < 0.05:
            return f"{self.rng.choice((2**53, 2**63, WORD_MAX))}-{self.rng.choice((0, 2**53 + 1, WORD_MAX))}"
        if draw < 0.08:
            return self.rng.choice(("x", "1-", "-1", "1-x", "1-2-3", "01-1", str(2**64), "", "1-+"))
        ms = self.rng.randrange(30)
        return str(ms) if draw < 0.2 else f"{ms}-{self.rng.randrange(4)}"

    def end(self) -> str:
        return self.rng.choice(("", "", "(")) + self.id() if self.rng.random() < 0.7 else self.rng.choice("-+")

    def word(self) -> str:
        return self.rng.choice(("a", "b", "seq", "chain", "", "é", "offset:in", "7"))

    # ------------------------------------------------------------------------------------ functions

    def function(self) -> Words:
        name, args = self.rng.choice(FUNCTIONS)(self)
        keys = [*KEYS.all_own(), "in", "in2"]
        if self.rng.random() < 0.02:
            return ("FCALL", f"{LIBRARY}_nothing", 1, "x", "y")
        return ("FCALL", f"{LIBRARY}_{name}", len(keys), *keys, *args)

    def token(self) -> str:
        return "t1" if self.rng.random() < 0.95 else "t2"

    def lease(self) -> tuple[str, str, int]:
        return self.token(), self.rng.choice(("w", "w", "v")), 10**9

    def acquire(self) -> tuple[str, Words]:
        return "acquire", (*self.lease(), self.rng.choice("01"))

    def commit(self) -> tuple[str, Words]:
        rng, meta = self.rng, self.data.keys.get(KEYS.meta.encode())
        held: dict[bytes, bytes] = meta if isinstance(meta, Hash) else {}
        seq = int(held.get(b"seq", b"0")) + rng.choice((1, 1, 1, 1, 1, 0, 2))
        chains = [held.get(b"chain", b"").decode(), f"c{seq}"]
        if rng.random() < 0.1:
            chains = [rng.choice(("", "c1", "c2", "other")) for _ in chains]
        moved = [word for number in (1, 2) if rng.random() < 0.5 for word in self.moved(number, held)]
        outputs: list[bytes | str | int] = []
        for width in (2, 16, 8, 2):
            count = rng.choice((0, 0, 1, 2, 3))
            outputs += [count * width, *(f"f{n % width}" for n in range(count * width))]
        marked = rng.choice("01")
        return "commit", (*self.lease(), seq, *chains, "[]", marked, "{}", len(moved), *moved, *outputs)

    def moved(self, number: int, held: dict[bytes, bytes]) -> Words:
        """A stream's move: often one that may be."""
        rng, name = self.rng, ("in", "in2")[number - 1].encode()
        stream = self.data.keys.get(name)
        ids = stream.ids if isinstance(stream, Stream) else []
        if not ids or rng.random() < 0.2:
            offset = f"{rng.randrange(30)}-{rng.randrange(4)}"
            return number, rng.randrange(1, 5), offset, rng.randrange(1, 12), 77, rng.choice((0, 0, 1))
        last = ms, seq = rng.choice(ids)
        entries = sum(an_id(held.get(b"offset:" + name, b"0-0")) < each <= last for each in ids)
        ordinal = int(held.get(b"count:" + name, b"0")) + entries + rng.choice((0, 0, 0, 0, 1))
        return number, entries, f"{ms}-{seq}", ordinal, 77, int(rng.random() < 0.1)

    def trim(self) -> tuple[str, Words]:
        return "trim", (
            self.token(),
            self.rng.randrange(6),
            self.rng.choice(("", "5-0", "9-1")),
            f"{self.rng.randrange(40)}-0",
        )


def _wide(fields: int) -> Callable[[Commands], list[str]]:
    return lambda c: [word for n in range(fields) for word in (f"f{n}", c.word())]


MAKERS: tuple[Callable[[Commands], Words], ...] = (
    lambda c: ("XADD", c.key(), c.id(), *_wide(c.rng.choice((1, 1, 2)))(c)),
    lambda c: ("XADD", c.key(), f"{c.rng.randrange(30)}-*", "f", c.word()),
    lambda c: ("XADD", c.key(), f"{c.rng.randrange(30)}-{c.rng.randrange(4)}", "f", c.word()),
    lambda c: ("XADD", c.key(), c.id(), "f"),
    lambda c: ("XADD", c.key(), c.id(), "f", "v", "odd"),
    lambda c: ("XLEN", c.key()),
    lambda c: ("XRANGE", c.key(), c.end(), c.end()),
    lambda c: ("XRANGE", c.key(), c.end(), c.end(), "COUNT", c.number()),
    lambda c: ("XREAD", "COUNT", c.number(), "STREAMS", c.key(), c.key(), c.id(), c.id()),
    lambda c: ("XREAD", "STREAMS", c.key(), c.id()),
    lambda c: ("XDEL", c.key(), c.id(), c.id()),
    lambda c: ("XTRIM", c.key(), "MAXLEN", c.rng.choice(("=", "10", "3")), c.number()),
    lambda c: ("XTRIM", c.key(), "MAXLEN", c.number()),
    lambda c: ("XTRIM", c.key(), "MINID", "=", c.id()),
    lambda c: ("XTRIM", c.key(), "MINID", c.id()),
    lambda c: ("XINFO", "STREAM", c.key()),
    lambda c: ("XINFO", "STREAM", c.key()),
    lambda c: ("TYPE", c.key(NAMES)),
    lambda c: ("EXISTS", c.key(NAMES), c.key(NAMES)),
    lambda c: ("DEL", c.key(NAMES)) if c.rng.random() < 0.2 else ("TYPE", c.key(NAMES)),
    lambda c: ("PTTL", c.key((KEYS.own("lease"), "text"))),
    lambda c: ("GET", c.key((KEYS.own("lease"), "text"))),
    lambda c: ("SET", c.key(("text",)), c.word()),
    lambda c: ("SET", c.key(("text",)), c.word(), "PX", c.rng.choice((10**9, 0, -1, "x"))),
    lambda c: ("HSET", c.hash_key(), *_wide(2)(c)) if c.rng.random() < 0.3 else ("HGET", c.hash_key(), c.word()),
    lambda c: ("HSET", c.hash_key(), "a"),
    lambda c: ("HMGET", c.hash_key(), c.word(), c.word()),
    lambda c: ("HGETALL", c.hash_key()),
    lambda c: ("HEXISTS", c.hash_key(), c.word()),
    lambda c: ("HDEL", "h", c.word(), c.word()),
    lambda c: ("HINCRBY", c.key(("h",)), c.word(), c.rng.choice((1, -5, 2**63 - 1, "x", "1.5"))),
    lambda c: ("ZADD", c.key(("z",)), c.rng.choice((1, 2, 3, 10**13, "x")), c.word()),
    lambda c: ("ZREM", c.key(("z",)), c.word()),
    lambda c: ("ZREMRANGEBYSCORE", c.key(("z",)), "-inf", c.rng.choice((0, 1, 2, "x"))),
    lambda c: ("ZRANGE", c.key(("z",)), c.rng.choice((0, 1, -2)), c.rng.choice((-1, 0, 1, 5))),
    *[Commands.function] * 12,
    lambda c: ("NOTHING", "x"),
)
FUNCTIONS: tuple[Callable[[Commands], tuple[str, Words]], ...] = (
    Commands.acquire,
    Commands.acquire,
    *[Commands.commit] * 5,
    Commands.trim,
    lambda c: ("renew", c.lease()),
    lambda c: ("release", (c.token(),)),
    lambda c: ("note", (c.token(), "failures", "0")),
)


class Fake:
    """Answers as the simulation does."""

    def __init__(self) -> None:
        self.flush()

    def flush(self) -> None:
        libraries = self.store.data.libraries if hasattr(self, "store") else {}
        self.store = Store(Data(), lambda: BEGIN_MS)
        self.store.data.libraries = libraries

    def reply(self, words: Words) -> Any:
        try:
            return self.store.execute(words)
        except RefusalError as refusal:
            return ResponseError(str(refusal))


class Real:
    """A server; its replies as the parser makes them."""

    def __init__(self, server: Server) -> None:
        self._connection: Any = redis.Connection(port=server.port, protocol=2)
        self._connection.connect()

    def flush(self) -> None:
        self.send([("FLUSHALL",)])

    def send(self, commands: Sequence[Words]) -> list[Any]:
        self._connection.send_packed_command(self._connection.pack_commands(commands))
        return [self._receive() for _ in commands]

    def _receive(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error


def comparable(words: Words, reply: Any) -> Any:
    """A reply without what may differ."""
    if isinstance(reply, Exception) and str(reply).startswith("CEPOWNED"):
        return str(reply).partition(" for ")[0]
    if isinstance(reply, Exception):
        return str(reply).partition(" script: ")[0].partition(", with args")[0].removeprefix("ERR ")
    if words[0] == "HGETALL":
        return sorted(zip(reply[::2], reply[1::2], strict=True))
    if words[0] == "PTTL" and isinstance(reply, int):
        return round(reply / 10**6) if reply > 0 else reply
    if words[0] == "XINFO":
        return {name: value for name, value in zip(reply[::2], reply[1::2], strict=True) if b"radix" not in name}
    if words[0] == "FCALL" and str(words[1]).endswith("acquire"):
        return sorted(zip(reply[0][::2], reply[0][1::2], strict=True)), reply[1]
    return reply


def differences(real: Real, count: int, seed: int) -> tuple[list[str], Counter[str]]:
    """Send the same to both; what differed, and how many commands of each name there were."""
    fake = Fake()
    commands = Commands(random.Random(f"compare {seed}"), fake.store.data)
    load = ("FUNCTION", "LOAD", "REPLACE", shipped())
    found, counts = [], Counter[str]()
    for each in (fake, real):
        each.flush()
    fake.reply(load)
    real.send([load])
    for sent in range(0, count, PIPELINE):
        if sent % FLUSH == 0:
            fake.flush()
            real.flush()
            commands.data = fake.store.data
        batch = [(words := commands.one(), fake.reply(words)) for _ in range(PIPELINE)]
        for (words, ours), theirs in zip(batch, real.send([words for words, _ in batch]), strict=True):
            mine, other = comparable(words, ours), comparable(words, theirs)
            name = str(words[1]) if words[0] == "FCALL" else str(words[0])
            counts[name] += 1
            counts["refused"] += isinstance(theirs, Exception)
            counts["commits applied"] += theirs == b"OK" and name.endswith("commit")
            if mine != other:
                found.append(f"{words}: {mine!r} is not {other!r}")
    return found, counts


def report(count: int, seed: int = 0) -> int:
    """Compare with each server that is there, and print. The number of differences."""
    total = 0
    for name, binary in BINARIES.items():
        if binary is None:
            print(f"{name}: not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            server = Server(binary, Path(folder), "--appendfsync", "no")
            try:
                version = server.client().info("server")
                found, counts = differences(Real(server), count, seed)
            finally:
                server.kill()
        total += len(found)
        print(f"{name} {version.get('valkey_version', version['redis_version'])}: ", end="")
        refused, applied = counts.pop("refused"), counts.pop("commits applied")
        print(f"{sum(counts.values()):,} commands, {refused:,} refused, {applied:,} commits applied, ", end="")
        print(f"{len(found)} different replies")
        print("\n".join(found[:20]))
    return total
