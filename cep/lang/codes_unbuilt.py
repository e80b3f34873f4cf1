"""Codes of what the language has and this release has not: 9xx. The good example shows what to write until then."""

from __future__ import annotations

from cep.lang.codes import Code

_PAIR = "rule r by k within 1h when a then b"
_ONE = "rule r by k when a"


def _unbuilt(code: str, what: str, bad: str, good: str) -> Code:
    explanation = "The grammar has it, so that rules can be written for it, but this release does not run it yet."
    return Code(code, f"not built yet: {what}", explanation, bad, good)


UNBUILT_CODES = (
    _unbuilt("CEP907", "then each", "rule r by k within 1h when a then each b", _PAIR),
    _unbuilt(
        "CEP908",
        "match all with a loop",
        "rule r by k within 1h match all when 2+ a then b",
        "rule r by k within 1h match all when a then b",
    ),
    _unbuilt("CEP909", "resume at", "rule r by k within 1h when a as p then b resume at p", _PAIR),
    _unbuilt(
        "CEP910", "in a row", "rule r by k within 1h when 3 in a row a", "rule r by k within 1h when a next a next a"
    ),
    _unbuilt("CEP911", "optional", "rule r by k within 1h when a then optional b then a", _PAIR),
    _unbuilt("CEP912", "groups of steps", "rule r by k within 1h when all of (a, b)", _PAIR),
    _unbuilt(
        "CEP913",
        "until of a sequence",
        "rule r by k within 1h when a then b until a",
        "rule r by k within 1h when a then no a then b",
    ),
    _unbuilt("CEP927", "by any of", "rule r by any of k, t when a", "rule r by k, t when a"),
)
