"""Sessions that share a server, and what stands in its buckets."""

from __future__ import annotations

import asyncio
import contextlib

from okx_funding import FundingClient, RateLimit, Session
from okx_funding.simulator import SimulatedExchange
from tests.support import ASSETS, someone

QUICK = RateLimit(6, 0.3)
UNKNOWN = 0.552
"""The silent window of that limit: 2 ms of guard, and 250 ms for what is still on its way."""


@contextlib.asynccontextmanager
async def sharing(
    server, n=2, limit=QUICK, url=None, known=True, session=None, client=None, **settings
):
    """An exchange, and clients of its first user in ``n`` sessions that share a server.

    ``known``: the bucket is there already, with all slots free, and needs no silent window.
    """
    settings.setdefault("users", [someone()])
    limits = {ASSETS: limit}
    async with contextlib.AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(SimulatedExchange(limits=limits, **settings))
        if known:
            slots = [text for n in range(limit.count) for text in (f"slot:{n}", "0")]
            rest = "pace 0 frozen 0 paced 0 sent 0 clock 0".split()
            period = str(round(limit.period * 1e6) + 2000)
            server.say(
                "HSET", key_of(exchange), "count", str(limit.count), "period", period, *slots, *rest
            )
        clients = []
        for _ in range(n):
            one = Session(buckets=url or server.url, **(session or {}))
            await stack.enter_async_context(one)
            clients.append(
                FundingClient(
                    exchange.credentials,
                    session=one,
                    base_url=exchange.base_url,
                    **({"rate_limits": limits} | (client or {})),
                )
            )
        yield exchange, *clients
        for each in clients:
            await each.aclose()


def key_of(exchange, rule=ASSETS):
    """What the bucket of the first user is called in Redis."""
    user = exchange.credentials
    host = exchange.base_url.removeprefix("http://")
    return f"okx-funding:{{{host}:{user.user_id or user.mark}:{rule}}}"


async def ask(client, exchange, n=1, **more):
    """So many requests at once."""
    return await client.get_non_tradable_assets(exchange.currencies[: 20 * n], **more)


def bucket_of(client):
    return client._calls.lanes[ASSETS].queue.bucket


def hash_of(server, exchange):
    return server.hash(key_of(exchange))


def quick(user, session, exchange):
    """A client of ``user`` with the same limit as the others here."""
    return FundingClient(
        user, session=session, base_url=exchange.base_url, rate_limits={ASSETS: QUICK}
    )


def held(server, exchange):
    """Slots that somebody holds."""
    fields = hash_of(server, exchange)
    return [name for name, text in fields.items() if name.startswith("slot:") and " " in text]


async def leave(*calls):
    """The callers are cancelled."""
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
