"""What stands for the asynchronous fixtures where pytest-asyncio is missing: a word about it."""

from __future__ import annotations

import pytest


@pytest.fixture
def okx_exchange() -> None:
    """See `asynchronous`."""
    _fail("okx_exchange")


@pytest.fixture
def okx_client() -> None:
    """See `asynchronous`."""
    _fail("okx_client")


def _fail(name: str) -> None:
    pytest.fail(
        f"the fixture {name} needs pytest-asyncio: pip install pytest-asyncio. "
        "okx_exchange_in_thread does without it.",
        pytrace=False,
    )
