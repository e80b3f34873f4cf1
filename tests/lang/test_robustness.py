"""Whatever a rule file holds, the answer is a list of diagnostics, each in its place: never an exception.

How long each takes is measured by `python -m bench.robustness`; here is only a bound that a busy machine keeps too.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cep.lang import load
from cep.lang.format import formatted
from cep.lang.report import Report
from cep.lang.text import Text
from tests.mutations import FINE, extreme, mutated

PATIENCE_S = 5.0
EXTREME = dict(extreme())


def answered(path: Path, content: bytes) -> list[str]:
    """The rendered diagnostics, after everything that must hold of them has been looked at."""
    path.write_bytes(content)
    began = time.process_time()
    loaded = load([path])
    assert time.process_time() - began < PATIENCE_S
    if str(path) not in loaded.files:
        assert [found.code for found in loaded.diagnostics] == ["CEP101"]  # what is no text has no lines to show
        return [found.render("") for found in loaded.diagnostics]
    lines = loaded.files[str(path)].split("\n")
    for found in loaded.diagnostics:
        assert 1 <= found.span.line <= len(lines)
        assert 1 <= found.span.column <= len(lines[found.span.line - 1]) + 2
    for text in loaded.files.values():
        formatted(Text.of("x.cep", text), Report())
    return [found.render(lines[found.span.line - 1]) for found in loaded.diagnostics]


@pytest.mark.parametrize("name", EXTREME)
def test_extreme(name, tmp_path):
    assert bool(answered(tmp_path / "x.cep", EXTREME[name])) == (name not in FINE)


def test_mutated(tmp_path):
    refused = 0
    for name, content in mutated(200):
        print(name)
        refused += bool(answered(tmp_path / "x.cep", content))
    assert refused > 150
