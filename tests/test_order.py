"""Event time: lateness, the merge of streams, and that cuts and disorder within `late` change nothing."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from cep.compile import compile_rules
from cep.engine.state import EngineState
from cep.engine.step import drain, step
from cep.kernels.matches import TIME
from cep.lang import check_texts
from cep.layout.program import Program
from cep.testing import VirtualEvent, batch_of

SECOND = 1_000_000
TWO_STREAMS = """
stream a time ts late 5s
stream b time ts
event x from a (k text)
event y from b (k text)
rule xy by k within 20s
  match each when x then y
  alert low
rule lonely by k within 3s
  when x then no y
  alert low
"""


def compiled(text: str) -> Program:
    loaded = check_texts({"order.cep": text})
    assert loaded.ruleset is not None, loaded.diagnostics
    return compile_rules(loaded.ruleset)


def matches_of(
    program: Program, events: list[VirtualEvent], cuts: list[int]
) -> tuple[list[tuple[int, int]], list[int]]:
    """(rule, time) of every match in order, and the places of the events that were late."""
    state = EngineState.create(program)
    made: list[tuple[int, int]] = []
    late: list[int] = []
    bounds = [0, *cuts, len(events)]
    for first, last in pairwise(bounds):
        output = step(program, state, batch_of(program, state.strings, events[first:last], first))
        late += [first + row for row in output.late.tolist()]
        made += [(output.matches[m].rule, int(output.matches[m].row[r, TIME])) for m, r in output.order.tolist()]
    output = drain(program, state)
    made += [(output.matches[m].rule, int(output.matches[m].row[r, TIME])) for m, r in output.order.tolist()]
    return made, late


@pytest.mark.parametrize("seed", range(20))
def test_cuts_change_nothing_with_two_streams_and_disorder(seed: int) -> None:
    rng = random.Random(seed)
    program = compiled(TWO_STREAMS)
    events = []
    for second in range(60):
        jitter = rng.choice([0, 0, 1, 3, 7])
        if rng.random() < 0.7:
            events.append(VirtualEvent(0, max(0, second - jitter) * SECOND, {"k": rng.choice("pq")}))
        if rng.random() < 0.5:
            events.append(VirtualEvent(1, second * SECOND, {"k": rng.choice("pq")}))
    whole = matches_of(program, events, [])
    assert whole[0], f"seed {seed}: nothing happened"
    for cuts in (list(range(1, len(events))), sorted(rng.sample(range(len(events)), 5))):
        assert matches_of(program, events, cuts) == whole, f"seed {seed}, cuts {cuts}"


def test_disorder_within_late_equals_order() -> None:
    program = compiled(TWO_STREAMS.replace("stream b time ts", "stream b time ts late 5s"))
    rng = random.Random(1)
    events = [VirtualEvent(i % 2, i * SECOND, {"k": rng.choice("pq")}) for i in range(50)]
    shuffled = sorted(events, key=lambda e: e.time_us + rng.uniform(0, 4.9) * SECOND)
    assert shuffled != events
    assert matches_of(program, shuffled, []) == matches_of(program, events, [])


def test_an_event_behind_its_streams_watermark_is_late_and_counted() -> None:
    program = compiled(TWO_STREAMS)
    times = [10, 4, 5, 3, 16, 10, 11]
    events = [VirtualEvent(0, t * SECOND, {"k": "p"}) for t in times]
    assert matches_of(program, events, [])[1] == [1, 3, 5]
    assert matches_of(program, events, [2, 4])[1] == [1, 3, 5]


def test_the_slowest_stream_holds_the_others_back_until_it_ends() -> None:
    program = compiled(TWO_STREAMS)
    state = EngineState.create(program)
    batch = batch_of(program, state.strings, [VirtualEvent(0, t * SECOND, {"k": "p"}) for t in (0, 30)])
    assert len(step(program, state, batch).order) == 0
    silent = batch_of(program, state.strings, [])
    output = step(program, state, silent, frozenset({1}))
    assert [program.rules[m.rule].name for m in output.matches] == ["lonely"]
    assert output.matches[0].row[0, TIME] == 3 * SECOND


def test_ties_of_two_streams_stand_in_the_order_of_declaration() -> None:
    program = compiled(TWO_STREAMS.replace("late 5s", "late 0s"))
    together = [VirtualEvent(1, SECOND, {"k": "p"}), VirtualEvent(0, SECOND, {"k": "p"})]
    made, _ = matches_of(program, together, [])
    assert (0, SECOND) in made, "x of stream a comes before y of stream b at one instant, whatever arrived first"


def test_late_rows_keep_the_batch_in_step() -> None:
    program = compiled(TWO_STREAMS)
    state = EngineState.create(program)
    events = [VirtualEvent(0, t * SECOND, {"k": "p"}) for t in (20, 1, 21)]
    output = step(program, state, batch_of(program, state.strings, events))
    assert np.array_equal(output.late, [1])
    assert state.counters.late == 1


@pytest.mark.parametrize("seed", range(20))
def test_what_is_late_does_not_depend_on_where_a_stream_is_cut(seed: int) -> None:
    """One look at a batch that stands in order finds what a look at each of its events finds."""
    rng = random.Random(seed)
    program = compiled(TWO_STREAMS)
    times = np.cumsum([rng.choice([0, 1, 1, 2, -6 if seed % 2 else 1]) for _ in range(80)]) + 50
    events = [VirtualEvent(rng.randrange(2), int(t) * SECOND, {"k": "p"}) for t in times]
    one_by_one, whole = matches_of(program, events, list(range(1, 80))), matches_of(program, events, [])
    assert whole[1] == one_by_one[1] == late_by_law(program, events)
    assert whole[0] == one_by_one[0]


def late_by_law(program: Program, events: list[VirtualEvent]) -> list[int]:
    """The places of the events behind their own stream's watermark, as said in the laws."""
    latest = [-(2**62)] * len(program.streams)
    late = []
    for place, event in enumerate(events):
        stream = program.events[event.event].stream
        if event.time_us < latest[stream] - program.streams[stream].late_us:
            late.append(place)
        latest[stream] = max(latest[stream], event.time_us)
    return late
