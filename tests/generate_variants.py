"""Variants of a random rule: the same but for what its last step asks, as analysts write them by the hundred."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

SHARE = 0.5  # of the files that get some
_LAST = re.compile(
    r"^  (?:(?:match \w+ )?when|then|next) (?!no )(?P<step>\w+ as \w+)(?P<where> where .*?)?(?P<gap> within \d+s)?$"
)
_OTHERS = re.compile(r"^  (?:(?:match \w+ )?when|then|next) ")
_ASKED = (
    "u == 2", "u > 1", "u >= 2", "u < 3", "u <= 2", "u != 1", "3 >= u", 'k == "1"', 'k == "2"', 'm == "p"',
    'm == "q"', 'm != "p"', "missing(m)", "not missing(u)", "u * 2 > 3", 'k == "1" or m == "q"',
)  # fmt: skip


def with_variants(seed: int, rules: Sequence[str], features: set[str]) -> Iterator[str]:
    """The rules, and now and then behind one of them some variants."""
    rng = random.Random(f"variants {seed}")
    for number, rule in enumerate(rules):
        yield rule
        lines = rule.split("\n")
        steps = [at for at, line in enumerate(lines) if _OTHERS.match(line)]
        plain = all(lines[at].count("(") == lines[at].count(")") and "of (" not in lines[at] for at in steps)
        last = _LAST.match(lines[steps[-1]]) if steps and plain else None
        if last is None or rng.random() > SHARE:
            continue
        features.add("when: variants")
        for copy in range(rng.choice((2, 2, 3, 5))):
            asked = " and ".join(rng.sample(_ASKED, k=rng.choice((0, 1, 1, 2, 3))))
            step = lines[steps[-1]][: last.end("step")] + (f" where {asked}" if asked else "") + (last["gap"] or "")
            head = re.sub(r"^rule (\w+)", rf"rule \1_{number}{copy}", lines[0])
            yield "\n".join([head, *lines[1 : steps[-1]], step, *lines[steps[-1] + 1 :]])
