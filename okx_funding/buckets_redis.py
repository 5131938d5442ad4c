"""Token buckets that many processes and machines share, kept in Redis (6.2 or later, or Valkey).

The law is that of `okx_funding.buckets`: N slots, each held over the round trip and a window
longer. Here a slot is a moment at which it is free again, on the server's clock, in one hash for
each bucket; two scripts take slots and give them back, so no process can see half of a change.

* **Who is next.** A process that gets no slot is written down with the moment it came. Slots go
  to the process that has waited longest, and who has won some goes behind the others: with k
  processes waiting, each gets every k-th slot. Each is told when its own slot is due and asks
  again then, or earlier when a message says that a slot came back. Nobody polls.
* **Who dies in flight.** A slot that is taken is written as free only after its lease, longer
  than a request can last; giving it back moves that forward. Nothing is lost for good.
* **A missing key is unknown history**: a bucket begins with one silent window. So does whoever
  comes back after Redis was lost, because of what others may have sent meanwhile.
* **Redis lost.** ``closed``: nobody sends. ``share``: after one silent window each of the
  processes sends by its own share of the limit. It never fails open.

The credit for the shortest round trip is half of it and no more: the next request may leave
from a machine that is nearer to the exchange.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import secrets
import socket
import weakref
from collections import deque
from collections.abc import Awaitable, Mapping
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import redis.asyncio
import redis.exceptions

from .buckets import SMOOTH, STILL_ON_ITS_WAY, Claim, TokenBucket
from .endpoints import ENDPOINTS, RateLimit
from .errors import InvalidArgumentError
from .registry import BucketKey
from .slots import GUARD, Freezer, RoundTrips, Slot

logger = logging.getLogger("okx_funding.buckets")

OnLoss = Literal["closed", "share"]

LEASE_MARGIN = 5.0
"""Seconds by which a lease outlasts the longest request."""
PATIENCE = 60.0
"""Seconds of outage after which even callers without a deadline are told."""
_ANSWER_WITHIN = 1.0
_BACKOFF = (0.05, 0.1, 0.2, 0.5, 1.0)
_CLAIM = 60.0

# Moments are whole microseconds of the server's clock: exact in Lua's doubles until 2255.
_COMMON = """
local function text(number) return string.format('%.0f', number) end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
"""

# KEYS: the bucket. ARGV: count, period, me, wanted, lease, spacing, silent, claim's length.
# Gives: microseconds until asking again, processes waiting, then id and token of each slot won.
_TAKE = (
    _COMMON
    + """
