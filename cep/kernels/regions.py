"""Where a run of a graph stands in each region, what leaving it leaves out, and what a move does to it.

From a stage, each group around it is a level: whether it may be left, and what checkpoint the run goes back to then, is
worked out from the inside out. After each capture every region knows whether it could be complete, and since when.
"""

from __future__ import annotations

import numpy as np

from cep.kernels import inline, jit
from cep.kernels.paths import (
    AGAIN,
    BARRED,
    BRANCH_SAVE,
    CHOICE,
    COMPLETE,
    COUNT,
    COUNTED,
    END_EVENT,
    END_TIME,
    ENTER_GROUP,
    ENTER_ITERATION,
    GROUP,
    GROUP_LEAST,
    GROUP_MOST,
    GROUP_SAVE,
    GROUPS,
    KIND,
    LAST_EVENT,
    LAST_TIME,
    LEFT_OUT,
    LEVEL,
    LEVEL_FROM,
    LEVEL_TO,
    LOOP,
    OF_REGION,
    PARENT,
    PATH_FROM,
    PATH_TO,
    POSITION,
    PREVIOUS_EVENT,
    PREVIOUS_TIME,
    REFS,
    REGION,
    REGION_WORDS,
    REGIONS,
    REST,
    SAVE_AT,
    SAVE_FROM,
    SAVE_TO,
    SOURCE_WORDS,
    START_STEP,
    STEPS,
    TAIL,
    TARGET,
    Paths,
    push,
    recount,
    release,
    remember,
    retain,
)
from cep.kernels.runs import KEY_EVENTS, LEAST, MOST, Machine

# ------------------------------------------------------------------------------------- regions


@inline
def region_at(p: Paths, region: int) -> int:
    """Where in a run the words of a region begin."""
    return p.plan[REGIONS] + region * REGION_WORDS


@jit
def climb(p: Paths, run: int, region: int) -> int:
    """For each level around the stage that a region stands at, whether it may be left; the outermost level.

    done: whether the iteration under way could be complete, else leaving the group leaves it out. mark: the checkpoint
    that the run goes back to when the level is left, -1 for none.
    """
    at = region_at(p, region)
    stage = p.run[run, at + POSITION]
    p.open[0] = 1 if p.run[run, at + COUNT] >= p.stages[stage, LEAST] else 0
    p.mark[0] = -1
    level = np.int64(0)
    for i in range(p.stages[stage, LEVEL_FROM], p.stages[stage, LEVEL_TO]):
        group = p.levels[i, GROUP]
        done = p.open[level] == 1 and p.levels[i, REST] == 1
        iterations = p.run[run, p.plan[GROUPS] + group]
        level += 1
        p.done[level] = 1 if done else 0
        p.mark[level] = p.mark[level - 1] if done else p.groups[group, GROUP_SAVE]
        p.open[level] = 1 if (iterations if done else iterations - 1) >= p.groups[group, GROUP_LEAST] else 0
    return level


@inline
def source(p: Paths, region: int, mark: int) -> int:
    """Where in a run the three words stand that a move from a region starts from."""
    return region_at(p, region) if mark < 0 else p.saves[mark, SAVE_AT]


@inline
def choice_of(p: Paths, run: int, region: int) -> int:
    """The choice at which a region stands, by its number; -1 at a step."""
    return max(p.run[run, region_at(p, region) + POSITION] - p.plan[STEPS], np.int64(-1))


@inline
def in_branch(p: Paths, run: int, region: int) -> bool:
    """Whether the parent of a branch stands at its choice."""
    return choice_of(p, run, p.regions[region, PARENT]) == p.regions[region, CHOICE]


@inline
def is_ready(p: Paths, run: int, region: int) -> bool:
    """Whether the choice at which a region stands is ready: enough of its branches could be complete."""
    at = region_at(p, region)
    return p.run[run, at + COUNT] >= p.stages[p.run[run, at + POSITION], LEAST]


@jit
def look(p: Paths, run: int) -> None:
    """Which regions can take something: live is 1 for the pattern and each branch that is not left out."""
    p.live[0] = 1
    for r in range(1, p.regions.shape[0]):
        parent = p.regions[r, PARENT]
        p.live[r] = 0
        if p.live[parent] == 1 and p.run[run, region_at(p, parent) + POSITION] >= 0 and in_branch(p, run, r):
            if p.run[run, region_at(p, r) + COMPLETE] == 1 or not is_ready(p, run, parent):
                p.live[r] = 1


