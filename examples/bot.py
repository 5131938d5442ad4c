"""A bot: coroutines that know nothing of each other share one client, and so one limit.

    python examples/bot.py            against a simulated exchange
    python examples/bot.py --live     against OKX, with the keys of the environment

Nobody here counts requests, sleeps to stay within a limit, or collects currencies into batches.
"""

from __future__ import annotations

import argparse
import asyncio
from decimal import Decimal

from okx_funding import DeadlineExceededError, FundingClient, InvalidParameterError, OKXError
from okx_funding.simulator import SimulatedExchange


async def watch_balance(client: FundingClient, ccy: str, rounds: int) -> Decimal:
    """One coroutine for each currency; those that ask at the same time share requests."""
    balance = Decimal(0)
    for _ in range(rounds):
        try:
            rows = await client.get_non_tradable_assets(ccy)
        except InvalidParameterError as error:
            print(f"{ccy}: OKX doesn't know it ({error.code})")
            break
        except OKXError as error:
            print(f"{ccy}: {error}")  # retried already where that could help: the next round
        else:
            balance = sum((row.bal for row in rows), Decimal(0))
        await asyncio.sleep(0.05)
    return balance


async def report(client: FundingClient, rounds: int) -> None:
    """What isn't urgent lets others go first, and takes an answer that is a few seconds old."""
    for _ in range(rounds):
        valuation = await client.get_asset_valuation("USDT", priority=-5, max_age=5.0)
        print(f"all accounts: {valuation.total_bal} {valuation.ccy}, {valuation.time:%H:%M:%S}")
        await asyncio.sleep(0.05)


async def decide(client: FundingClient, ccy: str) -> None:
    """What is urgent goes first, and would rather have no answer than a late one."""
    try:
        rows = await client.get_non_tradable_assets(ccy, timeout=2.0, priority=10)
    except DeadlineExceededError:
        print(f"{ccy}: too late to decide")
        return
    for row in rows:
        if row.can_wd and row.min_wd is not None and row.bal >= row.min_wd:
            print(f"{ccy}: {row.bal} could leave by {row.chain}, for {row.fee} {row.fee_ccy}")


async def run(client: FundingClient, currencies: list[str], rounds: int) -> None:
    """All of it at once."""
    async with asyncio.TaskGroup() as group:
        watchers = [group.create_task(watch_balance(client, ccy, rounds)) for ccy in currencies]
        group.create_task(report(client, rounds))
        group.create_task(decide(client, currencies[0]))
    held = sum(task.result() > 0 for task in watchers)
    print(f"{held} of {len(currencies)} currencies have a balance")
    print(client.statistics())


async def main(live: bool, rounds: int) -> None:
    """With a client of OKX, or of a simulated exchange that lives as long."""
    if live:
        async with FundingClient() as client:
            everything = await client.get_non_tradable_assets()
            await run(client, [row.ccy for row in everything][:60] or ["CELT"], rounds)
        return
    async with (
        SimulatedExchange(latency=0.01) as exchange,
        FundingClient(exchange.credentials, base_url=exchange.base_url) as client,
    ):
        await run(client, exchange.currencies[:60], rounds)
        print(f"refused: {len(exchange.refused)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A bot of many coroutines.")
    parser.add_argument("--live", action="store_true", help="ask OKX itself")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    asyncio.run(main(options.live, options.rounds))
