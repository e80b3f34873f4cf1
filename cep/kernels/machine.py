"""The one evaluator of expressions, and the kernels that run it over columns.

A word is an int64; a float is its bits. `stack` and `real` are two views of the same scratch memory, so pushing a
word and then reading it as a float costs nothing. Null operands give null (see `Opcode`).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cep.kernels import jit, kernel
from cep.layout.columns import NAN_WORD, NULL
from cep.layout.expressions import EARTH_RADIUS_KM, FloatFunction, Opcode

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

CONST, EVENT, RUN, END = int(Opcode.CONST), int(Opcode.EVENT), int(Opcode.RUN), int(Opcode.END)
ADD_I, SUB_I, MUL_I, MOD_I = int(Opcode.ADD_I), int(Opcode.SUB_I), int(Opcode.MUL_I), int(Opcode.MOD_I)
ADD_F, SUB_F, MUL_F = int(Opcode.ADD_F), int(Opcode.SUB_F), int(Opcode.MUL_F)
DIV_F, MOD_F = int(Opcode.DIV_F), int(Opcode.MOD_F)
TO_FLOAT = int(Opcode.TO_FLOAT)
EQ_I, NE_I, LT_I, LE_I = int(Opcode.EQ_I), int(Opcode.NE_I), int(Opcode.LT_I), int(Opcode.LE_I)
EQ_F, NE_F, LT_F, LE_F = int(Opcode.EQ_F), int(Opcode.NE_F), int(Opcode.LT_F), int(Opcode.LE_F)
AND, OR, NOT = int(Opcode.AND), int(Opcode.OR), int(Opcode.NOT)
MISSING_I, MISSING_F = int(Opcode.MISSING_I), int(Opcode.MISSING_F)
CALL_F, KM, ABS_I = int(Opcode.CALL_F), int(Opcode.KM), int(Opcode.ABS_I)
GIVEN_I, GIVEN_F = int(Opcode.GIVEN_I), int(Opcode.GIVEN_F)
MIN_I, MAX_I, MIN_F, MAX_F = int(Opcode.MIN_I), int(Opcode.MAX_I), int(Opcode.MIN_F), int(Opcode.MAX_F)

NEG, ABS = int(FloatFunction.NEG), int(FloatFunction.ABS)
ROUND, FLOOR, CEIL = int(FloatFunction.ROUND), int(FloatFunction.FLOOR), int(FloatFunction.CEIL)
SQRT, LN, LOG10 = int(FloatFunction.SQRT), int(FloatFunction.LN), int(FloatFunction.LOG10)


@jit
def great_circle_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """The haversine distance of two points in degrees, on a sphere of the earth's mean radius."""
    p1, p2 = math.radians(lat1), math.radians(lat2)
    half_lat, half_lon = (p2 - p1) / 2, math.radians(lon2 - lon1) / 2
    a = math.sin(half_lat) ** 2 + math.cos(p1) * math.cos(p2) * math.sin(half_lon) ** 2
    if a > 1.0:  # by rounding; `min` would make 1 of a null
        a = 1.0
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(a))


@jit
def float_function(which: int, x: float) -> float:
    """One of `FloatFunction`; NaN outside its domain."""
    if which == NEG:
        return -x
    if which == ABS:
        return abs(x)
    if which == ROUND:
        return float(np.rint(x))
    if which == FLOOR:
        return float(np.floor(x))
    if which == CEIL:
        return float(np.ceil(x))
    if which == SQRT:
        return math.sqrt(x) if x >= 0 else math.nan
    if x <= 0:
        return math.nan
    return math.log(x) if which == LN else math.log10(x)


