"""The random author of sequences with structure: groups and choices in each other, and all that goes with them."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

from tests.generate_rules import Scope, Seen, Words

STEP_QUANTIFIERS = ("",) * 8 + ("2 ", "1+ ", "2+ ", "1..2 ", "2 in a row ", "1+ in a row ", "optional ", "optional ")
GROUP_QUANTIFIERS = ("", "", "optional ", "1+ ", "1..2 ", "2 ", "2 in a row ", "2..3 ", "1+ in a row ")


@dataclass
class Grove:
    """What is settled of one sequence, and what has been written of it. aliases: (event, is a loop)."""

    events: list[Seen]
    horizon: int | None
    names: itertools.count = field(default_factory=lambda: itertools.count(1))
    aliases: dict[str, tuple[Seen, bool]] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)  # aliases of steps
    size: int = 0

    def scope(self, event: Seen) -> Scope:
        return Scope(event, self.events, self.horizon is not None, dict(self.aliases))


class Forester:
    """Random sequences whose items are groups as often as steps."""

    def __init__(self, rng: random.Random, words: Words) -> None:
        self.rng, self.words = rng, words
        self.note, self.chance = words.note, words.chance

    def when(self, events: list[Seen]) -> str:
        """The trigger and the headers before it."""
        horizon = self.rng.choice((8, 12, 20, 30, 60)) if self.chance(0.93) else None
        grove = Grove(events, horizon)
        trailing = self.chance(0.3)
        body = self.sequence(grove, self.rng.choice((1, 1, 2, 2, 3)), 0)
        if trailing:
            body += f"\n  then {self.guard(grove)}"
            self.note("tree: trailing no", "")
        policy = self.rng.choice(("first", "first", "each", "each", "all") + (() if trailing else ("last",)))
        self.note(f"tree: {policy}", "")
        head = "" if horizon is None else f" within {horizon}s"
        if (
            self.chance(0.3) or policy == "all" or "then each" in body
        ):  # whose runs would else be too many for the oracle
            head += self.note("tree: max", f" max {self.rng.choice((1, 2, 3, 5, 12))}")
        ends = self.ends(grove, policy)
        return f"{head}\n  match {policy} when {body}{ends}"

    def ends(self, grove: Grove, policy: str) -> str:
        text = ""
        if self.chance(0.15):
            event = self.rng.choice(grove.events)
            text += self.note(
                "tree: until", f"\n  until {event.name} where {self.words.condition(grove.scope(event), 1)}"
            )
        if policy in ("first", "last") and grove.steps and self.chance(0.25):
            end = self.rng.choice(("", "first ", "last "))
            text += self.note("tree: resume at", f"\n  resume at {end}{self.rng.choice(grove.steps)}")
        return text

    def sequence(self, grove: Grove, length: int, depth: int, *, looped: bool = False, branch: bool = False) -> str:
        """Items, at least one of which has to happen; a branch of a choice begins without a `no`."""
        must = self.rng.randrange(length)
        parts: list[str] = []
        for place in range(length):
            first = place == 0
            guards = [self.guard(grove)] if self.chance(0.12) and not (branch and first) else []
            if first and guards and depth == 0:
                self.note("tree: leading no", "")
            item = self.item(
                grove, depth, looped, must=place == must, first=first and depth == 0, branch=branch and first
            )
            parts += [*guards, item]
        text = parts[0]
        for before, part in itertools.pairwise(parts):
            leading = all(p.startswith("no ") for p in parts[: parts.index(before) + 1])
            text += f"\n  {self.link(part, leading)} {part}"
        return text

    def link(self, part: str, leading: bool) -> str:
        drawn = self.rng.random()
        if drawn < 0.12 and not leading:
            return self.note("tree: next", "next")
        if drawn < 0.24 and not part.startswith("no ") and not leading:
            return self.note("tree: then each", "then each")
        return "then"

    def guard(self, grove: Grove) -> str:
        event = self.rng.choice(grove.events)
        text = f"no {event.name}"
        if self.chance(0.8):
            text += f" where {self.words.condition(grove.scope(event), 1)}"
        if grove.horizon is None or self.chance(0.5):
            text += f" within {self.rng.choice((1, 1, 2, 4))}s"
        return text

    def item(self, grove: Grove, depth: int, looped: bool, *, must: bool, first: bool, branch: bool) -> str:
        grove.size += 1
        if depth >= 3 or grove.size > 5 or (first and grove.horizon is None) or self.chance(0.5):
            return self.step(grove, looped, must=must, first=first)
        quantifiers = ("", "optional ") if grove.horizon is None else GROUP_QUANTIFIERS
        quantifier = self.rng.choice([q for q in quantifiers if not must or q != "optional "])
        inner = looped or quantifier.strip() not in ("", "optional")
        self.note(f"tree: group {quantifier}", "")
        if self.chance(0.5):
            body = self.sequence(grove, self.rng.choice((1, 2, 2)), depth + 1, looped=inner, branch=branch)
            return self.gap(grove, f"{quantifier}({body})", first)
        return self.gap(grove, quantifier + self.choice(grove, depth, inner), first)

    def choice(self, grove: Grove, depth: int, looped: bool) -> str:
        branches, before = self.rng.choice((2, 2, 3)), list(grove.aliases)
        count = self.rng.choice(("all", "any", "2" if branches == 3 else "any"))
        self.note(f"tree: {count} of", "")
        parts = [
            self.sequence(grove, self.rng.choice((1, 1, 2)), depth + 1, looped=looped, branch=True)
            for _ in range(branches)
        ]
        text = f"{count} of ({', '.join(parts)})"
        inside = [seen for name, (seen, _) in grove.aliases.items() if name not in before]
        if self.chance(0.5) and inside:
            common = {f: k for f, k in inside[0].fields.items() if all(s.fields.get(f) == k for s in inside)}
            if any(kind in ("integer", "money", "number") for kind in common.values()):
                alias = f"s{next(grove.names)}"
                grove.aliases[alias] = (Seen(alias, common), True)
                text += self.note("tree: alias of a group", f" as {alias}")
        return text

    def step(self, grove: Grove, looped: bool, *, must: bool, first: bool) -> str:
        event = self.rng.choice(grove.events)
        quantifiers = ("",) if first and grove.horizon is None else STEP_QUANTIFIERS
        quantifier = self.rng.choice([q for q in quantifiers if not must or q != "optional "])
        self.note(f"tree: step {quantifier}", "")
        alias = f"s{next(grove.names)}"
        scope = grove.scope(event)
        loop = looped or quantifier.strip() not in ("", "optional")
        if loop and self.chance(0.3):
            scope.aliases[alias] = (event, True)
        text = f"{quantifier}{event.name} as {alias}"
        if self.chance(0.15):
            text += f" where {self.words.condition(scope, 1)}"
        grove.aliases[alias] = (event, loop)
        grove.steps.append(alias)
        return self.gap(grove, text, first)

    def gap(self, grove: Grove, text: str, first: bool) -> str:
        if grove.horizon is None or (not first and self.chance(0.1)):
            return self.note("tree: within", f"{text} within {self.rng.choice((1, 2, 4, 8))}s")
        return text
