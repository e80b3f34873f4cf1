"""The commands of a server, over `Data`: those that the detector and its producers use, each reply as it would be.

Replies are what a client's parser makes of them: bytes, integers, lists, None; `Status` where a line stands for it,
`RefusalError` is raised for an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from tests.simulation.data import KINDS, Data, Hash, Scores

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
_WHOLE = re.compile(rb"0|-?[1-9]\d{0,18}")


class Status(bytes):
    """A reply of one line."""


class RefusalError(Exception):
    """An error reply."""


OK = Status(b"OK")
SYNTAX = "ERR syntax error"
Words = Sequence[bytes]
Command = Callable[["Store", Words], Any]
COMMANDS: dict[bytes, tuple[Command, int]] = {}


class Store:
    """Data, and what time it is for them."""

    def __init__(self, data: Data, now_ms: Callable[[], int]) -> None:
        self.data, self.now_ms = data, now_ms

    def execute(self, command: Sequence[bytes | str | int]) -> Any:
        """The reply to a command; raises RefusalError."""
        return self.run([word if isinstance(word, bytes) else str(word).encode() for word in command])

    def run(self, words: list[bytes]) -> Any:
        """The same of words that are bytes already."""
        name = words[0].upper()
        if name not in COMMANDS:
            raise RefusalError(f"ERR unknown command '{words[0].decode()}'")
        run, least = COMMANDS[name]
        if len(words) <= least:
            raise RefusalError(f"ERR wrong number of arguments for '{name.decode().lower()}' command")
        return run(self, words[1:])

    def find(self, key: bytes, kind: type) -> Any:
        """The value of a key, None where there is none."""
        if key in self.data.expires and self.data.expires[key] <= self.now_ms():
            self.data.drop(key)
        value = self.data.keys.get(key)
        if value is not None and not isinstance(value, kind):
            raise RefusalError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def made(self, key: bytes, kind: type) -> Any:
        """The value of a key, a new one where there was none."""
        value = self.find(key, kind)
        if value is None:
            value = self.data.keys[key] = kind()
        return value

    def forget_empty(self, key: bytes) -> None:
        if not self.data.keys.get(key, True):
            self.data.drop(key)


def command(name: str, least: int) -> Callable[[Command], Command]:
    """least: how many arguments it has at least."""

    def register(run: Command) -> Command:
        COMMANDS[name.encode()] = (run, least)
        return run

    return register


def integer(word: bytes) -> int:
    if not _WHOLE.fullmatch(word) or not INT_MIN <= int(word) <= INT_MAX:
        raise RefusalError("ERR value is not an integer or out of range")
    return int(word)


# ------------------------------------------------------------------------------------- any key


@command("PING", 0)
def ping(store: Store, words: Words) -> Any:
    return Status(b"PONG")


@command("TIME", 0)
def server_time(store: Store, words: Words) -> Any:
    now = store.now_ms()
    return [b"%d" % (now // 1000), b"%d" % (now % 1000 * 1000)]


@command("TYPE", 1)
def kind_of(store: Store, words: Words) -> Any:
    value = store.find(words[0], object)
    return Status(b"none" if value is None else KINDS[type(value)])


@command("EXISTS", 1)
def exists(store: Store, words: Words) -> Any:
    return sum(store.find(key, object) is not None for key in words)


@command("DEL", 1)
def delete(store: Store, words: Words) -> Any:
    return sum(store.find(key, object) is not None and store.data.drop(key) for key in words)


@command("PTTL", 1)
def time_left(store: Store, words: Words) -> Any:
    if store.find(words[0], object) is None:
        return -2
    at = store.data.expires.get(words[0])
    return -1 if at is None else at - store.now_ms()


# -------------------------------------------------------------------------------------- strings


@command("GET", 1)
def get(store: Store, words: Words) -> Any:
    return store.find(words[0], bytes)


@command("SET", 2)
def put(store: Store, words: Words) -> Any:
    key, value, *options = words
    if options and (len(options) != 2 or options[0].upper() != b"PX"):
        raise RefusalError(SYNTAX)
    if options and integer(options[1]) <= 0:
        raise RefusalError("ERR invalid expire time in 'set' command")
    store.data.drop(key)
    store.data.keys[key] = value
    if options:
        store.data.expires[key] = store.now_ms() + int(options[1])
    return OK


# --------------------------------------------------------------------------------------- hashes


@command("HSET", 3)
def hash_set(store: Store, words: Words) -> Any:
    if len(words) % 2 == 0:
        raise RefusalError("ERR wrong number of arguments for 'hset' command")
    fields = store.made(words[0], Hash)
    size = len(fields)
    fields.update(zip(words[1::2], words[2::2], strict=True))
    return len(fields) - size


@command("HGET", 2)
def hash_get(store: Store, words: Words) -> Any:
    return (store.find(words[0], Hash) or {}).get(words[1])


@command("HMGET", 2)
def hash_get_many(store: Store, words: Words) -> Any:
    fields = store.find(words[0], Hash) or {}
    return [fields.get(name) for name in words[1:]]


@command("HGETALL", 1)
def hash_get_all(store: Store, words: Words) -> Any:
    return [word for pair in (store.find(words[0], Hash) or {}).items() for word in pair]


@command("HEXISTS", 2)
def hash_exists(store: Store, words: Words) -> Any:
    return int(words[1] in (store.find(words[0], Hash) or {}))


@command("HDEL", 2)
def hash_delete(store: Store, words: Words) -> Any:
    fields = store.find(words[0], Hash) or {}
    count = sum(fields.pop(name, None) is not None for name in words[1:])
    store.forget_empty(words[0])
    return count


@command("HINCRBY", 3)
def hash_increment(store: Store, words: Words) -> Any:
    key, name, by = words
    step, fields = integer(by), store.find(key, Hash) or {}
    held = fields.get(name, b"0")
    if not _WHOLE.fullmatch(held) or not INT_MIN <= int(held) <= INT_MAX:
        raise RefusalError("ERR hash value is not an integer")
    if not INT_MIN <= int(held) + step <= INT_MAX:
        raise RefusalError("ERR increment or decrement would overflow")
    store.made(key, Hash)[name] = b"%d" % (int(held) + step)
    return int(held) + step


# ---------------------------------------------------------------------------------- sorted sets


def score(word: bytes) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise RefusalError("ERR value is not a valid float") from error


@command("ZADD", 3)
def scores_add(store: Store, words: Words) -> Any:
    key, value, member = words
    number = score(value)
    scores = store.made(key, Scores)
    is_new = member not in scores
    scores[member] = number
    return int(is_new)


@command("ZREM", 2)
def scores_remove(store: Store, words: Words) -> Any:
    scores = store.find(words[0], Scores) or {}
    count = sum(scores.pop(member, None) is not None for member in words[1:])
    store.forget_empty(words[0])
    return count


@command("ZREMRANGEBYSCORE", 3)
def scores_remove_range(store: Store, words: Words) -> Any:
    key, first, last = words
    try:
        least, most = float(first), float(last)
    except ValueError as error:
        raise RefusalError("ERR min or max is not a float") from error
    scores = store.find(key, Scores) or {}
    gone = [member for member, value in scores.items() if least <= value <= most]
    for member in gone:
        del scores[member]
    store.forget_empty(key)
    return len(gone)


@command("ZRANGE", 3)
def scores_range(store: Store, words: Words) -> Any:
    key, first, last = words
    start, stop = integer(first), integer(last)
    scores = store.find(key, Scores) or {}
    members = sorted(scores, key=lambda member: (scores[member], member))
    start, stop = (at + len(members) if at < 0 else at for at in (start, stop))
    return members[max(0, start) : stop + 1] if stop >= 0 else []
