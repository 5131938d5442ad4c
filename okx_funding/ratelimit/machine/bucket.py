"""One session's view of one limit that all processes of the machine share.

All is synchronous: to take a slot or to give one back is one change of the file, some tens of
microseconds. The queue before the bucket asks again at `next_free`. The one timer here gives
back what couldn't be given back at once, says each second that requests in flight are alive, and
drops the ticket of callers that are gone; it isn't set while there is nothing to do.
"""

from __future__ import annotations

import asyncio
import math
import weakref
from collections import deque
from typing import Any, Protocol

from okx_funding.api.spec import RateLimit
from okx_funding.ratelimit.bucket import SMOOTH, Claim
from okx_funding.ratelimit.slot import GUARD, Freezer, RoundTrips

from . import law
from .access import Access
from .forecast import nth_slot_at
from .law import LoggedProcess, LoggedRequest, Release, Rule, State
from .slot import MachineSlot
from .view import FileView, MachinePlace

VALID = 1.0
"""Seconds after it was taken within which a slot must be used."""
KEEP = 0.25
"""Seconds for which a ticket is kept for the next caller."""
RENEW = 1.0
"""Seconds after which a process with a request in flight says that it lives."""
GIVE_BACK_WITHIN = 0.01
"""Seconds after an answer within which its slot is given back, together with others: it isn't
free before its window is over anyway."""
_LONGEST_LOST = 5.0


class Queue(Protocol):
    """Who waits before a bucket, in this process."""

    def ahead(self) -> int:
        """Requests that those who wait now will need."""

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """There will be no slot: tell whoever waits, or only who would wait for ever."""


