"""Every `test` block of the case files on the engine, however the events are cut into batches."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from cep.compile import compile_rules
from cep.lang import load
from cep.testing import Cut, run_tests, whole

CASES = Path(__file__).parent / "cases"
FILES = sorted(path for path in CASES.rglob("*.cep") if "errors" not in path.parts)


def singly(events: int) -> Sequence[int]:
    return range(1, events + 1)


def halves(events: int) -> Sequence[int]:
    return [events // 2, events]


def anyhow(events: int) -> Sequence[int]:
    rng = random.Random(events)
    return [*sorted(rng.choices(range(events + 1), k=3)), events]


@pytest.mark.parametrize("cut", [whole, singly, halves, anyhow])
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CASES)))
def test_case_file(path: Path, cut: Cut) -> None:
    loaded = load([path])
    assert loaded.ruleset is not None, loaded.diagnostics
    results = run_tests(loaded.ruleset, compile_rules(loaded.ruleset), cut)
    assert results
    assert not [failure for result in results for failure in result.failures]
