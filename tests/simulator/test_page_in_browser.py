"""The page in a real browser: it follows a bot's money, and is readable and usable everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal

import pytest

from okx_funding import FundingClient
from okx_funding.simulator import Fault, SimulatedExchange
from tests.browser import NEEDED, Tab, open_tab

pytestmark = [NEEDED, pytest.mark.slow, pytest.mark.timeout(120)]

LIVE = "document.getElementById('live').textContent === 'live'"

CONTRAST = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((it) => it / 255)
      .map((it) => (it <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let it = element; it; it = it.parentElement) {
      const color = rgba(getComputedStyle(it).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const low = [];
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].some((it) => it.nodeType === 3 && it.data.trim());
    if (!text || !element.checkVisibility({ opacityProperty: true })) continue;
    if (element.closest('.delta')) continue;
    const [a, b] = [rgba(getComputedStyle(element).color), behind(element)].map(light);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(`${ratio.toFixed(2)}: ${element.textContent.slice(0, 60)}`);
  }
  return low;
})()
"""


@pytest.fixture
async def exchange() -> AsyncIterator[SimulatedExchange]:
    async with SimulatedExchange(page=True) as exchange:
        yield exchange


@pytest.fixture
async def tab(exchange: SimulatedExchange) -> AsyncIterator[Tab]:
    async with open_tab() as tab:
        await tab.look(1280, 900)
        await tab.open(exchange.base_url)
        await tab.until(LIVE)
        yield tab


def balance(exchange: SimulatedExchange, ccy: str, account: str = "funding") -> str:
    """A script for the text of a balance on the page, without what has changed."""
    name = f"{exchange.user_ids[0]}/{ccy}/{account}"
    return f"document.querySelector('[data-balance=\"{name}\"]')?.lastChild.data"


async def click(tab: Tab, text: str) -> None:
    """Click the button with this text, as soon as it is there."""
    await tab.until(
        f"""(() => {{
            const found = [...document.querySelectorAll('button')]
                .find((it) => it.textContent === {text!r} && it.checkVisibility());
            found?.click();
            return Boolean(found);
        }})()"""
    )


async def some_of_everything(exchange: SimulatedExchange) -> None:
    """Requests that went well and badly, money on its way and at its end, and long names."""
    account = exchange.account()
    account.add_sub_account("averylongnameofasubacct")
    account.set_balances({"BTC": "123456789.123456789012345"})
    account.deposit("USDT", "2500", "USDT-TRC20", pending=True)
    account.suspend_chain("ETH-Arbitrum One")
    async with FundingClient(exchange.credentials, base_url=exchange.base_url) as client:
        await client.withdrawal(
            "USDT", "30", dest="4", to_addr=account.address, chain="USDT-ERC20",
            client_id="a2345678901234567890123456789012",
        )  # fmt: skip
        await client.funds_transfer("USDT", "5", from_="6", to="18")
        exchange.fail_next(1, Fault.slow(0.01), "get_balances")
        await client.get_balances("BTC")
        exchange.spend("get_bills", n=6)
        await client.get_bills()
    exchange.fail_next(3, Fault.reset(), "get_subaccount_funding_balances")


async def test_the_page_follows_a_bots_money(exchange: SimulatedExchange, tab: Tab):
    async with FundingClient(exchange.credentials, base_url=exchange.base_url) as client:
        assert await tab.until(balance(exchange, "USDT")) == "800"
        await click(tab, "Credit a deposit")
        await tab.until(f"{balance(exchange, 'USDT')} === '900'")
        (seen,) = await client.get_balances("USDT")
        assert seen.bal == Decimal(900)

        receipt = await client.withdrawal(
            "USDT", "100", dest="4", to_addr=exchange.account().address, chain="USDT-ERC20"
        )
        await tab.until(f"{balance(exchange, 'USDT')} === '798.5'")
        for button in ("Approve", "Broadcast", "Confirm"):
            await click(tab, button)
        await tab.until("document.querySelector('#open .record') === null")
        (row,) = await client.get_withdrawal_history(wd_id=receipt.wd_id)
        assert row.state == "2"
        assert "100 USDT" in await tab.evaluate("document.querySelector('#movements').textContent")

        await client.funds_transfer("USDT", "0.5", from_="6", to="18")
        await tab.until(f"{balance(exchange, 'USDT', 'trading')} === '400.5'")
        await tab.until("document.querySelectorAll('.lane').length >= 3")
    assert tab.errors == []


