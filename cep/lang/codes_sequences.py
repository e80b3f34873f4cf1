"""Codes of sequences with structure: 32x and 33x."""

from __future__ import annotations

from cep.lang.codes import Code

SEQUENCE_CODES = (
    Code(
        "CEP320",
        "a `no` that nothing follows or nothing precedes in its group",
        "A `no` stands between two steps, or at the end of the whole sequence. Instead of at the end of a group write "
        "it behind the group; instead of before the first step of one of several branches, before the group.",
        "rule r by k within 1h when a then (b then no a) then b",
        "rule r by k within 1h when a then (b) then no a then b",
    ),
    Code(
        "CEP321",
        "a group in which nothing has to happen",
        "Each sequence of a group has a step that must happen. That the group itself may be left out is said before "
        "it.",
        "rule r by k within 1h when a then (optional b then optional a) then b",
        "rule r by k within 1h when a then optional (b then optional a) then b",
    ),
    Code(
        "CEP322",
        "more of a group than there is",
        "`N of ( … )` asks for at least one of its sequences and at most all of them.",
        "rule r by k within 1h when 3 of (a, b)",
        "rule r by k within 1h when 2 of (a, b)",
    ),
    Code(
        "CEP323",
        "what is optional at the end (a warning)",
        "A sequence that could be complete is complete, so what may be left out at its end never captures anything, "
        "unless a `no` keeps the run waiting.",
        "rule r by k within 1h when a then optional b",
        "rule r by k within 1h when a then optional b then no a within 5m",
    ),
    Code(
        "CEP324",
        "`resume at` where matching cannot resume",
        "`resume at x` says which runs a match drops: those that began before x. It names a step, and belongs to "
        "`match first` and `match last`; the other policies drop none.",
        "rule r by k within 1h match each when a as p then b resume at p",
        "rule r by k within 1h match first when a as p then b resume at p",
    ),
    Code(
        "CEP325",
        "`then each` before a `no`",
        "`then each` makes a match of every event that the next step takes, and a `no` takes none.",
        "rule r by k within 1h when a then each no a then b",
        "rule r by k within 1h when a then no a then each b",
    ),
)