local count, period, me = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local wanted, lease, spacing = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local hash = redis.call('HGETALL', KEYS[1])
local slots, field, queue, gone = {}, {}, {}, {}
for i = 1, #hash, 2 do
  local kind, name = string.match(hash[i], '^(%a+):(.+)$')
  if kind == 'slot' then
    slots[#slots + 1] = {id = name, free = tonumber(string.match(hash[i + 1], '^%d+'))}
  elseif kind == 'queue' then
    local since, expires = string.match(hash[i + 1], '^(%d+) (%d+)$')
    if tonumber(expires) < now then gone[#gone + 1] = hash[i]
    else queue[name] = tonumber(since) end
  elseif kind == 'claim' and name ~= me then
    local n, p, expires = string.match(hash[i + 1], '^(%d+) (%d+) (%d+)$')
    n, p = tonumber(n), tonumber(p)
    if tonumber(expires) < now then gone[#gone + 1] = hash[i]
    elseif n / p < count / period or (n / p == count / period and n < count) then
      count, period = n, p
    end
  else
    field[hash[i]] = hash[i + 1]
  end
end
if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
redis.call('HSET', KEYS[1], 'claim:' .. me,
  ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. text(now + tonumber(ARGV[8])))

-- The limit may have changed: a longer window holds what is known longer, new slots are unknown.
local before = tonumber(field.period or period)
if before ~= period then
  for _, slot in ipairs(slots) do
    if period > before then
      slot.free = slot.free + period - before
      redis.call('HSET', KEYS[1], 'slot:' .. slot.id, text(slot.free))
    end
  end
end
local taken = {}
for _, slot in ipairs(slots) do taken[slot.id] = true end
local id = 0
while #slots < count do
  while taken[text(id)] do id = id + 1 end
  taken[text(id)] = true
  slots[#slots + 1] = {id = text(id), free = now + period}
  redis.call('HSET', KEYS[1], 'slot:' .. text(id), text(now + period))
end
table.sort(slots, function(a, b) return a.free < b.free end)
while #slots > count do
  redis.call('HDEL', KEYS[1], 'slot:' .. slots[1].id)
  table.remove(slots, 1)
end
redis.call('HSET', KEYS[1], 'count', text(count), 'period', text(period))

local frozen = tonumber(field.frozen or 0)
if ARGV[7] == '1' then
  frozen = math.max(frozen, now + period)
  redis.call('HSET', KEYS[1], 'frozen', text(frozen))
end
local paced = spacing > 0 and tonumber(field.paced or 0) or 0
local gate = math.max(frozen, paced)

local since, older, waiting = queue[me] or now, 0, 0
for name, came in pairs(queue) do
  if name ~= me then
    waiting = waiting + 1
    if came < since or (came == since and name < me) then older = older + 1 end
  end
end

local reply, won = {0, waiting}, 0
if now >= gate then
  local free = 0
  while free < #slots and slots[free + 1].free <= now do free = free + 1 end
  local mine = math.min(wanted, free - older)
  if spacing > 0 then mine = math.min(mine, 1) end
  while won < mine do
    won = won + 1
    local slot = slots[older + won]
    local token = text(now) .. '-' .. text(won) .. '-' .. me
    slot.free = now + lease + period
    redis.call('HSET', KEYS[1], 'slot:' .. slot.id, text(slot.free) .. ' ' .. token)
    reply[#reply + 1] = slot.id
    reply[#reply + 1] = token
  end
  if won > 0 then
    redis.call('HINCRBY', KEYS[1], 'sent', won)
    if spacing > 0 then
      gate = now + spacing
      redis.call('HSET', KEYS[1], 'paced', text(gate))
    end
  end
end
if won < wanted then
  if won > 0 then since, older = now, waiting end
  table.sort(slots, function(a, b) return a.free < b.free end)
  local due = math.max(gate, slots[math.min(older + 1, #slots)].free)
  if older >= #slots then due = due + period end
  reply[1] = math.max(due - now, 0)
  redis.call('HSET', KEYS[1], 'queue:' .. me, text(since) .. ' ' .. text(due + 250000))
else
  redis.call('HDEL', KEYS[1], 'queue:' .. me)
end
return reply
"""
)

# KEYS: the bucket. ARGV: id, token, microseconds added to now and the period (or 'unsent'),
# microseconds of freeze (0: no refusal). Gives 1 when the slot was still held by the token.
_GIVE = (
    _COMMON
    + """
local name = 'slot:' .. ARGV[1]
local held = redis.call('HGET', KEYS[1], name)
local period = tonumber(redis.call('HGET', KEYS[1], 'period') or 0)
local mine = held and string.match(held, '^%d+ (.+)$') == ARGV[2]
if mine and ARGV[3] == 'unsent' then
  redis.call('HSET', KEYS[1], name, text(now))
  redis.call('HINCRBY', KEYS[1], 'sent', -1)
elseif mine then
  redis.call('HSET', KEYS[1], name, text(now + period + tonumber(ARGV[3])))
end
local freeze = tonumber(ARGV[4])
if freeze > 0 then
  local frozen = tonumber(redis.call('HGET', KEYS[1], 'frozen') or 0)
  redis.call('HSET', KEYS[1], 'frozen', text(math.max(frozen, now + freeze)))
  redis.call('HINCRBY', KEYS[1], 'refused', 1)
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
return mine and 1 or 0
"""
)


class Queue(Protocol):
    """Who waits before a bucket, in this process."""

    def wake(self) -> None:
        """A slot may be had."""

    def ahead(self) -> int:
        """Requests that those who wait now will need."""

    def give_up(self, reason: str) -> None:
        """Everybody who waits is told that there will be no slot."""


class SharedSlot:
    """One slot won in Redis."""

    __slots__ = ("callers", "keys", "name", "sent_at", "token")

    def __init__(self, name: str, token: str, sent_at: float) -> None:
        self.name = name
        self.token = token
        self.sent_at = sent_at
        self.keys = self.callers = 0


class SharedBucket:
    """One process's view of one bucket in Redis, with the methods of `TokenBucket`.

    `take` gives what the taker has won already and otherwise sets it to work; when it has won,
    it wakes the queue.
    """

    def __init__(self, key: BucketKey, claim: Claim, store: RedisBuckets) -> None:
        self.name = bucket_name(key)
        self.claims: weakref.WeakKeyDictionary[object, Claim] = weakref.WeakKeyDictionary()
        self.queue: weakref.ref[Any] | None = None
        self.limit = claim.limit
        self.pacing = claim.pacing
        self.withdraw = claim.withdraw
        self.round_trips = RoundTrips(max(4, 2 * claim.limit.count))
        self.in_flight = 0
        self.sent = 0
        self.refusals = 0
        self.keys_sent = self.callers_served = 0
        self.frozen_until = -math.inf
        self._store = store
        self._freezer = Freezer()
        self._hand: deque[SharedSlot] = deque()
        self._taker: asyncio.Task[None] | None = None
        self._due = -math.inf
        self._others = 0
        self._silent = False
        self._sends: deque[float] = deque(maxlen=min(10 * claim.limit.count, 1000))
        self._share: TokenBucket | None = None

    def __repr__(self) -> str:
        return f"<SharedBucket {self.name}: {self.limit}, {self.in_flight} in flight>"

    @property
    def trouble(self) -> str | None:
        """Why there are no slots, if that is so."""
        return self._store.trouble

    # -- taking ----------------------------------------------------------------------------

    def take(self, now: float) -> Slot | SharedSlot | None:
        """A slot that was won, or None: then the queue is woken when there is one."""
        slot: Slot | SharedSlot | None
        if self._share is not None:
            slot = self._share.take(now)
        elif self._hand:
            slot = self._hand.popleft()
            slot.sent_at = now
        else:
            slot = None
            self._want()
        if slot is not None:
            self.sent += 1
            self.in_flight += 1
            self._sends.append(now)
        return slot

    def _want(self) -> None:
        if self._taker is None or self._taker.done():
            self._taker = asyncio.ensure_future(self._take_slots())
            self._store.tasks.add(self._taker)
            self._taker.add_done_callback(self._store.tasks.discard)

    async def _take_slots(self) -> None:
        loop = asyncio.get_running_loop()
        while (queue := self._queue()) is not None and (wanted := queue.ahead()):
            wanted = min(wanted, self.limit.count)
            news = self._store.news(self.name)
            news.clear()
            reply = await self._store.take(self, wanted)
            if reply is None:  # Redis is lost; `RedisBuckets` tells when it is back
                continue
            wait, self._others, *won = reply
            now = loop.time()
            self._due = now + int(wait) / 1e6
            for index in range(0, len(won), 2):
                self._hand.append(SharedSlot(_text(won[index]), _text(won[index + 1]), now))
            if won:
                queue.wake()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                self._give_back_hand()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._due):
                    await news.wait()
        self._due = -math.inf

    def _queue(self) -> Any:
        return self.queue() if self.queue is not None else None

    def _give_back_hand(self) -> None:
        while self._hand:
            slot = self._hand.popleft()
            self._store.give(self, slot, "unsent")

    def next_free(self, now: float) -> float:
        """The queue needn't ask: it is woken. A local share knows."""
        return math.inf if self._share is None else self._share.next_free(now)

    def nth_free(self, n: int, now: float, not_before: float = -math.inf) -> float:
        """About when the n-th request from now (counted from 0) gets its slot."""
        if self._share is not None:
            return self._share.nth_free(n, now, not_before)
        turn = n * (self._others + 1)
        window = self.limit.period + GUARD + self.round_trips.shortest / 2
        return max(now, not_before, self._due) + turn // self.limit.count * window

    # -- giving back -----------------------------------------------------------------------

    def load(self, slot: Slot | SharedSlot, keys: int, callers: int) -> None:
        """What the request that holds ``slot`` carries."""
        slot.keys, slot.callers = keys, callers
        self.keys_sent += keys
        self.callers_served += callers

    def answered(self, slot: Slot | SharedSlot, now: float, *, warm: bool = True) -> None:
        """The answer was read in full. ``warm`` is False when the connection was new."""
        self.in_flight -= 1
        self._freezer.succeeded(slot.sent_at)
        if isinstance(slot, Slot):
            if self._share is not None:
                self._share.answered(slot, now, warm=warm)
            return
        if warm:
            self.round_trips.add(now - slot.sent_at)
        credit = min(self.round_trips.shortest / 2, now - slot.sent_at)
        self._store.give(self, slot, str(round(-credit * 1e6)))

    def lost(self, slot: Slot | SharedSlot, now: float) -> None:
        """No answer came, or nobody read it: the request may still arrive."""
        self.in_flight -= 1
        if isinstance(slot, Slot):
            if self._share is not None:
                self._share.lost(slot, now)
            return
        self._store.give(self, slot, str(round(STILL_ON_ITS_WAY * 1e6)))

    def unsent(self, slot: Slot | SharedSlot, now: float) -> None:
        """Nothing left: the slot is as free as it was."""
        self.in_flight -= 1
        self.sent -= 1
        self.keys_sent -= slot.keys
        self.callers_served -= slot.callers
        if isinstance(slot, Slot):
            if self._share is not None:
                self._share.unsent(slot, now)
            return
        self._store.give(self, slot, "unsent")

    def refused(
        self, slot: Slot | SharedSlot, now: float, retry_after: float | None = None
    ) -> float:
        """OKX refused the request for the limit: every process waits. Gives the seconds."""
        self.in_flight -= 1
        self.refusals += 1
        pause = self._freezer.refused(slot.sent_at, now, self.limit, self.withdraw, retry_after)
        self.frozen_until = max(self.frozen_until, now + pause)
        if isinstance(slot, Slot):
            if self._share is not None:
                self._share.refused(slot, now, retry_after)
        else:
            out = self._freezer.withdraw(now) - now if self.limit.count > 1 else 0.0
            self._store.give(self, slot, str(round(out * 1e6)), pause)
        return pause

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
            self.limit, self.pacing, self.withdraw = claim.limit, claim.pacing, claim.withdraw

    def silence(self) -> None:
        """Take the history as unknown: one silent window first."""
        self._silent = True

    def lose(self, share: int) -> None:
        """Redis is lost: from now on, after one silent window, ``share`` slots are our own."""
        self._hand.clear()
        if share and self._share is None:
            limit = RateLimit(share, self.limit.period)
            self._share = TokenBucket(Claim(limit, self.pacing, self.withdraw))
            self._share.start_silent(asyncio.get_running_loop().time())
        if (queue := self._queue()) is not None:
            queue.wake()

    def find(self) -> None:
        """Redis is back."""
        self._silent = True
        self._share = None
        if (queue := self._queue()) is not None:
            queue.wake()

    def arguments(self, wanted: int, lease: float) -> list[str | int]:
        """What the script wants to know; asks for silence once."""
        silent, self._silent = self._silent, False
        period = self.limit.period + GUARD
        spacing = SMOOTH * self.limit.period / self.limit.count if self.pacing == "smooth" else 0
        return [
            self.limit.count,
            round(period * 1e6),
            self._store.me,
            wanted,
            round((lease + STILL_ON_ITS_WAY) * 1e6),
            round(spacing * 1e6),
            int(silent),
            round(_CLAIM * 1e6),
        ]

    # -- telling ---------------------------------------------------------------------------

    def slots_free(self, now: float) -> int:
        """How many requests of this process could leave now, as far as it knows."""
        if self._share is not None:
            return self._share.slots_free(now)
        return len(self._hand) if self._due > now else max(0, self.limit.count - self.in_flight)

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


class RedisBuckets:
    """All buckets of one session in one Redis.

    ``url`` is redis-py's: ``redis://user:password@host:6379/0``, ``rediss://``, ``unix://``.
    """

    def __init__(
        self,
        url: str,
        *,
        on_loss: OnLoss | Mapping[str, OnLoss] = "closed",
        processes: int | None = None,
    ) -> None:
        modes = dict.fromkeys(ENDPOINTS, on_loss) if isinstance(on_loss, str) else dict(on_loss)
        for name, mode in modes.items():
            if name not in ENDPOINTS or mode not in ("closed", "share"):
                raise InvalidArgumentError(
                    "on_loss must be 'closed' or 'share', or one of them by method name, not "
                    f"{name}: {mode}"
                )
        shared = [name for name, mode in modes.items() if mode == "share"]
        if bool(shared) == (processes is None):
            raise InvalidArgumentError(
                "processes= is how many processes share the limits: give it with 'share'"
            )
        try:
            self._redis = redis.asyncio.Redis.from_url(
                url,
                socket_timeout=_ANSWER_WITHIN,
                socket_connect_timeout=_ANSWER_WITHIN,
                retry=None,
                retry_on_error=[],
            )
        except ValueError:
            raise InvalidArgumentError("buckets must be a URL like redis://host:6379/0") from None
        self.where = _where(url)
        self.me = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._processes = processes or 1
        self._shared = frozenset(shared)
        for name in shared:
            if ENDPOINTS[name].scope != "ip":
                self.share_of(ENDPOINTS[name].limit, name)
        self.trouble: str | None = None
        self.tasks: set[asyncio.Task[Any]] = set()
        self.longest_request = 10.0
        self._take = self._redis.register_script(_TAKE)
        self._give = self._redis.register_script(_GIVE)
        self._buckets: dict[BucketKey, SharedBucket] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._listener: asyncio.Task[None] | None = None
        self._pubsub: Any = None
        self._back = asyncio.Event()
        self._rescue: asyncio.Task[None] | None = None
        self._undelivered: deque[tuple[SharedBucket, SharedSlot, str, float]] = deque(maxlen=1000)

    def __repr__(self) -> str:
        return f"<RedisBuckets at {self.where}: {self.trouble or 'in touch'}>"

    def share_of(self, limit: RateLimit, name: str) -> int:
        """Slots of this process when Redis is lost; 0 where nobody may send then.

        Raises InvalidArgumentError where the limit can't be divided.
        """
        if name not in self._shared:
            return 0
        share = limit.count // self._processes
        if not share:
            raise InvalidArgumentError(
                f"on_loss='share' can't divide {name}'s limit of {limit} by {self._processes} "
                f"processes: leave {name} closed, on_loss={{'METHOD': 'share'}} names others"
            )
        return share

    def bucket(self, key: BucketKey, claim: Claim) -> SharedBucket:
        """This process's view of one bucket."""
        bucket = self._buckets.get(key)
        if bucket is None:
            share = self.share_of(claim.limit, key.rule)
            bucket = self._buckets[key] = SharedBucket(key, claim, self)
            if self.trouble is not None:
                bucket.lose(share)
        return bucket

    def keys_of(self, user: str) -> list[BucketKey]:
        """The keys of all buckets of ``user``."""
        return [key for key in self._buckets if key.user == user]

    def forget(self, key: BucketKey) -> SharedBucket:
        """The bucket of ``key``, which nobody takes from any more."""
        return self._buckets.pop(key)

    # -- talking to Redis ------------------------------------------------------------------

    async def take(self, bucket: SharedBucket, wanted: int) -> list[Any] | None:
        """Ask for slots; None when Redis is lost, after it has come back."""
        if self.trouble is not None:
            await self._back.wait()
            return None
        self._listen()
        lease = self.longest_request + LEASE_MARGIN
        try:
            reply: list[Any] = await self._take(
                keys=[bucket.name], args=bucket.arguments(wanted, lease)
            )
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            self._lose(error)
            return None
        return reply

    def give(self, bucket: SharedBucket, slot: SharedSlot, how: str, freeze: float = 0.0) -> None:
        """Give a slot back; nobody waits for it."""
        self._run(self._giving(bucket, slot, how, freeze))

    async def _giving(
        self, bucket: SharedBucket, slot: SharedSlot, how: str, freeze: float
    ) -> None:
        try:
            await self._give(
                keys=[bucket.name], args=[slot.name, slot.token, how, round(freeze * 1e6)]
            )
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            self._undelivered.append((bucket, slot, how, freeze))
            self._lose(error)

    def _run(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    # -- news ------------------------------------------------------------------------------

    def news(self, name: str) -> asyncio.Event:
        """Is set when a slot of the bucket ``name`` came back anywhere."""
        event = self._news.get(name)
        if event is None:
            event = self._news[name] = asyncio.Event()
            if self._pubsub is not None:
                self._run(self._subscribe(name))
        return event

    async def _subscribe(self, *names: str) -> None:
        with contextlib.suppress(redis.exceptions.RedisError, OSError, TimeoutError):
            await self._pubsub.subscribe(*names)

    def _listen(self) -> None:
        if self._listener is None or self._listener.done():
            self._listener = self._run(self._hear())

    async def _hear(self) -> None:
        self._pubsub = self._redis.pubsub()
        try:
            await self._subscribe(*self._news)
            while True:
                message = await self._pubsub.get_message(
                    ignore_subscribe_messages=True, timeout=None
                )
                if message is not None and message["type"] == "message":
                    event = self._news.get(_text(message["channel"]))
                    if event is not None:
                        event.set()
        except (redis.exceptions.RedisError, OSError, TimeoutError, RuntimeError) as error:
            self._lose(error)
        finally:
            pubsub, self._pubsub = self._pubsub, None
            with contextlib.suppress(Exception):
                await pubsub.aclose()

    # -- losing and finding it -------------------------------------------------------------

    def _lose(self, error: BaseException) -> None:
        if self.trouble is not None:
            return
        self._back.clear()
        self.trouble = f"the shared buckets at {self.where} can't be reached"
        logger.warning("%s (%s)", self.trouble, type(error).__name__)
        for key, bucket in self._buckets.items():
            bucket.lose(self.share_of(bucket.limit, key.rule))
        self._rescue = self._run(self._look_for_it())

    async def _look_for_it(self) -> None:
        loop = asyncio.get_running_loop()
        lost_at, told, attempt = loop.time(), False, 0
        while True:
            await asyncio.sleep(_BACKOFF[min(attempt, len(_BACKOFF) - 1)])
            attempt += 1
            if not told and loop.time() - lost_at > PATIENCE:
                told = True
                self._give_up()
            try:
                await self._redis.ping()
            except (redis.exceptions.RedisError, OSError, TimeoutError):
                continue
            break
        logger.warning("the shared buckets at %s are back", self.where)
        self.trouble = None
        self._back.set()
        for late in list(self._undelivered):
            self._undelivered.remove(late)
            self.give(*late)
        for bucket in self._buckets.values():
            bucket.find()

    def _give_up(self) -> None:
        for key, bucket in self._buckets.items():
            queue = bucket.queue() if bucket.queue is not None else None
            if queue is not None and key.rule not in self._shared:
                queue.give_up(self.trouble or "")

    async def aclose(self) -> None:
        """Give back what is in hand and part from Redis."""
        for bucket in self._buckets.values():
            bucket._give_back_hand()
        giving = [task for task in self.tasks if task not in (self._listener, self._rescue)]
        if giving and self.trouble is None:
            await asyncio.wait(giving, timeout=_ANSWER_WITHIN)
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(list(self.tasks))
        with contextlib.suppress(redis.exceptions.RedisError, OSError, TimeoutError):
            await self._redis.aclose()


def bucket_name(key: BucketKey) -> str:
    """The key in Redis, for people to read; the braces keep it in one slot of a cluster."""
    host = key.origin.partition("://")[2] + ("/demo" if key.demo else "")
    return f"okx-funding:{{{host}:{key.user}:{key.rule}}}"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _where(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
