"""``money``: what becomes of a thousand withdrawals when one answer in twenty gets lost?

Each contender withdraws an amount of its own each time, so that the exchange's ledger tells which
call moved what. Every lost answer belongs to a withdrawal that was carried out.
"""

from __future__ import annotations

import asyncio
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from okx_funding import FundingClient, RateLimit
from okx_funding.money import Done, SQLiteJournal
from okx_funding.simulator import Fault, Judge, SimulatedExchange, in_thread, make_judge

from . import money_chaos
from .harness import Benchmark, Options, Report, Table, missing

LOST = (
    Fault.reset().after_commit(),
    Fault.close_mid_body().after_commit(),
    Fault.html(504).after_commit(),
    Fault.code("50004").after_commit(),
)
SHARE = 0.05


@dataclass
class Fate:
    """What became of the withdrawals of one contender."""

    asked: int = 0
    sent: int = 0
    """Requests that arrived."""
    moved: int = 0
    """Withdrawals that were carried out."""
    doubled: int = 0
    """Those of them that nobody asked for: a second, third or fourth for the same call."""
    known: int = 0
    """Calls whose caller knows the truth: the id of what moved, or that nothing did."""
    wrong: int = 0
    """Calls whose caller was told that it failed, although it moved."""
    unknown: int = 0
    """Calls whose caller was told that nobody can know yet."""


def _unlimited(_count: int, period: float) -> Judge:
    return make_judge("sliding", 1_000_000, period)


Told = str | None
"""What a caller is told: an id of OKX's, "unknown", or None for a failure."""


def _amounts(n: int) -> list[Decimal]:
    return [Decimal(10) + Decimal(number) / 1000 for number in range(n)]


def _fate(exchange: SimulatedExchange, told: dict[Decimal, Told]) -> Fate:
    moved: Counter[Decimal] = Counter()
    ids: dict[Decimal, set[str]] = {}
    for each in exchange.movements:
        moved[each.amount] += 1
        ids.setdefault(each.amount, set()).add(each.id)
    fate = Fate(asked=len(told), sent=len(exchange.requests("withdrawal")), moved=moved.total())
    fate.doubled = sum(times - 1 for times in moved.values())
    for amount, answer in told.items():
        if answer == "unknown":
            fate.unknown += 1
        elif answer is None:
            fate.wrong += moved[amount] > 0
            fate.known += moved[amount] == 0
        else:
            fate.known += ids.get(amount) == {answer}
    return fate


def _with(make: Callable[[SimulatedExchange], Any], n: int) -> Fate:
    """Run one contender against an exchange of its own."""
    exchange = SimulatedExchange(judge=_unlimited, seed=4711, log_size=10 * n)
    with in_thread(exchange):
        exchange.account().set_balances({"USDT": "100000000"})
        exchange.chaos(SHARE, LOST, seed=4711, endpoint="withdrawal")
        told = make(exchange)(_amounts(n))
        exchange.ledger.check()
        return _fate(exchange, told)


# -- contenders ----------------------------------------------------------------------------------


def _okx_funding(exchange: SimulatedExchange) -> Callable[[list[Decimal]], dict[Decimal, Told]]:
    often = RateLimit(1000)
    limits = dict.fromkeys(("withdrawal", "get_withdrawal_history"), often)
    address = exchange.account().address

    async def withdraw(amounts: list[Decimal], folder: str) -> dict[Decimal, Told]:
        told: dict[Decimal, Told] = {}
        journal = SQLiteJournal(Path(folder) / "money.db")
        async with FundingClient(
            exchange.credentials, base_url=exchange.base_url, rate_limits=limits, journal=journal
        ) as client:
            for amount in amounts:
                intent = client.prepare_withdrawal(
                    "USDT", amount, dest="4", to_addr=address, chain="USDT-ERC20"
                )
                outcome = await client.submit(intent, check=False)
                if isinstance(outcome, Done):
                    told[amount] = outcome.row.wd_id
                else:
                    told[amount] = None if outcome.error.repeat_is_safe else "unknown"
        return told

    def run(amounts: list[Decimal]) -> dict[Decimal, Told]:
        with tempfile.TemporaryDirectory() as folder:
            return asyncio.run(withdraw(amounts, folder))

    return run


def _ccxt(
    retries: int,
) -> Callable[[SimulatedExchange], Callable[[list[Decimal]], dict[Decimal, Told]]]:
    def make(exchange: SimulatedExchange) -> Callable[[list[Decimal]], dict[Decimal, Told]]:
        import ccxt

        address = exchange.account().address
        api_key, secret, password = map(str, exchange.credentials.reveal())
        options = {"maxRetriesOnFailure": retries, "maxRetriesOnFailureDelay": 1}
        client = ccxt.okx(
            {
                "apiKey": str.__str__(api_key),
                "secret": str.__str__(secret),
                "password": str.__str__(password),
                "enableRateLimit": False,
                "options": options,
            }
        )
        client.urls["api"]["rest"] = exchange.base_url

        def run(amounts: list[Decimal]) -> dict[Decimal, Told]:
            told: dict[Decimal, Told] = {}
            with client.session:
                for amount in amounts:
                    try:
                        row = client.withdraw(
                            "USDT", float(amount), address, params={"network": "ERC20"}
                        )
                        told[amount] = row["id"]
                    except ccxt.BaseError:
                        told[amount] = None
            return told

        return run

    return make


def _python_okx(exchange: SimulatedExchange) -> Callable[[list[Decimal]], dict[Decimal, Told]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # python-okx's own
        from okx.Funding import FundingAPI

    parts = [str.__str__(part) for part in exchange.credentials.reveal()]
    api = FundingAPI(*parts, use_server_time=False, flag="0", domain=exchange.base_url)
    address = exchange.account().address

    def run(amounts: list[Decimal]) -> dict[Decimal, Told]:
        told: dict[Decimal, Told] = {}
        with closing(api), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for amount in amounts:
                try:
                    answer = api.withdrawal("USDT", str(amount), "4", address, chain="USDT-ERC20")
                    told[amount] = answer["data"][0]["wdId"]
                except Exception:
                    told[amount] = None
        return told

    return run


# -- the benchmark -------------------------------------------------------------------------------


def run(options: Options) -> Report:
    """Withdraw with each of them, in real time, on loopback; or chaos, if that was asked for."""
    if options.chaos:
        return money_chaos.report(options.pick(10_000, 1_000))
    n = options.pick(1_000, 100)
    contenders: list[tuple[str, str, Callable[[SimulatedExchange], Any]]] = [
        ("okx_funding", "", _okx_funding),
        ("ccxt, maxRetriesOnFailure=3", "ccxt", _ccxt(3)),
        ("ccxt, as it comes", "ccxt", _ccxt(0)),
        ("python-okx", "okx", _python_okx),
    ]
    report = Report()
    table = Table(
        f"{n} withdrawals, {SHARE:.0%} of the answers lost",
        ("", "sent", "moved", "doubled", "known", "told failed, but moved", "told unknown"),
        note="Doubled: money left twice for one call. Known: the caller has the id of what moved.",
    )
    for name, package, make in contenders:
        if package and missing(package):
            report.skipped.append(f"{name}: {package} isn't installed")
            continue
        fate = _with(make, n)
        report.figures[name] = asdict(fate)
        table.rows.append(
            (name, *map(str, (fate.sent, fate.moved, fate.doubled, fate.known, fate.wrong,
                              fate.unknown)))
        )  # fmt: skip
    report.tables.append(table)
    return report


BENCHMARK = Benchmark("money", "What becomes of withdrawals when answers get lost?", run)
