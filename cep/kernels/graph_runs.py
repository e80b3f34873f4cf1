"""All runs of a key in a graph and one event: which end, move on, fork, begin, and which of them are reported."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit
from cep.kernels.keys import NEVER, KeySpace
from cep.kernels.matches import DEADLINE, EVENT, FIRED, REFERENCES, Matches, begin
from cep.kernels.moves import ANY_MOVE, LOOPS_ONLY, NO_MARK, ONE, VIEW, choose, has_hope, is_true, settle_end, watch
from cep.kernels.offers import holds
from cep.kernels.paths import (
    AT_THE_START,
    BEFORE_EACH,
    BEGIN_FROM,
    BEGIN_TO,
    COUNT,
    COUNTED,
    DEADLINES,
    DONE,
    DUE,
    EACH,
    FORKS,
    FOUND_EDGE,
    FOUND_MARK,
    FOUND_REGION,
    GROUP,
    GROUP_LEAST,
    GROUPS,
    KIND,
    LEFT_OUT,
    LENGTH,
    LEVEL_FROM,
    LEVEL_TO,
    LONGEST_US,
    LOOP,
    MAIN,
    MASK,
    MAX_STARTS,
    NO_EVENT,
    ORDINAL,
    PARENT,
    POLICY,
    POSITION,
    REFS,
    REGIONS,
    RESUME,
    RESUME_LAST,
    START,
    START_STEP,
    START_TIME,
    STEPS,
    TARGET,
    UNTIL,
    WITHIN,
    WORD,
    Paths,
    copy_run,
    free_lists,
)
from cep.kernels.regions import holds_start, in_branch, leave, look, region_at, set_source, take
from cep.kernels.runs import (
    ALL_POLICY,
    BEGIN,
    BIT,
    DROPPED,
    EACH_POLICY,
    FIRST_POLICY,
    KEY_EVENTS,
    LAST_POLICY,
    LEAST,
    RUNS,
    SEEN,
    SOONEST,
    Machine,
    first_run,
    move,
    new_run,
    reserve,
    set_runs,
)

Ints = npt.NDArray[np.int64]


@jit
def emit(
    p: Paths, keys: KeySpace, matches: Matches, slot: int, run: int, time_us: int, kind: int, place_of: int
) -> bool:
    """Write a match with everything the run has captured and not left out; false if that is not its first event.

    place_of: the event at which it is made, -1 for the last that it captured.
    """
    main = region_at(p, MAIN)
    leave(p, slot, run, MAIN, p.run[run, main + LEFT_OUT], COUNTED)
    if not holds_start(p, run):
        return False
    place_of = place_of if place_of >= 0 else last_ordinal(p, run)
    at = begin(matches, keys, slot, time_us, kind, place_of, p.run[run, START], FIRED)
    for k in range(p.plan[STEPS]):
        node = p.run[run, p.plan[REFS] + k]
        count = p.node[node, LENGTH] if node >= 0 else np.int64(0)
        matches.count[at, k] = count
        place = matches.used[REFERENCES] + count
        matches.used[REFERENCES] = place
        while node >= 0:
            place -= 1
            matches.reference[place] = p.node[node, ORDINAL]
            node = np.int64(p.node_after[node])
    return True


@jit
def last_ordinal(p: Paths, run: int) -> int:
    """The event that the run captured last."""
    last = np.int64(-1)
    for k in range(p.plan[STEPS]):
        node = p.run[run, p.plan[REFS] + k]
        if node >= 0:
            last = max(last, p.node[node, ORDINAL])
    return last


@jit
def resumes_from(p: Paths, run: int, last: int) -> int:
    """The ordinal before which starts are used up by a match: of the event to resume at, else behind its last."""
    node = p.run[run, p.plan[REFS] + p.plan[RESUME]] if p.plan[RESUME] >= 0 else np.int64(-1)
    if node < 0:
        return last + 1
    while p.plan[RESUME_LAST] == 0 and p.node_after[node] >= 0:
        node = np.int64(p.node_after[node])
    return p.node[node, ORDINAL]


@jit
def drop_one(p: Paths, slot: int, run: int) -> None:
    """Drop one run; those behind it move up."""
    free_lists(p, slot, run)
    end = first_run(p, slot) + p.slots[slot, RUNS]
    move(p, run + 1, run, end - run - 1)
    set_runs(p, slot, p.slots[slot, RUNS] - 1)


@inline
def drop_first(p: Paths, slot: int) -> None:
    """Drop the run that came to be first, and count it."""
    free_lists(p, slot, first_run(p, slot))
    p.slots[slot, BEGIN] += 1
    set_runs(p, slot, p.slots[slot, RUNS] - 1)
    p.count[DROPPED] += 1


@jit
def consume(p: Paths, slot: int, limit: int, start: int) -> None:
    """Drop runs that began before `limit`, but not those of the match's own start that stand before a `then each`."""
    first, kept, at = first_run(p, slot), np.int64(0), region_at(p, MAIN)
    for run in range(first, first + p.slots[slot, RUNS]):
        stays = p.run[run, START] == start and p.stages[p.run[run, at + POSITION], BEFORE_EACH] == 1
        if p.run[run, START] < limit and not stays:
            free_lists(p, slot, run)
        else:
            move(p, run, first + kept, ONE)
            kept += 1
    set_runs(p, slot, kept)


