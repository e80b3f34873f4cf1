"""Other engines beside ours: the same stream, the same rules as each of them says them, one table.

A peer runs in a process of its own and is told of a file of events; ours runs here. Peers are no dependency of the
project: one that is not installed is said to be missing.
"""
