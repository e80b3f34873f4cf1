"""A tree of elements in order, which knows how many stand before each: percentiles and the most frequent value.

A treap (Seidel and Aragon 1996) in arrays: nodes are elements, priorities a hash of their number, so an insertion, a
removal and the k-th element cost O(log n) on average whatever the order in which values come. Exact, not a sketch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit
from cep.kernels.elements import LEFT, PARENT, RANKED, RIGHT, SIZE, TIE

Ints = npt.NDArray[np.int64]


@inline
def priority(node: int) -> np.uint64:
    """A hash of the node's number."""
    h = (np.uint64(node) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    return (h ^ (h >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)


@inline
def stands_before(tree: Ints, x: int, y: int) -> bool:
    """The order of nodes."""
    return tree[x, RANKED] < tree[y, RANKED] or (tree[x, RANKED] == tree[y, RANKED] and tree[x, TIE] < tree[y, TIE])


@inline
def size(tree: Ints, node: int) -> int:
    """How many nodes hang at `node`, itself included; 0 of none (-1)."""
    return tree[node, SIZE] if node >= 0 else 0


@jit
def rotate_up(tree: Ints, x: int) -> None:
    """A node takes its parent's place, and the parent becomes its child."""
    parent = tree[x, PARENT]
    above = tree[parent, PARENT]
    if tree[parent, LEFT] == x:
        inner = tree[x, RIGHT]
        tree[parent, LEFT], tree[x, RIGHT] = inner, parent
    else:
        inner = tree[x, LEFT]
        tree[parent, RIGHT], tree[x, LEFT] = inner, parent
    if inner >= 0:
        tree[inner, PARENT] = parent
    tree[parent, PARENT], tree[x, PARENT] = x, above
    if above >= 0:
        if tree[above, LEFT] == parent:
            tree[above, LEFT] = x
        else:
            tree[above, RIGHT] = x
    tree[x, SIZE] = tree[parent, SIZE]
    tree[parent, SIZE] = 1 + size(tree, tree[parent, LEFT]) + size(tree, tree[parent, RIGHT])


@jit
def tree_insert(tree: Ints, root: int, x: int, ranked: int, tie: int) -> int:
    """Insert node x, ordered by (ranked, tie); the new root."""
    tree[x, LEFT] = tree[x, RIGHT] = tree[x, PARENT] = -1
    tree[x, SIZE], tree[x, RANKED], tree[x, TIE] = 1, ranked, tie
    at = root
    while at >= 0:
        tree[at, SIZE] += 1
        side = LEFT if stands_before(tree, x, at) else RIGHT
        if tree[at, side] < 0:
            tree[at, side], tree[x, PARENT] = x, at
            break
        at = tree[at, side]
    while tree[x, PARENT] >= 0 and priority(x) > priority(tree[x, PARENT]):
        rotate_up(tree, x)
    return root if tree[x, PARENT] >= 0 else x


@jit
def tree_remove(tree: Ints, root: int, x: int) -> int:
    """Remove node x; the new root, -1 of an empty tree."""
    while tree[x, LEFT] >= 0 or tree[x, RIGHT] >= 0:
        left, right = tree[x, LEFT], tree[x, RIGHT]
        child = left if right < 0 or (left >= 0 and priority(left) > priority(right)) else right
        rotate_up(tree, child)
        if root == x:
            root = child
    tree[x, SIZE] = 0
    at = tree[x, PARENT]
    if at < 0:
        return np.int64(-1)
    if tree[at, LEFT] == x:
        tree[at, LEFT] = -1
    else:
        tree[at, RIGHT] = -1
    while at >= 0:
        tree[at, SIZE] -= 1
        at = tree[at, PARENT]
    return root


@jit
def tree_at(tree: Ints, root: int, place: int) -> int:
    """The node at a place, counted from 1."""
    at = root
    while True:
        before = size(tree, tree[at, LEFT])
        if place == before + 1:
            return at
        if place <= before:
            at = tree[at, LEFT]
        else:
            place -= before + 1
            at = tree[at, RIGHT]