@jit
def conclude(
    p: Paths, keys: KeySpace, matches: Matches, slot: int, run: int, time_us: int, kind: int, last: int
) -> None:
    """A run is complete: it makes its match and goes, and with it what the policy says. last: -1 for its last event."""
    start = p.run[run, START]
    made = emit(p, keys, matches, slot, run, time_us, kind, last)
    limit = resumes_from(p, run, last if last >= 0 else last_ordinal(p, run))
    drop_one(p, slot, run)
    if made and (p.plan[POLICY] == FIRST_POLICY or p.plan[POLICY] == LAST_POLICY):
        consume(p, slot, limit, start)


@jit
def earliest_due(p: Paths, slot: int, until_us: int) -> int:
    """The run with the earliest deadline at or before `until_us`, of these the one that began first; -1 for none."""
    best = np.int64(-1)
    first = first_run(p, slot)
    for run in range(first, first + p.slots[slot, RUNS]):
        due = p.run[run, DUE]
        if due > until_us:
            continue
        if best < 0 or due < p.run[best, DUE] or (due == p.run[best, DUE] and p.run[run, START] < p.run[best, START]):
            best = np.int64(run)
    return best


@jit
def settle(p: Paths, keys: KeySpace, matches: Matches, slot: int, now_us: int) -> None:
    """Everything that ends or fires at or before `now_us`."""
    if p.slots[slot, SOONEST] > now_us:
        return
    while p.plan[DEADLINES]:
        run = earliest_due(p, slot, now_us)
        if run < 0:
            break
        conclude(p, keys, matches, slot, run, p.run[run, DUE], DEADLINE, np.int64(-1))
    drop_ended(p, slot, now_us)


@jit
def drop_ended(p: Paths, slot: int, now_us: int) -> None:
    """Drop every run whose horizon is over, or that has no hope left, at `now_us`."""
    first, kept, soonest = first_run(p, slot), np.int64(0), np.int64(NEVER)
    for run in range(first, first + p.slots[slot, RUNS]):
        end = p.run[run, START_TIME] + p.plan[WITHIN] if p.plan[WITHIN] >= 0 else np.int64(NEVER)
        if end <= now_us or not has_hope(p, slot, run, p.slots[slot, KEY_EVENTS], now_us):
            free_lists(p, slot, run)
        else:
            soonest = min(soonest, end, p.run[run, DUE], now_us + p.plan[LONGEST_US])
            move(p, run, first + kept, ONE)
            kept += 1
    set_runs(p, slot, kept)
    p.slots[slot, SOONEST] = soonest


