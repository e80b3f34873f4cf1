"""Codes of what the language has and this release has not: 9xx. The good example shows what to write until then."""

from __future__ import annotations

from cep.lang.codes import Code

_PAIR = "rule r by k within 1h when a then b"
_ONE = "rule r by k when a"
_COUNT = "rule r by k while count(a) over 1h > 5"


def _unbuilt(code: str, what: str, bad: str, good: str) -> Code:
    explanation = "The grammar has it, so that rules can be written for it, but this release does not run it yet."
    return Code(code, f"not built yet: {what}", explanation, bad, good)


UNBUILT_CODES = (
    _unbuilt("CEP901", "tables", 'table shops from "shops.csv" key k', 'list risky = ["x", "y"]'),
    _unbuilt(
        "CEP902",
        "rosters",
        "rule r by k in devices within 1h while count(a) == 0",
        "rule r by k within 1h while count(a) == 0",
    ),
    _unbuilt("CEP903", "functions from a module", 'function risk from "scoring:risk"', "let risk(x) = 2 * x"),
    _unbuilt("CEP904", "models", 'model fraud from "fraud.onnx"', "let risk(x) = 2 * x"),
    _unbuilt("CEP905", "schedules", 'schedule night = "0 22 * * *"', _ONE),
    _unbuilt(
        "CEP906", "templates", "template many(e) rule r by k within 1h when 3 e", "rule r by k within 1h when 3 a"
    ),
    _unbuilt("CEP914", "windows other than over a time", "rule r by k while count(a) over last 5 > 2", _COUNT),
    _unbuilt("CEP915", "since and offset", "rule r by k while count(a) over 1h offset 1d > 5", _COUNT),
    _unbuilt("CEP916", "an aggregate's own key", "rule r by k while count(a) over 1h by t > 5", _COUNT),
    _unbuilt(
        "CEP917",
        "further aggregates",
        "rule r by k within 1h while median(a.n) > 5",
        "rule r by k within 1h while avg(a.n) > 5",
    ),
    _unbuilt("CEP918", "several alert clauses", f"{_ONE} alert low alert high", f"{_ONE} alert high"),
    _unbuilt(
        "CEP919", "alert under a condition", f"{_ONE} alert low if n > 5", "rule r by k when a where n > 5 alert low"
    ),
    _unbuilt("CEP920", "masked and hashed fields", "event c from s (k text mask)", "event c from s (k text)"),
    _unbuilt("CEP921", "to", f'{_ONE} alert low to "pager"', f"{_ONE} alert low"),
    _unbuilt(
        "CEP922",
        "rules over alerts",
        f"{_ONE}\nrule q by k within 1h while count(r) > 2",
        f"{_ONE}\nrule q by k within 1h while count(a) > 2",
    ),
    _unbuilt(
        "CEP923",
        "expect near",
        f'{_PAIR}\ntest r at 0s a {{k: "x"}} at 1s expect near r missing b',
        f'{_PAIR}\ntest r at 0s a {{k: "x"}} at 1s expect no r',
    ),
    _unbuilt("CEP924", "the calendar", 'rule r when a where hour_of(a.time, "UTC") > 5', "rule r when a where n > 5"),
    _unbuilt(
        "CEP925",
        "windows in the outputs of a when",
        f"{_ONE} show n = count(b) over 1h",
        "rule r by k within 1h when 2 a as d show n = count(d)",
    ),
    _unbuilt("CEP926", "shadow rules", "rule r by k mode shadow when a", "rule r by k mode off when a"),
    _unbuilt("CEP927", "by any of", "rule r by any of k, t when a", "rule r by k, t when a"),
)
