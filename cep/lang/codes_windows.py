"""Codes of windows and aggregates: 340 to 359."""

from __future__ import annotations

from cep.lang.codes import Code

WINDOW_CODES = (
    Code(
        "CEP340",
        "windows that do not go together",
        "An aggregate has one window. Together have a meaning: `over D` and `over last N`, `since` with a window that "
        "is not hopping, `offset` and `by` with any.",
        "rule r by k while count(a) over 1h over session 5m > 2",
        "rule r by k while count(a) over 1h over last 5 > 2",
    ),
    Code(
        "CEP341",
        "a stretch of the calendar that does not fit into days",
        "`over each D` begins at local midnight: D is at most a day, or a number of whole days.",
        "rule r by k while count(a) over each 36h > 2",
        "rule r by k while count(a) over each 2d > 2",
    ),
    Code(
        "CEP342",
        "an unknown time zone",
        "Time zones have the names of the tz database.",
        'rule r by k while count(a) over each 1d tz "Berlin" > 2',
        'rule r by k while count(a) over each 1d tz "Europe/Berlin" > 2',
    ),
    Code(
        "CEP343",
        "a function that this window cannot have",
        "A rate is divided by the length of its window, so the window has one. An ewma weighs by age, and `over` gives "
        "its half-life.",
        "rule r by k while rate(a) over last 5 > 2",
        "rule r by k while rate(a) over 5m > 2",
    ),
    Code(
        "CEP344",
        "the own value of another event",
        "In a `when`, new() and zscore() compare the judged event's own value with the window before it.",
        "rule r by k within 1h when a where zscore(b.n) > 3",
        "rule r by k within 1h when b where zscore(b.n) > 3",
    ),
    Code(
        "CEP345",
        "an own key in a condition",
        "A `while` is judged for one key, that of its rule. In a step the window of another key can be looked up.",
        "rule r by k within 1h while count(a) by t > 5",
        "rule r by t within 1h while count(a) > 5",
    ),
    Code(
        "CEP346",
        "an own key that an event lacks",
        "The window is kept by a field of its event, and looked up by the judged event's field of that name and kind.",
        "rule r by k within 1h when a where count(b) by colour > 5",
        "rule r by k within 1h when a where count(b) by t > 5",
    ),
    Code(
        "CEP347",
        "what has no meaning of captured events",
        "What a step captured is aggregated as a whole; a window, a rate and what compares with one need an event.",
        "rule r by k within 1h when 2+ a as d then b show c = count(d) over 5m",
        "rule r by k within 1h when 2+ a as d then b show c = count(d where n > 5)",
    ),
    Code(
        "CEP348",
        "an aggregate that looking back does not have",
        "A filter that looks back can count, sum, avg, min, max, first and last. Outputs can show every aggregate.",
        "rule r by k within 1h when 2+ a as d then b where median(d.n) > 2",
        "rule r by k within 1h when 2+ a as d then b show m = median(d.n)",
    ),
    Code(
        "CEP349",
        "an operation on the most frequent text",
        "What top() gives of changed texts is not the change of what it gives. Change the text inside.",
        'rule r by k within 1h while lower(top(a.t)) == "x"',
        'rule r by k within 1h while top(lower(a.t)) == "x"',
    ),
)