@jit
def offer(p: Paths, m: Machine, slot: int, run: int, copy: int, bits: int, row: int, ordinal: int, now_us: int) -> bool:
    """Offer the event to one run; false when it ends. A copy that moves on is in row `copy`, where START else is -1."""
    p.run[copy, START] = -1
    if p.plan[UNTIL] >= 0 and bits & p.stages[p.plan[UNTIL], BIT] and is_true(p, m, p.stages[p.plan[UNTIL]], run, row):
        return False
    look(p, run)
    watch(p, m, slot, run, bits, row, now_us)
    found = choose(p, m, slot, run, bits, row, now_us, ANY_MOVE)
    edge, region, mark = p.found[FOUND_EDGE], p.found[FOUND_REGION], p.found[FOUND_MARK]
    if found and p.edges[edge, KIND] != LOOP and (p.edges[edge, EACH] == 1 or p.plan[POLICY] == ALL_POLICY):
        fork(p, m, slot, run, copy, row, ordinal, now_us)
        look(p, run)
        found = choose(p, m, slot, run, bits, row, now_us, LOOPS_ONLY)
        edge, region, mark = p.found[FOUND_EDGE], p.found[FOUND_REGION], p.found[FOUND_MARK]
    if found:
        if not take(p, m, slot, run, region, edge, mark, row, ordinal, now_us):
            return False
        settle_end(p, slot, run, now_us)
    return p.run[run, DUE] == DONE or has_hope(p, slot, run, p.slots[slot, KEY_EVENTS] + 1, now_us)


@jit
def fork(p: Paths, m: Machine, slot: int, run: int, copy: int, row: int, ordinal: int, now_us: int) -> None:
    """A copy of the run makes the move that was found, unless that would leave out its first event."""
    copy_run(p, run, copy)
    edge, region, mark = p.found[FOUND_EDGE], p.found[FOUND_REGION], p.found[FOUND_MARK]
    if take(p, m, slot, copy, region, edge, mark, row, ordinal, now_us):
        settle_end(p, slot, copy, now_us)
    else:
        free_lists(p, slot, copy)
        p.run[copy, START] = -1


@jit
def offer_all(p: Paths, m: Machine, slot: int, bits: int, row: int, ordinal: int, now_us: int) -> None:
    """Offer the event to the slot's runs. Copies come to stand behind them; of too many that wait some are not made."""
    if p.plan[FORKS]:
        drop_ended(p, slot, now_us)  # those that wait are counted
    waiting = p.slots[slot, RUNS]
    reserve(p, slot, 2 * waiting + 1 if p.plan[FORKS] else waiting + 1)
    first, kept, copies, copied = first_run(p, slot), np.int64(0), np.int64(0), np.int64(0)
    for run in range(first, first + waiting):
        copy = first + waiting + copies if p.plan[FORKS] else VIEW
        stays = offer(p, m, slot, run, copy, bits, row, ordinal, now_us)
        if p.plan[FORKS] and p.run[copy, START] >= 0:
            if p.run[copy, DUE] == DONE:
                copies += 1
            elif waiting + copied < p.plan[MAX_STARTS]:
                copies += 1
                copied += 1
            else:
                free_lists(p, slot, copy)
                p.count[DROPPED] += 1
        if not stays:
            free_lists(p, slot, run)
            continue
        move(p, run, first + kept, ONE)
        kept += 1
    move(p, first + waiting, first + kept, copies)
    set_runs(p, slot, kept + copies)


@jit
def start(p: Paths, m: Machine, slot: int, bits: int, row: int, ordinal: int, now_us: int) -> None:
    """A run begins at the event, at the furthest step that it fits and no leading guard forbids."""
    barred = np.int64(0)
    for w in range(p.watched.shape[0]):
        g = p.watched[w, 0]
        if bits & p.guards[g, BIT] and holds(p, m, p.guards[g], p.initial, p.initial_real, row):
            p.slots[slot, SEEN + w] = now_us
        if p.slots[slot, SEEN + w] + p.watched[w, 1] > now_us:
            barred |= ONE << g
    for edge in range(p.regions[0, BEGIN_FROM], p.regions[0, BEGIN_TO]):
        target = p.edges[edge, TARGET]
        if not bits & p.stages[target, BIT] or p.edges[edge, MASK] & barred:
            continue
        if holds(p, m, p.stages[target], p.initial, p.initial_real, row):
            begin_run(p, m, slot, edge, row, ordinal, now_us)
            return


