"""One process's view of one bucket in Redis: it asks, waits to be told, and gives back.

Nothing here waits: `SharedBucket` is told what happened and decides what to do.

    resting ── somebody wants a slot ──▶ asking ── slots won ──▶ in hand, taken at once; resting
       ▲                                   │ ▲
       └── nobody wants one any more ── waiting, due at some moment ── it has come, or a message
"""

from __future__ import annotations

import asyncio
import math
import weakref
from collections import deque
from typing import Any

from okx_funding.api.spec import RateLimit
from okx_funding.ratelimit.backoff import RefusalBackoff as Freezer
from okx_funding.ratelimit.bucket import SMOOTH, STILL_ON_ITS_WAY, Claim, TokenBucket
from okx_funding.ratelimit.round_trips import RoundTrips
from okx_funding.ratelimit.slot import GUARD, Slot

from .scripts import CLAIM, GRACE, LOOK, Taken, microseconds
from .words import Post, Queue, Return, SharedSlot


class SharedBucket:
    """What a `TokenBucket` is, with its slots in Redis.

    `take` gives a slot that is in hand, and otherwise asks for some and wakes the queue when
    they were won.
    """

    def __init__(self, name: str, claim: Claim, post: Post) -> None:
        self.name = name
        self.claims: weakref.WeakKeyDictionary[object, Claim] = weakref.WeakKeyDictionary()
        self.queue: weakref.ref[Any] | None = None
        self.sent: int = 0
        self.refusals: int = 0
        self.keys_sent: int = 0
        self.callers_served: int = 0
        self.in_flight: int = 0
        self.round_trips: RoundTrips = RoundTrips(max(4, 2 * claim.limit.count))
        self._post = post
        self._freezer = Freezer()
        self._frozen_until = -math.inf
        self._sends: deque[float] = deque()
        self._rule(claim)

        self._hand: deque[SharedSlot] = deque()
        self._asking = False
        self._asked_at = -math.inf
        self._wished = False
        """Whether anybody wanted a slot since the last answer."""
        self._wanted = 0
        self._waits = False
        """Whether it has a place in the queue in Redis."""
        self._due = self._ask_at = -math.inf
        """When a slot is expected, and when to ask again."""
        self._hinted = math.inf
        """When a slot is due, by a message that overtook the answer to the ask."""
        self._timer: asyncio.TimerHandle | None = None
        self._serial = 0
        self._lost = 1
        """The first ask from which nothing was heard."""
        self._silent = self._asked_for_silence = False
        self._others = 0
        self._share: TokenBucket | None = None

    def _rule(self, claim: Claim) -> None:
        self.limit: RateLimit = claim.limit
        self.refusal_cooldown: float = claim.refusal_cooldown
        self._sends = deque(self._sends, maxlen=min(10 * claim.limit.count, 1000))
        self._count, self._window = claim.limit.count, claim.limit.period + GUARD

    def __repr__(self) -> str:
        state = "asking" if self._asking else "waiting" if self._waits else "resting"
        return (
            f"<SharedBucket {self.name}: {self.limit}; {state}, "
            f"{self.in_flight} in flight, {self.sent} sent, {self.refusals} refused>"
        )

    @property
    def unavailable_reason(self) -> str | None:
        """Why there are no slots, if that is so."""
        return None if self._share is not None else self._post.unavailable_reason

    def idle(self) -> bool:
        """Whether nobody lives with it and it holds nothing."""
        busy = self.claims or self.in_flight or self._hand or self._asking or self._waits
        return not (busy or self._silent)

    def _queue(self) -> Queue | None:
        return self.queue() if self.queue is not None else None

    # -- taking ----------------------------------------------------------------------------

    def take(self, now: float) -> Slot | SharedSlot | None:
        """A slot for a request that leaves now, or None: the queue is woken when there is one."""
        slot: Slot | SharedSlot | None
        if self._share is not None:
            slot = self._share.take(now)
        else:
            slot = self._from_hand(now)
            if slot is None:
                self._want(now)
        if slot is not None:
            slot.sent_at = now
            self.sent += 1
            self.in_flight += 1
            self._sends.append(now)
        return slot

    def _from_hand(self, now: float) -> SharedSlot | None:
        while self._hand:
            slot = self._hand.popleft()
            if now - slot.asked_at <= self._post.fresh:
                return slot
            self._post.give(Return(self.name, slot, None))
        return None

    def holds(self, slot: Slot | SharedSlot, now: float) -> bool:  # noqa: ARG002
        """Whether the slot may be used now: its lease outlasts the longest request."""
        return True

    def _want(self, now: float) -> None:
        self._wished = True
        if self._post.is_fatal and (queue := self._queue()) is not None:
            queue.loop.call_soon(self._refuse)
        elif not self._asking and now >= self._ask_at:
            self._ask()

    def _refuse(self) -> None:
        if self.unavailable_reason is not None:
            self.fail_waiters(self.unavailable_reason, only_without_deadline=False)

    def _ask(self) -> None:
        self._stop_waiting()
        self._asking = True
        self._post.ask(self)

    def question(self, now: float) -> dict[str, Any]:
        """What ``take.lua`` wants to know, now that the ask leaves."""
        self._reconsider()
        queue = self._queue()
        ahead = queue.ahead() if queue is not None else 0
        self._wanted = min(max(1, ahead), self.limit.count) if self._wished else 0
        self._asked_at = now
        self._hinted = math.inf
        self._asked_for_silence = self._silent
        self._serial += 1
        return {
            "me": self._post.process,
            "serial": self._serial,
            "lost": self._lost,
            "count": self.limit.count,
            "period": microseconds(self.limit.period + GUARD),
            "pace": SMOOTH if self.limit.spread else 0,
            "wanted": self._wanted,
            "lease": microseconds(self._post.lease + STILL_ON_ITS_WAY),
            "silent": self._silent,
            "settle": microseconds(self._post.settle + STILL_ON_ITS_WAY),
            "claim": microseconds(CLAIM),
            "look": microseconds(LOOK),
            "grace": microseconds(GRACE),
            "bye": not self.claims,
        }

    # -- being told ------------------------------------------------------------------------

    def told(self, taken: Taken, now: float) -> None:
        """The answer to the ask."""
        self._asking = self._wished = False
        self._lost = self._serial + 1
        self._silent = self._silent and not self._asked_for_silence
        self._others = taken.others
        self._count, self._window = taken.count, taken.period
        self._waits = len(taken.slots) < self._wanted
        for name in taken.slots:
            self._hand.append(SharedSlot(name, self._serial, self._asked_at))
        self._due = self._ask_at = -math.inf
        if self._waits:
            self._due = min(self._hinted, now + taken.hoped_in)
            self._wait(min(self._hinted, now + taken.due_in), now)
        if self._hand or not self._waits:
            self._wake()

    def hint(self, due_in: float, now: float) -> None:
        """A message: the slot it waits for is due earlier."""
        if self._asking:
            self._hinted = min(self._hinted, now + due_in)
        elif self._waits:
            self._due = now + due_in
            self._wait(min(self._ask_at, self._due), now)

    def _wait(self, due: float, now: float) -> None:
        self._ask_at = min(due, now + LOOK)
        self._stop_waiting()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(self._ask_at, self._ring)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._wished = False
        self._ask_at = -math.inf
        self._wake()

    def _wake(self) -> None:
        """Let the queue take what it can use; then give back and leave what it can't."""
        if (queue := self._queue()) is not None:
            queue.schedule()
        asyncio.get_running_loop().call_soon(self._tidy)

    def _tidy(self) -> None:
        self._empty_hand()
        if self._waits and self._timer is None and not self._asking and self._share is None:
            self._ask()  # nobody wanted the turn: leave the queue

    def _empty_hand(self) -> None:
        while self._hand:
            self._post.give(Return(self.name, self._hand.popleft(), None))

    def next_free(self, now: float) -> float:
        """When a slot is expected; inf while it is asked for: then the queue is woken."""
        if self._share is not None:
            return self._share.next_free(now)
        if self._asking:
            return math.inf
        return self._due if self._due > now else max(now, self._ask_at)

    def nth_free(self, n: int, now: float, not_before: float = -math.inf) -> float:
        """About when the n-th request from now (counted from 0) gets its slot."""
        if self._share is not None:
            return self._share.nth_free(n, now, not_before)
        start = max(now, not_before, self._frozen_until, self._due)
        turn = n * (self._others + 1 if self._waits else 1)
        if self.limit.spread:
            return start + turn * SMOOTH * self._window / self._count
        cycle = self._window + max(0.0, self.round_trips.mean - self._credit())
        return start + turn // self._count * cycle

    # -- giving back -----------------------------------------------------------------------

    def load(self, slot: Slot | SharedSlot, keys: int, callers: int) -> None:
        """What the request that holds ``slot`` carries."""
        slot.keys, slot.callers = keys, callers
        self.keys_sent += keys
        self.callers_served += callers

    def answered(self, slot: Slot | SharedSlot, now: float, *, warm: bool = True) -> None:
        """The answer was read in full. ``warm`` is False when the connection was new."""
        self._freezer.succeeded(slot.sent_at)
        if isinstance(slot, Slot):
            self._return_to_share("answered", slot, now, warm=warm)
            return
        if warm:
            self.round_trips.add(now - slot.sent_at)
        else:
            self.round_trips.add_cold(now - slot.sent_at)
        self._return(slot, now - min(self._credit(), now - slot.sent_at))

    def lost(self, slot: Slot | SharedSlot, now: float) -> None:
        """No answer came, or nobody read it: the request may still arrive."""
        if isinstance(slot, Slot):
            self._return_to_share("lost", slot, now)
        else:
            self._return(slot, now + STILL_ON_ITS_WAY)

    def unsent(self, slot: Slot | SharedSlot, now: float) -> None:
        """Nothing left: the slot is as free as it was."""
        self.sent -= 1
        self.keys_sent -= slot.keys
        self.callers_served -= slot.callers
        if slot.sent_at in self._sends:
            self._sends.remove(slot.sent_at)
        if isinstance(slot, Slot):
            self._return_to_share("unsent", slot, now)
        else:
            self._return(slot, None)

    def refused(
        self, slot: Slot | SharedSlot, now: float, retry_after: float | None = None
    ) -> float:
        """OKX refused the request for the limit: every process waits. Gives the seconds."""
        self.refusals += 1
        pause, bench = self._freezer.refused(
            slot.sent_at, now, self.limit, self.refusal_cooldown, retry_after
        )
        self._frozen_until = max(self._frozen_until, now + pause)
        if isinstance(slot, Slot):
            self._return_to_share("refused", slot, now, retry_after)
            return pause
        self._return(slot, now, freeze_until=now + pause, bench_until=bench)
        return self._frozen_until - now

    def _credit(self) -> float:
        """Seconds before an answer by which its request had surely arrived: the way back.

        Nothing more, however steady the way out is: the next request may leave from a machine
        that is nearer to the exchange.
        """
        return self.round_trips.shortest / 2

    def _return(self, slot: SharedSlot, seen_by: float | None, **refusal: float | None) -> None:
        self.in_flight -= 1
        self._post.give(Return(self.name, slot, seen_by, **refusal))
        if self._share is not None and seen_by is not None:
            self._share.frozen_until = max(self._share.frozen_until, seen_by + self._window)

    def _return_to_share(self, how: str, slot: Slot, now: float, *args: Any, **more: Any) -> None:
        self.in_flight -= 1
        if self._share is not None:
            getattr(self._share, how)(slot, now, *args, **more)

    # -- losing and finding Redis ----------------------------------------------------------

    def lose(self, share: int, not_before: float) -> None:
        """Redis is lost. From ``not_before`` on ``share`` slots are our own, 0: none."""
        self._stop_waiting()
        self._waits = self._asking = self._wished = False
        self._due = self._ask_at = -math.inf
        self._empty_hand()
        if share:
            limit = RateLimit(share, self.limit.period, spread=self.limit.spread)
            self._share = TokenBucket(Claim(limit, self.refusal_cooldown))
            self._share.frozen_until = not_before + self._window
        self._wake()

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """Tell those who would wait for ever, or everybody, that there will be no slot."""
        if self._share is None and (queue := self._queue()) is not None:
            queue.fail_waiters(reason, only_without_deadline=only_without_deadline)

    def find(self, *, silent: bool) -> None:
        """Redis is back. ``silent``: others may have sent what it doesn't know of."""
        self._silent = self._silent or silent
        self._share = None
        if self._lost <= self._serial and not self._asking:
            self._ask()  # what it won unheard is free again
        self._wake()

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
        """Obey the strictest living claim of this process; Redis minds those of the others."""
        if self.claims:
            claim = Claim.strictest(self.claims.values())
            if claim != Claim(self.limit, self.refusal_cooldown):
                self._rule(claim)

    def inherit(self, other: SharedBucket, now: float) -> None:
        """Go on for ``other``: both were the same user's. What that sent is unknown here."""
        for owner, claim in other.claims.items():
            self.claim(owner, claim, now)
        self.sent += other.sent
        self.refusals += other.refusals
        self.keys_sent += other.keys_sent
        self.callers_served += other.callers_served
        self._silent = True

    def close(self) -> None:
        """Give back what is in hand, leave the queue and take back the claim."""
        self._stop_waiting()
        self._empty_hand()
        self._wished = False
        self.claims.clear()
        if self._serial and not self._asking:
            self._ask()

    # -- telling ---------------------------------------------------------------------------

    def slots_free(self, now: float) -> int:
        """How many requests of this process could leave now, as far as it knows."""
        if self._share is not None:
            return self._share.slots_free(now)
        if self._waits or self.unavailable_reason is not None or now < self._frozen_until:
            return 0
        return max(0, self._count - self.in_flight)

    def utilisation(self, now: float) -> float:
        """Share of the limit that this process used over the last windows."""
        if not self._sends:
            return 0.0
        span = min(10 * self.limit.period, max(self.limit.period, now - self._sends[0]))
        recent = sum(sent_at > now - span for sent_at in self._sends)
        return min(1.0, recent / (self.limit.rate * span))

    def shared_with_others(self, now: float) -> bool:
        """Whether refusals of late say that somebody spends this limit without Redis."""
        return self._freezer.recent(now)
