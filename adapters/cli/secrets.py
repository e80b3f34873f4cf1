"""Secrets, from the environment or from a file that it names; never from the command line, which others see."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

from cep.adapters.cli.console import CommandError

SHORTEST_SECRET = 16


def key_of(name: str) -> bytes:
    """A key of 64 bytes made of the secret NAME, or of what NAME_FILE holds; empty where there is none."""
    given = os.environ.get(name, "")
    if file := os.environ.get(f"{name}_FILE"):
        given = Path(file).read_text("utf-8").strip()
    if given and len(given) < SHORTEST_SECRET:
        raise CommandError(f"{name} has fewer than {SHORTEST_SECRET} characters: it could be guessed")
    return blake2b(given.encode()).digest() if given else b""
