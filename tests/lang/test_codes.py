"""Every code of the catalogue: its bad example gives it and no other, its good example gives nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cep.lang import check_texts
from cep.lang.codes import FILES, SCHEMA, catalogue, explain
from cep.lang.lints import beyond
from tests.golden import FOLDER, RETENTION_US, rendered

CODES = list(catalogue().values())
PACKAGE = Path(__file__).parents[2] / "cep" / "lang"


def codes_in(text: str, code: str) -> set[str]:
    loaded = check_texts({"x.cep": SCHEMA + text} | FILES)
    asked = beyond(loaded.ruleset, RETENTION_US) if code == "CEP390" and loaded.ruleset else ()
    return {diagnostic.code for diagnostic in (*loaded.diagnostics, *asked)}


@pytest.mark.parametrize("entry", CODES, ids=lambda entry: entry.code)
def test_example(entry):
    assert codes_in(entry.bad, entry.code) == {entry.code}
    assert codes_in(entry.good, entry.code) == set()


@pytest.mark.parametrize("entry", CODES, ids=lambda entry: entry.code)
def test_what_an_author_sees(entry):
    golden = FOLDER / f"{entry.code}.txt"
    assert golden.is_file(), "run: python -m tests.golden"
    assert rendered(entry) == golden.read_text("utf-8"), "if this is meant, run: python -m tests.golden"


def test_every_code_in_use_is_explained():
    used = {code for path in PACKAGE.glob("*.py") for code in re.findall(r"\bCEP\d{3}\b", path.read_text("utf-8"))}
    assert used == set(catalogue())


def test_explain():
    entry = explain("cep104")
    assert entry is not None
    assert entry.title == "unknown word or name"
    assert explain("CEP000") is None
