"""Any order of takes, returns, deaths and lost files: the exchange never sees one too many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from okx_funding.ratelimit.machine import law, layout
from okx_funding.ratelimit.machine.forecast import nth_slot_at
from okx_funding.ratelimit.machine.law import (
    LOOK_EVERY,
    STILL_ON_ITS_WAY,
    Release,
    Rule,
    SilenceReason,
)
from okx_funding.ratelimit.slot import GUARD

BOOT = bytes(range(16))
LIMITS = [(1, 1.0), (2, 1.0), (6, 1.0), (5, 2.0), (1, 2.0), (3, 0.5)]
TRIPS = [0.0, 0.02, 0.19]
spans = st.sampled_from([0.0, 0.001, 0.02, 0.25, 0.3, 1.0, 1.0 + GUARD, 3.1]) | st.floats(0, 3)
places = st.integers(0, 3)


def rule_of(limit: tuple[int, float]) -> Rule:
    return Rule(limit[0], limit[1] + GUARD)


@dataclass
class Sent:
    """A request on its way, and when it may arrive at the latest; inf while nobody knows."""

    process: int
    serial: int
    taken: float
    latest: float = math.inf


class Machine(RuleBasedStateMachine):
    """Some processes with one file. The judge is a strict log of arrivals.

    An arrival whose moment isn't fixed counts where it hurts most: at its latest when it is
    compared with earlier ones, and at its earliest when it is compared with later ones. That is
    what holding a slot means, so an in-flight request must block, whenever it arrives.
    """

    begin = staticmethod(law.begin)
    remove_dead = staticmethod(law.remove_dead)

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.data = b""
        self.limit = LIMITS[2]
        self.trip = 0.02
        self.serial = 0
        self.numbers = [1, 2, 3, 4]
        self.born = 4
        self.dead: set[int] = set()
        self.sent: list[Sent] = []
        self.arrivals: list[tuple[float, float]] = []
        """The earliest and the latest moment of each arrival."""

    @initialize(limit=st.sampled_from(LIMITS), trip=st.sampled_from(TRIPS))
    def at(self, limit: tuple[int, float], trip: float) -> None:
        self.limit, self.trip = limit, trip

    # -- one look ------------------------------------------------------------------------

    def look(self, place: int) -> tuple[law.State, law.LoggedProcess]:
        try:
            state, _ = layout.decode(self.data, BOOT, self.now)
        except layout.UnknownHistoryError as unknown:
            state = self.begin(self.now, unknown.reason, self.serial)
        number = self.numbers[place]
        me = law.enter(state, number, rule_of(self.limit), self.now)
        me.shortest = self.trip
        mine = {it.serial: it.taken for it in self.sent if it.process == number}
        law.reconcile(state, number, mine, self.now)
        dead = [each for each in law.doubtful(state, number, self.now) if each in self.dead]
        self.remove_dead(state, dead, self.now)
        law.release_unheard(state, number, self.now)
        return state, me

    def write(self, state: law.State) -> None:
        law.prune(state, self.now)
        self.data = layout.encode(state, BOOT)

    # -- what happens ----------------------------------------------------------------------

    @rule(span=spans)
    def wait(self, span: float) -> None:
        """Time passes; who has something in flight says so each second, as it must."""
        until = self.now + span
        while self.now < until:
            self.now = min(until, self.now + 1.0)
            for number in {it.process for it in self.sent} - self.dead:
                state, _ = self.look(self.numbers.index(number))
                self.write(state)

    @rule(place=places)
    def take(self, place: int) -> None:
        state, me = self.look(place)
        self.serial += 1
        request = law.take(state, me, self.serial, self.now)
        self.write(state)
        if request is None:
            assert self.now < me.looks_at <= self.now + LOOK_EVERY
            assert me.ticket
        else:
            self.sent.append(Sent(me.number, self.serial, self.now))

    @rule(which=st.integers(0, 50), late=st.floats(0, 0.5))
    def answer(self, which: int, late: float) -> None:
        self.give(which, late, credit=0.75 * self.trip)

    @rule(which=st.integers(0, 50))
    def lose(self, which: int) -> None:
        self.give(which, 0.0, lost=True)

    def give(self, which: int, late: float, *, credit: float = 0.0, lost: bool = False) -> None:
        living = [it for it in self.sent if it.process not in self.dead]
        if not living:
            return
        it = living[which % len(living)]
        self.now = max(self.now, it.taken + self.trip + late)
        state, _ = self.look(self.numbers.index(it.process))
        seen = self.now + STILL_ON_ITS_WAY if lost else self.now
        law.give_back(state, Release(it.process, it.serial, it.taken, seen, credit))
        self.write(state)
        self.sent.remove(it)
        # It took half of the shortest way at least, and so did the answer.
        latest = seen if lost else self.now - self.trip / 2
        self.arrivals.append((it.taken + self.trip / 2, latest))

    @rule(which=st.integers(0, 50))
    def unsend(self, which: int) -> None:
        living = [it for it in self.sent if it.process not in self.dead]
        if living:
            it = living[which % len(living)]
            state, _ = self.look(self.numbers.index(it.process))
            law.give_back(state, Release(it.process, it.serial, it.taken, None))
            self.write(state)
            self.sent.remove(it)

    @rule(place=places)
    def die(self, place: int) -> None:
        """Another process takes its place; what it sent arrives a quarter second later at most."""
        number = self.numbers[place]
        self.dead.add(number)
        for it in [it for it in self.sent if it.process == number]:
            self.sent.remove(it)
            self.arrivals.append((it.taken + self.trip / 2, self.now + STILL_ON_ITS_WAY))
        self.born += 1
        self.numbers[place] = self.born

    @rule(rubbish=st.binary(max_size=300) | st.just(b"\0" * 4096))
    def damage(self, rubbish: bytes) -> None:
        """Whoever looks next begins anew; requests in flight are told again by those who live.

        Only what is answered within the quarter of a second before the next look, or is held by
        a living process, is promised.
        """
        self.data = rubbish
        state, _ = self.look(0)
        self.write(state)
        for place in range(1, 4):
            state, _ = self.look(place)
            self.write(state)

    # -- the judge -------------------------------------------------------------------------

    @invariant()
    def at_most_n_in_any_window(self) -> None:
        """Between the latest arrival of one and the earliest of the n-th after it lies W."""
        count, window = self.limit
        takes = sorted(
            [*self.arrivals, *((it.taken + self.trip / 2, math.inf) for it in self.sent)]
        )
        for first in range(len(takes) - count):
            last = takes[first + count][0]
            # One of the N before it must have been over a window earlier, whenever it arrived.
            over = min(latest for _, latest in takes[first : first + count])
            assert over + window <= last, (takes, self.limit)


def machine(**changes: Any) -> type[Machine]:
    return type("Broken", (Machine,), {name: staticmethod(it) for name, it in changes.items()})


TestLaw = Machine.TestCase
TestLaw.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def no_silence(now: float, reason: SilenceReason, era: int) -> law.State:
    return law.State(era, reason=reason)


def free_at_once(state: law.State, dead: Any, now: float) -> None:
    for request in state.requests:
        if request.seen == math.inf and request.owner in dead:
            request.seen = request.taken


@pytest.mark.parametrize(
    "broken", [{"begin": no_silence}, {"remove_dead": free_at_once}], ids=["begin", "dead"]
)
def test_the_judge_sees_a_broken_rule(broken):
    kind = machine(**broken)
    with pytest.raises(AssertionError):
        _drive(kind)


def _drive(kind: type[Machine]) -> None:
    """Spend the limit, let the process die or the file be lost, and go on at once."""
    for lost in (False, True):
        it = kind()
        it.limit, it.trip = (2, 1.0), 0.02
        it.take(0)
        it.now += 2.0
        for _ in range(2):
            it.take(0)
        if lost:
            it.die(0)
            it.damage(b"")
        else:
            it.die(0)
        for _ in range(15):
            it.take(1)
            it.at_most_n_in_any_window()
            it.now += 0.1


def test_an_unbroken_law_passes_where_a_broken_one_is_seen():
    _drive(Machine)


# -- turns -----------------------------------------------------------------------------------


def shared(count: int = 2, *numbers: int) -> tuple[law.State, list[law.LoggedProcess]]:
    state = law.State(1)
    return state, [law.enter(state, each, Rule(count, 1.0), 0.0) for each in numbers]


def test_a_slot_is_left_to_who_waits_longer():
    state, (one, two, three) = shared(1, 1, 2, 3)
    assert law.take(state, one, 1, 0.0)
    law.give_back(state, Release(1, 1, 0.0, 0.0))
    assert law.take(state, two, 1, 0.9) is None
    assert law.take(state, three, 1, 1.0) is None
    assert law.take(state, two, 2, 1.0)


def test_who_is_late_to_look_is_passed_over_and_keeps_its_place():
    state, (one, two, three) = shared(1, 1, 2, 3)
    assert law.take(state, one, 1, 0.0)
    law.give_back(state, Release(1, 1, 0.0, 0.0))
    assert law.take(state, two, 1, 0.9) is None
    assert law.take(state, three, 1, 0.9) is None
    assert law.take(state, three, 2, two.looks_at + law.LATE) is None
    assert law.take(state, three, 3, two.looks_at + law.LATE + 0.01)
    assert two.ticket == 1


def test_the_strictest_living_limit_rules():
    state, _ = shared(6, 1)
    law.enter(state, 2, Rule(10, 2.0), 0.0)
    assert law.strictest(state.processes.values()) == Rule(6, 2.0)
    law.remove_dead(state, [2], 0.0)
    assert law.strictest(state.processes.values()) == Rule(6, 1.0)


def test_a_newcomer_with_a_longer_window_counts_what_was_sent_before():
    state, (one,) = shared(2, 1)
    for serial in (1, 2):
        assert law.take(state, one, serial, 0.0)
        law.give_back(state, Release(1, serial, 0.0, 0.0))
    law.prune(state, 1.5)
    two = law.enter(state, 2, Rule(2, 3.0), 1.5)
    assert law.take(state, two, 1, 1.5) is None
    assert law.take(state, two, 2, 3.0)


def test_a_refusal_freezes_all():
    state, (one, two) = shared(6, 1, 2)
    assert law.take(state, one, 1, 0.0)
    law.give_back(state, Release(1, 1, 0.0, 0.0, freeze_until=5.0))
    assert law.take(state, two, 1, 4.9) is None
    assert law.take(state, two, 2, 5.0)


def test_refused_slots_stay_out_but_never_all_of_them():
    state, (one,) = shared(2, 1)
    for serial in (1, 2):
        assert law.take(state, one, serial, 0.0)
    for serial in (1, 2):
        law.give_back(state, Release(1, serial, 0.0, 0.0, hold_until=15.0))
    assert law.free_slots(state, Rule(2, 1.0), 1.5) == 1


def test_requests_are_spaced_where_anybody_asks_for_it():
    state, (one, two) = shared(6, 1, 2)
    law.enter(state, 2, Rule(6, 1.0, 0.2), 0.0)
    assert law.take(state, one, 1, 0.0)
    assert law.take(state, one, 2, 0.1) is None
    assert law.take(state, one, 3, 0.2)
    assert two.ticket == 0


def test_a_living_process_that_was_not_heard_of_loses_its_slots():
    state, (one, two) = shared(1, 1, 2)
    assert law.take(state, one, 1, 0.0)
    law.release_unheard(state, 2, 2.9)
    assert state.requests[0].seen == math.inf
    law.release_unheard(state, 2, 3.1)
    assert state.requests[0].seen == 3.1 + STILL_ON_ITS_WAY
    assert two.ticket == 0


def test_a_shorter_round_trip_takes_credit_back_from_ones_own_slots():
    state, (one, two) = shared(2, 1, 2)
    for process in (one, two):
        assert law.take(state, process, 1, 0.0)
        law.give_back(state, Release(process.number, 1, 0.0, 0.1, credit=0.03))
    law.reduce_credit(state, 1, 0.01)
    assert [request.credit for request in state.requests] == [0.01, 0.03]


def test_the_log_is_bounded():
    state, (one,) = shared(3, 1)
    for serial in range(1, 100):
        now = serial * 2.0
        assert law.take(state, one, serial, now)
        law.give_back(state, Release(1, serial, now, now))
        law.prune(state, now)
    assert len(state.requests) == 3


def test_the_wait_is_told_by_the_tickets_ahead():
    state, (one, two, three) = shared(1, 1, 2, 3)
    assert law.take(state, one, 1, 0.0)
    law.give_back(state, Release(1, 1, 0.0, 0.0))
    assert law.take(state, two, 1, 0.0) is None
    assert nth_slot_at(state, three, 0, 0.0, 0.1) == pytest.approx(2.0)
    assert nth_slot_at(state, three, 1, 0.0, 0.1) == pytest.approx(4.0)
