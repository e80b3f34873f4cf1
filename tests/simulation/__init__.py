"""The detector in a world of its own, where everything that can fail does, and all of it follows from one seed.

What runs is what ships: the loop, the recovery, the log, the reader, the session, the snapshots and the Lua functions.
What is made up is what is around them: the server's data (`data`, `commands`, held equal to real servers by `compare`),
connections (`network`), the disk (`disk`), time and who comes next (`hub`). `world` puts them together and makes the
trouble, `checker` says whether the promise was kept, `mutants` breaks the detector on purpose to see whether that is
found out. See `python -m tests.simulation --help`.
"""
