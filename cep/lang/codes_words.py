"""Codes of reading: 1xx syntax and names, 2xx kinds."""

from __future__ import annotations

from cep.lang.codes import Code

_DEEP = "(" * 101 + "1" + ")" * 101

WORD_CODES = (
    Code(
        "CEP101",
        "not text",
        "A rule file is UTF-8 text without control characters.",
        "let x = 1 \x01",
        "let x = 1",
    ),
    Code(
        "CEP102",
        "too large",
        "A file, a line, a key, a sequence, a nesting of brackets or an expression is larger than any rule "
        "needs. Split it, give a part of it a name with `let`, or keep a long list in a file of its own.",
        f"let x = {_DEEP}",
        "let x = (((1)))",
    ),
    Code(
        "CEP103",
        "a sign or an end that cannot stand here",
        "The text breaks off or goes on with something that the grammar has no place for. The hint says "
        "what could stand there.",
        "rule r when a where n = 5",
        "rule r when a where n == 5",
    ),
    Code(
        "CEP104",
        "unknown word or name",
        "A word of the language is misspelt, or a name stands for nothing here: no such event, field, "
        "stream, alias, list, "
        "function, level. The hint has the nearest one that is known.",
        "rule r when a where amuont > 5",
        "rule r when a where n > 5",
    ),
    Code(
        "CEP105",
        "a string or a template that is not closed",
        "A string ends on its line with a double quote. In a message, braces hold an expression; a brace "
        "itself is written "
        "twice.",
        'rule r when a alert low "{n"',
        'rule r when a alert low "{n} of {{all}}"',
    ),
    Code(
        "CEP106",
        "a number or duration that cannot be",
        "A number is too large, or a duration has a unit that does not exist. Units are us, ms, s, m, h, d and w.",
        "let x = 10min",
        "let x = 10m",
    ),
    Code(
        "CEP107",
        "a name that is taken",
        "Names are unique in a rule set; fields in an event, aliases, shows and keys in a rule.",
        "let x = 1\nlet x = 2",
        "let x = 1\nlet y = 2",
    ),
    Code(
        "CEP108",
        "a file that is missing",
        "An imported file or a list's file is not there, or cannot be read. Paths are relative to the "
        "file that names them.",
        'import "schema.cep"',
        "# import only what the given paths leave out",
    ),
    Code(
        "CEP109",
        "an alias used before it is bound",
        "A step may speak of the steps before it. The event being judged is not captured yet, and a `no` "
        "captures nothing.",
        "rule r by k within 1h when a as p where n > q.n then b as q",
        "rule r by k within 1h when a as p then b as q where n > p.n",
    ),
    Code(
        "CEP110",
        "a clause that stands twice",
        "Each header, and `score` and `limit`, stands at most once in a rule.",
        "rule r by k within 1h within 2h when a then b",
        "rule r by k within 2h when a then b",
    ),
    Code(
        "CEP111",
        "a name that the language keeps",
        "`time` is every event's event time, and a let with parameters cannot take the name of a function.",
        "event e from s (time integer)",
        "event e from s (happened integer at time)",
    ),
    Code(
        "CEP112",
        "a definition that goes round in a circle",
        "A let or an event is defined by itself.",
        "event c = d where n > 1\nevent d = c where n > 2",
        "event c = a where n > 1\nevent d = c where n > 2",
    ),
    Code(
        "CEP201",
        "an operand of the wrong kind",
        "An operator or a function does not take this kind of value.",
        "rule r when a where n + t > 5",
        "rule r when a where n + length(t) > 5",
    ),
    Code(
        "CEP202",
        "a comparison of different kinds",
        "Only values of one kind can be compared; whole numbers, numbers and money go together.",
        'rule r when a where n == "5"',
        "rule r when a where n == 5",
    ),
    Code(
        "CEP203",
        "arguments that do not fit",
        "A function has too many or too few arguments, or a window where it takes none.",
        "rule r when a where abs(n, 1) > 5",
        "rule r when a where abs(n) > 5",
    ),
    Code(
        "CEP204",
        "an aggregate of the wrong thing",
        "An aggregate takes a field of one event or alias, named with it, and of a kind that it can be computed of.",
        "rule r by k within 1h while sum(a.t) > 5",
        "rule r by k within 1h while sum(a.n) > 5",
    ),
    Code(
        "CEP205",
        "money that is not exact",
        "Money has four decimals. A literal beside it becomes money and must not have more.",
        "rule r when a where m > 0.00001",
        "rule r when a where m > 0.0001",
    ),
    Code(
        "CEP207",
        "a constant is needed",
        "Patterns, entries of a list and values in a test are constants.",
        "rule r when a where t starts with k",
        'rule r when a where t starts with "x"',
    ),
    Code(
        "CEP208",
        "a pattern that is not valid",
        "What stands after `matches` is a regular expression in RE2's syntax, and the second argument of "
        "cidr() a network.",
        'rule r when a where t matches "("',
        r'rule r when a where t matches "\("',
    ),
    Code(
        "CEP209",
        "a key of two kinds",
        "The key must have the same kind in every event that the rule speaks of.",
        "event c from s (k integer)\nrule r by k within 1h when a then c",
        "event c from s (k text)\nrule r by k within 1h when a then c",
    ),
    Code(
        "CEP210",
        "a condition is needed",
        "After `where`, `while`, `until`, `and`, `or` and `not` stands something that is true or false.",
        "rule r when a where n",
        "rule r when a where n > 0",
    ),
)
