"""The parts of the battery, with the share of the time that each is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.battery import changes, damage, failover, full, kills, load, net, owners, poison, startup, trims


@dataclass(frozen=True, slots=True)
class Part:
    """run: what it does in some seconds, with a seed. share: of the time; 0: it takes as long as it takes."""

    name: str
    run: Callable[[float, int], Counter[str]]
    share: float = 0.0


PARTS = [
    Part("The detector is killed at random moments", kills.detector_kills, 0.16),
    Part("The detector dies at a named step", kills.crash_points, 0.06),
    Part("The detector is killed, on Redis 7.0", lambda s, seed: _on_redis(kills.detector_kills, s, seed), 0.06),
    Part("The server is killed", kills.server_kills, 0.07),
    Part("The server is killed, on Redis 7.0", lambda s, seed: _on_redis(kills.server_kills, s, seed), 0.04),
    Part("Rules change", changes.rule_changes, 0.04),
    Part("Broken connections", net.proxy_faults, 0.26),
    Part("The network is gone", net.network_cuts, 0.05),
    Part("Failover with loss", failover.failovers, 0.08),
    Part("Zombies", owners.zombies, 0.09),
    Part("Workers come and go", owners.rebalances, 0.05),
    Part("Trim races", trims.trim_races, 0.02),
    Part("Halts at a gap", lambda s, seed: trims.halts(max(3, int(s / 4)), seed), 0.02),
    Part("Overload", lambda s, seed: load.overload(min(s, load.OVERLOAD_S), seed), 0.02),
    Part("Soak", load.soak, 0.05),
    Part("Spoilt snapshots", lambda s, seed: damage.spoilt_snapshots(10_000, seed)),
    Part("Starts with spoilt snapshots", lambda s, seed: damage.starts_with_spoilt_snapshots(20, seed)),
    Part("Malformed documents", lambda s, seed: damage.malformed(1_000_000, seed)),
    Part("Malformed documents, through the server", lambda s, seed: damage.malformed_through_redis(100_000, seed)),
    Part("No room for snapshots", lambda s, seed: full.no_room_for_snapshots(seed)),
    Part("No room for the append-only file", lambda s, seed: full.no_room_for_the_log(seed)),
    Part("No memory left", lambda s, seed: full.no_room_in_memory(seed)),
    *(Part(f"An entry that {way}", lambda s, seed, way=way: poison.poison(way, seed)) for way in poison.WAYS),
    Part("Ends", lambda s, seed: startup.ends(20, seed)),
    Part("Ends while the server hangs", lambda s, seed: startup.ends_without_answer(seed)),
    Part("Refusals", lambda s, seed: startup.refusals(seed)),
    Part("A server that is loading", lambda s, seed: startup.loading(seed)),
]


def _on_redis(run: Callable[..., Counter[str]], seconds: float, seed: int) -> Counter[str]:
    if "redis" not in kills.kinds():
        return Counter({"redis-server is not installed": 1})
    return run(seconds, seed, "redis")
