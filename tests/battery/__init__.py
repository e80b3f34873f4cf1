"""What the delivery protocol is put through on real servers: `python -m tests.battery --minutes 30`.

Each part is a function of a time budget and a seed that raises at the first difference and returns what it counted.
Quick versions of all parts run with the other tests.
"""
