"""Random rule files out of `grammar.lark` itself: every production occurs, in any white space, with comments anywhere.

What it writes parses and means nothing. `python -m tests.generate_grammar --count 1000` prints how often each
production occurred; `--seed 7` prints one file.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable
from functools import cache, lru_cache

from lark import Lark
from lark.grammar import NonTerminal, Rule, Symbol, Terminal

from cep.lang.parse import grammar_text, whole_word

DEEPEST, LONGEST = 20, 120  # productions inside each other, and words, after which the shortest way to an end is taken
NEVER = 10**9
WORDS = {
    "NAME": ("amount", "user", "`from`", "card", "größe", "t2"),
    "STRING": ('"text"', '""', '"a # b"', r'"\"quoted\" \\ {x}"', '"1, 2"'),
    "DURATION": ("10m", "1h30m", "250ms", "1_000us", "0s", "2w"),
    "NUMBER": ("5.00", "2.5e3", "1_000.5", "7e2"),
    "INT": ("1", "0", "1_000", "42"),
    "COMPARE": ("==", "!=", "<", "<=", ">", ">="),
}
GAPS = (" ",) * 12 + ("\n", "\n", "  ", "\t", "\n\n\n  ", " # c, d\n", "\n# alone\n", "\n\n  # indented\n\n", "\r\n")


@lru_cache(maxsize=1)
def productions() -> dict[Symbol, list[Rule]]:
    """The grammar's rules by what they make; optional parts and repetitions are written out."""
    lark = Lark(grammar_text(), parser="lalr", start="file", edit_terminals=whole_word)
    by_origin: dict[Symbol, list[Rule]] = {}
    for rule in lark.rules:
        by_origin.setdefault(rule.origin, []).append(rule)
    return by_origin


@lru_cache(maxsize=1)
def plain_terminals() -> dict[str, str]:
    """The text of each terminal that has only one."""
    lark = Lark(grammar_text(), parser="lalr", start="file")
    return {terminal.name: terminal.pattern.value for terminal in lark.terminals if terminal.name not in WORDS}


def all_productions() -> list[Rule]:
    """Every production, in the grammar's order."""
    return [rule for rules in productions().values() for rule in rules]


@lru_cache(maxsize=1)
def _counting() -> tuple[Lark, list[Rule]]:
    """A parser, and the list to which it adds each production that it uses."""
    lark, used = Lark(grammar_text(), parser="lalr", start="file", edit_terminals=whole_word), list[Rule]()
    callbacks = lark.parser.parser.parser.callbacks  # what the parser calls when it has put a production together

    def counted(rule: Rule, make: Callable[[list[object]], object]) -> Callable[[list[object]], object]:
        def call(children: list[object]) -> object:
            used.append(rule)
            return make(children)

        return call

    for rule, make in callbacks.items():
        callbacks[rule] = counted(rule, make)
    return lark, used


def productions_of(text: str) -> Counter[Rule]:
    """How often each production occurs in a file."""
    lark, used = _counting()
    used.clear()
    lark.parse(text)
    return Counter(used)


@lru_cache(maxsize=1)
def heights() -> dict[Symbol, int]:
    """How many productions lie at least between a symbol and its words."""
    return _least(lambda rule, known: max((known.get(s, NEVER) for s in _nonterminals(rule)), default=0))


@cache
def ways(wanted: Rule) -> dict[Symbol, int]:
    """How many productions lie at least between a symbol and this production."""

    def below(rule: Rule, known: dict[Symbol, int]) -> int:
        return 0 if rule == wanted else min((known.get(s, NEVER) for s in _nonterminals(rule)), default=NEVER)

    return _least(below)


def _least(below: Callable[[Rule, dict[Symbol, int]], int]) -> dict[Symbol, int]:
    found: dict[Symbol, int] = {}
    before = None
    while found != before:
        before = dict(found)
        for origin, rules in productions().items():
            found[origin] = min(1 + below(rule, found) for rule in rules)
    return found


def _nonterminals(rule: Rule) -> list[Symbol]:
    return [symbol for symbol in rule.expansion if not isinstance(symbol, Terminal)]


def random_file(seed: int, used: Counter[Rule]) -> str:
    """A file that the grammar takes; the productions in it are counted. Seeds in turn want one production each."""
    rng = random.Random(seed)
    wanted = all_productions()[seed % len(all_productions())]
    words: list[str] = []
    waiting: list[tuple[Symbol, int, bool]] = [(NonTerminal("file"), 0, True)]
    while waiting:
        symbol, depth, leads = waiting.pop()
        if isinstance(symbol, Terminal):
            words.append(rng.choice(WORDS[symbol.name]) if symbol.name in WORDS else plain_terminals()[symbol.name])
            continue
        rules = productions()[symbol]
        if leads:
            rule = min(rules, key=lambda rule: _way(rule, wanted))
        elif depth > DEEPEST or len(words) > LONGEST:
            rule = min(rules, key=lambda rule: max((heights()[s] for s in _nonterminals(rule)), default=0))
        else:
            rule = rng.choice(rules)
        used[rule] += 1
        leads = leads and rule != wanted
        next_ = min(_nonterminals(rule), key=lambda s: ways(wanted)[s]) if leads else None
        deeper = depth + (not rule.origin.name.startswith("__"))  # a repetition lies no deeper than what it repeats
        for below in reversed(rule.expansion):
            waiting.append((below, deeper, below == next_))
            next_ = None if below == next_ else next_
    return _spaced(words, rng)


def _way(rule: Rule, wanted: Rule) -> int:
    return 0 if rule == wanted else min((ways(wanted)[s] for s in _nonterminals(rule)), default=NEVER)


def _spaced(words: list[str], rng: random.Random) -> str:
    text = rng.choice(("", "", "# first\n", "\n\n"))
    for word in words:
        text += word + rng.choice(GAPS)
    return text


def main() -> None:
    """Print one file, or how often each production occurs in many."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, help="the one file to print")
    parser.add_argument("--count", type=int, default=500, help="how many files to measure")
    options = parser.parse_args()
    if options.seed is not None:
        print(random_file(options.seed, Counter()))
        return
    used: Counter[Rule] = Counter()
    for seed in range(options.count):
        random_file(seed, used)
    every = all_productions()
    for rule in sorted(every, key=lambda rule: used[rule]):
        print(f"{used[rule]:8}  {rule}")
    print(f"{sum(used[rule] > 0 for rule in every)} of {len(every)} productions in {options.count} files")


if __name__ == "__main__":
    main()
