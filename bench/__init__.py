"""Benchmarks: what an event costs, beside something that can be argued about. See README.md for the method."""
