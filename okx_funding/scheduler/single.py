"""One request that shares nothing with anybody: sent at most once, for what moves money.

It waits in the same queue as all others, and goes no further together with them: no batch, no
retry, no memory, no bisection. Its slot comes back in exactly one place, `SingleRequest._over`, or
in `SingleRequest._unsent` where nothing left. What an answer means for the money is decided by
whoever asked.
"""

from __future__ import annotations

import asyncio
import logging
import random
import traceback
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from okx_funding.api.spec import Endpoint
from okx_funding.errors import (
    BucketsUnreachableError,
    ClientClosedError,
    ConnectError,
    HTTPStatusError,
    OKXError,
    ProtocolError,
    RateLimitError,
    RequestTimeoutError,
    ResponseError,
)
from okx_funding.ratelimit.bucket import Bucket
from okx_funding.ratelimit.circuit_breaker import EndpointCircuit
from okx_funding.ratelimit.combined import Combined
from okx_funding.telemetry import log
from okx_funding.telemetry.counters import Counters
from okx_funding.telemetry.events import (
    BatchDispatched,
    CallEnded,
    CallStarted,
    Event,
    Observer,
    Refused,
    ResponseReceived,
)
from okx_funding.telemetry.observers import emit
from okx_funding.wire.response import Response, parse_response

from .batcher import request_number
from .emitter import call_number
from .host import Host
from .pending import AGING, LAST_RANK, Rank
from .queue import SlotQueue

logger: logging.Logger = logging.getLogger("okx_funding.single")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a single request takes part in: its host, its key's circuit, and who is told of it."""

    host: Host
    circuit: EndpointCircuit
    calls: Counters
    """What its client called."""
    work: Counters
    """The requests that this took."""
    redact: Callable[[str], str] = str
    observer: Observer | None = None


