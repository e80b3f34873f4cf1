"""The producer: how events are packed, what waits, what is sent again; and that it arrives once, on real servers."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cep.adapters.redis.keys import memory_of, tag_of
from cep.adapters.redis.producer import REMEMBERED_S, RedisOutlet, connect
from cep.adapters.redis.session import Session
from cep.errors import ConfigurationError
from cep.ports import LogError
from cep.producer import Batch, Packing, Producer, ProducerError, QueueFullError, partition_of
from tests.servers import Server, own_server, server, shared_server

__all__ = ["own_server", "server", "shared_server"]
QUICK = (0.0,)  # waits


class Kept:
    """An outlet that keeps what it is given, and does what it is told before."""

    def __init__(self, known: Sequence[int] = (0,)) -> None:
        self.known = list(known)
        self.batches: list[Batch] = []
        self.before: Callable[[], None] = lambda: None
        self.is_closed = False

    def open(self) -> Sequence[int]:
        return self.known

    def append(self, batches: Sequence[Batch]) -> Sequence[int | None]:
        self.before()
        known = []
        for batch in batches:
            known.append(self.known[batch.partition])
            if self.known[batch.partition] < batch.first:
                self.batches.append(batch)
                self.known[batch.partition] = batch.first + batch.events - 1
        return known

    def close(self) -> None:
        self.is_closed = True


def test_partitions_are_those_of_the_documents() -> None:
    vectors = {"": 0, "c1": 0x5ED72AA1, "card-4711": 0x878BF57A, "Zürich": 0xD30BA93E, "42": 0x3224B088}
    assert {key: partition_of(key, 2**32) for key in vectors} == vectors
    assert partition_of(42, 8) == partition_of("42", 8)
    assert partition_of(None, 8) == partition_of("", 8) == 0
    for wrong in (True, 1.5, b"c1"):
        with pytest.raises(TypeError, match="a text or an integer"):
            partition_of(wrong, 8)  # type: ignore[arg-type]


def test_events_are_packed_by_number_size_and_kind() -> None:
    kept = Kept()
    with Producer(kept, packing=Packing(entry_events=3, entry_bytes=100, linger_s=60)) as producer:
        for n in range(4):
            producer.send({"n": n})
        producer.send(b'{"text": "%b"}' % (b"x" * 90))
        producer.send(b'{"last": 1}')
        producer.send_entry([b"n", b"5"])
        producer.send_entry([b"n", b"6"])
        producer.send_entry([b"event", b"table"], events=40)
        producer.send({"n": 7})
    assert [(batch.first, batch.events) for batch in kept.batches] == [(1, 3), (4, 1), (5, 1), (6, 1), (7, 42), (49, 1)]
    assert kept.batches[0].entries == ((b"event", b'{"n":0}\n{"n":1}\n{"n":2}'),)
    assert kept.batches[4].entries == ((b"n", b"5"), (b"n", b"6"), (b"event", b"table"))
    assert kept.is_closed
    assert (producer.sent.events, producer.sent.entries) == (49, 8)


def test_an_entry_is_sent_when_its_first_event_has_waited() -> None:
    kept = Kept()
    producer = Producer(kept, packing=Packing(linger_s=0.01))
    arrived = threading.Event()
    kept.before = arrived.set
    producer.send({"n": 1})
    assert arrived.wait(10), "nobody has flushed"
    producer.close()
    assert len(kept.batches) == 1


def test_events_of_a_key_stay_in_order_in_their_partition() -> None:
    kept, rng = Kept([0] * 4), random.Random(1)
    given: dict[int, list[bytes]] = {}
    with Producer(kept, 4, Packing(entry_events=7)) as producer:
        for n in range(500):
            key = f"k{rng.randrange(20)}"
            given.setdefault(partition_of(key, 4), []).append(b'{"n":%d}' % n)
            producer.send({"n": n}, key)
    for partition, lines in given.items():
        entries = [e for batch in kept.batches if batch.partition == partition for e in batch.entries]
        assert [line for entry in entries for line in entry[1].split(b"\n")] == lines


@pytest.mark.parametrize("wrong", [b"[1]", b"text", b' {"a": 1}', b'{"a":\n1}', b'{"a": "%b"}' % (b"x" * 2**20)])
def test_what_no_detector_could_read_is_refused(wrong: bytes) -> None:
    with Producer(Kept()) as producer, pytest.raises(ValueError, match="an event"):
        producer.send(wrong)


@pytest.mark.parametrize("packing", [Packing(waiting_events=10, linger_s=0), Packing(waiting_bytes=100, linger_s=0)])
def test_the_queue_is_bounded(packing: Packing) -> None:
    kept, gate = Kept(), threading.Event()
    kept.before = lambda: gate.wait(10) and None
    producer = Producer(kept, packing=packing)
    for n in range(10):
        producer.send(b'{"n":%3d}' % n, timeout_s=0)
    with pytest.raises(QueueFullError, match="10 events are waiting"):
        producer.send({"n": 10}, timeout_s=0)
    with pytest.raises(ProducerError, match="10 events have not been acknowledged"):
        producer.flush(0.01)
    threading.Timer(0.05, gate.set).start()
    producer.send({"n": 10})  # which waits for room
    producer.close()
    assert producer.sent.events == 11


def test_one_event_may_be_larger_than_all_that_may_wait() -> None:
    with Producer(Kept(), packing=Packing(waiting_bytes=10)) as producer:
        producer.send({"text": "x" * 100})
    assert producer.sent.events == 1


def test_a_batch_that_fails_is_sent_again_as_it_was() -> None:
    kept, reports = Kept(), list[str]()
    failures = iter([LogError("away"), LogError("away"), None, LogError("again")])

    def fail() -> None:
        if (error := next(failures, None)) is not None:
            raise error

    kept.before = fail
    with Producer(kept, packing=Packing(entry_events=2, backoff_s=QUICK), report=reports.append) as producer:
        for n in range(4):
            producer.send({"n": n})
        producer.flush()
        producer.send({"n": 4})
    assert [(batch.first, batch.events) for batch in kept.batches] == [(1, 2), (3, 2), (5, 1)]
    assert producer.sent.retries >= 2
    assert reports[0] == "events are sent again: away"


def test_giving_up() -> None:
    kept = Kept()
    kept.before = lambda: (_ for _ in ()).throw(LogError("away"))
    impatient = Producer(kept, packing=Packing(linger_s=0, backoff_s=QUICK, patience_s=0))
    impatient.send({"n": 1})
    with pytest.raises(ProducerError, match="away"):
        impatient.flush(10)
    with pytest.raises(ProducerError, match="away"):
        impatient.send({"n": 2})
    with pytest.raises(ProducerError, match="away"):
        impatient.close()
    patient = Producer(kept, packing=Packing(linger_s=0))
    patient.send({"n": 1})
    with pytest.raises(ProducerError, match="1 events have not been acknowledged"):
        patient.close(0.05)
    with pytest.raises(ProducerError):
        patient.send({"n": 2})
    kept.before = lambda: (_ for _ in ()).throw(ConfigurationError("never"))
    hopeless = Producer(kept, packing=Packing(linger_s=0))
    hopeless.send({"n": 1})
    with pytest.raises(ProducerError, match="never"):
        hopeless.close(10)


def test_what_a_stream_has_lost_is_counted_and_what_it_has_is_left_out() -> None:
    kept, reports = Kept([3]), list[str]()
    with Producer(kept, packing=Packing(linger_s=60), report=reports.append) as producer:
        for n in range(5):
            producer.send({"n": n})
        producer.flush()
        assert (producer.sent.repeated, producer.sent.events) == (3, 2)
        kept.known[0] = 1
        producer.send({"n": 5})
    assert producer.sent.lost == 4
    assert reports == ["partition 0 has lost 4 acknowledged events"]


def test_who_only_sends_need_not_load_the_engine() -> None:
    script = "import sys, cep.adapters.redis.producer; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"False\n"


# ----------------------------------------------------------------------------------------- on real servers


class Lossy(Session):
    """A session that breaks, by a seed: before a command arrives, between some and others, or before their replies."""

    rng = random.Random(0)

    def pipeline(self, commands: Sequence[Sequence[bytes | str | int]]) -> list[Any]:
        if commands[0][0] != "FCALL" or self.rng.random() < 0.4:
            return super().pipeline(commands)
        super().pipeline(commands[: self.rng.randrange(len(commands) + 1)])
        self.close()
        raise LogError("the connection is lost")


def lines(server: Server, stream: str) -> list[bytes]:
    return [line for _, fields in server.client().xrange(stream) for line in fields[b"event"].split(b"\n")]


@pytest.mark.parametrize("seed", range(3))
def test_events_arrive_once_whatever_is_lost_on_the_way(server: Server, seed: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(Lossy, "rng", random.Random(seed))
    streams = ["s" + tag_of(p) for p in range(3)]
    outlet = RedisOutlet(lambda: Lossy(server.url), streams)
    given: dict[int, list[bytes]] = {p: [] for p in range(3)}
    with Producer(outlet, 3, Packing(entry_events=5, call_bytes=150, backoff_s=QUICK)) as producer:
        for n in range(600):
            given[partition_of(n, 3)].append(b'{"n":%d}' % n)
            producer.send({"n": n}, n)
    assert producer.sent.retries > 5
    assert producer.sent.again > 0
    assert (producer.sent.events, producer.sent.lost) == (600, 0)
    assert {p: lines(server, stream) for p, stream in enumerate(streams)} == given
    assert server.client().keys("*:producer:*") == [], "it is forgotten when it is closed"


def test_a_server_that_dies_meanwhile(own_server: Server) -> None:
    with connect(own_server.url, "s", packing=Packing(entry_events=10, backoff_s=(0.01,))) as producer:
        for n in range(200):
            producer.send({"n": n})
            if n == 100:
                producer.flush()
                own_server.kill()
            if n == 150:
                own_server.start()
    assert lines(own_server, "s") == [b'{"n":%d}' % n for n in range(200)]
    assert producer.sent.lost == 0


def test_a_producer_with_a_name_goes_on_where_it_was(server: Server) -> None:
    for end, repeated in ((30, 0), (100, 30), (100, 100)):
        with connect(server.url, "s", 2, name="nightly") as producer:
            for n in range(end):
                producer.send({"n": n}, n)
        assert producer.sent.repeated == repeated
    both = lines(server, "s:{p00}") + lines(server, "s:{p01}")
    assert sorted(both) == sorted(b'{"n":%d}' % n for n in range(100))
    left = server.client().ttl(memory_of("s:{p00}", "nightly"))
    assert REMEMBERED_S - 60 < left <= REMEMBERED_S


def test_a_stream_is_never_shortened(server: Server) -> None:
    server.client().xadd("s", {"before": "1"}, id="1-1")
    with connect(server.url, "s", packing=Packing(entry_events=1)) as producer:
        for n in range(3000):
            producer.send({"n": n})
    info = server.client().xinfo_stream("s")
    assert (info["length"], info["entries-added"]) == (3001, 3001)


def test_a_full_server_is_waited_for(server: Server) -> None:
    client = server.client()
    with connect(server.url, "s", packing=Packing(linger_s=0, backoff_s=(0.01,))) as producer:
        producer.send({"n": 1})
        producer.flush()
        client.config_set("maxmemory", "1mb")
        producer.send({"n": 2})
        try:
            with pytest.raises(ProducerError, match="1 events have not been acknowledged"):
                producer.flush(0.2)
        finally:
            client.config_set("maxmemory", "0")
        producer.flush(10)
    assert lines(server, "s") == [b'{"n":1}', b'{"n":2}']


def test_functions_that_are_gone_are_loaded_again(server: Server) -> None:
    with connect(server.url, "s", packing=Packing(linger_s=0, backoff_s=QUICK)) as producer:
        server.client().function_flush()
        producer.send({"n": 1})
        producer.flush(10)
    assert lines(server, "s") == [b'{"n":1}']


def test_what_a_second_try_would_not_change_ends_it(server: Server) -> None:
    client = server.client()
    client.set("s", "in the way")
    with pytest.raises(ConfigurationError, match="rename one of the two"):
        connect(server.url, "s")
    client.delete("s")
    producer = connect(server.url, "s", packing=Packing(linger_s=0))
    client.set("s", "in the way")
    producer.send({"n": 1})
    with pytest.raises(ProducerError, match="s is not a stream"):
        producer.close(10)
    client.delete("s")
    client.set(memory_of("s", "one"), 5)
    other = connect(server.url, "s", name="one", packing=Packing(linger_s=0))
    other.send_entry([b"a", b"table"], events=10)
    with pytest.raises(ProducerError, match="CEPORDER s has events up to 5, and these begin at 1"):
        other.close(10)
    assert not client.exists("s")
