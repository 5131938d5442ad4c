"""What must not be shared isn't: each call is a request of its own, sent once."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from okx_funding import RateLimit
from okx_funding.api.assets import GET_ASSET_VALUATION, GET_NON_TRADABLE_ASSETS
from okx_funding.errors import InvalidParameterError, OutcomeUnknownError
from okx_funding.scheduler.calls import keys_of, params_of
from tests.support import failure_of
from tests.wireless import Wireless, broken, busy, error, nothing_left, outcomes, unreachable

pytestmark = pytest.mark.looptime

MOVE = dataclasses.replace(
    GET_ASSET_VALUATION,
    name="get_asset_valuation",
    method="POST",
    limits=(RateLimit(6),),
    shared=False,
    repeatable=False,
)
"""Stands in for an endpoint that moves money."""


def ask(client, max_age=None, **params):
    return client._calls.ask(MOVE, params, max_age=max_age)


async def test_equal_calls_at_once_are_a_request_each():
    async with Wireless() as session:
        client = session.client()
        await asyncio.gather(*(ask(client, ccy="BTC", amt="1") for _ in range(20)))
        assert len(session.okx.sent) == 20
        await nothing_left(session)


async def test_nothing_is_remembered_and_nothing_is_joined():
    async with Wireless(latency=1) as session:
        client = session.client()
        first = ask(client, max_age=60, ccy="BTC")
        await asyncio.sleep(0.3)
        second = ask(client, max_age=60, ccy="BTC")
        await asyncio.gather(first, second)
        await ask(client, max_age=60, ccy="BTC")
        assert len(session.okx.sent) == 3
        assert not client._calls.lane(MOVE, {}).batcher._answers


@pytest.mark.parametrize(
    ("answer", "kind", "sent"),
    [
        (broken, OutcomeUnknownError, 1),
        (error("51000"), InvalidParameterError, 1),
        (unreachable, list, 2),
        (busy, list, 2),
    ],
)
async def test_what_may_have_been_done_is_never_sent_again(answer, kind, sent):
    async with Wireless() as session:
        client = session.client()
        session.okx.next = [answer]
        (outcome,) = await outcomes(ask(client, ccy="BTC"))
        assert isinstance(outcome, kind)
        assert len(session.okx.sent) == sent
        await nothing_left(session)


async def test_a_refused_call_puts_nothing_into_quarantine():
    async with Wireless() as session:
        client = session.client()
        session.okx.next = [error("51000")]
        assert (await failure_of(ask(client), InvalidParameterError)).currencies == ()
        assert not client._calls.lane(MOVE, {}).batcher._quarantine


async def test_who_leaves_does_not_end_what_is_on_the_wire():
    async with Wireless(latency=1) as session:
        call = ask(session.client(), ccy="BTC")
        await asyncio.sleep(0.3)
        call.cancel()
        await asyncio.sleep(1)
        assert session.okx.sent[0].outcome == "answered"


def test_keys_become_arguments_again():
    one = {"ccy": "BTC", "type": "1"}
    assert params_of(GET_ASSET_VALUATION, keys_of(GET_ASSET_VALUATION, {**one, "chain": None})) == one
    assert params_of(MOVE, keys_of(MOVE, one)) == one
    assert keys_of(MOVE, one) != keys_of(MOVE, one)
    assert keys_of(GET_ASSET_VALUATION, one) == keys_of(GET_ASSET_VALUATION, one)
    some = keys_of(GET_NON_TRADABLE_ASSETS, {"ccy": ("A", "B")})
    assert (some, params_of(GET_NON_TRADABLE_ASSETS, some)) == (("A", "B"), {"ccy": "A,B"})
    assert params_of(GET_NON_TRADABLE_ASSETS, keys_of(GET_NON_TRADABLE_ASSETS, {"ccy": None})) == {}
