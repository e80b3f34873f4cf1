"""The battery in small: each part for a moment, and what the battery itself must be able to see."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cep.adapters.redis.keys import Keys
from tests.battery import damage, failover, full, kills, load, net, owners, poison, startup, trims
from tests.battery.detectors import prepare
from tests.battery.history import check_history
from tests.battery.ledger import balance
from tests.battery.world import World
from tests.test_kill import STREAMS, Entry

QUICK: dict[str, tuple[Callable[[], Counter[str]], str]] = {
    "detector kills": (lambda: kills.detector_kills(3, 1), "kill -9 of the detector"),
    "steps": (lambda: kills.crash_points(3, 2), "kill -9 of the detector, at a step"),
    "server kills": (lambda: kills.server_kills(2, 3), "kill -9 of the server"),
    "servers that go back": (lambda: kills.server_kills(2, 26), "acknowledged entries lost by the server"),
    "servers that go back, Redis": (
        lambda: kills.server_kills(2, 28, kills.kinds()[-1]),
        "acknowledged entries lost by the server",
    ),
    "broken connections": (lambda: net.proxy_faults(3, 4, 2), "proxy faults"),
    "network cuts": (lambda: net.network_cuts(2, 5, 2, 1.0), "network cuts"),
    "failovers": (lambda: failover.failovers(2, 6), "failovers with loss"),
    "zombies": (lambda: owners.zombies(1, 7, 2), "zombies"),
    "rebalances": (lambda: owners.rebalances(3, 8), "partitions moved"),
    "trim races": (lambda: trims.trim_races(2, 9), "lost, counted"),
    "trim races without trimming": (lambda: trims.trim_races(2, 11), "alerts compared"),
    "trim races, streams begun anew": (lambda: trims.trim_races(3, 10), "lost"),
    "halts": (lambda: trims.halts(1, 10), "halts with the exact number"),
    "spoilt snapshots": (lambda: damage.spoilt_snapshots(500, 11), "spoilt snapshots refused"),
    "starts with spoilt snapshots": (
        lambda: damage.starts_with_spoilt_snapshots(2, 12),
        "starts with spoilt snapshots",
    ),
    "malformed documents": (lambda: damage.malformed(30_000, 13), "malformed documents"),
    "malformed, through the server": (
        lambda: damage.malformed_through_redis(3000, 14),
        "malformed documents through the server",
    ),
    "no room for snapshots": (lambda: full.no_room_for_snapshots(15, 0.5), "snapshot disks full"),
    "no memory": (lambda: full.no_room_in_memory(17, 1), "servers full"),
    "poison": (lambda: poison.poison("exits", 18), "poison: exits"),
    "a loop": (lambda: poison.poison("loops", 19), "poison: loops"),
    "ends": (lambda: startup.ends(2, 20), "ends by SIGTERM under load"),
    "ends while the server hangs": (lambda: startup.ends_without_answer(29), "ends while the server hangs"),
    "refusals": (lambda: startup.refusals(21), "refused: old version"),
    "loading": (lambda: startup.loading(22), "servers that were loading, waited for"),
}


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    prepare()


@pytest.mark.parametrize("name", QUICK)
def test_a_moment_of(name: str) -> None:
    run, what = QUICK[name]
    found = run()
    print(found)
    assert found[what] > 0


def test_a_full_disk() -> None:
    found = full.no_room_for_the_log(16, 0.5)
    if found["disks that could not be had"]:
        pytest.skip("no file system may be mounted here")
    assert found["server disks full"] == 1


@pytest.mark.soak
def test_overload() -> None:
    assert load.overload(20, 23)["backlog, events"] > 0


@pytest.mark.soak
def test_soak() -> None:
    assert load.soak(60, 24)["soak, events/s"] > 0


def _spoil(world: World, sent: list[Entry], what: str) -> list[Entry]:
    """One thing wrong with a history that was right."""
    client = world.server.client()
    if what == "an alert is lost":
        client.xdel("test", client.xrevrange("test", count=1)[0][0])
    elif what == "an alert is there twice":
        client.xadd("test", client.xrange("test", count=1)[0][1], id=f"{world.seq(Keys('test', 'test'))}-9999")
    elif what == "two alerts have changed places":
        (one, first), (other, second) = client.xrange("test", count=2)
        rest = client.xrange("test", min=b"(" + other)
        client.delete("test")
        for entry, fields in [(one, second), (other, first), *rest]:
            client.xadd("test", fields, id=entry)
    elif what == "a commit is forgotten":
        journal = "cep:{test}:journal"
        client.xdel(journal, client.xrange(journal, count=2)[1][0])
    elif what == "an entry was another":
        place = next(n for n, entry in enumerate(sent) if entry[0] == STREAMS[0])
        sent[place] = (*sent[place][:2], b"{}")
    elif what == "a dead letter says something else":
        (entry, fields), *rest = client.xrange("test:dlq")
        client.delete("test:dlq")
        for at, held in [(entry, fields | {b"index": b"7"}), *rest]:
            client.xadd("test:dlq", held, id=at)
    return sent


@pytest.mark.parametrize(
    "what",
    [
        "an alert is lost",
        "an alert is there twice",
        "two alerts have changed places",
        "a commit is forgotten",
        "an entry was another",
        "a dead letter says something else",
    ],
)
def test_the_history_shows_what_is_wrong(what: str, tmp_path: Path) -> None:
    with World(tmp_path / "w", 25, 1, rate=3000) as world:
        detector = world.start(snapshots=False)
        world.feed.start()
        world.wait_for_work(detector)
        detector.wait(lambda: world.server.client().xlen("test") > 5, "at work")
        detector.wait(lambda: world.server.client().xlen("test:dlq") > 0, "at work")
        sent = world.feed.stop()
        world.wait_for_end(detector)
        detector.stop()
        client, keys = world.server.client(), Keys("test", "test")
        assert check_history(client, keys, STREAMS, sent) > 1
        spoilt = _spoil(world, list(sent), what)
        with pytest.raises(AssertionError):
            check_history(client, keys, STREAMS, spoilt)


def test_the_ledger_shows_an_entry_that_is_unaccounted_for(tmp_path: Path) -> None:
    with World(tmp_path / "w", 30, 1, rate=3000) as world:
        detector = world.start("--on-gap", "continue", forgets=False)
        world.feed.start()
        world.wait_for_work(detector)
        detector.signal(signal.SIGSTOP)
        sent = world.feed.sent
        detector.wait(lambda: world.feed.sent > sent + 500, "given entries")
        taken = trims.take_away(world, "deleted", 20, STREAMS[0])
        detector.signal(signal.SIGCONT)
        world.wait_for_work(detector)
        given = world.feed.stop()
        world.wait_for_end(detector)
        detector.stop()
        client, keys = world.server.client(), Keys("test", "test")
        books = balance(client, keys, STREAMS, given, [taken])
        assert books["lost"] == books["lost, counted"] == len(taken.ids) > 0
        applied = next(entry for stream, entry, _ in given if stream == STREAMS[0] and entry not in taken.ids)
        for wrong in (frozenset(list(taken.ids)[1:]), taken.ids | {applied}):
            with pytest.raises(AssertionError):
                balance(client, keys, STREAMS, given, [replace(taken, ids=wrong)])
        with pytest.raises(AssertionError):
            balance(client, keys, STREAMS, given[:-1], [taken])
