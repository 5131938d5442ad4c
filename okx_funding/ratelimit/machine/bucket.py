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
from collections.abc import Callable
from typing import Any, Protocol

from okx_funding.api.spec import RateLimit
from okx_funding.ratelimit.bucket import SMOOTH, Claim
from okx_funding.ratelimit.slot import GUARD, Freezer, RoundTrips

from . import law
from .access import Access, Place
from .alive import Lives
from .law import LoggedProcess, LoggedRequest, Release, Rule, State
from .layout import NewerFormatError

VALID = 1.0
"""Seconds after it was taken within which a slot must be used."""
KEEP = 0.25
"""Seconds for which a ticket is kept for the next caller."""
RENEW = 1.0
"""Seconds after which a process with a request in flight says that it lives."""
AGAIN = 0.25
"""Seconds after which a file that can't be used is tried again."""
GIVE_BACK_WITHIN = 0.01
"""Seconds after an answer within which its slot is given back, together with others: it isn't
free before its window is over anyway."""
LOOK_FOR_DEAD = 0.05
"""Seconds after which it is worth while to ask again who lives."""
PATIENCE = 60.0
"""Seconds of trouble after which even callers without a deadline are told."""
_LONGEST_LOST = 5.0


class Queue(Protocol):
    """Who waits before a bucket, in this process."""

    def ahead(self) -> int:
        """Requests that those who wait now will need."""

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """There will be no slot: tell whoever waits, or only who would wait for ever."""


class MachinePlace(Place, Protocol):
    """Where the files of a session are."""

    def next_serial(self) -> int:
        """Another one for each slot of the session."""

    def explain(self, error: Exception) -> tuple[str, bool]:
        """What is wrong, and whether waiting is of no use."""


class MachineSlot:
    """The right to one request, as it is logged in the file."""

    __slots__ = ("callers", "keys", "owner", "sent_at", "serial", "taken")

    def __init__(self, request: LoggedRequest, sent_at: float) -> None:
        self.owner: int = request.owner
        self.serial: int = request.serial
        self.taken: float = request.taken
        """When it was taken, by the machine's clock."""
        self.sent_at: float = sent_at
        """The same by the loop's."""
        self.keys: int = 0
        self.callers: int = 0
        """What its request carries."""


