"""A web service that shows balances; its session lives exactly as long as the app.

    python examples/service.py            against a simulated exchange
    python examples/service.py --live     against OKX, with the keys of the environment

However many browsers ask at once, OKX's limit is kept and they share requests: ``max_age`` lets
those who come within a second have the same answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import ClientSession, web

from okx_funding import (
    Credentials,
    DeadlineExceededError,
    FundingClient,
    InvalidArgumentError,
    InvalidParameterError,
    OKXError,
    Session,
)
from okx_funding.simulator import SimulatedExchange

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CLIENT = web.AppKey("client", FundingClient)

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Funding account</title>
<h1>Funding account</h1>
<p id="total"></p>
<table id="assets"></table>
<script>
async function look() {
  const valuation = await (await fetch("/valuation?ccy=USDT")).json();
  document.getElementById("total").textContent = valuation.total + " " + valuation.ccy;
  const assets = await (await fetch("/assets")).json();
  document.getElementById("assets").replaceChildren(...assets.map(asset => {
    const row = document.createElement("tr");
    for (const text of [asset.ccy, asset.chain, asset.balance]) {
      row.appendChild(document.createElement("td")).textContent = text;
    }
    return row;
  }));
}
look();
setInterval(look, 5000);
</script>
"""


async def page(_request: web.Request) -> web.Response:
    """The web page."""
    return web.Response(text=PAGE, content_type="text/html")


async def assets(request: web.Request) -> web.Response:
    """``/assets?ccy=CELT&ccy=MEME``, or all of them. Amounts are text: JSON's numbers aren't."""
    wanted = request.query.getall("ccy", []) or None
    rows = await request.app[CLIENT].get_non_tradable_assets(wanted, timeout=5.0, max_age=1.0)
    return web.json_response(
        [{"ccy": row.ccy, "chain": row.chain, "balance": format(row.bal, "f")} for row in rows]
    )


async def valuation(request: web.Request) -> web.Response:
    """``/valuation?ccy=USDT``."""
    unit = request.query.get("ccy")
    answer = await request.app[CLIENT].get_asset_valuation(unit, timeout=5.0, max_age=1.0)
    return web.json_response({"total": format(answer.total_bal, "f"), "ccy": answer.ccy})


async def health(request: web.Request) -> web.Response:
    """What the client tells of itself; there are no secrets in it."""
    return web.Response(text=f"{request.app[CLIENT].statistics()}\n")


@web.middleware
async def in_plain_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors become statuses; nothing that OKX said of the key goes to the browser."""
    try:
        return await handler(request)
    except (InvalidArgumentError, InvalidParameterError) as error:
        return web.json_response({"error": str(error)}, status=400)
    except DeadlineExceededError:
        return web.json_response(
            {"error": "OKX takes too long, or the limit is used up"}, status=504
        )
    except OKXError as error:
        return web.json_response({"error": type(error).__name__}, status=502)


def make_app(
    credentials: Credentials | None = None, base_url: str | None = None
) -> web.Application:
    """The app. What isn't given comes from the environment."""
    app = web.Application(middlewares=[in_plain_words])
    app.add_routes(
        [
            web.get("/", page),
            web.get("/assets", assets),
            web.get("/valuation", valuation),
            web.get("/health", health),
        ]
    )

    async def lifespan(app: web.Application) -> AsyncIterator[None]:
        async with Session() as session:  # one pool; more clients would share it
            app[CLIENT] = FundingClient(credentials, session=session, base_url=base_url)
            yield

    app.cleanup_ctx.append(lifespan)
    return app


async def main(live: bool, port: int, once: bool) -> None:
    """Serve until Ctrl-C; with ``once``, ask the service once and end."""
    async with SimulatedExchange(currencies=30) as exchange:
        app = make_app() if live else make_app(exchange.credentials, exchange.base_url)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            host, port = runner.addresses[0][:2]
            print(f"http://{host}:{port}/, until Ctrl-C")
            if once:
                async with ClientSession(f"http://{host}:{port}") as browser:
                    for path in ("/valuation?ccy=USDT", "/assets?ccy=CELT", "/health"):
                        print(await (await browser.get(path)).text())
            else:
                await asyncio.Event().wait()
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Balances in a web page.")
    parser.add_argument("--live", action="store_true", help="ask OKX itself")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--once", action="store_true", help="ask it once and end")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(options.live, options.port, options.once))
