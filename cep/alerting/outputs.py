"""What alerts say: keys, values and messages, in which nothing private stands in clear."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from cep.alerting.privacy import said, said_in_json
from cep.engine.inputs import key_values, output_values
from cep.engine.state import EngineState
from cep.engine.values import Value, rows_of
from cep.kernels.matches import KEY
from cep.layout.alerts import RuleSpec

Ints = npt.NDArray[np.int64]


class Outputs:
    """The outputs of m matches, each worked out once."""

    def __init__(self, state: EngineState, rule: RuleSpec, row: Ints, inputs: Ints) -> None:
        """Row: (m, COLUMNS) of `kernels.matches`; inputs: (m, inputs)."""
        self._state, self._rule, self._inputs = state, rule, inputs
        self._keys = key_values(state, rule, row[:, KEY:])
        self._known: dict[int, list[Value]] = {}

    def values(self, place: int) -> list[Value]:
        """The values of an output, in clear."""
        if place not in self._known:
            self._known[place] = output_values(self._state, self._rule.outputs[place], self._inputs)
        return self._known[place]

    def in_json(self, place: int) -> list[str]:
        """An output as JSON has it."""
        output = self._rule.outputs[place]
        return said_in_json(self.values(place), output.kind, output.private, self._state.secret)

    def in_text(self, place: int) -> list[str]:
        """An output as messages have it."""
        output = self._rule.outputs[place]
        return said(self.values(place), output.kind, output.private, self._state.secret)

    def keys(self) -> dict[str, list[Value]]:
        """The parts of the key by name, in clear."""
        return self._keys

    def keys_in_json(self) -> dict[str, list[str]]:
        """The parts of the key as JSON has them."""
        return {
            name: said_in_json(self._keys[name], kind, private, self._state.secret)
            for (name, kind), private in zip(self._rule.keys, self._rule.private, strict=True)
        }

    def subjects(self) -> list[str]:
        """`rule/name=value,name=value`."""
        rule = self._rule
        parts = [
            [f"{name}={text}" for text in said(self._keys[name], kind, private, self._state.secret)]
            for (name, kind), private in zip(rule.keys, rule.private, strict=True)
        ]
        keys = (",".join(row) for row in rows_of(parts))
        return [f"{rule.name}/{key}" if key else rule.name for _, key in zip(self._inputs, keys, strict=False)]

    def messages(self, message: tuple[str | int, ...]) -> Iterator[str]:
        """A clause's messages; empty where it has none."""
        n = len(self._inputs)
        parts = [[part] * n if isinstance(part, str) else self.in_text(part) for part in message]
        return ("".join(row) for row in rows_of(parts))