class MachineBucket:
    """What a `TokenBucket` is, with its slots in a file. Times are the loop's."""

    def __init__(self, name: str, label: str, claim: Claim, place: MachinePlace) -> None:
        self.name = name
        self.claims: weakref.WeakKeyDictionary[object, Claim] = weakref.WeakKeyDictionary()
        self.queue: weakref.ref[Any] | None = None
        self.unavailable_reason: str | None = None
        """Why there are no slots, if that is so."""
        self.sent: int = 0
        self.refusals: int = 0
        self.keys_sent: int = 0
        self.callers_served: int = 0
        self.round_trips: RoundTrips = RoundTrips(max(4, 2 * claim.limit.count))
        self._place = place
        self._access = Access(name, label, place)
        self._freezer = Freezer()
        self._sends: deque[float] = deque()
        self._obeyed: list[Claim] = []
        self._obey(claim)

        self._number = 0
        """Under which the file knows this session; 0 before the first look."""
        self._in_flight: dict[int, float] = {}
        """When each slot in hand was taken, by serial; by the machine's clock."""
        self._returns: list[Release] = []
        """What couldn't be given back yet."""
        self._adopted: list[LoggedRequest] = []
        """Requests of another file that count here from now on."""
        self._silent = claim.silent_start
        self._credit_shrank = False
        self._has_ticket = False
        self._look_at = -math.inf
        """When the turn of those who wait may come; until then nobody asks for a slot."""
        self._retry_at = -math.inf
        """When to try again, where the file couldn't be used."""
        self._returns_due = math.inf
        """When `_returns` are told at the latest."""
        self._heard = -math.inf
        """When the file last heard of this session."""
        self._looked_for_dead = -math.inf
        self._failing_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def _obey(self, claim: Claim) -> None:
        self.limit: RateLimit = claim.limit
        self.pacing = claim.pacing
        self.withdraw: float = claim.withdraw
        count, period = claim.limit.count, claim.limit.period
        spacing = SMOOTH * period / count if claim.pacing == "smooth" else 0.0
        self._rule = Rule(count, period + GUARD, spacing)
        self._sends = deque(self._sends, maxlen=min(10 * count, 1000))

    def __repr__(self) -> str:
        state = self.unavailable_reason or ("waiting" if self._has_ticket else "resting")
        return (
            f"<MachineBucket {self.name[:8]}: {self.limit}, {self.pacing}; {state}, "
            f"{self.in_flight} in flight, {self.sent} sent, {self.refusals} refused>"
        )

    @property
    def in_flight(self) -> int:
        """Slots that requests hold."""
        return len(self._in_flight)

    def idle(self) -> bool:
        """Whether nobody lives with it and it holds nothing."""
        return not (self.claims or self._in_flight or self._returns)

    # -- taking ----------------------------------------------------------------------------

    def take(self, now: float) -> MachineSlot | None:
        """A slot for a request that leaves now, or None: then ask again at `next_free`."""
        if now < self._look_at or now < self._retry_at:
            return None
        self._reconsider()
        serial = self._place.next_serial()

        def take(state: State, me: LoggedProcess, at: float) -> LoggedRequest | None:
            request = law.take(state, me, serial, at)
            self._has_ticket = me.ticket > 0
            self._look_at = now + me.looks_at - at if self._has_ticket else -math.inf
            return request

        request = self._change(take, now)
        if request is None:
            self._set_timer(now)
            return None
        self._in_flight[request.serial] = request.taken
        self._set_timer(now)
        self.sent += 1
        self._sends.append(now)
        return MachineSlot(request, now)

    def holds(self, slot: MachineSlot, now: float) -> bool:  # noqa: ARG002
        """Whether the slot may be used still; whoever was stopped meanwhile has lost it."""
        return (
            slot.owner == self._number
            and self._place.clock() - slot.taken < VALID
            and self._access.has_name()
        )

    def next_free(self, now: float) -> float:
        """When to ask again; where nobody waits, about when a request could leave."""
        at = max(self._look_at, self._retry_at)
        return at if at > now else self.nth_free(0, now)

    def nth_free(self, n: int, now: float, not_before: float = -math.inf) -> float:
        """About when the n-th request from now (counted from 0) gets its slot."""
        seen = self._access.peek()
        if seen is None:
            return max(now, not_before, self._look_at, self._retry_at)
        state, at = seen
        me = state.processes.get(self._number) or law.enter(state, self._number, self._rule, at)
        longer = max(0.0, self.round_trips.mean - self.round_trips.credit)
        return max(not_before, now + law.nth_slot_at(state, me, n, longer, at) - at)

    # -- the file ----------------------------------------------------------------------------

    def _change(
        self,
        act: Callable[[State, LoggedProcess, float], LoggedRequest | None],
        now: float,
    ) -> LoggedRequest | None:
        """Tell the file all that it doesn't know yet, then ``act``.

        Gives what ``act`` does, unless that is void.
        """

        def make(state: State, number: int, lives: Lives, at: float) -> LoggedRequest | None:
            me = self._tell_all(state, number, lives, at)
            result = act(state, me, at)
            law.prune(state, at)
            return result

        try:
            change = self._access.change(make)
        except (OSError, NewerFormatError) as error:
            self._failed(error, now)
            return None
        if change is None:
            self._retry_at = now + self._access.wait
            return None
        self._retry_at, self._returns_due = -math.inf, math.inf
        self._returns.clear()
        self._adopted.clear()
        self._silent = self._credit_shrank = False
        self._number, self._heard = change.number, now
        self.unavailable_reason = self._access.unavailable_reason
        if self.unavailable_reason is None:
            self._failing_since = None
        taken = change.result
        if taken is None or change.valid:
            return taken
        # This process was stopped, or its file was replaced: nothing is sent for this slot.
        self._returns.append(Release(taken.owner, taken.serial, taken.taken, None))
        self._retry_at = self._returns_due = now + law.SOON
        return None

    def _tell_all(self, state: State, number: int, lives: Lives, at: float) -> LoggedProcess:
        if number != self._number:  # after a fork the slots in hand are the parent's
            self._in_flight.clear()
        me = law.enter(state, number, self._rule, at)
        me.shortest = self.round_trips.shortest
        for request in self._adopted:
            law.adopt(state, request)
        for back in self._returns:
            law.give_back(state, back)
        law.reconcile(state, number, self._in_flight, at)
        if at - self._looked_for_dead > LOOK_FOR_DEAD:
            self._looked_for_dead = at
            doubtful = law.doubtful(state, number, at)
            if dead := [each for each in doubtful if not lives.is_alive(each)]:
                law.remove_dead(state, dead, at)
        law.release_unheard(state, number, at)
        if self._credit_shrank:
            law.reduce_credit(state, number, self.round_trips.credit)
        if self._silent:
            state.unknown_until = max(state.unknown_until, at)
        return me

    def _failed(self, error: Exception, now: float) -> None:
        """The file can't be used: nothing is sent until it can."""
        self._place.drop(self.name)
        self.unavailable_reason, is_fatal = self._place.explain(error)
        self._retry_at = now + AGAIN
        if self._failing_since is None:
            self._failing_since = now
        impatient = now - self._failing_since > PATIENCE
        if impatient:
            self._failing_since = now
        if is_fatal or impatient:
            asyncio.get_running_loop().call_soon(self._tell_waiters, not is_fatal)

    def _tell_waiters(self, only_without_deadline: bool) -> None:
        queue: Queue | None = self.queue() if self.queue is not None else None
        if queue is not None and self.unavailable_reason is not None:
            queue.fail_waiters(self.unavailable_reason, only_without_deadline=only_without_deadline)

    # -- the timer ---------------------------------------------------------------------------

    def _set_timer(self, now: float) -> None:
        """Ring when there is something to do besides what the queue does."""
        due = self._returns_due
        if self._in_flight:
            due = min(due, self._heard + RENEW)
        if self._has_ticket:
            due = min(due, self._look_at + KEEP)
        due = max(due, self._retry_at)
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
        now = loop.time()
        queue: Queue | None = self.queue() if self.queue is not None else None
        if (
            self._has_ticket
            and now >= self._look_at + KEEP
            and (queue is None or not queue.ahead())
        ):
            self._change(self._drop_ticket, now)
        elif now >= self._returns_due or (self._in_flight and now >= self._heard + RENEW):
            self._change(_nothing_more, now)
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
        if warm:
            self._credit_shrank |= self.round_trips.add(took)
        else:
            self.round_trips.add_cold(took)
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
        pause = self._freezer.refused(slot.sent_at, now, self.limit, self.withdraw, retry_after)
        hold = self._freezer.withdraw(now) - now if self.withdraw > 0 else 0.0
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
        at = self._place.clock()
        self._in_flight.pop(slot.serial, None)
        self._returns.append(
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
        if freeze > 0 or seen_in is None:
            self._returns_due = now
            if now >= self._retry_at:
                self._change(_nothing_more, now)
        else:
            soon = now + min(GIVE_BACK_WITHIN, self._rule.window / 4)
            self._returns_due = min(self._returns_due, soon)
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
        if not claims or claims == self._obeyed:
            return
        self._obeyed = claims
        count = min(claim.limit.count for claim in claims)
        period = max(claim.limit.period for claim in claims)
        smooth = any(claim.pacing == "smooth" for claim in claims)
        strictest = Claim(
            RateLimit(count, period),
            "smooth" if smooth else "burst",
            max(claim.withdraw for claim in claims),
        )
        if strictest != Claim(self.limit, self.pacing, self.withdraw):
            self._obey(strictest)

    def inherit(self, other: MachineBucket, now: float) -> None:
        """Go on for ``other``: both were the same user's, and what that sent counts here."""
        for owner, claim in other.claims.items():
            self.claim(owner, claim, now)
        self.sent += other.sent
        self.refusals += other.refusals
        self.keys_sent += other.keys_sent
        self.callers_served += other.callers_served
        self._in_flight.update(other._in_flight)
        other._in_flight.clear()
        self._number = self._number or other._number
        seen = other._access.peek()
        if seen is not None:
            self._adopted += seen[0].requests
        elif other._number:
            self._silent = True
        self._set_timer(now)

    def close(self) -> None:
        """Leave the file, if its lock is free; otherwise others see that nobody lives here."""
        self.stop_timer()
        self.claims.clear()
        if not self._number or self._in_flight:
            return
        now = asyncio.get_running_loop().time()
        self._change(lambda state, me, _at: law.leave(state, me.number), now)
        self._number, self._has_ticket = 0, False
        self._look_at = -math.inf

    # -- telling ---------------------------------------------------------------------------

    def slots_free(self, now: float) -> int:  # noqa: ARG002
        """How many requests could leave now."""
        seen = self._access.peek()
        if seen is None:
            return 0 if self.unavailable_reason else self.limit.count
        state, at = seen
        law.enter(state, self._number, self._rule, at)
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


def _nothing_more(_state: State, _me: LoggedProcess, _at: float) -> None:
    """Telling is all."""
