"""One process's view of one bucket in Redis: it asks, waits to be told, and gives back.

Nothing here waits: `SharedBucket` is told what happened and decides what to do.

    resting ── somebody wants a slot ──▶ asking ── slots won ──▶ acquired, taken when they may be
       ▲                                   │ ▲
       └── nobody wants one any more ── waiting, until it is called, or for a while
"""

from __future__ import annotations

import asyncio
import math
import weakref
from typing import Any

from okx_funding.api.spec import RateLimit
from okx_funding.ratelimit.backoff import RefusalBackoff
from okx_funding.ratelimit.bucket import STILL_ON_ITS_WAY, TokenBucket
from okx_funding.ratelimit.interface import Claim
from okx_funding.ratelimit.pacer import SMOOTH
from okx_funding.ratelimit.round_trips import RoundTrips
from okx_funding.ratelimit.slot import GUARD, Slot
from okx_funding.ratelimit.usage import UsageCounters

from .leases import Leases
from .messages import Backend, Queue, Release, SharedSlot
from .scripts import (
    AHEAD,
    CLAIM,
    HEARTBEAT,
    HEARTBEAT_SLACK,
    LEASE,
    LONG_WINDOW,
    TAKE,
    Taken,
    bucket_keys,
    inbox,
    microseconds,
)

ASK_AGAIN = 60.0
"""Seconds after which a bucket that Redis refused is asked for again."""
SPARE = 0.5
"""Seconds of its lease that must be left when a slot is used."""
KEEP = 0.25
"""Seconds for which a slot is kept for whoever needs one of another bucket as well."""
LOOK_AGAIN = 0.02
"""Seconds after which who isn't woken by this bucket looks again for the answer to its ask."""
_TICK = 1e-6


