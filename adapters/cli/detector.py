"""A rule set made ready to run: compiled, with what turns its matches into alerts and its state into bytes."""

from __future__ import annotations

import gc

from cep.alerting import Alerting
from cep.compile import compile_rules
from cep.detector import RuleDetector
from cep.engine.snapshot import dump, load
from cep.lang.checked import RuleSet
from cep.layout import Program


def build(rules: RuleSet) -> tuple[Program, RuleDetector]:
    """The program of a rule set and its detector, at the beginning.

    From here on a process makes millions of short-lived lists and no cycles, so the collector is told to look for them
    less often: it took a fifth of the time of a replay.
    """
    program = compile_rules(rules)
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    return program, RuleDetector(program, Alerting(program).render, dump, load)
