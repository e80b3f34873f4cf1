"""The catalogue of diagnostic codes: what each means, and an example that has the mistake beside one that has not.

A code is never reused. A test runs every example: the bad one gives its code and no other, the good one none.
Examples stand on `SCHEMA` and may read `FILES`.
"""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = """\
stream s
event a from s (k text, n integer, x number, m money, t text, ok flag)
event b from s (k text, n integer, x number, m money, t text, ok flag)
"""
FILES = {
    "shops.csv": "k,risk,name\nx,7,North\ny,1,South\n",
    "twice.csv": "k,risk\nx,7\nx,1\n",
    "devices.csv": "device,place\nx,North\ny,South\n",
}


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of diagnostic."""

    code: str
    title: str
    explanation: str
    bad: str
    good: str


def explain(code: str) -> Code | None:
    """The catalogue's entry, or None when there is no such code."""
    return catalogue().get(code.upper())


def catalogue() -> dict[str, Code]:
    """Every code, in order."""
    from cep.lang.codes_alerts import ALERT_CODES
    from cep.lang.codes_outside import OUTSIDE_CODES
    from cep.lang.codes_rules import RULE_CODES
    from cep.lang.codes_sequences import SEQUENCE_CODES
    from cep.lang.codes_unbuilt import UNBUILT_CODES
    from cep.lang.codes_windows import WINDOW_CODES
    from cep.lang.codes_words import WORD_CODES

    codes = (*WORD_CODES, *OUTSIDE_CODES, *RULE_CODES, *SEQUENCE_CODES, *WINDOW_CODES, *ALERT_CODES, *UNBUILT_CODES)
    return {entry.code: entry for entry in codes}
