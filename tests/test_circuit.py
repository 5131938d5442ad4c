"""When a key that OKX refuses is left alone, and for how long: the rules at their very bounds."""

from __future__ import annotations

import asyncio

import pytest

from okx_funding import AuthenticationError, PermissionDeniedError
from okx_funding.ratelimit.circuit_breaker import PAUSE, THRESHOLD, AuthCircuit, EndpointCircuit
from okx_funding.ratelimit.registry import Registry
from tests.support import ASSETS, failure_of, someone, virtual_loop
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


DENIED = PermissionDeniedError("50120", "no permission", 403, "GET /")


def test_what_tells_of_a_permission_shows_that_the_key_is_known(opened):
    own = AuthCircuit()
    both = EndpointCircuit(opened, own)
    both.saw(DENIED, PAUSE)
    assert both.refusal(PAUSE) is None
    for _ in range(THRESHOLD):
        both.saw(DENIED, PAUSE)
    assert both.refusal(PAUSE)
    assert EndpointCircuit(opened).refusal(PAUSE) is None


def test_a_failure_to_authenticate_says_nothing_of_permissions():
    own = AuthCircuit()
    both = EndpointCircuit(None, own)
    for failure in (*[DENIED] * (THRESHOLD - 1), REFUSED, DENIED):
        both.saw(failure, 0.0)
    assert own.refusal(1.0)


def test_a_circuit_goes_on_in_the_next_event_loop():
    registry, user = Registry(), someone()
    for number in range(4 * THRESHOLD):
        loop = virtual_loop()
        circuit = registry.circuit("https://a", False, user, ASSETS, loop)
        if circuit.refusal(loop.time()) is None:
            circuit.saw(REFUSED, loop.time())
        else:
            assert number >= THRESHOLD
        loop.close()
    assert circuit.refusal(loop.time() + PAUSE - 1)
    assert circuit.refusal(loop.time() + PAUSE + 1) is None


def test_circuits_that_nobody_needs_are_forgotten():
    registry, loop = Registry(), virtual_loop()
    for _ in range(2000):
        registry.circuit("https://a", False, someone(), ASSETS, loop)
    assert len(registry._circuits) < 700
    loop.close()


async def test_a_client_made_for_each_call_opens_the_circuit_too():
    user, sent = someone(), 0
    for _ in range(60):
        async with Wireless() as session, session.client(credentials=user) as client:
            session.okx.next = [error("50105", status=401)]
            await failure_of(client.get_non_tradable_assets("K"), AuthenticationError)
            sent += len(session.okx.sent)
    assert sent == THRESHOLD


@pytest.mark.turns
async def test_a_try_that_is_cancelled_before_it_began_shuts_nobody_out():
    async with Wireless() as session:
        client = session.client()
        session.okx.next = [error("50111", status=401)] * THRESHOLD
        for _ in range(THRESHOLD):
            await failure_of(client.get_non_tradable_assets("K"), AuthenticationError)
        await asyncio.sleep(PAUSE)
        calls = [asyncio.ensure_future(client.get_non_tradable_assets(key)) for key in "AB"]
        while not session._flights.tasks:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for task in session._flights.tasks:
            task.cancel()
        await outcomes(*calls)
        assert names(await client.get_non_tradable_assets("K")) == ["K"]


@pytest.mark.turns
async def test_who_leaves_as_its_request_departs_was_not_the_one_that_tries():
    async with Wireless(latency=0) as session:
        client = session.client()
        session.okx.next = [error("50111", status=401)] * THRESHOLD
        for _ in range(THRESHOLD):
            await failure_of(client.get_non_tradable_assets("K"), AuthenticationError)
        await asyncio.sleep(PAUSE)
        calls = [asyncio.ensure_future(client.get_non_tradable_assets(key)) for key in "AB"]
        while not client._calls.lanes[ASSETS].dispatcher._unstarted:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await outcomes(*calls)
        assert names(await client.get_non_tradable_assets("K")) == ["K"]
