"""Bytes of a state: what is said, what is set aside."""

from __future__ import annotations

from bench.memory import Case, array_bytes, fill, said
from bench.workloads import compile_workload
from cep.engine.state import EngineState


def test_every_key_and_every_partial_match_is_held() -> None:
    few, many, crowded = (fill(Case("w2", keys, waiting)) for keys, waiting in ((100, 1), (2000, 1), (2000, 4)))
    fixed, each = said("w2")
    assert few.set_aside < many.set_aside < crowded.set_aside
    assert many.set_aside < 2 * 2000 * (fixed + each)


def test_arrays_count_once() -> None:
    state = EngineState.create(compile_workload("w2"))
    before = array_bytes(state)
    shared = state.buffer("one", 100, 8)
    state.scratch["the same"] = shared
    assert array_bytes(state) == before + 6400
