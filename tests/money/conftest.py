"""A world whose wall clock goes with its loop's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .world import World, at_bank, wall_goes_with_the_loop


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    wall_goes_with_the_loop(monkeypatch)
    async with at_bank() as world:
        yield world
