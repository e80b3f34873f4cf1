"""What the keys of a detector are called.

Without partitions an input stream's key is its name. With them each partition has a stream of its own, `name:{pNN}`,
and outputs and bookkeeping beside it: the braces keep all keys of a partition on one node of a cluster, where a
function may touch them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PARTITIONS_MAX = 1000
_OUTPUTS = ("dlq", "late", "shadow")


def tag_of(partition: int | None) -> str:
    """What the keys of a partition end with."""
    return "" if partition is None else f":{{p{partition:02d}}}"


def memory_of(stream: str, producer: str) -> str:
    """Where a stream remembers a producer: beside it, on the same node of a cluster."""
    return f"{stream}:producer:{producer}" if "{" in stream else f"{{{stream}}}:producer:{producer}"


@dataclass(frozen=True, slots=True)
class Keys:
    """Of one partition of a group, or of all of it where `partition` is None."""

    group: str
    alerts: str = "alerts"
    partition: int | None = None

    @property
    def tag(self) -> str:
        """What every key of the partition ends with."""
        return tag_of(self.partition)

    def own(self, part: str) -> str:
        """A key of the detector's bookkeeping."""
        return f"cep:{{{self.group}}}:{part}" if self.partition is None else f"cep:{self.group}:{part}{self.tag}"

    @property
    def meta(self) -> str:
        """The hash that says how far everything has come, and who may move it."""
        return self.own("meta")

    def of_streams(self, names: Sequence[str]) -> list[str]:
        """The keys of input streams."""
        return [name + self.tag for name in names]

    def outputs(self) -> list[str]:
        """The keys of alerts, dead letters, late events and the alerts of shadow rules."""
        return [self.alerts + self.tag, *(f"{self.alerts}:{part}{self.tag}" for part in _OUTPUTS)]

    def all_own(self) -> list[str]:
        """What the functions are given first: meta, the outputs, journal and lease."""
        return [self.meta, *self.outputs(), self.own("journal"), self.own("lease")]
