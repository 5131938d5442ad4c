"""One request that shares nothing with anybody: sent at most once, for what moves money.

It waits in the same queue as all others, and goes no further together with them: no batch, no
retry, no memory, no bisection. What it decides is only whether a slot is won; what an answer means
is decided by whoever asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any

from okx_funding.errors import BucketsUnreachableError, ClientClosedError, OKXError, RateLimitError
from okx_funding.ratelimit.combined import Combined
from okx_funding.ratelimit.interface import Bucket
from okx_funding.scheduler.host import Host
from okx_funding.scheduler.pending import AGING, LAST_RANK, Rank
from okx_funding.scheduler.queue import SlotQueue


class SingleRequest:
    """What a `SlotQueue` takes for a sender, its batcher and forecast: one request, from one caller."""

    batch_size = 1

    def __init__(
        self, queue: SlotQueue, others: Sequence[Bucket], host: Host, priority: int = 0
    ) -> None:
        self.queue = queue
        self.host = host
        self.callers = 1
        self._others = others
        self._priority = priority
        self._rank: Rank = LAST_RANK
        self._slot: Any = None
        self._won: asyncio.Future[None] | None = None
        queue.members.add(self)

    @property
    def batcher(self) -> SingleRequest:
        """What it would send: itself."""
        return self

    @property
    def forecast(self) -> SingleRequest:
        """How many requests it takes: itself."""
        return self

    @property
    def bucket(self) -> Any:
        """What it takes its slot from."""
        if not self._others:
            return self.queue.bucket
        return Combined((self.queue.bucket, *self._others))

    # -- what a queue asks -----------------------------------------------------------------

    def ready(self, now: float) -> bool:  # noqa: ARG002
        """Tell whether somebody still waits for the slot."""
        return self._won is not None and not self._won.done()

    def free_at(self, now: float) -> float:
        """When host and further limits let it leave; -inf where they do now."""
        at = self.host.free_at(now)
        return max([at, *(bucket.next_free(now) for bucket in self._others)])

    def take(self, now: float) -> Any:
        """A slot, or None."""
        return self.bucket.take(now)

    def dispatch(self, slot: Any, now: float) -> None:  # noqa: ARG002
        """A slot is won."""
        assert self._won is not None
        self._slot = slot
        self.queue.senders.pop(self, None)
        self.bucket.load(slot, 1, 1)
        self._won.set_result(None)

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """There won't be a slot. Who has a deadline waits until then."""
        if not only_without_deadline and self.ready(0.0):
            assert self._won is not None
            self._won.set_exception(BucketsUnreachableError(f"{reason}; nothing was sent"))

    def rank(self) -> Rank:
        """Its place among all requests."""
        return self._rank

    def priority(self) -> int:
        """Its priority."""
        return self._priority

    def requests(self) -> int:
        """How many requests it will need."""
        return 1

    def requests_before(self, keys: Sequence[Hashable], priority: int, now: float) -> int:  # noqa: ARG002
        """None of its own leaves before it."""
        return 0

    def requests_of_others_before(self, priority: int, now: float) -> int:
        """1 if it leaves before a newcomer of this priority."""
        return int(self._rank[0] < now - priority * AGING)

    # -- what its caller does --------------------------------------------------------------

    async def send(self, request: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for a slot, then await ``request()``, which sends once; the slot goes back after it.

        ``request`` raises an OKXError whose ``sent`` says whether a byte may have left. It gives
        (result, error for the bucket or None, whether the connection was new).
        """
        loop = self.queue.loop
        now = loop.time()
        self._rank = (now - self._priority * AGING, 0)
        self._won = loop.create_future()
        self.queue.senders[self] = None
        self.queue.schedule()
        try:
            await self._won
        except BaseException:
            self.queue.senders.pop(self, None)
            if self._slot is not None:  # won in the very turn in which the caller left
                self.bucket.unsent(self._slot, loop.time())
            self.queue.schedule()
            raise
        try:
            result, refusal, fresh = await request()
        except OKXError as error:
            back = self.bucket.lost if error.sent else self.bucket.unsent
            back(self._slot, loop.time())
            raise
        except BaseException:
            self.bucket.lost(self._slot, loop.time())
            raise
        else:
            now = loop.time()
            if isinstance(refusal, RateLimitError):
                self.bucket.refused(self._slot, now, refusal.retry_after)
            else:
                self.bucket.answered(self._slot, now, warm=not fresh and refusal is None)
            return result
        finally:
            self.queue.schedule()

    def close(self) -> None:
        """Whoever waits for a slot gets a ClientClosedError."""
        if self.ready(0.0):
            assert self._won is not None
            self._won.set_exception(ClientClosedError("closed while it waited; nothing was sent"))