class SharedBucket(UsageCounters):
    """What a `TokenBucket` is, with its slots in Redis.

    `take` gives a slot that is in hand, and otherwise asks for some and wakes the queue when
    they were won.
    """

    def __init__(self, tag: str, claim: Claim, backend: Backend) -> None:
        self.tag = tag
        """Its name in Redis, without prefix and format."""
        self.claims: weakref.WeakKeyDictionary[object, Claim] = weakref.WeakKeyDictionary()
        self.queue: weakref.ref[Any] | None = None
        super().__init__()
        self.in_flight: int = 0
        self.round_trips: RoundTrips = RoundTrips(max(4, 2 * claim.limit.count))
        self._backend = backend
        self._format = backend.formats[0]
        self._keys = bucket_keys(backend.prefix, tag, self._format)
        self._backoff = RefusalBackoff()
        self._frozen_until = -math.inf
        self._rule(claim)

        self._acquired: list[SharedSlot] = []
        """Slots that no request has taken yet, by when they may be used."""
        self._leases = Leases(backend.renew)
        self._asking = False
        self._asked_at = -math.inf
        self._requested = False
        """Whether anybody wanted a slot since the last answer."""
        self._wanted = 0
        self._waits = False
        """Whether it has a place in the queue in Redis."""
        self._due = self._ask_at = -math.inf
        """When a slot is expected, and when to ask again."""
        self._timer: asyncio.TimerHandle | None = None
        self._serial = 0
        self._lost = 1
        """The first ask from which nothing was heard."""
        self._silent = self._asked_for_silence = self._just_moved = False
        self._closed = self._left = False
        """Whether it is to leave, and whether its last ask said so."""
        self._others = 0
        self._is_further_limit = False
        """Whether its takers stand in another bucket's queue: they need a slot of each."""
        self._share: TokenBucket | None = None
        self._error: str | None = None
        """What is wrong with this bucket alone, and until when it isn't asked for."""
        self._error_until = -math.inf

    def _rule(self, claim: Claim) -> None:
        self.limit: RateLimit = claim.limit
        self.refusal_cooldown: float = claim.refusal_cooldown
        self._bound_sends()
        self._count, self._window = claim.limit.count, claim.limit.period + GUARD

    def __repr__(self) -> str:
        state = "asking" if self._asking else "waiting" if self._waits else "resting"
        return (
            f"<SharedBucket {self._keys[0]}: {self.limit}; {state}, "
            f"{self.in_flight} in flight, {self.sent} sent, {self.refusals} refused>"
        )

    @property
    def unavailable_reason(self) -> str | None:
        """Why there are no slots, if that is so."""
        return None if self._share is not None else self._error or self._backend.unavailable_reason

    @property
    def waits(self) -> bool:
        """Whether it has a place in the queue in Redis, so that it must be reached."""
        return self._waits

    def idle(self) -> bool:
        """Whether nobody lives with it and it holds nothing."""
        busy = self.claims or self.in_flight or len(self._leases) or self._asking or self._waits
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
            slot = self._from_acquired(now)
            if slot is None:
                self._want(now)
        if slot is not None:
            slot.sent_at = now
            self.in_flight += 1
            self._count_send(now)
        return slot

    def _from_acquired(self, now: float) -> SharedSlot | None:
        while self._acquired:
            slot = self._acquired[0]
            if now >= slot.lease_until - SPARE:  # whoever slept gives it back
                self._release(self._acquired.pop(0))
            elif now < max(slot.usable_at, self._frozen_until):
                return None
            else:
                return self._acquired.pop(0)
        return None

    def holds(self, slot: Slot | SharedSlot, now: float) -> bool:
        """Whether the slot may be used now: its lease may have ended."""
        return isinstance(slot, Slot) or now < slot.lease_until

    def _want(self, now: float) -> None:
        self._requested = True
        queue = self._queue()
        self._is_further_limit = queue is None or not queue.ahead()
        if (self._backend.is_fatal or now < self._error_until) and queue is not None:
            queue.loop.call_soon(self._refuse)
        elif self._asking or (self._waits and now < self._ask_at):
            return
        elif self._ahead() > len(self._acquired):
            self._ask()

    def _ahead(self) -> int:
        queue = self._queue()
        return max(1, queue.ahead()) if queue is not None else 1

    def _refuse(self) -> None:
        if self.unavailable_reason is not None:
            self.fail_waiters(self.unavailable_reason, only_without_deadline=False)

    def _ask(self) -> None:
        self._asking = True
        self._arm()
        self._backend.ask(self)

    def command(self, process: str, prefix: str, now: float) -> tuple[Any, ...]:
        """The ask for slots, now that it leaves."""
        return TAKE.on(self._keys, self.arguments(process, prefix, now))

    def arguments(self, process: str, prefix: str, now: float) -> dict[str, Any]:
        """What ``take.lua`` wants to know."""
        self._reconsider()
        # One more than there can be: whoever needs that many stays in the queue by the same ask.
        wanted = min(self._ahead() - len(self._acquired), self.limit.count + 1)
        self._wanted = max(0, wanted) if self._requested else 0
        self._asked_at = now
        self._asked_for_silence = self._silent
        self._serial += 1
        self._left = not self.claims
        settle = self._backend.settle + STILL_ON_ITS_WAY + AHEAD
        return {
            "me": process,
            "serial": self._serial,
            "lost": self._lost,
            "count": self.limit.count,
            "period": self.limit.period,
            "guard": microseconds(GUARD),
            "pace": SMOOTH if self.limit.spread else 0,
            "format": self._format,
            "speaks": self._backend.formats[-1],
            "server": self._backend.server,
            "wanted": self._wanted,
            "lease": microseconds(LEASE + STILL_ON_ITS_WAY),
            "silent": self._silent,
            "settle": microseconds(settle + (LEASE if self._just_moved else 0.0)),
            "long": microseconds(LONG_WINDOW),
            "ahead": microseconds(AHEAD),
            "claim": microseconds(CLAIM),
            "heartbeat": microseconds(HEARTBEAT),
            "slack": microseconds(HEARTBEAT_SLACK),
            "channel": inbox(prefix),
            "leaves": self._left,
        }

    # -- being told ------------------------------------------------------------------------

    def on_reply(self, reply: Any, now: float) -> None:
        """The answer to the ask."""
        taken = Taken.of(reply)
        self._asking = self._requested = False
        self._lost = self._serial + 1
        self._silent = self._silent and not self._asked_for_silence
        self._due = self._ask_at = -math.inf
        self._error, self._error_until = None, -math.inf
        if taken.moved:
            self._move(taken.moved, now)
            return
        self._just_moved = False
        self._others = taken.others
        self._count, self._window = taken.count, taken.period
        self._waits = len(taken.slots) < self._wanted
        for name, wait in taken.slots:
            slot = SharedSlot(self._keys, name, self._serial, now + wait, self._asked_at + LEASE)
            self._acquired.append(slot)
            self._leases.add(slot)
        self._acquired.sort(key=lambda slot: slot.usable_at)
        if self._waits:
            self._due, self._ask_at = now + taken.hoped_in, now + taken.ask_in
        if self._closed and not self._left:
            self._release_acquired()
            self._ask()  # it was under way when the bucket was closed: others would wait for us
        elif self._acquired or not self._waits:
            self._wake()
        self._arm()

    def on_error(self, reason: str, now: float) -> None:
        """Redis refused the ask, for a reason that is this bucket's alone."""
        self._asking = self._waits = False
        self._due = self._ask_at = -math.inf
        self._error = f"the shared limit {self._keys[0]} can't be used: {reason}"
        self._error_until = now + ASK_AGAIN
        self._arm()
        self._refuse()

    def _move(self, number: int, now: float) -> None:
        """Everybody keeps the bucket in another format now."""
        self._waits = False
        if number not in self._backend.formats:
            self.on_error(f"a newer version keeps it in format {number}: update this one", now)
            return
        self._release_acquired()
        self._format, self._just_moved = number, True
        self._keys = bucket_keys(self._backend.prefix, self.tag, number)
        self._wake()

    def on_call(self, ask_in: float, now: float) -> None:
        """A message: it is next, and should ask then."""
        if self._waits and not self._asking:
            self._ask_at = min(self._ask_at, now + ask_in)
            self._arm()

    def on_freeze(self, span: float, now: float) -> None:
        """A message: OKX refused another process for this limit."""
        self._frozen_until = max(self._frozen_until, now + span)
        self._arm()

    def _arm(self) -> None:
        """Set the timer for what comes next: a slot that may be used, or the next ask."""
        at = self._ask_at if self._waits and not self._asking else math.inf
        if self._acquired:
            usable_at, now = self._acquired[0].usable_at, asyncio.get_running_loop().time()
            usable_at = max(usable_at, self._frozen_until)
            kept = usable_at + KEEP if self._is_further_limit and usable_at <= now else usable_at
            at = min(at, kept)
        if self._timer is not None:
            if self._timer.when() == at:
                return
            self._timer.cancel()
            self._timer = None
        if at < math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(at, loop.time()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waits and asyncio.get_running_loop().time() >= self._ask_at - _TICK:
            self._requested = False
            self._ask_at = -math.inf
        self._wake()

    def _wake(self) -> None:
        """Let the queue take what it can use; then give back and leave what it can't."""
        if (queue := self._queue()) is not None:
            queue.schedule()
        asyncio.get_running_loop().call_soon(self._tidy)

    def _tidy(self) -> None:
        now = asyncio.get_running_loop().time()
        queue, keep = self._queue(), KEEP if self._is_further_limit else _TICK
        wanted = queue.ahead() if queue is not None else 0
        while self._acquired and (
            (len(self._acquired) > wanted and not self._is_further_limit)
            or now >= max(self._acquired[0].usable_at, self._frozen_until) + keep
        ):
            self._release(self._acquired.pop(0))
        if self._waits and self._ask_at == -math.inf and not self._asking and self._share is None:
            self._ask()  # nobody wanted the turn: leave the queue
        self._arm()

    def _release(self, slot: SharedSlot) -> None:
        self._leases.remove(slot)
        self._backend.give(Release(slot, None))

    def _release_acquired(self) -> None:
        while self._acquired:
            self._release(self._acquired.pop())

    def next_free(self, now: float) -> float:
        """When a slot is expected; inf while it is asked for: then the queue is woken."""
        if self._share is not None:
            return self._share.next_free(now)
        if self._acquired:
            return max(self._acquired[0].usable_at, self._frozen_until)
        if self._asking:
            return now + LOOK_AGAIN if self._is_further_limit else math.inf
        return self._due if self._due > now else max(now, self._ask_at)

    def nth_free(self, n: int, now: float, not_before: float = -math.inf) -> float:
        """About when the n-th request from now (counted from 0) gets its slot."""
        if self._share is not None:
            return self._share.nth_free(n, now, not_before)
        start = max(now, not_before, self._frozen_until)
        if n < len(self._acquired):
            return max(start, self._acquired[n].usable_at)
        if self._waits:
            n -= len(self._acquired)
            start = max(start, self._due)
        elif self._acquired:
            start = max(start, self._acquired[0].usable_at)
        turn = n * (self._others + 1 if self._waits else 1)
        if self.limit.spread:
            return start + turn * SMOOTH * self._window / self._count
        cycle = self._window + max(0.0, self.round_trips.mean - self._credit())
        return start + turn // self._count * cycle

    # -- giving back -----------------------------------------------------------------------

    def answered(self, slot: Slot | SharedSlot, now: float, *, warm: bool = True) -> None:
        """The answer was read in full. ``warm`` is False when the connection was new."""
        self._backoff.succeeded(slot.sent_at)
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
        self._uncount(slot)
        if isinstance(slot, Slot):
            self._return_to_share("unsent", slot, now)
        elif self._is_further_limit and slot.sent_at == now and self._share is None:
            # The taker got no slot of its other limit yet: it is about to try again.
            self.in_flight -= 1
            self._acquired.append(slot)
            self._acquired.sort(key=lambda slot: slot.usable_at)
            self._arm()
        else:
            self._return(slot, None)

    def refused(
        self, slot: Slot | SharedSlot, now: float, retry_after: float | None = None
    ) -> float:
        """OKX refused the request for the limit: every process waits. Gives the seconds."""
        self.count_refusal()
        pause, until = self._backoff.refused(
            slot.sent_at, now, self.limit, self.refusal_cooldown, retry_after
        )
        pause = min(pause, max(LONG_WINDOW, retry_after or 0.0))
        self._frozen_until = max(self._frozen_until, now + pause)
        if isinstance(slot, Slot):
            self._return_to_share("refused", slot, now, retry_after)
            return pause
        self._return(slot, now, freeze_until=now + pause, cooldown_until=until)
        return self._frozen_until - now

    def _credit(self) -> float:
        """Seconds before an answer by which its request had surely arrived: the way back.

        Nothing more, however steady the way out is: the next request may leave from a machine
        that is nearer to the exchange.
        """
        return self.round_trips.shortest / 2

    def _return(self, slot: SharedSlot, seen_by: float | None, **refusal: float | None) -> None:
        self.in_flight -= 1
        self._leases.remove(slot)
        self._backend.give(Release(slot, seen_by, **refusal))
        if self._share is not None and seen_by is not None:
            self._share.frozen_until = max(self._share.frozen_until, seen_by + self._window)

    def _return_to_share(self, how: str, slot: Slot, now: float, *args: Any, **more: Any) -> None:
        self.in_flight -= 1
        if self._share is not None:
            getattr(self._share, how)(slot, now, *args, **more)

    # -- losing and finding Redis ----------------------------------------------------------

    def on_lost(self, share: int, not_before: float) -> None:
        """Redis is lost. From ``not_before`` on ``share`` slots are our own, 0: none."""
        self._waits = self._asking = self._requested = False
        self._due = self._ask_at = -math.inf
        self._release_acquired()
        if share:
            limit = RateLimit(share, self.limit.period, spread=self.limit.spread)
            self._share = TokenBucket(Claim(limit, self.refusal_cooldown))
            self._share.frozen_until = not_before + self._window
        self._wake()

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """Tell those who would wait for ever, or everybody, that there will be no slot."""
        if self._share is None and (queue := self._queue()) is not None:
            queue.fail_waiters(reason, only_without_deadline=only_without_deadline)

    def on_restored(self, *, silent: bool) -> None:
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
        self.add_usage(other)
        self._silent = True

    def close(self) -> None:
        """Give back what is in hand, leave the queue and take back the claim."""
        self._release_acquired()
        self._requested = False
        self.claims.clear()
        self._closed = True
        self._leases.stop()
        if self._serial and not self._asking:
            self._ask()
        self._arm()

    # -- telling ---------------------------------------------------------------------------

    def slots_free(self, now: float) -> int:
        """How many requests of this process could leave now, as far as it knows."""
        if self._share is not None:
            return self._share.slots_free(now)
        if self._waits or self.unavailable_reason is not None or now < self._frozen_until:
            return 0
        return max(0, self._count - self.in_flight)

    def shared_with_others(self, now: float) -> bool:
        """Whether refusals of late say that somebody spends this limit without Redis."""
        return self._backoff.recent(now)
