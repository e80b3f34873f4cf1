"""Connections that break: what is sent is lost, cut, delayed or torn, or the network is gone for a while."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.battery.proxy import Proxy
from tests.battery.world import World

GROUPS = 6  # detectors side by side, each behind a proxy of its own


def proxy_faults(seconds: float, seed: int, groups: int = GROUPS) -> Counter[str]:
    """Each connection is given a fault; the detectors never stop."""
    found = Counter[str]()
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, seconds, rate=800) as world:
        proxies = [Proxy(world.server.port, random.Random(f"{seed} {n}")) for n in range(groups)]
        try:
            began = time.monotonic()
            detectors = [world.start(group=f"g{n}", url=proxy.url) for n, proxy in enumerate(proxies)]
            world.feed.start()
            while time.monotonic() - began < seconds:
                time.sleep(0.2)
                assert all(d.process.exitcode is None for d in detectors), [d.said()[-500:] for d in detectors]
            for proxy in proxies:
                proxy.rng = None
                proxy.sever()
            sent = world.feed.stop()
            for n, detector in enumerate(detectors):
                world.wait_for_end(detector, f"g{n}")
                detector.stop()
                found += world.check(sent, f"g{n}")
                found["sessions lost"] += detector.said().count("will be opened again")
        finally:
            for proxy in proxies:
                proxy.close()
        for proxy in proxies:
            found["proxy faults"] += proxy.counted.total()
            found += Counter({f"fault: {name}": number for name, number in proxy.counted.items()})
    return found


def network_cuts(seconds: float, seed: int, groups: int = GROUPS, longest_s: float = 3.0) -> Counter[str]:
    """The network of each detector is gone for up to `longest_s`, now and then."""
    found, rng = Counter[str](), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, seconds, rate=800) as world:
        proxies = [Proxy(world.server.port) for _ in range(groups)]
        try:
            detectors = [world.start(group=f"g{n}", url=proxy.url) for n, proxy in enumerate(proxies)]
            for n, detector in enumerate(detectors):
                detector.wait(lambda n=n: world.server.client().exists(f"cep:{{g{n}}}:meta"), "there")
            world.feed.start()
            began = time.monotonic()
            while time.monotonic() - began < seconds:
                for proxy in proxies:
                    proxy.cut()
                time.sleep(rng.uniform(0.5, longest_s))
                for proxy in proxies:
                    proxy.heal(dead=rng.random() < 0.7)
                time.sleep(rng.uniform(0.3, 1.0))
            sent = world.feed.stop()
            healed = time.monotonic()
            for n, detector in enumerate(detectors):
                world.wait_for_end(detector, f"g{n}")
                found["slowest to catch up, ms"] = max(
                    found["slowest to catch up, ms"], int(1000 * (time.monotonic() - healed))
                )
                detector.stop()
                found += world.check(sent, f"g{n}")
        finally:
            for proxy in proxies:
                proxy.close()
        for proxy in proxies:
            found["network cuts"] += proxy.counted.total()
            found += proxy.counted
    return found
