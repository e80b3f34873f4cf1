"""What matches say: their keys, and the values of the rule's output expressions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from cep.alerting.inputs import output_words
from cep.alerting.values import Value, in_json, in_text, rows_of, values_of
from cep.engine.state import EngineState
from cep.kernels.matches import KEY
from cep.layout import Output, RuleSpec

Ints = npt.NDArray[np.int64]


def key_values(state: EngineState, rule: RuleSpec, words: Ints) -> dict[str, list[Value]]:
    """The parts of keys by name, from their words, shape (m, parts at least)."""
    return {name: values_of(words[:, i], kind, state.strings) for i, (name, kind) in enumerate(rule.keys)}


def output_values(state: EngineState, output: Output, inputs: Ints) -> list[Value]:
    """An output's value in each match."""
    return values_of(output_words(state, output, inputs), output.kind, state.strings)


class Outputs:
    """The outputs of m matches, each worked out once."""

    def __init__(self, state: EngineState, rule: RuleSpec, row: Ints, inputs: Ints) -> None:
        """Row: (m, COLUMNS) of `kernels.matches`; inputs: (m, inputs)."""
        self._state, self._rule, self._inputs = state, rule, inputs
        self._keys = key_values(state, rule, row[:, KEY:])
        self._known: dict[int, list[Value]] = {}

    def values(self, place: int) -> list[Value]:
        """The values of an output."""
        if place not in self._known:
            self._known[place] = output_values(self._state, self._rule.outputs[place], self._inputs)
        return self._known[place]

    def in_json(self, place: int) -> list[str]:
        """An output as JSON has it."""
        return in_json(self.values(place), self._rule.outputs[place].kind)

    def in_text(self, place: int) -> list[str]:
        """An output as messages have it."""
        return in_text(self.values(place), self._rule.outputs[place].kind)

    def keys(self) -> dict[str, list[Value]]:
        """The parts of the key, by name."""
        return self._keys

    def keys_in_json(self) -> dict[str, list[str]]:
        """The parts of the key as JSON has them."""
        return {name: in_json(self._keys[name], kind) for name, kind in self._rule.keys}

    def subjects(self) -> list[str]:
        """`rule/name=value,name=value`."""
        parts = [[f"{name}={text}" for text in in_text(self._keys[name], kind)] for name, kind in self._rule.keys]
        said = (",".join(row) for row in rows_of(parts))
        return [
            f"{self._rule.name}/{key}" if key else self._rule.name for _, key in zip(self._inputs, said, strict=False)
        ]

    def messages(self) -> Iterator[str]:
        """The messages; empty where the rule has none."""
        n = len(self._inputs)
        parts = [[part] * n if isinstance(part, str) else self.in_text(part) for part in self._rule.message]
        return ("".join(row) for row in rows_of(parts))
