"""The checked rule set: names bound, types known, refinements and lets written out.

It is what the checker hands to the compiler and to the test oracle, and the only part of the
language that either of them sees. Everything here is an immutable value that prints.

Rules it keeps:

- an expression speaks of *root* events only: a refinement's filter is and-ed into the source that
  uses it, and its renamed fields are replaced by the root fields they stand for;
- every expression has a `Kind`; mixed arithmetic has been resolved by explicit `Op("convert")`;
- times are microseconds, money is in 1/10,000, durations are microseconds;
- a comparison never has operands of different kinds.
"""