@jit
def go_back(p: Paths, slot: int, run: int, region: int, save: int, counted: int) -> None:
    """Take a run back to a checkpoint. counted: see COUNTED."""
    at, area = region_at(p, region), p.saves[save, SAVE_AT]
    for word in range(SOURCE_WORDS):
        p.run[run, at + word] = p.run[run, area + word]
    first = p.saves[save, SAVE_FROM]
    for k in range(first, p.saves[save, SAVE_TO]):
        ref, kept = p.plan[REFS] + k, p.run[run, area + SOURCE_WORDS + k - first]
        if counted:
            retain(p, kept)
            release(p, slot, p.run[run, ref])
        p.run[run, ref] = kept


@jit
def leave(p: Paths, slot: int, run: int, region: int, mark: int, counted: int) -> None:
    """Leave out what is unfinished where a region is left: `mark`, or what is in the branches that it stands at."""
    changed = mark >= 0
    if changed:
        go_back(p, slot, run, region, mark, counted)
    else:
        for r in range(region, p.regions.shape[0]):
            parent = p.regions[r, PARENT]
            at = region_at(p, r)
            if r > region:
                p.live[r] = 0
                if parent < region or p.live[parent] == 0 or not in_branch(p, run, r):
                    continue
                if p.run[run, at + COMPLETE] == 0:
                    continue
            p.live[r] = 1
            if r > region and p.run[run, at + LEFT_OUT] >= 0:
                go_back(p, slot, run, r, p.run[run, at + LEFT_OUT], counted)
                p.live[r] = 0
                changed = True
    if changed:
        recount(p, run)


@inline
def holds_start(p: Paths, run: int) -> bool:
    """Whether the run still has its first event."""
    return p.run[run, p.plan[REFS] + p.run[run, START_STEP]] >= 0


# ------------------------------------------------------------------------------------- moves


@jit
def save(p: Paths, slot: int, run: int, region: int, s: int) -> None:
    """Take the checkpoint s, if it is one."""
    if s < 0:
        return
    at, area = region_at(p, region), p.saves[s, SAVE_AT]
    for word in range(SOURCE_WORDS):
        p.run[run, area + word] = p.run[run, at + word]
    first = p.saves[s, SAVE_FROM]
    for k in range(first, p.saves[s, SAVE_TO]):
        kept, node = area + SOURCE_WORDS + k - first, p.run[run, p.plan[REFS] + k]
        retain(p, node)
        release(p, slot, p.run[run, kept])
        p.run[run, kept] = node


@inline
def set_source(p: Paths, run: int, region: int, time_us: int, event: int) -> None:
    """Make some event the last one of a region."""
    at = region_at(p, region)
    p.run[run, at + LAST_TIME], p.run[run, at + LAST_EVENT], p.run[run, at + BARRED] = time_us, event, 0


@inline
def stand(p: Paths, run: int, region: int, stage: int) -> None:
    """Stand at a stage that nothing has been captured for."""
    at = region_at(p, region)
    p.run[run, at + PREVIOUS_TIME] = p.run[run, at + LAST_TIME]
    p.run[run, at + PREVIOUS_EVENT] = p.run[run, at + LAST_EVENT]
    p.run[run, at + POSITION], p.run[run, at + COUNT] = stage, 0


@jit
def enter_choice(p: Paths, slot: int, run: int, choice: int) -> None:
    """Stand at a choice none of whose branches has begun."""
    stage = p.plan[STEPS] + choice
    region = p.stages[stage, REGION]
    at = region_at(p, region)
    p.run[run, at + PREVIOUS_TIME], p.run[run, at + PREVIOUS_EVENT] = (
        p.run[run, at + LAST_TIME],
        p.run[run, at + LAST_EVENT],
    )
    p.run[run, at + POSITION], p.run[run, at + COUNT] = stage, 0
    for r in range(region + 1, p.regions.shape[0]):
        if p.regions[r, CHOICE] == choice:
            set_source(p, run, r, p.run[run, at + LAST_TIME], p.run[run, at + LAST_EVENT])
            p.run[run, region_at(p, r) + POSITION] = -1
            p.run[run, region_at(p, r) + COMPLETE] = 0
            save(p, slot, run, r, p.regions[r, BRANCH_SAVE])


@jit
def follow(p: Paths, slot: int, run: int, edge: int) -> None:
    """Enter the groups and choices on the way to an edge's target."""
    for i in range(p.edges[edge, PATH_FROM], p.edges[edge, PATH_TO]):
        what, number = p.paths[i, 0], p.paths[i, 1]
        if what == ENTER_GROUP or what == ENTER_ITERATION:
            iterations = p.plan[GROUPS] + number
            p.run[run, iterations] = 1 if what == ENTER_GROUP else p.run[run, iterations] + 1
            save(p, slot, run, p.groups[number, OF_REGION], p.groups[number, GROUP_SAVE])
        else:
            enter_choice(p, slot, run, number)


