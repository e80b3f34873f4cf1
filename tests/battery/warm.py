"""Imported by the server that detectors are forked from, so that each begins with its kernels at hand.

A start of `cep run` costs most of a second for imports alone; a forked one is there again in a tenth.
"""

from cep.adapters.cli import run as _run
from cep.adapters.cli.warmup import ensure_warm, warm_up
from tests import test_kill as _test_kill

__all__ = ["_run", "_test_kill"]
ensure_warm()
warm_up()
