"""A process that is killed at any step of a money call loses and doubles nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from okx_funding import Credentials, FundingClient, RateLimit
from okx_funding.money import Done, Intent, NotDone, SQLiteJournal, Unknown
from okx_funding.money.kinds import KINDS
from okx_funding.simulator import Fault, SimulatedExchange, in_thread

from .world import ALL, unlimited

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

LOST = [("transfer", Fault.reset()), ("withdrawal", Fault.reset())]
CASES = [*((kind, None) for kind in ALL), *LOST]
_KIND_OF = {"transfer to a sub-account": "transfer", "buy-sell": "buy_sell"}


@pytest.mark.parametrize(
    ("kind", "fault"), CASES, ids=[f"{kind}{', lost' * bool(fault)}" for kind, fault in CASES]
)
def test_killed_at_every_step_nothing_is_lost_or_doubled(
    tmp_path: Path, kind: str, fault: Fault | None
):
    credentials = Credentials("key-of-a-killed-one", "secret", "phrase", user_id="4711")
    with in_thread(SimulatedExchange([credentials], judge=unlimited)) as exchange:
        account = exchange.account()
        account.set_balances({"USDT": "100000", "TRY": "100000", "USD": "100000"})
        account.set_balances({"USDT": "100000"}, "trading")
        if fault is not None:
            endpoint = KINDS[_KIND_OF.get(kind, kind)].endpoint  # type: ignore[index]
            exchange.chaos(1.0, [fault], endpoint=endpoint)
        ended = subprocess.run(
            [
                sys.executable, "-m", "tests.money.killed",
                str(tmp_path), kind, exchange.base_url, account.address,
            ],
            capture_output=True, text=True, timeout=150, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        steps = int(ended.stdout)
        time.sleep(0.3)  # what the last ones wrote has arrived by then
        outcomes = asyncio.run(recover_and_count(tmp_path, exchange, credentials))
        exchange.ledger.check()
    assert steps >= 30
    assert outcomes.total() == steps + 1
    assert outcomes["Done"]
    assert outcomes["never written down"]


async def recover_and_count(
    folder: Path, exchange: SimulatedExchange, credentials: Credentials
) -> Counter[str]:
    """What became of each intent, after a restart; raises where that isn't the truth."""
    texts = (folder / "intents").read_text().splitlines()
    intents = {intent.client_id: intent for intent in map(Intent.from_json, texts)}
    moved = Counter(each.client_id for each in exchange.movements)
    outcomes: Counter[str] = Counter()
    journal = SQLiteJournal(folder / "money.db")
    often = {kind.look_up: RateLimit(1000) for kind in KINDS.values()}  # a quicker test
    async with FundingClient(
        credentials, base_url=exchange.base_url, journal=journal, rate_limits=often
    ) as client:
        async for intent, outcome in client.recover():
            if moved[intent.client_id]:
                assert isinstance(outcome, Done)
            else:
                assert isinstance(outcome, NotDone | Unknown)
        for client_id in intents:
            record = await journal.find(client_id)
            assert moved[client_id] <= 1
            if record is None:
                outcomes["never written down"] += 1
                assert not moved[client_id]
            elif record.outcome is None:
                outcomes["Unknown"] += 1
                assert record.intent.signed_at is not None
                assert not moved[client_id]
            else:
                outcomes[type(record.outcome).__name__] += 1
                assert moved[client_id] == isinstance(record.outcome, Done)
    assert outcomes["Done"] == len(exchange.movements)
    return outcomes
