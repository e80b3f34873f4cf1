"""The detector in a world where everything fails: some seeds, some planted bugs, and that world beside a real one."""

from __future__ import annotations

import pytest

from tests.servers import Server, server, shared_server
from tests.simulation import mutants
from tests.simulation.__main__ import run_block
from tests.simulation.compare import Real, differences
from tests.simulation.faults import FAULTS
from tests.simulation.planting import complaint_of, planted
from tests.simulation.world import World

__all__ = ["server", "shared_server"]
BLOCK, BLOCKS = 50, 24
SOON = 400  # seeds in which a fault has to show


@pytest.mark.parametrize("block", range(BLOCKS))
def test_the_promise_is_kept(block: int) -> None:
    _, broken = run_block(block * BLOCK, (block + 1) * BLOCK)
    assert broken == [], f"repeat: python -m tests.simulation --seed {broken[0][0]}"


def test_a_seed_repeats_itself() -> None:
    for seed in range(20, 30):
        first, second = list[str](), list[str]()
        World(seed, trace=first).run()
        World(seed, trace=second).run()
        assert first == second
        assert len(first) > 50


def test_the_fake_server_answers_as_a_real_one(server: Server) -> None:
    found, counts = differences(Real(server), 4000, seed=1)
    assert found == []
    assert counts["commits applied"] > 50


@pytest.mark.parametrize("mutant", mutants.ALL, ids=lambda mutant: mutant.name)
def test_every_planted_bug_is_planted_somewhere(mutant: mutants.Mutant) -> None:
    """A check that is rewritten must take its bug along."""
    with planted(mutant):
        pass


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_earlier_drafts_are_found(name: str) -> None:
    """And the seed that shows one keeps the promise without it."""
    mutant, plan = FAULTS[name]
    with planted(mutant):
        seed = next((seed for seed in range(SOON) if complaint_of(seed, plan) is not None), None)
    assert seed is not None, mutant.name
    assert complaint_of(seed, plan) is None
