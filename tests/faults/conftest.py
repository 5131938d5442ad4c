"""What the tests of faults share: dice without luck, and a wall clock in a hurry."""

from __future__ import annotations

import itertools
import random
import time

import pytest


@pytest.fixture
def unlucky(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every back-off is as long as it can be."""
    monkeypatch.setattr(random, "random", lambda: 0.999999)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever somebody looks at the wall clock, it is a second later."""
    seconds = itertools.count(1_700_000_000)
    monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
