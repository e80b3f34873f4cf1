"""Windows at length: what they hold is bounded, sums do not drift, estimates are near, columns are shared."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

import pytest

from cep.compile import compile_rules
from cep.engine.episodes import EpisodeState
from cep.engine.state import EngineState
from cep.engine.step import drain, step
from cep.kernels.elements import USED
from cep.lang import check_texts
from cep.layout.program import Program
from cep.testing import VirtualEvent, batch_of

SECOND = 1_000_000
SCHEMA = """
stream s time ts
event a from s (k text, n integer, w number)
"""


def compiled(rules: str) -> Program:
    loaded = check_texts({"a.cep": SCHEMA + rules})
    assert loaded.ruleset is not None, loaded.diagnostics
    return compile_rules(loaded.ruleset)


def at_the_end(shown: Sequence[str], events: Sequence[VirtualEvent]) -> tuple[list[float], EpisodeState]:
    """What a condition's alert shows of the last event, and the state that is left."""
    said = ", ".join(f"s{i} = {expr}" for i, expr in enumerate(shown))
    program = compiled(f"rule r by k while a.n == -1\n  show {said}\n")
    state = EngineState.create(program)
    output = step(program, state, batch_of(program, state.strings, events, 0))
    (matches,) = output.matches
    words = matches.value[-1]
    values: list[float] = []
    for given in program.rules[0].inputs:
        word = words[given.a]
        values.append(float(word.view("f8")) if given.real else int(word))
    plan = state.shards[0].plans[0]
    assert isinstance(plan, EpisodeState)
    return values[: len(shown)], plan


def stream(numbers: Sequence[int], every_us: int = SECOND) -> list[VirtualEvent]:
    """Numbers of one key, and last an event with n = -1 at which everything is shown."""
    events = [VirtualEvent(0, i * every_us, {"k": "k", "n": n, "w": n / 7}) for i, n in enumerate(numbers)]
    return [*events, VirtualEvent(0, len(numbers) * every_us, {"k": "k", "n": -1, "w": 0.5})]


def test_distinct_values_become_an_estimate() -> None:
    for count in (4_000, 20_000, 100_000):
        (distinct,), plan = at_the_end(["count(distinct a.n) over 10d"], stream(range(count), 1000))
        assert abs(distinct - count - 1) <= (0 if count < 4096 else 0.1 * count)
        assert plan.windows.count[USED] <= 4096
        assert (plan.cut() > 0) == (count > 4096)


def test_an_estimate_becomes_exact_again() -> None:
    """A burst leaves the window; what came after it is counted one by one again."""
    numbers = [*range(20_000), *range(100_000, 110_000)]
    (distinct,), _ = at_the_end(["count(distinct a.n) over 50s"], stream(numbers, 50_000))
    assert distinct == 1000


def test_sums_do_not_drift() -> None:
    rng = random.Random(5)
    numbers = [rng.choice((10**15, 10**9, 1, 3, 7)) for _ in range(3_000)]
    numbers += [rng.randrange(100) for _ in range(99)]
    shown = ["stddev(a.n) over 100s", "stddev(a.w) over 100s", "sum(a.w) over 100s", "slope(a.w) over 100s"]
    (whole, real, total, slope), _ = at_the_end(shown, stream(numbers))
    last = [*numbers[-99:], -1]
    reals = [*(n / 7 for n in numbers[-99:]), 0.5]
    assert whole == pytest.approx(statistics.pstdev(last), rel=1e-14)
    assert real == pytest.approx(statistics.pstdev(reals), rel=1e-14)
    assert total == pytest.approx(math.fsum(reals), rel=1e-15)
    assert slope == pytest.approx(statistics.linear_regression(range(100), reals).slope, rel=1e-12)


def test_equal_values_do_not_spread() -> None:
    (deviation, distance), _ = at_the_end(
        ["stddev(a.w where n > 0) over 1h", "zscore(a.w where n > 0) over 1h"], stream([123_456_789] * 1000)
    )
    assert deviation == 0
    assert math.isnan(distance)


def test_percentiles_of_many() -> None:
    rng = random.Random(6)
    numbers = [rng.randrange(1000) for _ in range(5_000)]
    shown = ["p1(a.n) over 1000s", "median(a.n) over 1000s", "p99(a.n) over 1000s", "top(a.n) over 1000s"]
    (low, middle, high, often), _ = at_the_end(shown, stream(numbers))
    last = [*numbers[-999:], -1]
    ordered = sorted(last)
    assert (low, middle, high) == (ordered[9], ordered[499], ordered[989])
    assert last.count(int(often)) == max(map(last.count, last))


@pytest.mark.parametrize("window", ["over session 1h", "over each 365d", "over last 4"])
def test_a_window_without_end_holds_little(window: str) -> None:
    functions = ("count", "sum", "avg", "min", "max", "first", "last", "prev", "stddev", "slope", "changes")
    shown = [f"{function}(a.n) {window}" for function in functions]
    values, plan = at_the_end(shown, stream(range(5_000)))
    assert plan.windows.count[USED] <= 4 * len(functions)
    if "last" not in window:
        assert values[0] == 5001
        assert values[4:8] == [4999, 0, -1, 4999]


def test_one_column_serves_all_rules_that_share_it() -> None:
    program = compiled("""
rule r by k within 1h when a where stddev(a.n) over 5m > 1 and n > 1
rule s by k within 2h when 2 a where stddev(a.n) over 5m > 2 and count(a) over 5m every 1m > 1
rule t by k within 2h when a where n > 9 show d = stddev(a.n) over 5m
""")
    assert [len(plan.aggregates) for plan in program.features] == [1, 1]


@pytest.mark.parametrize("window", ["over 5s every 3s", "over 5s offset 7s", "over session 4s", "over each 6s"])
def test_windows_of_keys_that_fall_silent_are_freed(window: str) -> None:
    program = compiled(f"rule r by k when a where median(a.n) {window} > 3\n  show t = top(a.n) {window}\n")
    state = EngineState.create(program)
    for hour in range(3):
        events = [VirtualEvent(0, (hour * 3600 + i) * SECOND, {"k": f"{hour} {i % 90}", "n": i}) for i in range(180)]
        step(program, state, batch_of(program, state.strings, events, 180 * hour))
    drain(program, state)
    drain(program, state)
    assert all(feature.windows.count[USED] == 0 for feature in state.shards[0].features)
