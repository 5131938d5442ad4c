"""Fixtures that need no event loop of the test's own."""

from __future__ import annotations

import difflib
import inspect
import itertools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from okx_funding.auth.credentials import Credentials
    from okx_funding.simulator import SimulatedExchange

_serial = itertools.count(1)


@pytest.fixture
def okx_credentials() -> Credentials:
    """Made-up credentials of a user whom no other test knows, so that limits aren't shared."""
    from okx_funding.auth.credentials import Credentials

    number = next(_serial)
    return Credentials(
        f"made-up-key-{os.getpid()}-{number}",
        f"made-up-secret-{number}",
        f"made-up-passphrase-{number}",
        user_id=f"{os.getpid()}{number:06d}",
    )


@pytest.fixture
def okx_exchange_options() -> dict[str, Any]:
    """Options of every `SimulatedExchange` that fixtures make; to be overridden in conftest.py.

    The marker ``okx_exchange`` comes before it.
    """
    return {}


@pytest.fixture
def okx_client_options() -> dict[str, Any]:
    """Options of every `FundingClient` that fixtures make; to be overridden in conftest.py.

    The marker ``okx_client`` comes before it.
    """
    return {}


@pytest.fixture
def okx_exchange_in_thread(
    request: pytest.FixtureRequest,
    okx_credentials: Credentials,
    okx_exchange_options: dict[str, Any],
) -> Iterator[SimulatedExchange]:
    """A simulated exchange in a thread of its own, for synchronous code and other processes."""
    from okx_funding.simulator import SimulatedExchange, in_thread

    options = {"users": [okx_credentials]} | merged(
        request, "okx_exchange", okx_exchange_options, SimulatedExchange
    )
    with in_thread(SimulatedExchange(**options)) as exchange:
        yield exchange


@pytest.fixture
def okx_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The environment variables by which a bot finds the exchange and its keys, set.

    The exchange is that of ``okx_exchange`` where the test uses it, else that of
    ``okx_exchange_in_thread``. Other variables that begin with ``OKX_`` are gone meanwhile.
    """
    asynchronous = "okx_exchange" in request.fixturenames
    exchange: SimulatedExchange = request.getfixturevalue(
        "okx_exchange" if asynchronous else "okx_exchange_in_thread"
    )
    api_key, secret_key, passphrase = exchange.credentials.reveal()
    variables = {
        "OKX_API_BASE_URL": exchange.base_url,
        "OKX_API_KEY": api_key,
        "OKX_SECRET_KEY": secret_key,
        "OKX_PASSPHRASE": passphrase,
        "OKX_USER_ID": exchange.user_ids[0],
        "OKX_DEMO": "0",
    }
    for name in [name for name in os.environ if name.startswith("OKX_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def merged(
    request: pytest.FixtureRequest, marker: str, options: dict[str, Any], made: type
) -> dict[str, Any]:
    """The options of all markers of the test; the nearest one counts most.

    An option that ``made`` doesn't take fails the test with a list of those that it takes.
    """
    result = dict(options)
    for mark in reversed(list(request.node.iter_markers(marker))):
        result |= mark.kwargs
    known = list(inspect.signature(made.__init__).parameters)[1:]  # type: ignore[misc]
    for name in result:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f": did you mean {close[0]}?" if close else f"; it takes {', '.join(known)}"
            pytest.fail(f"{marker} has no option {name!r}{meant}", pytrace=False)
    return result