@jit
def begin_run(p: Paths, m: Machine, slot: int, edge: int, row: int, ordinal: int, now_us: int) -> None:
    """A new run behind the others."""
    run = new_run(p, slot)
    for column in range(p.run.shape[1]):
        p.run[run, column] = 0
    for w in range(len(p.initial)):
        p.run[run, WORD + w] = p.initial[w]
    for column in range(p.plan[REFS], p.plan[REGIONS]):
        p.run[run, column] = -1
    for r in range(p.regions.shape[0]):
        p.run[run, region_at(p, r) + POSITION] = -1
        set_source(p, run, np.int64(r), np.int64(AT_THE_START), np.int64(NO_EVENT))
    for column in range(p.plan[GROUPS] + p.groups.shape[0], p.run.shape[1]):
        p.run[run, column] = -1
    p.run[run, START] = ordinal
    p.run[run, START_TIME] = now_us
    p.run[run, START_STEP] = p.edges[edge, TARGET]
    take(p, m, slot, run, MAIN, edge, NO_MARK, row, ordinal, now_us)
    settle_end(p, slot, run, now_us)


@jit
def report(p: Paths, keys: KeySpace, matches: Matches, slot: int, ordinal: int, now_us: int) -> None:
    """The matches that are complete at the event, in the order of the policy."""
    if p.plan[POLICY] == EACH_POLICY or p.plan[POLICY] == ALL_POLICY:
        first, kept = first_run(p, slot), np.int64(0)
        for run in range(first, first + p.slots[slot, RUNS]):
            if p.run[run, DUE] == DONE:
                emit(p, keys, matches, slot, run, now_us, EVENT, ordinal)
                free_lists(p, slot, run)
            else:
                move(p, run, first + kept, ONE)
                kept += 1
        set_runs(p, slot, kept)
        return
    while True:
        best = np.int64(-1)
        first = first_run(p, slot)
        for run in range(first, first + p.slots[slot, RUNS]):
            if p.run[run, DUE] != DONE:
                continue
            later = p.run[run, START] - p.run[best, START] if best >= 0 else np.int64(0)
            if best < 0 or (later > 0 if p.plan[POLICY] == LAST_POLICY else later < 0):
                best = np.int64(run)
        if best < 0:
            return
        conclude(p, keys, matches, slot, best, now_us, EVENT, ordinal)


@jit
def same_place(p: Paths, run: int, other: int) -> bool:
    """Whether two runs stand at the same stages, with counts up to the minimum."""
    p.live[0] = 1
    for r in range(p.regions.shape[0]):
        if r > 0:
            parent = p.regions[r, PARENT]
            p.live[r] = 0
            if p.live[parent] == 0 or p.run[run, region_at(p, parent) + POSITION] < 0 or not in_branch(p, run, r):
                continue
        p.live[r] = 1
        at = region_at(p, r)
        stage = p.run[run, at + POSITION]
        if stage != p.run[other, at + POSITION]:
            return False
        if stage < 0:
            continue
        least = p.stages[stage, LEAST]
        counts = stage < p.plan[STEPS]
        if counts and min(p.run[run, at + COUNT], least) != min(p.run[other, at + COUNT], least):
            return False
        for i in range(p.stages[stage, LEVEL_FROM], p.stages[stage, LEVEL_TO]):
            group = p.levels[i, GROUP]
            least, at_group = p.groups[group, GROUP_LEAST], p.plan[GROUPS] + group
            if min(p.run[run, at_group], least) != min(p.run[other, at_group], least):
                return False
    return True


@jit
def keep_newest(p: Paths, slot: int) -> None:
    """Policy last: of the runs at one place only those of the newest start stay."""
    first, kept = first_run(p, slot), np.int64(0)
    runs = p.slots[slot, RUNS]
    for run in range(first, first + runs):
        for other in range(first, first + runs):
            if p.run[other, START] > p.run[run, START] and same_place(p, run, other):
                p.run[run, DUE] = DONE  # which no run that waits is
                break
    for run in range(first, first + runs):
        if p.run[run, DUE] == DONE:
            free_lists(p, slot, run)
        else:
            move(p, run, first + kept, ONE)
            kept += 1
    set_runs(p, slot, kept)