@jit
def integer_operation(op: int, a: int, b: int) -> int:
    """A binary operation on two integers that are not null."""
    if op == EQ_I:
        return 1 if a == b else 0
    if op == LT_I:
        return 1 if a < b else 0
    if op == LE_I:
        return 1 if a <= b else 0
    if op == NE_I:
        return 1 if a != b else 0
    if op == ADD_I:
        return a + b
    if op == SUB_I:
        return a - b
    if op == MUL_I:
        return a * b
    if op == MIN_I:
        return min(a, b)
    if op == MAX_I:
        return max(a, b)
    if b == 0:
        return NULL
    rest = a - (a // b) * b
    return rest


@jit
def float_operation(op: int, a: float, b: float) -> float:
    """An arithmetic operation on two floats; NaN carries null through."""
    if op == ADD_F:
        return a + b
    if op == SUB_F:
        return a - b
    if op == MUL_F:
        return a * b
    if math.isnan(a) or math.isnan(b):
        return math.nan
    if op == MIN_F:
        return min(a, b)
    if op == MAX_F:
        return max(a, b)
    if b == 0:
        return math.nan
    return a / b if op == DIV_F else a - math.floor(a / b) * b


@jit
def float_comparison(op: int, a: float, b: float) -> int:
    """A comparison of two floats: 0, 1, or NULL when either is null."""
    if math.isnan(a) or math.isnan(b):
        return NULL
    if op == LT_F:
        return 1 if a < b else 0
    if op == LE_F:
        return 1 if a <= b else 0
    if op == EQ_F:
        return 1 if a == b else 0
    return 1 if a != b else 0


@jit
def logic(op: int, a: int, b: int) -> int:
    """Three-valued AND and OR."""
    decides = 0 if op == AND else 1
    if a == decides or b == decides:
        return decides
    if a == NULL or b == NULL:
        return NULL
    return 1 - decides


@jit
def evaluate(code: Ints, at: int, consts: Ints, words: Ints, row: int, run: Ints, stack: Ints, real: Floats) -> int:
    """The word that the expression at `at` gives for column `row` of `words` (slots, n) and the words `run`.

    `stack` and `real` are two views of one scratch array of `STACK_DEPTH` words.
    """
    top = -1
    while True:
        op, arg = code[at, 0], code[at, 1]
        at += 1
        if op == EVENT:
            top += 1
            stack[top] = words[arg, row]
        elif op == CONST:
            top += 1
            stack[top] = consts[arg]
        elif op == RUN:
            top += 1
            stack[top] = run[arg]
        elif op == END:
            return stack[top]
        elif op <= MOD_I or (EQ_I <= op <= LE_I) or op == MIN_I or op == MAX_I:
            top -= 1
            a, b = stack[top], stack[top + 1]
            stack[top] = NULL if a == NULL or b == NULL else integer_operation(op, a, b)
        elif op <= MOD_F or op == MIN_F or op == MAX_F:
            top -= 1
            real[top] = float_operation(op, real[top], real[top + 1])
        elif EQ_F <= op <= LE_F:
            top -= 1
            stack[top] = float_comparison(op, real[top], real[top + 1])
        elif op == AND or op == OR:
            top -= 1
            stack[top] = logic(op, stack[top], stack[top + 1])
        elif op == NOT:
            if stack[top] != NULL:
                stack[top] = 1 - stack[top]
        elif op == TO_FLOAT:
            real[top] = math.nan if stack[top] == NULL else stack[top] / arg
        elif op == MISSING_I:
            stack[top] = 1 if stack[top] == NULL else 0
        elif op == MISSING_F:
            stack[top] = 1 if math.isnan(real[top]) else 0
        elif op == CALL_F:
            real[top] = float_function(arg, real[top])
        elif op == ABS_I:
            stack[top] = abs(stack[top])  # null is its own
        elif op == GIVEN_I or op == GIVEN_F:
            top -= 1
            if stack[top + 1] != 1:
                stack[top] = NULL if op == GIVEN_I else NAN_WORD
        else:
            top -= 3
            real[top] = great_circle_km(real[top], real[top + 1], real[top + 2], real[top + 3])


@kernel
def select(
    code: Ints, at: int, consts: Ints, words: Ints, rows: Ints, chosen: Ints, run: Ints, stack: Ints, real: Floats
) -> int:
    """Write those of `rows` for which the expression is true to `chosen`, in order; returns how many."""
    count = 0
    for i in range(len(rows)):
        if evaluate(code, at, consts, words, rows[i], run, stack, real) == 1:
            chosen[count] = rows[i]
            count += 1
    return count


@kernel
def compute(
    code: Ints, at: int, consts: Ints, words: Ints, rows: Ints, slot: int, run: Ints, stack: Ints, real: Floats
) -> None:
    """Fill column `slot` of `words` for `rows` with the expression's value."""
    for i in range(len(rows)):
        words[slot, rows[i]] = evaluate(code, at, consts, words, rows[i], run, stack, real)


@kernel
def compute_each(code: Ints, at: int, consts: Ints, inputs: Ints, values: Ints, stack: Ints, real: Floats) -> None:
    """values[i] = the expression over the RUN words inputs[i], shape (n, inputs)."""
    for i in range(len(values)):
        values[i] = evaluate(code, at, consts, inputs, i, inputs[i], stack, real)
