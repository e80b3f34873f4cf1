"""What a stream has lost before it was applied is found out, with its number."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from cep.adapters.redis.gaps import Stream, find_gap
from cep.adapters.redis.session import Session
from cep.ports import Commit, EntryId, LogError, Position
from tests.owner import Owner, at, fill
from tests.servers import Server, server, shared_server

__all__ = ["server", "shared_server"]


def begin_anew(client: redis.Redis, entries: int) -> None:
    """As somebody does who deletes a stream and fills it again."""
    client.delete("a")
    for n in range(entries):
        client.xadd("a", {"e": str(n)}, id=f"{50 + n}-0")


GAPS: dict[str, tuple[Callable[[redis.Redis], object], dict[int, tuple[int | None, Position]]]] = {
    "nothing": (lambda client: None, {}),
    "what was applied": (lambda client: client.xtrim("a", minid="5-0", approximate=False), {}),
    "all that was applied": (lambda client: client.xtrim("a", minid="6-0", approximate=False), {}),
    "deleted what was applied": (lambda client: client.xdel("a", "2-0", "5-0"), {}),
    "trimmed": (lambda client: client.xtrim("a", maxlen=2, approximate=False), {0: (3, at(5, 0, 8))}),
    "emptied": (lambda client: client.xtrim("a", maxlen=0, approximate=False), {0: (5, at(5, 0, 10))}),
    "deleted": (lambda client: client.xdel("a", "7-0", "9-0", "1-0"), {0: (2, at(5, 0, 7))}),
    "begun anew and filled": (
        lambda client: (client.delete("a"), [client.xadd("a", {"e": "1"}, id=f"5{n}-0") for n in range(8)]),
        {0: (None, at(5))},
    ),
    "begun anew": (lambda client: (client.delete("a"), client.xadd("a", {"e": "1"}, id="50-0")), {0: (None, at(5))}),
    "begun anew, longer by now": (lambda client: begin_anew(client, 9), {0: (None, at(5))}),
}


@pytest.mark.parametrize("name", GAPS)
@pytest.mark.parametrize("is_open", [False, True])
def test_what_a_stream_has_lost_is_counted(server: Server, name: str, is_open: bool) -> None:
    disturb, gaps = GAPS[name]
    fill(server, "a", 1, 10)
    owner = Owner(server, ("a",))
    assert owner.apply(5) == 5
    digest = owner.point.offsets[0].digest
    disturb(server.client())
    expected = {stream: (lost, at._replace(digest=digest)) for stream, (lost, at) in gaps.items()}
    if is_open and gaps and name != "emptied":  # there is nothing to commit then
        with pytest.raises(LogError, match="CEPGAP"):
            owner.apply()
    elif is_open and not gaps:
        assert owner.apply() == 5
        return
    owner = Owner(server, ("a",))
    assert owner.standing.gaps == expected
    if gaps:
        lost, position = owner.standing.gaps[0]
        owner.commit(Commit({0: position}, gaps={0: lost}))
        left = len(server.client().xrange("a", min="(5-0"))
        assert not left or owner.apply() == left
        assert Owner(server, ("a",)).standing.gaps == {}


@pytest.mark.parametrize("entries", [3, 14])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_stream_that_is_begun_anew_before_anything_of_it_was_applied_is_missed(
    server: Server, is_open: bool, entries: int
) -> None:
    client = server.client()
    fill(server, "a", 1, 10)
    owner = Owner(server, ("a",))
    begin_anew(client, entries)
    if is_open:
        with pytest.raises(LogError, match="CEPGAP a was begun anew"):
            owner.apply(2)
    owner = Owner(server, ("a",))
    lost, position = owner.standing.gaps[0]
    assert (lost, position) == (None, Position(EntryId(0, 0), 0, 0))
    assert Owner(server, ("a",)).standing.gaps == {0: (None, position)}  # as long as nobody has committed it
    owner = Owner(server, ("a",))
    owner.commit(Commit({0: position}, gaps={0: lost}))
    assert owner.apply() == entries
    assert Owner(server, ("a",)).standing.gaps == {}


def test_what_is_deleted_before_a_deletion_that_was_counted_is_counted_too(server: Server) -> None:
    """A server says only up to where entries were deleted."""
    client = server.client()
    fill(server, "a", 1, 10)
    Owner(server, ("a",)).apply(5)
    client.xdel("a", "9-0")
    owner = Owner(server, ("a",))
    owner.commit(Commit({0: owner.standing.gaps[0][1]}, gaps={0: 1}))
    client.xdel("a", "7-0", "8-0")
    with pytest.raises(LogError, match="CEPGAP"):
        owner.apply()
    again = Owner(server, ("a",))
    assert again.standing.gaps[0][0] == 2
    again.commit(Commit({0: again.standing.gaps[0][1]}, gaps={0: 2}))
    assert again.apply(1) == 1
    assert Owner(server, ("a",)).point.offsets[0].ordinal == 9


def test_entries_that_come_while_what_is_lost_is_counted_do_not_count(server: Server) -> None:
    client = server.client()
    fill(server, "a", 1, 10)
    client.xdel("a", "7-0", "8-0")
    described = Stream(8, 10, EntryId(1, 0), EntryId(10, 0), EntryId(8, 0))
    fill(server, "a", 11, 14)
    assert find_gap(Session(server.url), "a", described, at(5, 0, 5)) == (2, at(5, 0, 7))
    empty = Stream(0, 5, None, EntryId(5, 0), EntryId(0, 0))
    assert find_gap(Session(server.url), "a", empty, at(5, 0, 5)) is None


def test_own_trimming_is_no_loss_where_others_have_deleted(server: Server) -> None:
    client = server.client()
    fill(server, "a", 1, 10)
    client.xdel("a", "9-0")
    owner = Owner(server, ("a",), trims=True)
    owner.apply(5)
    owner.log.trim(owner.point)
    assert owner.apply(2) == 2
    assert Owner(server, ("a",)).standing.gaps == {}


def test_what_goes_before_the_first_commit_is_missed(server: Server) -> None:
    fill(server, "a", 1, 10)
    server.client().xtrim("a", maxlen=8, approximate=False)
    assert Owner(server, ("a",)).standing.gaps == {}
    server.client().xtrim("a", maxlen=5, approximate=False)
    assert Owner(server, ("a",)).standing.gaps == {0: (3, at(0, 0, 5))}
