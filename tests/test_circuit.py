"""When a key that OKX refuses is left alone, and for how long: the rules at their very bounds."""

from __future__ import annotations

import asyncio

import pytest

from okx_funding import AuthenticationError
from okx_funding.circuit import PAUSE, THRESHOLD, AuthCircuit
from tests.support import ASSETS, failure_of
from tests.wireless import Wireless, error, names, outcomes

pytestmark = pytest.mark.looptime

REFUSED = AuthenticationError("50111", "Invalid OK-ACCESS-KEY", 401, "GET /")


@pytest.fixture
def opened():
    """A circuit that opened at 0."""
    circuit = AuthCircuit()
    for _ in range(THRESHOLD):
        circuit.sends()
        circuit.saw(REFUSED, 0.0)
    return circuit


def test_it_tells_only_the_one_who_opened_it_for_how_long():
    circuit = AuthCircuit()
    told = [circuit.saw(REFUSED, 0.0) for _ in range(THRESHOLD + 3)]
    assert told == [0.0] * (THRESHOLD - 1) + [PAUSE] + [0.0] * 3


def test_whoever_was_on_the_wire_when_it_opened_makes_the_pause_no_longer(opened):
    opened.saw(REFUSED, 0.5)
    assert opened.refusal(PAUSE - 0.1)
    assert opened.refusal(PAUSE) is None
    assert opened.saw(REFUSED, PAUSE) == 2 * PAUSE


def test_an_answer_that_was_on_its_way_when_it_opened_closes_it(opened):
    opened.saw(None, 0.5)
    assert opened.refusal(0.5) is None


def test_while_one_request_tries_the_others_are_told_that_it_is_a_matter_of_moments(opened):
    opened.sends()
    assert "it is asked again in 0 s" in str(opened.refusal(PAUSE + 5))


@pytest.mark.turns
async def test_who_leaves_as_its_request_departs_was_not_the_one_that_tries():
    async with Wireless(latency=0) as session:
        client = session.client()
        session.okx.next = [error("50111", status=401)] * THRESHOLD
        for _ in range(THRESHOLD):
            await failure_of(client.get_non_tradable_assets("K"), AuthenticationError)
        await asyncio.sleep(PAUSE)
        calls = [asyncio.ensure_future(client.get_non_tradable_assets(key)) for key in "AB"]
        while not client._lanes[ASSETS].dispatcher._unstarted:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await outcomes(*calls)
        assert names(await client.get_non_tradable_assets("K")) == ["K"]
