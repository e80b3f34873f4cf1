"""Where the time of an event goes, from bytes to alerts.

    python -m bench.stages w4 [--events N] [--batch N]

Every stage is a function that is called a few times a batch, so timing the calls costs nothing that shows; the clock
is that of the thread, which stands while others have the core. A stage inside another counts for itself alone; what no
stage claims is `rest`.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

import cep.engine.step as step_module
from bench.measure import EVENTS, PASSES, settle
from bench.workloads import BATCH_EVENTS, NAMES, Events, compile_workload, generate, lines
from cep.alerting import Alerting
from cep.decoding.entries import Decoder
from cep.engine.combinations import CombinationState
from cep.engine.derived import Derived
from cep.engine.episodes import EpisodeState
from cep.engine.features import FeatureState
from cep.engine.graph import GraphState
from cep.engine.selection import Selection
from cep.engine.sequences import ChainState, ProbeState
from cep.engine.shared import SharedState
from cep.engine.state import EngineState
from cep.layout.program import Program
from cep.ports import Entries

PLANS = (ChainState, SharedState, ProbeState, CombinationState, GraphState, EpisodeState)
STAGES: dict[str, list[tuple[Any, str]]] = {  # stage → where it is called from, and by which name
    "decode": [(Decoder, "decode")],
    "forget": [(step_module, "_compact")],
    "order": [(step_module, "take_in")],
    "derived": [(Derived, "words")],
    "filters": [(Selection, "__init__"), (Selection, "_pass")],
    "rows and keys": [(Selection, "rows")],
    "features": [(FeatureState, "feed")],
    "plan kernel": [(plan, "feed") for plan in PLANS],
    "sweep": [(plan, "sweep") for plan in (*PLANS, FeatureState) if "sweep" in vars(plan)],
    "capture": [(step_module, "_capture")],
    "matches in order": [(step_module, "taken"), (step_module, "in_order")],
    "alerts": [(Alerting, "render")],
}


class Stopwatch:
    """The time spent in each stage, without that of the stages inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]  # for each stage under way, what the stages inside it have taken

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time counted for the stage."""

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            self._inner.append(0.0)
            begin = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                taken = time.thread_time() - begin
                self.seconds[stage] += taken - self._inner.pop()
                self._inner[-1] += taken

        return call


@contextmanager
def watched(watch: Stopwatch) -> Iterator[None]:
    """While it lasts, every stage is timed."""
    with ExitStack() as stack:
        for stage, places in STAGES.items():
            for owner, name in places:
                original = getattr(owner, name)
                setattr(owner, name, watch.timed(stage, original))
                stack.callback(setattr, owner, name, original)
        yield


def blocks(events: Events, size: int) -> list[Entries]:
    """The events as entries of one JSON document each, so many at a time."""
    documents = [line for block in lines(events) for line in block.splitlines()]
    return [
        Entries(
            0,
            events.ts[at : at + size],
            np.arange(at, min(at + size, len(events)), dtype=np.int64),
            [[b"event", document] for document in documents[at : at + size]],
        )
        for at in range(0, len(events), size)
    ]


def one_pass(program: Program, entries: list[Entries]) -> int:
    """Bytes to alerts, from an empty state; how many alerts."""
    state = EngineState.create(program)
    decoder, alerting = Decoder(program, state.strings), Alerting(program)
    alerts = 0
    for block in entries:
        output = step_module.step(program, state, decoder.decode(block).batch)
        alerts += len(alerting.render(state, output))
    return alerts


def measure(name: str, events: Events, batch: int, rounds: int = PASSES) -> dict[str, float]:
    """Nanoseconds an event of each stage, for entries as a service has them."""
    return measure_blocks(name, blocks(events, batch), len(events), rounds)


def measure_blocks(name: str, entries: list[Entries], n: int, rounds: int = PASSES) -> dict[str, float]:
    """Nanoseconds an event of each stage, in the middle one of some passes; `all` is the whole. n: how many events."""
    program = compile_workload(name)
    passes: list[dict[str, float]] = []
    for round_number in range(rounds + 1):
        watch = Stopwatch()
        settle()
        with watched(watch):
            watch.timed("rest", one_pass)(program, entries)
        if round_number:
            passes.append(watch.seconds | {"all": sum(watch.seconds.values())})
    return {
        stage: statistics.median(seconds.get(stage, 0.0) for seconds in passes) / n * 1e9
        for stage in (*STAGES, "rest", "all")
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.stages", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workload", choices=NAMES)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--batch", type=int, default=BATCH_EVENTS, help="entries at a time; a service reads 2000")
    given = parser.parse_args()
    ns = measure(given.workload, generate(given.events), given.batch)
    print(f"{given.workload}: {given.events:,} events in batches of {given.batch:,}, ns an event")
    for stage, value in ns.items():
        print(f"  {stage:<16} {value:8.1f} {value / ns['all']:6.1%}")


if __name__ == "__main__":
    main()
