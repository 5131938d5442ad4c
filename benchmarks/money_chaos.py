"""Transfers and withdrawals of many users from several processes, while a fifth goes wrong.

All processes write into one journal. In the end a quarter of an hour passes, another process
recovers what is open, and the books are held against the journal, to the last digit.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from okx_funding import Credentials, FundingClient, RateLimit
from okx_funding.money import Done, Intent, NotDone, SQLiteJournal
from okx_funding.money.stored import outcome_from_json
from okx_funding.simulator import (
    MONEY_FAULTS,
    Fault,
    Judge,
    SimulatedExchange,
    in_thread,
    make_judge,
)

from .harness import Report, Table

USERS = 50
PROCESSES = 4
SHARE = 0.2
START = Decimal(1_000_000)
LOOK_UP_FAULTS = (
    Fault.reset(), Fault.html(503), Fault.code("50011"), Fault.code("50026"), Fault.truncated(),
    Fault.hang(1.0),
)  # fmt: skip
_OFTEN = RateLimit(1000)
_LIMITS = dict.fromkeys(
    ("funds_transfer", "withdrawal", "transfer_state", "get_withdrawal_history", "get_bills"),
    _OFTEN,
)


def _credentials(number: int) -> Credentials:
    return Credentials(
        f"key-of-user-{number:06d}",
        f"secret-{number}",
        f"phrase-{number}",
        user_id=f"9{number:05d}",
    )


def _unlimited(_count: int, period: float) -> Judge:
    return make_judge("sliding", 10_000_000, period)


def client_of(number: int, url: str, journal: SQLiteJournal) -> FundingClient:
    """The client of one user; OKX has raised its limits."""
    return FundingClient(
        _credentials(number), base_url=url, journal=journal, rate_limits=_LIMITS,
        request_timeout=1.0,
    )  # fmt: skip


def _quietly() -> None:
    """Nobody needs to be warned of what was made to go wrong."""
    logging.getLogger("okx_funding.warnings").setLevel(logging.ERROR)


@dataclass
class Result:
    """What happened."""

    intents: int = 0
    done: int = 0
    not_done: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    movements: int = 0
    faults: int = 0
    problems: list[str] = field(default_factory=list)


def run(count: int, users: int = USERS, processes: int = PROCESSES) -> Result:
    """Move ``count`` times, then recover and check; ``problems`` is empty where all is right."""
    _quietly()
    everybody = [_credentials(number) for number in range(users)]
    exchange = SimulatedExchange(everybody, judge=_unlimited, currencies=1, log_size=40 * count)
    with tempfile.TemporaryDirectory() as name, in_thread(exchange):
        folder = Path(name)
        for user in everybody:
            assert user.user_id is not None
            exchange.account(user.user_id).set_balances({"USDT": str(START)})
        for endpoint in ("funds_transfer", "withdrawal"):
            exchange.chaos(SHARE, MONEY_FAULTS, seed=1, endpoint=endpoint)
        for endpoint in ("transfer_state", "get_withdrawal_history"):
            exchange.chaos(SHARE, LOOK_UP_FAULTS, seed=2, endpoint=endpoint)
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.money_chaos", str(folder), exchange.base_url]
                + [str(number) for number in (place, processes, users, count // processes)],
                cwd=Path(__file__).parent.parent,
            )
            for place in range(processes)
        ]
        codes = [worker.wait() for worker in workers]
        faults = sum(each.fault is not None for each in exchange.requests())
        exchange.calm()
        exchange.clock_skew = 16 * 60.0  # a quarter of an hour later
        asyncio.run(_recover(exchange, folder, users))
        result = _check(exchange, folder)
        result.faults = faults
        result.problems += [f"a process ended with {code}" for code in codes if code]
        return result


async def _recover(exchange: SimulatedExchange, folder: Path, users: int) -> None:
    journal = SQLiteJournal(folder / "money.db")
    gate = asyncio.Semaphore(8)

    async def one(number: int) -> None:
        async with gate, client_of(number, exchange.base_url, journal) as client:
            await client.get_balances("USDT")  # learns the clock
            async for _ in client.recover():
                pass

    await asyncio.gather(*(one(number) for number in range(users)))


def _check(exchange: SimulatedExchange, folder: Path) -> Result:
    """Hold the journal against the ledger."""
    result = Result(movements=len(exchange.movements))
    moved = Counter(each.client_id for each in exchange.movements)
    funding = dict.fromkeys(exchange.user_ids, START)
    trading = {uid: Decimal(400) for uid in exchange.user_ids}
    fees = {
        each.client_id: each.fee
        for uid in exchange.user_ids
        for each in exchange.account(uid).withdrawals
    }
    with sqlite3.connect(folder / "money.db") as books:
        rows = books.execute("SELECT intent, outcome FROM okx_funding_intents").fetchall()
    books.close()
    for text, outcome_text in rows:
        intent = Intent.from_json(text)
        outcome = None if outcome_text is None else outcome_from_json(intent, outcome_text)
        times = moved.pop(intent.client_id, 0)
        result.intents += 1
        if isinstance(outcome, Done):
            result.done += 1
            _book(intent, outcome.row.amt, fees, funding, trading)
        elif isinstance(outcome, NotDone):
            result.not_done[outcome.reason] += 1
        else:
            result.unknown += 1
        if times != isinstance(outcome, Done):
            result.problems.append(f"{intent.kind} moved {times} times and is {outcome}")
    result.problems += [f"{times} movements of nobody's {name}" for name, times in moved.items()]
    for uid in exchange.user_ids:
        account = exchange.account(uid)
        for place, expected in (("funding", funding[uid]), ("trading", trading[uid])):
            if account.balance("USDT", place) != expected:
                result.problems.append(
                    f"{uid} has {account.balance('USDT', place)} in {place}, not {expected}"
                )
    exchange.ledger.check()
    return result


def _book(
    intent: Intent,
    amt: Decimal,
    fees: Any,
    funding: dict[str, Decimal],
    trading: dict[str, Decimal],
) -> None:
    funding[intent.account] -= amt
    if intent.kind == "transfer":
        trading[intent.account] += amt
    else:
        funding[intent.account] -= fees[intent.client_id]


# -- one of the processes --------------------------------------------------------------------------


async def work(folder: Path, url: str, place: int, processes: int, users: int, count: int) -> None:
    """Move money ``count`` times, for every ``processes``-th user."""
    chance = random.Random(place)
    journal = SQLiteJournal(folder / "money.db")
    mine = list(range(place, users, processes))
    addresses = {number: _address(number) for number in mine}
    left = count

    async def one(number: int) -> None:
        nonlocal left
        async with client_of(number, url, journal) as client:
            while left > 0:
                left -= 1
                amt = 10 + Decimal(chance.randrange(1_000_000)) / 1_000_000
                if chance.random() < 0.5:
                    intent = client.prepare_transfer("USDT", amt, from_="6", to="18")
                else:
                    intent = client.prepare_withdrawal(
                        "USDT", amt, dest="4", to_addr=addresses[number], chain="USDT-ERC20"
                    )
                await client.submit(intent, check=False, timeout=4)

    await asyncio.gather(*(one(number) for number in mine))


def _address(number: int) -> str:
    from okx_funding.simulator.users import address_of

    return address_of(f"9{number:05d}", "verified")


def report(count: int) -> Report:
    """For ``python -m benchmarks money --chaos``; raises AssertionError for a broken promise."""
    result = run(count)
    assert not result.problems, result.problems[:10]
    table = Table(
        f"{USERS} users, {PROCESSES} processes, one journal, {SHARE:.0%} of the requests go wrong",
        ("", ""),
        note="Held against the ledger: every Done moved once, nothing else moved, and each balance "
        "is right to the last digit.",
    )
    table.rows += [
        ("Intents", str(result.intents)),
        ("Requests that met a fault", str(result.faults)),
        ("Movements", str(result.movements)),
        ("Done", str(result.done)),
        *((f"NotDone, {reason}", str(n)) for reason, n in sorted(result.not_done.items())),
        ("Unknown, to be decided by a person", str(result.unknown)),
    ]
    return Report([table], figures=asdict(result))


if __name__ == "__main__":
    _quietly()
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))