@jit
def take(
    p: Paths, m: Machine, slot: int, run: int, region: int, edge: int, mark: int, row: int, ordinal: int, now_us: int
) -> bool:
    """The run captures the event along an edge from where `region` stands. False if that leaves out its first event."""
    at = region_at(p, region)
    loop = p.edges[edge, KIND] == LOOP
    if not loop:
        if p.run[run, at + POSITION] >= 0:
            leave(p, slot, run, region, mark, COUNTED)
            if not holds_start(p, run):
                return False
        follow(p, slot, run, edge)
    target = p.edges[edge, TARGET]
    at = region_at(p, p.stages[target, REGION])
    if loop:
        p.run[run, at + COUNT] += 1
    else:
        stand(p, run, p.stages[target, REGION], target)
        p.run[run, at + COUNT] = 1
    set_source(p, run, p.stages[target, REGION], now_us, p.slots[slot, KEY_EVENTS])
    node = push(p, slot, run, target, ordinal)
    remember(p, m, run, target, row, ordinal, node)
    p.run[run, p.plan[REFS] + target] = node
    rise(p, slot, run, p.stages[target, REGION])
    return holds_start(p, run)


@jit
def rise(p: Paths, slot: int, run: int, region: int) -> None:
    """After a capture: whether its region, and those around it, could be complete, and with which last event."""
    while True:
        top = climb(p, run, region)
        at = region_at(p, region)
        last = source(p, region, p.mark[top])
        tail = p.stages[p.run[run, at + POSITION], TAIL]
        p.run[run, at + COMPLETE] = 1 if p.open[top] == 1 and tail == 1 else 0
        p.run[run, at + END_TIME], p.run[run, at + END_EVENT] = (
            p.run[run, last + LAST_TIME],
            p.run[run, last + LAST_EVENT],
        )
        p.run[run, at + LEFT_OUT] = p.mark[top]
        if region == 0:
            return
        region = p.regions[region, PARENT]
        join(p, slot, run, region)


@jit
def join(p: Paths, slot: int, run: int, region: int) -> None:
    """How many branches of the choice that a region stands at could be complete; with enough, the others go."""
    at = region_at(p, region)
    choice = choice_of(p, run, region)
    count, last_time, last_event = np.int64(0), np.int64(0), np.int64(-1)
    for r in range(region + 1, p.regions.shape[0]):
        branch = region_at(p, r)
        if p.regions[r, CHOICE] == choice and p.run[run, branch + COMPLETE] == 1:
            count += 1
            if p.run[run, branch + END_EVENT] > last_event:
                last_time, last_event = p.run[run, branch + END_TIME], p.run[run, branch + END_EVENT]
    p.run[run, at + COUNT] = count
    if not is_ready(p, run, region):
        return
    if last_event != p.run[run, at + LAST_EVENT]:
        set_source(p, run, region, last_time, last_event)
    dropped = False
    for r in range(region + 1, p.regions.shape[0]):
        branch = region_at(p, r)
        if p.regions[r, CHOICE] == choice and p.run[run, branch + COMPLETE] == 0 and p.run[run, branch + POSITION] >= 0:
            go_back(p, slot, run, r, p.regions[r, BRANCH_SAVE], COUNTED)
            p.run[run, branch + POSITION] = -1
            dropped = True
    if dropped:
        recount(p, run)


@inline
def is_usable(p: Paths, run: int, region: int, edge: int) -> bool:
    """Whether counts let a run move along an edge; `climb` has been at the region."""
    kind, level = p.edges[edge, KIND], p.edges[edge, LEVEL]
    at = region_at(p, region)
    stage = p.run[run, at + POSITION]
    if kind == LOOP:
        return p.stages[stage, MOST] < 0 or p.run[run, at + COUNT] < p.stages[stage, MOST]
    if kind != AGAIN:
        return p.open[level] == 1
    group = p.levels[p.stages[stage, LEVEL_FROM] + level - 1, GROUP]
    most = p.groups[group, GROUP_MOST]
    return p.done[level] == 1 and (most < 0 or p.run[run, p.plan[GROUPS] + group] < most)


@inline
def mark_of(p: Paths, edge: int) -> int:
    """The checkpoint that a move along an edge goes back to; `climb` has been at the region."""
    kind, level = p.edges[edge, KIND], p.edges[edge, LEVEL]
    if kind == LOOP:
        return np.int64(-1)
    return p.mark[level - 1] if kind == AGAIN else p.mark[level]
