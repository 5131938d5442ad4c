"""From python-okx: the same questions, asked in both ways.

    python examples/from_python_okx.py      against a simulated exchange

python-okx blocks, gives dicts of text, joins no requests and knows no limits. Method names and the
order of key, secret and passphrase are the same; a comma list becomes a list.
"""

from __future__ import annotations

import asyncio
import warnings
from decimal import Decimal

from okx_funding import Credentials, FundingClient
from okx_funding.simulator import SimulatedExchange, in_thread


def before(credentials: Credentials, base_url: str) -> dict[str, Decimal]:
    """python-okx."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # python-okx's own
        from okx.Funding import FundingAPI

        key, secret, passphrase = credentials.reveal()
        api = FundingAPI(key, secret, passphrase, False, "0", domain=base_url, debug=False)
        try:
            answer = api.get_non_tradable_assets(ccy="CELT,MEME")
        finally:
            api.close()
    if answer["code"] != "0":
        raise RuntimeError(answer["msg"])
    return {row["ccy"]: Decimal(row["bal"]) for row in answer["data"]}


async def after(credentials: Credentials, base_url: str) -> dict[str, Decimal]:
    """okx_funding: ``demo=True`` for ``flag="1"``, ``base_url=`` for ``domain=``."""
    async with FundingClient(credentials, base_url=base_url, demo=False) as client:
        rows = await client.get_non_tradable_assets(ccy=["CELT", "MEME"])
    return {row.ccy: row.bal for row in rows}


def main() -> None:
    """Both answers, which are the same."""
    with in_thread(SimulatedExchange()) as exchange:
        ours = asyncio.run(after(exchange.credentials, exchange.base_url))
        print("okx_funding:", ours)
        try:
            theirs = before(exchange.credentials, exchange.base_url)
        except ImportError:
            print("python-okx isn't installed: pip install python-okx")
            return
        print("python-okx: ", theirs)
        print("the same" if ours == theirs else "not the same")


if __name__ == "__main__":
    main()