async def test_a_refusal_is_seen_with_its_reason(exchange: SimulatedExchange, tab: Tab):
    exchange.spend("get_bills", n=6)
    async with FundingClient(exchange.credentials, base_url=exchange.base_url) as client:
        await client.get_bills()
    text = await tab.until("document.querySelector('#log .refused')?.textContent")
    assert "✕ refused" in text
    assert "above the limit of 6 per 1 s" in text
    assert "1 refused" in await tab.evaluate("document.querySelector('.lane .note').textContent")
    assert tab.errors == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1440])
async def test_it_is_readable_everywhere(
    exchange: SimulatedExchange, tab: Tab, width: int, dark: bool
):
    await some_of_everything(exchange)
    await tab.look(width, 844, dark=dark)
    await tab.open(exchange.base_url)
    await tab.until("document.querySelector('#log .refused')")
    if width < 600:  # where the buttons are folded away
        assert not await tab.evaluate("document.querySelector('#controls').open")
        await tab.evaluate("document.querySelector('#controls summary').click()")
    wide = await tab.evaluate(
        "[...document.querySelectorAll('body *')].filter((it) => it.checkVisibility() &&"
        " !it.closest('.track') && !it.closest('.skip') &&"
        " it.getBoundingClientRect().right > innerWidth + 0.5).map((it) => it.outerHTML)"
    )
    assert wide == []
    assert await tab.evaluate("document.documentElement.scrollWidth") <= width
    assert await tab.evaluate(CONTRAST) == []
    page = await tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (page == "rgb(16, 23, 27)") == dark
    assert (await tab.screenshot()).startswith(b"\x89PNG")
    assert tab.errors == []


async def test_the_keyboard_is_enough(exchange: SimulatedExchange, tab: Tab):
    for _ in range(12):
        await tab.press("Tab")
        if await tab.evaluate("document.activeElement.textContent") == "Credit a deposit":
            break
    await tab.press("Enter")
    await tab.until(f"{balance(exchange, 'USDT')} === '900'")
    assert await tab.evaluate("document.getElementById('done').textContent")


async def test_focus_stays_with_a_deposit_while_its_state_changes(
    exchange: SimulatedExchange, tab: Tab
):
    record = exchange.account().deposit("BTC", "1", pending=True)
    await tab.until("document.querySelector('#open button')")
    await tab.evaluate("document.querySelector('#open button').focus()")
    await tab.press("Enter")
    await tab.until("document.activeElement.textContent === 'Unlock'")
    assert record.state == "1"


async def test_what_can_not_be_done_is_said(exchange: SimulatedExchange, tab: Tab):
    await tab.evaluate("document.querySelector('#deposit [name=amt]').value = 'a lot'")
    await click(tab, "Credit a deposit")
    said = await tab.until(
        "!document.getElementById('error').hidden"
        " && document.getElementById('error-text').textContent"
    )
    assert said == "'a lot' isn't an amount."
    await click(tab, "Close")
    assert await tab.evaluate("document.getElementById('error').hidden")


async def test_markup_in_a_request_stays_text(
    exchange: SimulatedExchange, tab: Tab, converse: Callable[..., Awaitable[bytes]]
):
    evil = "<img/src=x/onerror=document.title='hacked'>"
    await converse(exchange, f"GET /api/v5/{evil} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
    exchange.account().add_sub_account(evil)
    for where in ("log", "accounts"):
        text = f"document.getElementById({where!r}).textContent"
        await tab.until(f"{text}.includes({evil!r})")
    assert await tab.evaluate("document.querySelectorAll('main img').length") == 0
    assert await tab.evaluate("document.title") == "Simulated exchange"
    assert tab.errors == []


async def test_it_says_when_the_exchange_is_gone_and_goes_on_when_it_is_back(
    exchange: SimulatedExchange, tab: Tab
):
    await exchange.stop_listening()
    await tab.until("document.getElementById('live').textContent.startsWith('no answer')")
    await exchange.resume()
    await tab.until(LIVE)


async def test_connections_that_are_dropped_are_no_reason_to_stop(
    exchange: SimulatedExchange, tab: Tab
):
    await click(tab, "Drop connections")
    await tab.until("!document.getElementById('done').hidden")
    exchange.account().deposit("BTC", "1")
    await tab.until(f"{balance(exchange, 'BTC')} === '1.5'")
    assert await tab.evaluate(LIVE)
