"""A session whose requests never leave the process: answers are made up where they would be sent.

Each answer tells which request it came with: the balance of every row is the request's number.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from okx_funding import ConnectError, FundingClient, ProtocolError, Session
from okx_funding.api.spec import Endpoint
from okx_funding.ratelimit.bucket import TokenBucket
from okx_funding.scheduler.context import Context
from okx_funding.scheduler.host import Host
from okx_funding.wire.request import Request
from okx_funding.wire.response import Response
from tests.support import row, someone

_ROW = json.dumps(row("(CCY)", bal="(BAL)"))


@dataclass
class Sent:
    """One request, and how it ended."""

    number: int
    endpoint: str
    keys: tuple[str, ...]
    left: float
    arrived: float = math.nan
    ended: float = math.nan
    outcome: str = ""


Answer = Callable[[Sent], Response]
"""Makes up an answer, or raises what the transport would raise."""


def rows_of(keys: Iterable[str], number: int) -> bytes:
    """One row for each key; none for those that begin with NO, two for those that end in TWO."""
    rows = []
    for key in keys:
        if not key.startswith("NO"):
            rows.append(_ROW.replace("(CCY)", key).replace("(BAL)", str(number)))
        if key.endswith("TWO"):
            rows.append(rows[-1].replace("-OKTC", "-ANOTHER"))
    return ",".join(rows).encode()


def error(code: str, msg: str = "", status: int = 400) -> Answer:
    """OKX answers with an error code."""
    body = json.dumps({"code": code, "msg": msg, "data": []}).encode()
    return lambda _: Response(status, body)


def raises(failure: Exception) -> Answer:
    """The transport fails."""

    def answer(_: Sent) -> Response:
        raise failure

    return answer


def unreachable(_: Sent) -> Response:
    raise ConnectError("no connection")


def broken(_: Sent) -> Response:
    raise ProtocolError("the connection broke")


busy = error("50011", "Too Many Requests", 429)
unavailable = error("50001", "Service temporarily unavailable", 503)
hangs: Answer = raises(NotImplementedError("for ever"))


@dataclass
class Okx:
    """What the other side knows and does."""

    latency: float = 0.02
    everything: tuple[str, ...] = ()
    """What a request without keys is answered with."""
    bad: set[str] = field(default_factory=set)
    """Refused as a parameter."""
    bad_code: str = "51000"
    named: bool = False
    """Whether a refusal names who is bad."""
    next: list[Answer] = field(default_factory=list)
    """How the next requests are answered."""
    sent: list[Sent] = field(default_factory=list)

    @property
    def asked(self) -> list[tuple[str, ...]]:
        """The keys of each request."""
        return [each.keys for each in self.sent]

    @property
    def sizes(self) -> list[int]:
        """How many keys each request had."""
        return [len(each.keys) for each in self.sent]

    def answer(self, sent: Sent) -> Response:
        """What OKX says by itself."""
        if sent.endpoint == "get_system_time":
            now = asyncio.get_running_loop().time()
            return Response(200, b'{"code":"0","msg":"","data":[{"ts":"%d"}]}' % (now * 1000))
        if sent.endpoint == "get_asset_valuation":
            worth = b'{"totalBal":"%d","ts":"1","details":{}}' % sent.number
            return Response(200, b'{"code":"0","msg":"","data":[' + worth + b"]}")
        culprits = [key for key in sent.keys if key in self.bad]
        if culprits:
            names = " ".join(culprits) if self.named else "ccy"
            return error(self.bad_code, f"Parameter {names} error")(sent)
        rows = rows_of(sent.keys or self.everything, sent.number)
        return Response(200, b'{"code":"0","msg":"","data":[' + rows + b"]}")


class Wireless(Session):
    """``async with Wireless() as session``: ``session.okx`` is the other side."""

    def __init__(self, **okx: Any) -> None:
        super().__init__()
        self.okx = Okx(**okx)

    def client(self, **options: Any) -> FundingClient:
        """One more client, of a user of its own unless ``credentials`` are given."""
        credentials = options.pop("credentials", None) or someone()
        return FundingClient(credentials, session=self, **options)

    async def _send(
        self, profile: Context, host: Host, endpoint: Endpoint, request: Request
    ) -> Response:
        okx, loop = self.okx, asyncio.get_running_loop()
        _, _, query = request.target.partition("?ccy=")
        keys = tuple(query.split(",")) if query else ()
        sent = Sent(len(okx.sent) + 1, endpoint.name, keys, loop.time())
        okx.sent.append(sent)
        answer = okx.next.pop(0) if okx.next and endpoint.name != "get_system_time" else okx.answer
        try:
            if answer is hangs:
                await loop.create_future()
            await asyncio.sleep(okx.latency / 2)
            sent.arrived = loop.time()
            response = answer(sent)
            await asyncio.sleep(okx.latency / 2)
            sent.outcome = "answered"
            return response
        except BaseException as failure:
            sent.outcome = type(failure).__name__
            raise
        finally:
            sent.ended = loop.time()


async def came(*tasks: asyncio.Task[Any], told: Session | FundingClient) -> None:
    """Let callers come, which takes a turn of the loop, and none where tasks are eager."""
    while told.statistics().calls < len(tasks):  # noqa: ASYNC110
        await asyncio.sleep(0)


async def outcomes(*calls: Awaitable[Any]) -> list[Any]:
    """How each call ended: its rows or its error."""
    return await asyncio.gather(*calls, return_exceptions=True)


def numbers(rows: Iterable[Any]) -> list[int]:
    """The numbers of the requests that these rows came with."""
    return [int(Decimal(each.bal)) for each in rows]


def names(rows: Iterable[Any]) -> list[str]:
    """The currencies of these rows."""
    return [each.ccy for each in rows]


async def nothing_left(session: Session) -> None:
    """No caller, question, batch, slot, task or deadline is left in any lane of ``session``."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not session._in_flight
    for lane in list(session._lanes.values()):
        batcher = lane.batcher
        assert (batcher.callers, batcher.queued) == (0, 0), lane
        for place in (
            batcher._waiting,
            batcher._bisections,
            batcher._suspects,
            batcher._long,
            batcher._out,
            lane.dispatcher._backing_off,
        ):
            assert not place, (lane, place)
        bucket = lane.queue.bucket
        assert isinstance(bucket, TokenBucket)
        assert not bucket._out, lane
    if session._deadlines is not None:
        assert not any(tickets for tickets, _ in session._deadlines._timers.values())
