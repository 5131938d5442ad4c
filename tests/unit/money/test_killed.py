"""A process that is killed at any step of a money call loses and doubles nothing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from okx_funding.money import Done, Intent, NotDone, SQLiteJournal, Unknown

from . import moves
from .exchange import Client, Exchange, Port, Request


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_killed_at_every_step_nothing_is_lost_or_doubled(tmp_path: Path):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.unit.money.killed", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=Path(__file__).parents[3],
    )
    assert ended.returncode == 0, ended.stderr
    steps = [int(line.split()[2]) for line in ended.stdout.splitlines()]
    assert len(steps) == 2 * len(moves.ALL)
    assert min(steps) >= 15

    asyncio.run(recover_and_count(tmp_path, steps))


async def recover_and_count(tmp_path: Path, steps: list[int]) -> None:
    exchange = Exchange(now=time.time)
    for line in (tmp_path / "movements").read_text().splitlines():
        endpoint, body, signed_at = json.loads(line)
        Request(exchange, endpoint, body, signed_at).commit()
    intents = {
        intent.client_id: intent
        for intent in map(Intent.from_json, (tmp_path / "intents").read_text().splitlines())
    }
    assert len(intents) == sum(steps) + len(steps)
    journal = SQLiteJournal(tmp_path / "money.db")
    client = Client(Port(exchange), journal=journal)

    async for intent, outcome in client.recover():
        if exchange.of(intent.client_id):
            assert isinstance(outcome, Done)
        else:
            assert isinstance(outcome, NotDone | Unknown)

    done = 0
    for client_id in intents:
        moved = exchange.of(client_id)
        record = await journal.find(client_id)
        assert len(moved) <= 1
        if record is None:  # killed before it was written down
            assert not moved
        elif isinstance(record.outcome, Done):
            done += 1
            assert moved
        elif isinstance(record.outcome, NotDone):
            assert not moved
        else:
            assert record.intent.signed_at is not None
            assert not moved
    assert done == len(exchange.movements)
    await client.protocol.aclose()
