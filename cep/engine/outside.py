"""What authors bring along: functions of Python modules, and models, called with whole columns.

An answer belongs to its row alone: where a call fails, its rows are asked one by one, and one that fails alone is null
and counted, so that one event cannot harm others and nothing depends on how a stream is cut. Arguments come as arrays:
numbers, integers, money and flags (0 and 1) as floats with NaN for null, times and durations as datetime64 and
timedelta64 of microseconds, texts as a list with None for null.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cep.engine.strings import Strings
from cep.errors import ConfigurationError
from cep.layout.columns import MONEY_UNITS, NAN_WORD, NULL
from cep.layout.expressions import Derivation, Outside

Ints = npt.NDArray[np.int64]
Function = Callable[..., Any]


def function_of(declared: Outside) -> Function:
    """The function or model that was declared. Raises ConfigurationError when it cannot be had."""
    return _model(declared) if declared.what == "model" else _imported(declared)


def _imported(declared: Outside) -> Function:
    """A module is looked for beside the rule file, then where Python looks."""
    module, _, name = declared.source.partition(":")
    folder = os.path.abspath(declared.folder)
    sys.path.insert(0, folder)
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the author's module raises
        raise ConfigurationError(f'function {declared.name} from "{declared.source}": {_said(error)}') from error
    finally:
        sys.path.remove(folder)
    if not callable(function):
        raise ConfigurationError(f'function {declared.name} from "{declared.source}": that is no function')
    answer: Function = function
    return answer


def _model(declared: Outside) -> Function:
    """A model in ONNX. Its arguments are one input of shape (n, arguments), or one input each, of shape (n,) or (n, 1).

    The answer is the last column of its last output.
    """
    try:
        import onnxruntime
    except ImportError:
        message = f'model {declared.name} from "{declared.source}" needs onnxruntime: pip install "cep[onnx]"'
        raise ConfigurationError(message) from None
    path = os.path.join(declared.folder, declared.source)
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ConfigurationError(f'model {declared.name} from "{declared.source}": {_said(error)}') from error
    inputs = session.get_inputs()

    def answer(*columns: Any) -> Any:
        floats = [np.asarray(column, np.float64).astype(_float_type(inputs[0].type)) for column in columns]
        if len(inputs) == 1:
            given = {inputs[0].name: np.stack(floats, axis=1)}
        else:
            shapes = [(-1, 1) if len(wanted.shape) > 1 else (-1,) for wanted in inputs]
            given = {
                wanted.name: column.reshape(shape) for wanted, column, shape in zip(inputs, floats, shapes, strict=True)
            }
        output = np.asarray(session.run(None, given)[-1])
        return output.reshape(len(floats[0]), -1)[:, -1]

    return answer


def _float_type(name: str) -> type[np.floating[Any]]:
    return np.float64 if name == "tensor(double)" else np.float32


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class Call:
    """The calls of one function with arguments of some kinds."""

    def __init__(self, function: Function, what: Derivation) -> None:
        self._function, self._what = function, what
        self._failures = 0

    def taken_failures(self) -> int:
        """How many rows have been without an answer since this was asked last."""
        failures, self._failures = self._failures, 0
        return failures

    def words(self, args: Sequence[Ints], strings: Strings) -> Ints:
        """The words of the answers to the arguments' words, shape (n,) all."""
        n = len(args[0])
        if n == 0:
            return np.empty(0, np.int64)
        try:
            columns = [argument(words, kind, strings) for words, kind in zip(args, self._what.kinds, strict=True)]
            return answer_words(self._function(*columns), n, self._what.kind, strings)
        except Exception:  # noqa: BLE001  # whatever the author's function raises
            if n > 1:
                return np.concatenate([self.words([words[i : i + 1] for words in args], strings) for i in range(n)])
            self._failures += 1
            return np.full(1, NAN_WORD if self._what.kind == "number" else NULL, np.int64)


def argument(words: Ints, kind: str, strings: Strings) -> Any:
    """A column as authors' functions take it."""
    if kind == "text":
        return [strings.text(word) for word in words.tolist()]
    if kind == "number":
        return words.view(np.float64).copy()
    if kind in ("time", "duration"):
        return words.view("M8[us]" if kind == "time" else "m8[us]").copy()
    return np.where(words == NULL, np.nan, words / (MONEY_UNITS if kind == "money" else 1))


def answer_words(answer: Any, n: int, kind: str, strings: Strings) -> Ints:
    """The words of n answers of a kind. Raises ValueError or TypeError for anything else."""
    if isinstance(answer, str) or len(answer) != n:
        raise ValueError(f"{n} answers are needed")
    if kind == "text":
        if not all(text is None or isinstance(text, str) for text in answer):
            raise TypeError("the answers are no texts")
        return strings.ids([None if text is None else str(text) for text in answer])
    values = np.asarray(answer)
    if kind == "integer" and values.dtype.kind in "iu":
        return values.astype(np.int64)
    floats = values.astype(np.float64)
    absent = ~np.isfinite(floats)
    if kind == "number":
        return np.where(absent, NAN_WORD, (floats + 0.0).view(np.int64))
    whole = np.where(absent, 0.0, floats)
    if (whole != np.rint(whole)).any() or (kind == "flag" and not np.isin(whole, (0.0, 1.0)).all()):
        raise ValueError(f"the answers are no {kind}s")
    return np.where(absent, NULL, whole.astype(np.int64))
