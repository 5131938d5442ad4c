"""A client and the exchange that it moves money at, and every kind of movement ready to be made."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from okx_funding import FundingClient
from okx_funding.money import Intent
from okx_funding.money.kinds import KINDS
from okx_funding.simulator import Judge, SimulatedExchange, make_judge
from okx_funding.simulator.arrivals import Arrival
from okx_funding.simulator.ledger import Movement
from tests.support import someone


def unlimited(_count: int, period: float) -> Judge:
    """A judge that admits whatever is sent."""
    return make_judge("sliding", 1_000_000, period)


def wall_goes_with_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """In virtual time the wall clock goes as fast as the loop's, and may jump."""
    loop, begin = asyncio.get_running_loop(), time.time()
    begin -= loop.time()
    _jumped[0] = 0.0
    monkeypatch.setattr(time, "time", lambda: begin + loop.time() + _jumped[0])


_jumped = [0.0]


def later(seconds: float) -> None:
    """The wall clocks of all sides show so much more, at once."""
    _jumped[0] += seconds


class World:
    """One user's client, and the exchange."""

    def __init__(self, exchange: SimulatedExchange, client: FundingClient) -> None:
        self.exchange = exchange
        self.client = client

    def posts(self, intent: Intent) -> list[Arrival]:
        """The requests that arrived for movements of its kind."""
        return self.exchange.requests(KINDS[intent.kind].endpoint)

    def look_ups(self, intent: Intent) -> list[Arrival]:
        """The look-ups that arrived for movements of its kind."""
        return self.exchange.requests(KINDS[intent.kind].look_up)

    def moved(self, intent: Intent) -> list[Movement]:
        """The movements under its client id."""
        return [each for each in self.exchange.movements if each.client_id == intent.client_id]

    def fail_post(self, intent: Intent, fault: Any, times: int = 1) -> None:
        """The next POSTs of its kind meet this fault."""
        self.exchange.fail_next(times, fault, KINDS[intent.kind].endpoint)

    def fail_look_up(self, intent: Intent, fault: Any, times: int = 1) -> None:
        """The next look-ups of its kind meet this fault."""
        self.exchange.fail_next(times, fault, KINDS[intent.kind].look_up)


@contextlib.asynccontextmanager
async def at_bank(*, exchange: Any = None, **options: Any) -> AsyncIterator[World]:
    """A world of its own; options are the client's, ``exchange`` is a dict of the other side's."""
    made = {"users": [someone()], "judge": unlimited, "strict": True} | (exchange or {})
    made.setdefault("clock", lambda: time.time())  # whichever it is when it is asked
    async with SimulatedExchange(**made) as other:
        options.setdefault("credentials", other.credentials)
        async with FundingClient(base_url=other.base_url, **options) as client:
            yield World(other, client)


Prepare = Callable[..., Awaitable[Intent]]


async def transfer(world: World, amt: Any = "1.5", **options: Any) -> Intent:
    return world.client.prepare_transfer("USDT", amt, from_="funding", to="trading", **options)


async def sub_transfer(world: World, **options: Any) -> Intent:
    return world.client.prepare_transfer(
        "USDT", "1.5", from_="funding", to="funding", type="1", sub_acct="trading1", **options
    )


async def withdrawal(world: World, amt: Any = "10", **options: Any) -> Intent:
    address = world.exchange.account().address
    return world.client.prepare_withdrawal(
        "USDT", amt, dest="4", to_addr=address, chain="USDT-ERC20", **options
    )


async def convert(world: World, **options: Any) -> Intent:
    quote = await world.client.estimate_quote("BTC", "USDT", "buy", Decimal(30), "USDT")
    return world.client.prepare_convert(quote, **options)


async def fiat(world: World, **options: Any) -> Intent:
    return world.client.prepare_fiat_withdrawal(
        "TRY", "100", payment_acct_id="1", payment_method="TR_BANKS", **options
    )


async def buy_sell(world: World, **options: Any) -> Intent:
    quote = await world.client.buy_sell_quote("buy", "USD", "BTC", Decimal(30), "USD")
    return world.client.prepare_buy_sell(quote, **options)


ALL: dict[str, Prepare] = {
    "transfer": transfer,
    "transfer to a sub-account": sub_transfer,
    "withdrawal": withdrawal,
    "convert": convert,
    "fiat withdrawal": fiat,
    "buy-sell": buy_sell,
}
each_kind = pytest.mark.parametrize("prepare", ALL.values(), ids=list(ALL))
