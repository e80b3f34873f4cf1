"""Instructions beside what is kept: the same matches, and how many times as many."""

from __future__ import annotations

import pytest

from bench.instructions import compare

KEPT = {"w1": {"matches": 3, "instructions": 200.0}}


def test_ratio_to_what_is_kept() -> None:
    assert compare({"w1": {"matches": 3, "instructions": 212.0}}, KEPT) == {"w1": 1.06}


def test_other_matches_are_no_comparison() -> None:
    with pytest.raises(AssertionError, match="w1: 4 matches"):
        compare({"w1": {"matches": 4, "instructions": 200.0}}, KEPT)
