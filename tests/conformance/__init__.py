"""Conformance: how other engines behave, case by case, and what ours does on the same events.

A case is neutral: events, a pattern, the exact result. Each is written as a rule file of our language from its pattern
alone (its id and its result are not looked at), runs on the engine and on the oracle, and is then one of

- agrees: the same matches;
- differs by law N: our law gives another answer, for a reason that is stated and tested, and the oracle confirms ours;
- outside: our language has no such construct, or the case asserts what a rule cannot show;
- unexplained: anything else, which is a bug.

`python -m tests.conformance DIR` reads every case file of a folder and prints a table for each family.
"""
