"""Entries to columns: what an event looks like on the wire is known here and nowhere else."""
