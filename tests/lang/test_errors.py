"""Files of mistakes: beside each line stands the code it must give and a part of what is said, and no more is said.

`# error CEP104 "text"`: the text is found in the message or in the hint.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cep.lang import load

ERRORS = Path(__file__).parents[1] / "cases" / "errors"
_EXPECTED = re.compile(r'# error (CEP\d{3}) "(.*?)"(?=\s*(?:# error|$))', re.MULTILINE)


@pytest.mark.parametrize("path", sorted(ERRORS.glob("*.cep")), ids=lambda path: path.stem)
def test_file(path):
    expected = [
        (number, match[1], match[2])
        for number, line in enumerate(path.read_text("utf-8").split("\n"), 1)
        for match in _EXPECTED.finditer(line)
    ]
    loaded = load([path])
    missing = list(expected)
    surplus = []
    for found in loaded.diagnostics:
        said = f"{found.message} {found.hint}"
        for wanted in missing:
            if (wanted[0], wanted[1]) == (found.span.line, found.code) and wanted[2] in said:
                missing.remove(wanted)
                break
        else:
            surplus.append(f"{found.span.line} {found.code} {said}")
    assert (missing, surplus) == ([], [])
    assert loaded.ruleset is None
