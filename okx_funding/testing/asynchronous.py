"""Fixtures in the event loop of the test. They need pytest-asyncio, in whatever mode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from .fixtures import merged

if TYPE_CHECKING:
    from okx_funding.auth.credentials import Credentials
    from okx_funding.client import FundingClient
    from okx_funding.simulator import SimulatedExchange


@pytest_asyncio.fixture
async def okx_exchange(
    request: pytest.FixtureRequest,
    okx_credentials: Credentials,
    okx_exchange_options: dict[str, Any],
) -> AsyncIterator[SimulatedExchange]:
    """A `SimulatedExchange` on loopback, with one user, that lives as long as the test.

    ``@pytest.mark.okx_exchange(latency=0.05, judge="fixed")`` gives it options.
    """
    from okx_funding.simulator import SimulatedExchange

    options = {"users": [okx_credentials]} | merged(
        request, "okx_exchange", okx_exchange_options, SimulatedExchange
    )
    async with SimulatedExchange(**options) as exchange:
        yield exchange


@pytest_asyncio.fixture
async def okx_client(
    request: pytest.FixtureRequest,
    okx_exchange: SimulatedExchange,
    okx_client_options: dict[str, Any],
) -> AsyncIterator[FundingClient]:
    """A `FundingClient` of the exchange's first user. Nothing of the environment is read.

    ``@pytest.mark.okx_client(max_retries=0)`` gives it options.
    """
    from okx_funding.client import FundingClient
    from okx_funding.session import Session

    options: dict[str, Any] = {"base_url": okx_exchange.base_url, "demo": False}
    options |= merged(request, "okx_client", okx_client_options, FundingClient)
    async with (
        Session() as session,
        FundingClient(okx_exchange.credentials, **{"session": session, **options}) as client,
    ):
        yield client
