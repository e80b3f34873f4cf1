"""Codes of what the language has and this release has not: 9xx. The good example shows what to write until then."""

from __future__ import annotations

from cep.lang.codes import Code

_PAIR = "rule r by k within 1h when a then b"
_ONE = "rule r by k when a"


def _unbuilt(code: str, what: str, bad: str, good: str) -> Code:
    explanation = "The grammar has it, so that rules can be written for it, but this release does not run it yet."
    return Code(code, f"not built yet: {what}", explanation, bad, good)


UNBUILT_CODES = (_unbuilt("CEP927", "by any of", "rule r by any of k, t when a", "rule r by k, t when a"),)
