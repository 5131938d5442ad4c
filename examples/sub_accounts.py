"""Several users at once: one connection pool, a limit for each.

    python examples/sub_accounts.py                      four users of a simulated exchange
    python examples/sub_accounts.py --live main alice    profiles of ~/.okx/config.toml

OKX counts by User ID and each sub-account has its own, so they don't slow each other. Several
keys of one user share a limit: ``identify`` asks OKX whose key it is, so that two profiles of one
user aren't taken for two.
"""

from __future__ import annotations

import argparse
import asyncio
from decimal import Decimal

from okx_funding import Credentials, FundingClient, OKXError, Session
from okx_funding.simulator import SimulatedExchange


async def total(client: FundingClient) -> tuple[str, Decimal, int]:
    """The user, what all its accounts are worth in USDT, and how many assets it can't trade."""
    user = await client.get_user_id()
    valuation, assets = await asyncio.gather(
        client.get_asset_valuation("USDT"), client.get_non_tradable_assets()
    )
    return user, valuation.total_bal, len(assets)


async def run(users: list[Credentials], base_url: str | None) -> None:
    """Ask for all users at once. One that fails doesn't take the others along."""
    async with Session() as session:
        clients = [FundingClient(user, session=session, base_url=base_url) for user in users]
        answers = await asyncio.gather(*map(total, clients), return_exceptions=True)
        worth = Decimal(0)
        for credentials, answer in zip(users, answers, strict=True):
            match answer:
                case OKXError() as error:
                    print(f"{credentials}: {error}")
                case BaseException() as error:
                    raise error
                case user, amount, assets:
                    print(f"{user}: {amount} USDT, and {assets} assets that can't be traded")
                    worth += amount
        print(f"together: {worth} USDT")
        print(session.statistics())


async def main(profiles: list[str]) -> None:
    """With the users of these profiles, or some of a simulated exchange."""
    if profiles:
        await run([Credentials.from_profile(name) for name in profiles], None)
        return
    users = [
        Credentials(f"key-{n}", f"secret-{n}", f"passphrase-{n}", user_id=str(100 + n))
        for n in range(4)
    ]
    async with SimulatedExchange(users, latency=0.01, currencies=50) as exchange:
        await run([*users, Credentials("key-5", "wrong", "wrong")], exchange.base_url)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Several users at once.")
    parser.add_argument("--live", nargs="+", metavar="PROFILE", default=[])
    asyncio.run(main(parser.parse_args().live))
