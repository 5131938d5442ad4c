"""Every test here wants a Redis of its own making."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis.servers import PROGRAM, WHY_NOT, RedisServer, running

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if PROGRAM is None:
        for item in items:
            if HERE in item.path.parents and "redis_server" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=WHY_NOT))


@pytest.fixture(scope="session")
def one_server() -> Iterator[RedisServer]:
    with running() as server:
        yield server


@pytest.fixture
def redis_server(one_server: RedisServer) -> RedisServer:
    """A server that is empty; for tests that do it no harm."""
    one_server.say("FLUSHALL")
    one_server.say("SCRIPT", "FLUSH")
    one_server.say("CONFIG", "RESETSTAT")
    return one_server


@pytest.fixture
def redis_server_to_harm(redis_server: RedisServer) -> Iterator[RedisServer]:
    """A server of the test's own."""
    with running() as server:
        yield server
