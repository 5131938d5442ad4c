"""From ccxt: the same questions, asked in both ways.

    python examples/from_ccxt.py      against a simulated exchange

ccxt has no unified method for these endpoints, so its implicit ones are used: they give OKX's
envelope as it is. Its limiter has one queue for all endpoints; here each has its own. Two ccxt
objects of one user know nothing of each other; two clients do.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

from okx_funding import Credentials, FundingClient
from okx_funding.simulator import SimulatedExchange


async def before(credentials: Credentials, base_url: str) -> tuple[dict[str, Decimal], Decimal]:
    """ccxt."""
    import ccxt.async_support as ccxt

    key, secret, passphrase = credentials.reveal()
    exchange = ccxt.okx({"apiKey": key, "secret": secret, "password": passphrase})
    exchange.urls["api"]["rest"] = base_url
    try:
        assets = await exchange.private_get_asset_non_tradable_assets({"ccy": "CELT,MEME"})
        valuation = await exchange.private_get_asset_asset_valuation({"ccy": "USDT"})
    finally:
        await exchange.close()
    return (
        {row["ccy"]: Decimal(row["bal"]) for row in assets["data"]},
        Decimal(valuation["data"][0]["totalBal"]),
    )


async def after(credentials: Credentials, base_url: str) -> tuple[dict[str, Decimal], Decimal]:
    """okx_funding: ``enableRateLimit`` is always on, ``password`` is the passphrase."""
    async with FundingClient(credentials, base_url=base_url, demo=False) as client:
        assets, valuation = await asyncio.gather(
            client.get_non_tradable_assets(ccy=["CELT", "MEME"]),
            client.get_asset_valuation(ccy="USDT"),
        )
    return {row.ccy: row.bal for row in assets}, valuation.total_bal


async def main() -> None:
    """Both answers, which are the same. A user for each: neither has to wait for the other."""
    users = [Credentials(f"key-{n}", f"secret-{n}", f"phrase-{n}", user_id="1") for n in (1, 2)]
    async with SimulatedExchange(users) as exchange:
        ours = await after(users[0], exchange.base_url)
        print("okx_funding:", ours)
        exchange.reset()  # ccxt doesn't know what was asked a moment ago
        try:
            theirs = await before(users[1], exchange.base_url)
        except ImportError:
            print("ccxt isn't installed: pip install ccxt")
            return
        print("ccxt:       ", theirs)
        print("the same" if ours == theirs else "not the same")


if __name__ == "__main__":
    asyncio.run(main())
