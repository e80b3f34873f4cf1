"""The commands of streams."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.simulation.commands import SYNTAX, RefusalError, Store, Words, command, integer
from tests.simulation.data import LAST, WORD_MAX, ZERO, Id, Stream

NO_ID = "ERR Invalid stream ID specified as stream command argument"
UNBALANCED = "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified."
_WORD = re.compile(rb"\d{1,20}")


def an_id(text: bytes, missing: int = 0) -> Id:
    """An id; `missing` stands for a second part that is not there."""
    ms, dash, seq = text.partition(b"-")
    if not _WORD.fullmatch(ms) or (dash and not _WORD.fullmatch(seq)):
        raise RefusalError(NO_ID)
    found = int(ms), int(seq) if dash else missing
    if max(found) > WORD_MAX:
        raise RefusalError(NO_ID)
    return found


def after(entry: Id) -> Id:
    ms, seq = entry
    return (ms, seq + 1) if seq < WORD_MAX else (ms + 1, 0)


def before(entry: Id) -> Id:
    ms, seq = entry
    return (ms, seq - 1) if seq else (ms - 1, WORD_MAX)


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
        raise RefusalError("ERR wrong number of arguments for 'xadd' command")
    if given == ZERO:
        raise RefusalError("ERR The ID specified in XADD must be greater than 0-0")
    stream = store.find(key, Stream) or Stream()
    if stream.last == LAST:
        raise RefusalError("ERR The stream has exhausted the last possible ID, unable to add more items")
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
        raise RefusalError("ERR The ID specified in XADD is equal or smaller than the target stream top item")
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
        raise RefusalError(SYNTAX)
    is_minid, least = strategy.upper() == b"MINID", ZERO
    if is_minid:
        least = an_id(rest[0])
    elif integer(rest[0]) < 0:
        raise RefusalError("ERR The MAXLEN argument must be >= 0.")
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
        raise RefusalError(SYNTAX)
    return max(0, integer(words[1]))


def _start(text: bytes) -> Id:
    if text in (b"-", b"+"):
        return ZERO if text == b"-" else LAST
    if not text.startswith(b"("):
        return an_id(text)
    entry = an_id(text[1:])
    if entry == LAST:
        raise RefusalError("ERR invalid start ID for the interval")
    return after(entry)


def _stop(text: bytes) -> Id:
    if text in (b"-", b"+"):
        return ZERO if text == b"-" else LAST
    if not text.startswith(b"("):
        return an_id(text, WORD_MAX)
    entry = an_id(text[1:], WORD_MAX)
    if entry == ZERO:
        raise RefusalError("ERR invalid end ID for the interval")
    return before(entry)


@command("XREAD", 3)
def stream_read(store: Store, words: Words) -> Any:
    """Without waiting; who waits asks again when something was added."""
    count, at = 0, 0
    while words[at].upper() != b"STREAMS":
        if words[at].upper() not in (b"COUNT", b"BLOCK") or at + 2 >= len(words):
            raise RefusalError(SYNTAX)
        number = integer(words[at + 1])
        count, at = (max(0, number) if words[at].upper() == b"COUNT" else count), at + 2
    keys, ids = words[at + 1 : (at + 1 + len(words)) // 2], words[(at + 1 + len(words)) // 2 :]
    if len(keys) != len(ids) or not keys:
        raise RefusalError(
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
        raise RefusalError(SYNTAX)
    stream = store.find(words[1], Stream)
    if stream is None:
        raise RefusalError("ERR no such key")
    first = stream.ids[0] if stream.ids else ZERO
    found: dict[str, Any] = {"length": len(stream.ids), "radix-tree-keys": 1, "radix-tree-nodes": 2}
    found |= {"last-generated-id": b"%d-%d" % stream.last, "max-deleted-entry-id": b"%d-%d" % stream.deleted}
    found |= {"entries-added": stream.count, "recorded-first-entry-id": b"%d-%d" % first, "groups": 0}
    found["first-entry"] = stream.entry(0) if stream.ids else None
    found["last-entry"] = stream.entry(len(stream.ids) - 1) if stream.ids else None
    return [word for name, value in found.items() for word in (name.encode(), value)]