class MachineBucket:
    """What a `TokenBucket` is, with its slots in a file. Times are the loop's."""

    def __init__(self, name: str, label: str, claim: Claim, place: MachinePlace) -> None:
        self.name = name
        self.claims: weakref.WeakKeyDictionary[object, Claim] = weakref.WeakKeyDictionary()
        self.queue: weakref.ref[Any] | None = None
        self.sent: int = 0
        self.refusals: int = 0
        self.keys_sent: int = 0
        self.callers_served: int = 0
        self.round_trips: RoundTrips = RoundTrips(max(4, 2 * claim.limit.count))
        self._place = place
        self._freezer = Freezer()
        self._sends: deque[float] = deque()
        self._obeyed: list[Claim] = []
        access = Access(name, label, place)
        self._view = FileView(access, place, Rule(1, 1.0), self._fail_waiters_soon)
        self._view.silent = claim.silent_start
        self._obey(claim)
        self._has_ticket = False
        self._look_at = -math.inf
        """When the turn of those who wait may come; until then nobody asks for a slot."""
        self._timer: asyncio.TimerHandle | None = None

    def _obey(self, claim: Claim) -> None:
        self.limit: RateLimit = claim.limit
        self.refusal_cooldown: float = claim.refusal_cooldown
        count, period = claim.limit.count, claim.limit.period
        spacing = SMOOTH * period / count if claim.limit.spread else 0.0
        self._view.rule = Rule(count, period + GUARD, spacing)
        self._sends = deque(self._sends, maxlen=min(10 * count, 1000))

    def __repr__(self) -> str:
        state = self.unavailable_reason or ("waiting" if self._has_ticket else "resting")
        return (
            f"<MachineBucket {self.name[:8]}: {self.limit}; {state}, "
            f"{self.in_flight} in flight, {self.sent} sent, {self.refusals} refused>"
        )

    @property
    def unavailable_reason(self) -> str | None:
        """Why there are no slots, if that is so."""
        return self._view.unavailable_reason

    @property
    def in_flight(self) -> int:
        """Slots that requests hold."""
        return len(self._view.in_flight)

    def idle(self) -> bool:
        """Whether nobody lives with it and it holds nothing."""
        return not (self.claims or self._view.in_flight or self._view.returns)

    # -- taking ----------------------------------------------------------------------------

    def take(self, now: float) -> MachineSlot | None:
        """A slot for a request that leaves now, or None: then ask again at `next_free`."""
        if now < self._look_at or now < self._view.retry_at:
            return None
        self._reconsider()
        serial = self._place.next_serial()

        def take(state: State, me: LoggedProcess, at: float) -> LoggedRequest | None:
            request = law.take(state, me, serial, at)
            self._has_ticket = me.ticket > 0
            self._look_at = now + me.looks_at - at if self._has_ticket else -math.inf
            return request

        request = self._view.change(take, now)
        self._set_timer(now)
        if request is None:
            return None
        self.sent += 1
        self._sends.append(now)
        return MachineSlot(request, now)

    def holds(self, slot: MachineSlot, now: float) -> bool:  # noqa: ARG002
        """Whether the slot may be used still; whoever was stopped meanwhile has lost it."""
        return self._view.holds(slot.owner, slot.taken, VALID)

    def next_free(self, now: float) -> float:
        """When to ask again; where nobody waits, about when a request could leave."""
        at = max(self._look_at, self._view.retry_at)
        return at if at > now else self.nth_free(0, now)

    def nth_free(self, n: int, now: float, not_before: float = -math.inf) -> float:
        """About when the n-th request from now (counted from 0) gets its slot."""
        view = self._view
        seen = view.access.peek()
        if seen is None:
            return max(now, not_before, self._look_at, view.retry_at)
        state, at = seen
        me = state.processes.get(view.number) or law.enter(state, view.number, view.rule, at)
        longer = max(0.0, self.round_trips.mean - self.round_trips.credit)
        return max(not_before, now + nth_slot_at(state, me, n, longer, at) - at)

    def _fail_waiters_soon(self, only_without_deadline: bool) -> None:
        asyncio.get_running_loop().call_soon(self._fail_waiters, only_without_deadline)

    def _fail_waiters(self, only_without_deadline: bool) -> None:
        queue: Queue | None = self.queue() if self.queue is not None else None
        if queue is not None and self.unavailable_reason is not None:
            queue.fail_waiters(self.unavailable_reason, only_without_deadline=only_without_deadline)

    # -- the timer ---------------------------------------------------------------------------

    def _set_timer(self, now: float) -> None:
        """Ring when there is something to do besides what the queue does."""
        view = self._view
        due = view.returns_due
        if view.in_flight:
            due = min(due, view.heard + RENEW)
        if self._has_ticket:
            due = min(due, self._look_at + KEEP)
        due = max(due, view.retry_at)
        if due == math.inf or (self._timer is not None and self._timer.when() <= due):
            return
        self.stop_timer()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(max(due, now + law.SOON), self._on_timer, loop)

    def stop_timer(self) -> None:
        """Let nothing happen by itself any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now, view = loop.time(), self._view
        queue: Queue | None = self.queue() if self.queue is not None else None
        if (
            self._has_ticket
            and now >= self._look_at + KEEP
            and (queue is None or not queue.ahead())
        ):
            view.change(self._drop_ticket, now)
        elif now >= view.returns_due or (view.in_flight and now >= view.heard + RENEW):
            view.tell(now)
        self._set_timer(now)

    def _drop_ticket(self, _state: State, me: LoggedProcess, _at: float) -> None:
        me.ticket, self._has_ticket = 0, False
        self._look_at = -math.inf

    # -- giving back -----------------------------------------------------------------------

    def load(self, slot: MachineSlot, keys: int, callers: int) -> None:
        """What the request that holds ``slot`` carries."""
        slot.keys, slot.callers = keys, callers
        self.keys_sent += keys
        self.callers_served += callers

    def answered(self, slot: MachineSlot, now: float, *, warm: bool = True) -> None:
        """The answer was read in full. ``warm`` is False when the connection was new."""
        took = now - slot.sent_at
        if not warm:
            self.round_trips.add_cold(took)
        elif self.round_trips.add(took):
            self._view.reduced_credit = self.round_trips.credit
        self._view.shortest = self.round_trips.shortest
        self._freezer.succeeded(slot.sent_at)
        self._give_back(slot, now, 0.0, min(self.round_trips.credit, took))

    def lost(self, slot: MachineSlot, now: float) -> None:
        """No answer came, or nobody read it: the request may still arrive."""
        still = min(max(law.STILL_ON_ITS_WAY, self.round_trips.longest), _LONGEST_LOST)
        self._give_back(slot, now, still)

    def unsent(self, slot: MachineSlot, now: float) -> None:
        """Nothing left: the slot is as free as it was."""
        self.sent -= 1
        self.keys_sent -= slot.keys
        self.callers_served -= slot.callers
        if slot.sent_at in self._sends:
            self._sends.remove(slot.sent_at)
        self._give_back(slot, now, None)
        if not self._has_ticket:
            self._look_at = -math.inf

    def refused(self, slot: MachineSlot, now: float, retry_after: float | None = None) -> float:
        """OKX refused the request for the limit: every process waits. Gives the seconds."""
        self.refusals += 1
        pause, until = self._freezer.refused(
            slot.sent_at, now, self.limit, self.refusal_cooldown, retry_after
        )
        hold = until - now if until is not None else 0.0
        self._give_back(slot, now, 0.0, freeze=pause, hold=hold)
        return pause

    def _give_back(
        self,
        slot: MachineSlot,
        now: float,
        seen_in: float | None,
        credit: float = 0.0,
        freeze: float = -math.inf,
        hold: float = 0.0,
    ) -> None:
        at, view = self._place.clock(), self._view
        view.in_flight.pop(slot.serial, None)
        view.returns.append(
            Release(
                slot.owner,
                slot.serial,
                slot.taken,
                None if seen_in is None else at + seen_in,
                credit,
                at + freeze,
                at + min(hold, law.LONGEST_HOLD) if hold else 0.0,
            )
        )
        if freeze > 0 or seen_in is None:  # it matters to others now
            view.returns_due = now
            if now >= view.retry_at:
                view.tell(now)
        else:
            soon = now + min(GIVE_BACK_WITHIN, view.rule.window / 4)
            view.returns_due = min(view.returns_due, soon)
        self._set_timer(now)

    # -- changing --------------------------------------------------------------------------

    def claim(self, owner: object, claim: Claim, now: float) -> None:  # noqa: ARG002
        """From now on ``owner`` lives with the bucket; the strictest living claim rules."""
        self.claims[owner] = claim
        self._reconsider()

    def release(self, owner: object, now: float) -> None:  # noqa: ARG002
        """``owner`` wants nothing more of the bucket."""
        self.claims.pop(owner, None)
        self._reconsider()

    def _reconsider(self) -> None:
        """Obey the strictest living claim of this session; the file minds those of others."""
        claims = list(self.claims.values())
        if claims and claims != self._obeyed:
            self._obeyed = claims
            count = min(claim.limit.count for claim in claims)
            period = max(claim.limit.period for claim in claims)
            spread = any(claim.limit.spread for claim in claims)
            cooldown = max(claim.refusal_cooldown for claim in claims)
            self._obey(Claim(RateLimit(count, period, spread=spread), cooldown))

    def inherit(self, other: MachineBucket, now: float) -> None:
        """Go on for ``other``: both were the same user's, and what that sent counts here."""
        for owner, claim in other.claims.items():
            self.claim(owner, claim, now)
        self.sent += other.sent
        self.refusals += other.refusals
        self.keys_sent += other.keys_sent
        self.callers_served += other.callers_served
        mine, its = self._view, other._view
        mine.in_flight.update(its.in_flight)
        its.in_flight.clear()
        mine.number = mine.number or its.number
        seen = its.access.peek()
        if seen is not None:
            mine.adopted += seen[0].requests
        elif its.number:
            mine.silent = True
        self._set_timer(now)

    def close(self) -> None:
        """Leave the file, if its lock is free; otherwise others see that nobody lives here."""
        self.stop_timer()
        self.claims.clear()
        view = self._view
        if not view.number or view.in_flight:
            return
        now = asyncio.get_running_loop().time()
        view.change(lambda state, me, _at: law.leave(state, me.number), now)
        view.number, self._has_ticket = 0, False
        self._look_at = -math.inf

    # -- telling ---------------------------------------------------------------------------

    def slots_free(self, now: float) -> int:  # noqa: ARG002
        """How many requests could leave now."""
        view = self._view
        seen = view.access.peek()
        if seen is None:
            return 0 if self.unavailable_reason else self.limit.count
        state, at = seen
        law.enter(state, view.number, view.rule, at)
        rule = law.strictest(state.processes.values())
        return law.free_slots(state, rule, at) if at >= law.gate(state, rule) else 0

    def utilisation(self, now: float) -> float:
        """Share of the limit that this session used over the last windows."""
        if not self._sends:
            return 0.0
        span = min(10 * self.limit.period, max(self.limit.period, now - self._sends[0]))
        recent = sum(sent_at > now - span for sent_at in self._sends)
        return min(1.0, recent / (self.limit.rate * span))

    def shared_with_others(self, now: float) -> bool:
        """Whether refusals of late say that somebody spends this limit without the file."""
        return self._freezer.recent(now)