class SingleRequest:
    """What a `SlotQueue` takes for a sender, its batcher and forecast: one request."""

    batch_size = 1

    def __init__(
        self,
        endpoint: Endpoint[Any],
        queue: SlotQueue,
        others: Sequence[Bucket],
        surroundings: Surroundings,
    ) -> None:
        self.queue = queue
        self.host: Host = surroundings.host
        self.callers: int = 0
        self.sent: bool = False
        """Whether a byte may have left."""
        self._endpoint = endpoint
        self._others = others
        self._around = surroundings
        self._rank: Rank = LAST_RANK
        self._slot: Any = None
        self._won: asyncio.Future[None] | None = None
        self._number = 0
        self._call = 0
        self._since = 0.0

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

    def ready(self, now: float) -> bool:
        """Tell whether somebody still waits for the slot; where the circuit is open, not."""
        if self._won is None or self._won.done():
            return False
        refusal = self._around.circuit.refusal(now)
        if refusal is not None:
            self._won.set_exception(refusal)
        return refusal is None

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
        self._around.circuit.sends()
        self._won.set_result(None)

    def fail_waiters(self, reason: str, *, only_without_deadline: bool) -> None:
        """There won't be a slot. Who has a deadline waits until then."""
        if not only_without_deadline and self._won is not None and not self._won.done():
            self._won.set_exception(BucketsUnreachableError(f"{reason}; nothing was sent"))

    def rank(self) -> Rank:
        """Its place among all requests."""
        return self._rank

    def priority(self) -> int:
        """Its priority."""
        return 0

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

    async def send(
        self, before: Callable[[], Awaitable[None]], request: Callable[[], Awaitable[Response]]
    ) -> list[Any]:
        """Wait for a slot, await ``before()``, then ``request()``, and give the answer's rows.

        What ``before`` raises goes on as it is, and nothing is sent. Afterwards an OKXError is
        raised whose ``sent`` says whether a byte may have left; none of them leads to what was
        signed.
        """
        counters, outcome = self._around.calls, "cancelled"
        self._since = self.queue.loop.time()
        self._call = call_number()
        self.callers = 1
        counters.calls += 1
        self._emit(CallStarted(self._endpoint.name, self.queue.key.user, self._call, 1))
        try:
            await self._win()
            await self._pass(before)
            rows = await self._exchange(request)
            counters.answered += 1
            outcome = "ok"
            return rows
        except asyncio.CancelledError:
            counters.cancelled += 1
            raise
        except Exception as error:
            counters.failed += 1
            outcome = type(error).__name__
            raise
        finally:
            self.callers = 0
            took = self.queue.loop.time() - self._since
            user = self.queue.key.user
            self._emit(CallEnded(self._endpoint.name, user, self._call, took, outcome))

    def close(self) -> None:
        """Whoever waits for a slot gets a ClientClosedError."""
        if self._won is not None and not self._won.done():
            self._won.set_exception(ClientClosedError("closed while it waited; nothing was sent"))

    async def _win(self) -> None:
        """Wait for a slot."""
        loop = self.queue.loop
        self._rank = (self._since, 0)
        self._won = loop.create_future()
        self.queue.members.add(self)
        self.queue.senders[self] = None
        self.queue.schedule()
        try:
            await self._won
        except BaseException:
            self.queue.senders.pop(self, None)
            if self._slot is not None:  # won in the very turn in which the caller left
                self._unsent()
            self.queue.schedule()
            raise

    async def _pass(self, before: Callable[[], Awaitable[None]]) -> None:
        """The last step before the first byte."""
        try:
            await before()
        except BaseException:
            self._unsent()
            raise
        if not self.bucket.holds(self._slot, self.queue.loop.time()):  # this process was stopped
            self._unsent()
            raise BucketsUnreachableError(f"{self._endpoint}: the slot came too late; nothing sent")

    def _unsent(self) -> None:
        """Nothing left: the slot is as free as it was."""
        now = self.queue.loop.time()
        self.bucket.unsent(self._slot, now)
        self._around.circuit.saw(ClientClosedError("nothing was sent"), now)
        self.queue.schedule()

    async def _exchange(self, request: Callable[[], Awaitable[Response]]) -> list[Any]:
        """Send and read; nothing is awaited between `_pass` and the first step of ``request``."""
        self._leaves()
        fresh = False
        failure: BaseException
        try:
            response = await request()
            fresh = response.fresh
            rows = parse_response(self._endpoint, response, self._around.redact)
        except OKXError as error:
            failure = error
        except asyncio.CancelledError as cancelled:
            # Another one, for the first one's traceback leads to what was signed.
            failure = asyncio.CancelledError(*cancelled.args)
        except Exception as mistake:
            where = "".join(traceback.format_tb(mistake.__traceback__))
            name = type(mistake).__name__
            logger.error("%s: unexpected %s\n%s", self._endpoint, name, where)
            failure = ProtocolError(f"{self._endpoint}: unexpected {name}")
        else:
            self._over(None, fresh)
            return rows
        lost = failure if isinstance(failure, OKXError) else RequestTimeoutError("nobody reads it")
        failure.__traceback__ = None  # its frames hold what was signed, and the answer
        self._over(lost, fresh)
        raise failure

    def _leaves(self) -> None:
        """A byte may leave from now on."""
        self.sent = True
        self._number = request_number()
        self._around.work.requests += 1
        name, user = self._endpoint.name, self.queue.key.user
        self._emit(
            BatchDispatched(
                name, user, self._number, 1, 1, (self._call,), self._slot.sent_at - self._since,
                self.host.origin, self._endpoint.method, self._endpoint.path,
            )
        )  # fmt: skip

    def _over(self, error: OKXError | None, fresh: bool) -> None:
        """Give the slot back, and tell whoever keeps account of slots, hosts and keys."""
        now, bucket, around = self.queue.loop.time(), self.bucket, self._around
        name, user = self._endpoint.name, self.queue.key.user
        took, frozen = now - self._slot.sent_at, 0.0
        if error is None:
            bucket.answered(self._slot, now, warm=not fresh)
        elif isinstance(error, RateLimitError):
            around.work.refused += 1
            frozen = bucket.refused(self._slot, now, error.retry_after)
            log.REFUSALS.refused(self.queue.bucket, name, user, now, frozen)
        elif isinstance(error, ResponseError):
            bucket.answered(self._slot, now, warm=False)
        else:
            (bucket.lost if error.sent else bucket.unsent)(self._slot, now)
        if isinstance(error, HTTPStatusError) and error.http_status == 429:
            self.host.close_gate(now, error.retry_after)
        if not isinstance(error, ConnectError):
            self.host.reached()
        elif error.may_pass:
            self.host.unreachable(now, random.random())
        word = "ok" if error is None else type(error).__name__
        status = 200 if error is None else getattr(error, "http_status", None)
        log.request(name, user, self._number, 1, 1, took, word)
        self._emit(ResponseReceived(name, user, self._number, took, word, status))
        if frozen:
            self._emit(Refused(name, user, self._number, frozen))
        pause = around.circuit.saw(error, now)
        if pause:
            log.key_at_rest(user, pause)
            for member in list(around.circuit.members):
                queue = getattr(member, "queue", None)
                if isinstance(queue, SlotQueue):
                    queue.schedule()  # whoever waits there is told
        self.queue.schedule()

    def _emit(self, event: Event) -> None:
        if self._around.observer is not None:
            emit(self._around.observer, event)
