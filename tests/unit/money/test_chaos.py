"""Many movements at once while a fifth of the answers and look-ups fail: the books balance."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from okx_funding.errors import RequestTimeoutError
from okx_funding.money import Answer, Done, Intent, NotDone

from . import moves
from .exchange import (
    Client,
    Exchange,
    Port,
    Request,
    Script,
    accept,
    commits_after,
    commits_then,
    cut,
    gateway_page,
    refuses,
    refuses_connection,
    resets,
    without_id,
)
from .memory import MemoryJournal

pytestmark = pytest.mark.looptime

FAULTS: list[Script] = [
    resets,
    commits_then(resets),
    commits_then(gateway_page),
    commits_then(cut),
    commits_then(without_id),
    commits_then(refuses("50004", 400)),
    commits_after(3),
    refuses("50011"),
    refuses("58350"),
    refuses_connection,
]


class Chaos(Exchange):
    """Every fifth POST and every fifth look-up goes wrong."""

    chance = random.Random(4711)

    def read(self, endpoint: str, params: Any) -> Any:
        if self.chance.random() < 0.2:
            raise RequestTimeoutError("no answer")
        return super().read(endpoint, params)


async def script(request: Request) -> Answer:
    chance = Chaos.chance
    return await (chance.choice(FAULTS) if chance.random() < 0.2 else accept)(request)


async def test_movements_are_the_intents_that_are_done(monkeypatch: pytest.MonkeyPatch):
    exchange, journal = Chaos(), MemoryJournal()
    exchange.scripts.extend([script] * 2000)
    clients = [Client(Port(exchange, f"user-{number}"), journal=journal) for number in range(10)]

    async def move(client: Client, number: int) -> Intent:
        prepare = (moves.transfer, moves.sub_transfer, moves.withdrawal)[number % 3]
        intent = prepare(client)
        await client.submit(intent, check=False, timeout=20)
        return intent

    intents = await asyncio.gather(*(move(client, n) for client in clients for n in range(60)))
    monkeypatch.setattr("okx_funding.money.accepted.ACCEPTED._entries", {})
    await asyncio.sleep(3600)
    for client in clients:
        async for _ in client.recover():
            pass

    done = 0
    for intent in intents:
        moved, outcome = exchange.of(intent.client_id), journal.outcome_of(intent)
        assert len(moved) <= 1
        done += isinstance(outcome, Done)
        if moved:
            assert isinstance(outcome, Done)
        else:
            assert outcome is None or isinstance(outcome, NotDone)
    assert done == len(exchange.movements) > 500
