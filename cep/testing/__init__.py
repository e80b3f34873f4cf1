"""What users test rules with: events as values, the runner of `test` blocks, and what the blocks cover."""

from __future__ import annotations

from cep.testing.blocks import TestResult, run_test, run_tests
from cep.testing.coverage import RuleCoverage, covered
from cep.testing.events import VirtualEvent, batch_of
from cep.testing.ways import Cut, Way, singly, whole

__all__ = [
    "Cut",
    "RuleCoverage",
    "TestResult",
    "VirtualEvent",
    "Way",
    "batch_of",
    "covered",
    "run_test",
    "run_tests",
    "singly",
    "whole",
]
