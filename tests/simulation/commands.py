"""The commands of a server, over `Data`: those that the detector and its producers use, each reply as it would be.

Replies are what a client's parser makes of them: bytes, integers, lists, None; `Status` where a line stands for it,
`Refusal` is raised for an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from tests.simulation.data import KINDS, LAST, WORD_MAX, ZERO, Data, Hash, Id, Scores, Stream

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
_WHOLE = re.compile(rb"0|-?[1-9]\d{0,18}")
_WORD = re.compile(rb"\d{1,20}")


class Status(bytes):
    """A reply of one line."""


class Refusal(Exception):
    """An error reply."""


OK = Status(b"OK")
SYNTAX = "ERR syntax error"
NO_ID = "ERR Invalid stream ID specified as stream command argument"
Words = Sequence[bytes]
Command = Callable[["Store", Words], Any]
COMMANDS: dict[bytes, tuple[Command, int]] = {}


class Store:
    """Data, and what time it is for them."""

    def __init__(self, data: Data, now_ms: Callable[[], int]) -> None:
        self.data, self.now_ms = data, now_ms

    def execute(self, command: Sequence[bytes | str | int]) -> Any:
        """The reply to a command; raises Refusal."""
        words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
        name = words[0].upper()
        if name not in COMMANDS:
            raise Refusal(f"ERR unknown command '{words[0].decode()}'")
        run, least = COMMANDS[name]
        if len(words) <= least:
            raise Refusal(f"ERR wrong number of arguments for '{name.decode().lower()}' command")
        return run(self, words[1:])

    def find(self, key: bytes, kind: type) -> Any:
        """The value of a key, None where there is none."""
        if key in self.data.expires and self.data.expires[key] <= self.now_ms():
            self.data.drop(key)
        value = self.data.keys.get(key)
        if value is not None and not isinstance(value, kind):
            raise Refusal("WRONGTYPE Operation against a key holding the wrong kind of value")
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
        raise Refusal("ERR value is not an integer or out of range")
    return int(word)


def an_id(text: bytes, missing: int = 0) -> Id:
    """An id; `missing` stands for a second part that is not there."""
    ms, dash, seq = text.partition(b"-")
    if not _WORD.fullmatch(ms) or (dash and not _WORD.fullmatch(seq)):
        raise Refusal(NO_ID)
    found = int(ms), int(seq) if dash else missing
    if max(found) > WORD_MAX:
        raise Refusal(NO_ID)
    return found


def after(entry: Id) -> Id:
    ms, seq = entry
    return (ms, seq + 1) if seq < WORD_MAX else (ms + 1, 0)


def before(entry: Id) -> Id:
    ms, seq = entry
    return (ms, seq - 1) if seq else (ms - 1, WORD_MAX)


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
        raise Refusal(SYNTAX)
    if options and integer(options[1]) <= 0:
        raise Refusal("ERR invalid expire time in 'set' command")
    store.data.drop(key)
    store.data.keys[key] = value
    if options:
        store.data.expires[key] = store.now_ms() + int(options[1])
    return OK


# --------------------------------------------------------------------------------------- hashes


@command("HSET", 3)
def hash_set(store: Store, words: Words) -> Any:
    if len(words) % 2 == 0:
        raise Refusal("ERR wrong number of arguments for 'hset' command")
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
        raise Refusal("ERR hash value is not an integer")
    if not INT_MIN <= int(held) + step <= INT_MAX:
        raise Refusal("ERR increment or decrement would overflow")
    store.made(key, Hash)[name] = b"%d" % (int(held) + step)
    return int(held) + step


# ---------------------------------------------------------------------------------- sorted sets


def score(word: bytes) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise Refusal("ERR value is not a valid float") from error


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
        raise Refusal("ERR min or max is not a float") from error
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


# -------------------------------------------------------------------------------------- streams


@command("XLEN", 1)
def stream_length(store: Store, words: Words) -> Any:
    stream = store.find(words[0], Stream)
    return len(stream.ids) if stream else 0


@command("XADD", 4)
def stream_add(store: Store, words: Words) -> Any:
    key, text, *fields = words
    if text == b"*":
        given: tuple[int, int | None] | None = None
    elif text.endswith(b"-*"):
        given = an_id(text[:-2])[0], None
    else:
        given = an_id(text)
    if len(fields) % 2:
        raise Refusal("ERR wrong number of arguments for 'xadd' command")
    if given == ZERO:
        raise Refusal("ERR The ID specified in XADD must be greater than 0-0")
    stream = store.find(key, Stream) or Stream()
    if stream.last == LAST:
        raise Refusal("ERR The stream has exhausted the last possible ID, unable to add more items")
    entry = _next(stream, given, store.now_ms)
    store.data.keys[key] = stream
    stream.ids.append(entry)
    stream.rows.append(list(fields))
    stream.last, stream.count = entry, stream.count + 1
    store.data.note_added(key, entry, stream.rows[-1])
    return b"%d-%d" % entry


def _next(stream: Stream, given: tuple[int, int | None] | None, now_ms: Callable[[], int]) -> Id:
    """The id of the next entry."""
    if given is None:
        now = now_ms()
        return (now, 0) if now > stream.last[0] else after(stream.last)
    ms, seq = given
    if seq is None:
        seq = stream.last[1] + 1 if ms == stream.last[0] else 0
    if (ms, seq) <= stream.last or seq > WORD_MAX:
        raise Refusal("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    return ms, seq


@command("XDEL", 2)
def stream_delete(store: Store, words: Words) -> Any:
    ids = [an_id(text) for text in words[1:]] if store.find(words[0], Stream) else []
    stream, gone = store.find(words[0], Stream), list[Id]()
    for entry in ids:
        for place in stream.between(entry, entry):
            del stream.ids[place], stream.rows[place]
            stream.deleted = max(stream.deleted, entry)
            gone.append(entry)
    store.data.note_removed(words[0], gone)
    return len(gone)


@command("XTRIM", 3)
def stream_trim(store: Store, words: Words) -> Any:
    key, strategy, *rest = words
    if len(rest) == 2 and rest[0] == b"=":
        rest = rest[1:]
    if len(rest) != 1 or strategy.upper() not in (b"MAXLEN", b"MINID"):
        raise Refusal(SYNTAX)
    is_minid, least = strategy.upper() == b"MINID", ZERO
    if is_minid:
        least = an_id(rest[0])
    elif integer(rest[0]) < 0:
        raise Refusal("ERR The MAXLEN argument must be >= 0.")
    stream = store.find(key, Stream)
    if stream is None:
        return 0
    count = bisect_count(stream, least) if is_minid else max(0, len(stream.ids) - int(rest[0]))
    store.data.note_removed(key, stream.ids[:count])
    del stream.ids[:count], stream.rows[:count]
    return count


def bisect_count(stream: Stream, least: Id) -> int:
    """How many entries have smaller ids."""
    return stream.between(least, LAST).start


@command("XRANGE", 3)
def stream_range(store: Store, words: Words) -> Any:
    key, *ends, count = (*words, None) if len(words) == 3 else (*words[:3], _count(words[3:]))
    first, last = _start(ends[0]), _stop(ends[1])
    stream = store.find(key, Stream)
    if stream is None:
        return []
    if count == 0:
        return None
    return [stream.entry(place) for place in stream.between(first, last)[:count]]


def _count(words: Words) -> int:
    if len(words) != 2 or words[0].upper() != b"COUNT":
        raise Refusal(SYNTAX)
    return max(0, integer(words[1]))


def _start(text: bytes) -> Id:
    if text in (b"-", b"+"):
        return ZERO if text == b"-" else LAST
    if not text.startswith(b"("):
        return an_id(text)
    entry = an_id(text[1:])
    if entry == LAST:
        raise Refusal("ERR invalid start ID for the interval")
    return after(entry)


def _stop(text: bytes) -> Id:
    if text in (b"-", b"+"):
        return ZERO if text == b"-" else LAST
    if not text.startswith(b"("):
        return an_id(text, WORD_MAX)
    entry = an_id(text[1:], WORD_MAX)
    if entry == ZERO:
        raise Refusal("ERR invalid end ID for the interval")
    return before(entry)


@command("XREAD", 3)
def stream_read(store: Store, words: Words) -> Any:
    """Without waiting; who waits asks again when something was added."""
    count, at = 0, 0
    while words[at].upper() != b"STREAMS":
        if words[at].upper() not in (b"COUNT", b"BLOCK") or at + 2 >= len(words):
            raise Refusal(SYNTAX)
        number = integer(words[at + 1])
        count, at = (max(0, number) if words[at].upper() == b"COUNT" else count), at + 2
    keys, ids = words[at + 1 : (at + 1 + len(words)) // 2], words[(at + 1 + len(words)) // 2 :]
    if len(keys) != len(ids) or not keys:
        raise Refusal(
            "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified."
        )
    for key in keys:
        store.find(key, Stream)
    behind = [an_id(text) for text in ids]
    found = []
    for key, entry in zip(keys, behind, strict=True):
        stream = store.find(key, Stream)
        if stream is not None and entry < stream.last and (places := stream.between(after(entry), LAST)):
            found.append([key, [stream.entry(place) for place in places[: count or None]]])
    return found or None


@command("XINFO", 2)
def stream_info(store: Store, words: Words) -> Any:
    if words[0].upper() != b"STREAM" or len(words) != 2:
        raise Refusal(SYNTAX)
    stream = store.find(words[1], Stream)
    if stream is None:
        raise Refusal("ERR no such key")
    first = stream.ids[0] if stream.ids else ZERO
    found: dict[str, Any] = {"length": len(stream.ids), "radix-tree-keys": 1, "radix-tree-nodes": 2}
    found |= {"last-generated-id": b"%d-%d" % stream.last, "max-deleted-entry-id": b"%d-%d" % stream.deleted}
    found |= {"entries-added": stream.count, "recorded-first-entry-id": b"%d-%d" % first, "groups": 0}
    found["first-entry"] = stream.entry(0) if stream.ids else None
    found["last-entry"] = stream.entry(len(stream.ids) - 1) if stream.ids else None
    return [word for name, value in found.items() for word in (name.encode(), value)]
