"""What peers of a station share outlives the last of them a little, and not for ever."""

from __future__ import annotations

from router.peers.peer import Shared
from tests.support.store_making import TestClock

REST_SECONDS = 300.0


class Part:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_the_next_peer_gets_the_connections_of_the_last_one() -> None:
    shared = Shared(TestClock(), REST_SECONDS)
    part = shared.take("cloud", Part)
    assert shared.take("cloud", Part) is part
    shared.give_back("cloud")
    shared.give_back("cloud")
    assert shared.take("cloud", Part) is part, "a search a minute would ask for a token a minute"
    assert part.closed == 0


def test_what_nobody_wants_any_more_is_closed_once() -> None:
    clock = TestClock()
    shared = Shared(clock, REST_SECONDS)
    part, used = shared.take("cloud", Part), shared.take("archive", Part)
    shared.give_back("cloud")
    clock.time += REST_SECONDS - 1
    assert shared.take("archive", Part) is used
    assert part.closed == 0
    clock.time += 1
    shared.give_back("archive")
    assert (part.closed, used.closed) == (1, 0), "the other one is still in use"
    assert shared.take("cloud", Part) is not part
    clock.time += 2 * REST_SECONDS
    shared.give_back("archive")
    shared.give_back("cloud")
    assert (part.closed, used.closed) == (1, 0), "it rests from now on"
    clock.time += REST_SECONDS
    shared.take("another", Part)
    assert used.closed == 1


def test_without_a_rest_the_last_one_closes_it() -> None:
    shared = Shared(TestClock())
    part = shared.take("cloud", Part)
    assert shared.take("cloud", Part) is part
    shared.give_back("cloud")
    assert part.closed == 0
    shared.give_back("cloud")
    assert part.closed == 1
