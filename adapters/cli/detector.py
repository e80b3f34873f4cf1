"""A rule set made ready to run: compiled, with what turns its matches into alerts and its state into bytes."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass, field

from cep.adapters.cli.console import CommandError
from cep.adapters.cli.secrets import SHORTEST_SECRET, key_of
from cep.alerting import Alerting
from cep.compile import compile_rules
from cep.compile.structure import Known
from cep.detector import RuleDetector
from cep.engine.snapshot import Freezer, load
from cep.lang.check import Memory
from cep.lang.checked.ruleset import RuleSet
from cep.layout.program import Program

_SECRET = "CEP_HASH_KEY"


@dataclass(frozen=True, slots=True)
class Before:
    """What checking and compiling rules leaves to the next time, so that a change costs little more than itself."""

    checked: Memory = field(default_factory=Memory)
    compiled: Known = field(default_factory=Known)


def build(rules: RuleSet, known: Known | None = None, shards: int = 1) -> tuple[Program, RuleDetector]:
    """The program of a rule set and its detector, at the beginning. known: see `compile_rules`. shards: of its keys.

    From here on a process makes millions of short-lived lists and no cycles, so the collector is told to look for them
    less often: it took a fifth of the time of a replay.
    """
    program = compile_rules(rules, known)
    detector = detector_of(program, shards)
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    return program, detector


def detector_of(program: Program, shards: int = 1) -> RuleDetector:
    """One more detector of a program."""
    seed = int.from_bytes(os.urandom(8)) >> 1
    return RuleDetector(program, Alerting(program).render, Freezer().freeze, load, _secret(program), shards, seed=seed)


def _secret(program: Program) -> bytes:
    """What digests of private values are keyed with.

    There is no default: with a key that is known, or made anew in each place, a digest would hide nothing or compare
    with nothing.
    """
    secret = key_of(_SECRET)
    if not secret and program.needs_secret:
        raise CommandError(
            "the rules hash fields, or have a private field for a key: set "
            f"{_SECRET} or {_SECRET}_FILE to a secret of at least {SHORTEST_SECRET} characters"
        )
    return secret
