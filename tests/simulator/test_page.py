"""The page at the exchange's root: who may ask, what it is told, and what its buttons do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from okx_funding.simulator import Fault, SimulatedExchange
from okx_funding.simulator.auth import Request

STATE, ACT = "/_page/state", "/_page/act"
FILES = ("page.css", "page.js", "dom.js", "lanes.js", "money.js")


class Browser:
    """What the page's script sends, over loopback."""

    def __init__(self, exchange: SimulatedExchange, session: aiohttp.ClientSession) -> None:
        self.exchange = exchange
        self.session = session

    async def get(self, path: str, **headers: str) -> tuple[int, Any, str]:
        url = self.exchange.base_url + path
        async with self.session.get(url, headers=headers) as answer:
            return answer.status, answer.headers, await answer.text()

    async def state(self, since: int = 0, epoch: int = 0) -> Any:
        status, _, text = await self.get(f"{STATE}?since={since}&epoch={epoch}")
        assert status == 200
        return json.loads(text)

    async def token(self) -> str:
        _, _, text = await self.get("/")
        return text.split('name="page-token" content="', 1)[1].split('"', 1)[0]

    async def act(self, do: str, **wanted: Any) -> tuple[int, Any]:
        return await self.post({"X-Page-Token": await self.token()}, do=do, **wanted)

    async def post(self, headers: dict[str, str], **wanted: Any) -> tuple[int, Any]:
        url = self.exchange.base_url + ACT
        async with self.session.post(url, json=wanted, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def page() -> AsyncIterator[Browser]:
    async with SimulatedExchange(page=True) as exchange, aiohttp.ClientSession() as session:
        yield Browser(exchange, session)


def answer(exchange: SimulatedExchange, peer: str, host: str, target: str = "/") -> int:
    """The status for a request from this address, for this host."""
    assert exchange._page is not None
    return exchange._page.answer(Request("GET", target, {"host": host}, b"", peer), 0.0).status


# --- who may ask -----------------------------------------------------------------------------


async def test_the_root_is_a_page_that_runs_nobody_elses_script(page: Browser):
    status, headers, text = await page.get("/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<h1>Simulated exchange</h1>" in text
    assert "default-src 'none'; script-src 'self';" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", FILES)
async def test_its_files_are_served_and_name_no_other_host(page: Browser, name: str):
    status, headers, text = await page.get(f"/_page/{name}")
    assert status == 200
    assert headers["Content-Type"].startswith("text/")
    text = text.replace("http://www.w3.org/2000/svg", "")  # a name, and no address
    assert not any(word in text for word in ("http:", "https:", "url(", "innerHTML"))


@pytest.mark.parametrize(
    "path", ["/_page/", "/_page/nothing.js", "/_page/../site.py", "/_page/site.py"]
)
async def test_nothing_else_is_served(page: Browser, path: str):
    assert answer(page.exchange, "127.0.0.1", "localhost", path) == (
        200 if path == "/_page/" else 404
    )


@pytest.mark.parametrize("peer", ["192.0.2.7", "10.0.0.1", "::ffff:192.0.2.7", "fe80::1%eth0", ""])
def test_other_machines_are_refused(peer: str):
    exchange = SimulatedExchange(page=True)
    assert answer(exchange, peer, "127.0.0.1") == 403
    assert answer(exchange, peer, "127.0.0.1", STATE) == 403


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_not(peer: str):
    assert answer(SimulatedExchange(page=True), peer, "127.0.0.1") == 200


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST"])
def test_it_has_the_names_of_this_machine(host: str):
    assert answer(SimulatedExchange(page=True), "127.0.0.1", host) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[", "0.0.0.0"],
)
def test_it_has_no_other_name_lest_a_foreign_page_rebinds_one(host: str):
    assert answer(SimulatedExchange(page=True), "127.0.0.1", host) == 403


@pytest.mark.parametrize(
    "change",
    [
        {"X-Page-Token": ""},
        {"X-Page-Token": "guessed"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_post_from_elsewhere_changes_nothing(page: Browser, change: dict[str, str]):
    account = page.exchange.account()
    wanted = {"user": account.user_id, "ccy": "BTC", "chain": "BTC-Bitcoin", "amt": "1"}
    headers = {"X-Page-Token": await page.token()} | change
    status, said = await page.post(headers, do="deposit", **wanted)
    assert (status, list(said)) == (403, ["error"])
    assert account.balance("BTC") == Decimal("0.5")


async def test_an_action_is_no_get_and_all_else_no_post(page: Browser):
    status, _, _ = await page.get(ACT)
    assert status == 405
    async with page.session.post(page.exchange.base_url + "/") as reply:
        assert reply.status == 405


async def test_each_exchange_has_a_token_of_its_own(page: Browser):
    other = SimulatedExchange(page=True)
    assert other._page is not None
    assert other._page.token != await page.token()


# --- it disturbs nobody ----------------------------------------------------------------------


async def test_without_being_asked_for_there_is_no_page(
    exchange: SimulatedExchange, ask: Callable[..., Any]
):
    reply = await ask(exchange, "/")
    assert reply.status == 404
    assert reply.code == 404
    assert len(exchange.log) == 1


async def test_the_page_is_in_no_log_and_meets_no_fault(page: Browser):
    page.exchange.outage = True
    page.exchange.fail_next(1, Fault.reset())
    page.exchange.chaos(1.0)
    assert (await page.get("/"))[0] == 200
    assert (await page.state())["outage"]
    assert page.exchange.log == []


# --- what it is told -------------------------------------------------------------------------


async def test_balances_of_users_and_sub_accounts(page: Browser):
    account = page.exchange.account()
    page.exchange.account(f"{account.user_id}/trading1").set_balances({"ETH": "2.50"})
    main, sub = (await page.state())["users"]
    assert (main["uid"], main["main"]) == (account.user_id, None)
    assert {"ccy": "USDT", "funding": "800", "trading": "400"} in main["balances"]
    assert (sub["name"], sub["main"]) == ("trading1", account.user_id)
    assert sub["balances"] == [{"ccy": "ETH", "funding": "2.5", "trading": "0"}]


async def test_arrivals_come_once_and_again_after_a_reset(page: Browser, call: Callable[..., Any]):
    await call(page.exchange, "get_balances")
    first = await page.state()
    assert [it["endpoint"] for it in first["arrivals"]] == ["get_balances"]
    await call(page.exchange, "get_currencies")
    second = await page.state(first["next"], first["epoch"])
    assert [(it["number"], it["endpoint"]) for it in second["arrivals"]] == [(2, "get_currencies")]
    page.exchange.reset()
    await call(page.exchange, "get_bills")
    third = await page.state(second["next"], second["epoch"])
    assert third["epoch"] != second["epoch"]
    assert [it["endpoint"] for it in third["arrivals"]] == ["get_bills"]


async def test_a_refusal_says_which_limit_it_broke(page: Browser, call: Callable[..., Any]):
    page.exchange.spend("get_balances", n=6)
    code, _ = await call(page.exchange, "get_balances")
    assert code == "50011"
    state = await page.state()
    (arrival,) = state["arrivals"]
    assert (arrival["refused"], arrival["reason"]) == (True, "above the limit of 6 per 1 s")
    (lane,) = arrival["lanes"]
    assert state["lanes"][lane]["limit"] == "6 per 1 s"
    assert state["refused"] == 1


async def test_a_limit_by_currency_has_a_lane_for_each(page: Browser, call: Callable[..., Any]):
    for ccy in ("BTC", "ETH", "BTC"):
        await call(page.exchange, "funds_transfer", ccy=ccy, amt="0.1", from_="6", to="18")
    state = await page.state()
    assert sorted(it["of"] for it in state["lanes"].values()) == ["BTC", "ETH"]
    assert [it["amount"] for it in state["movements"]] == ["0.1", "0.1", "0.1"]


async def test_errors_and_faults_say_what_they_are(page: Browser, call: Callable[..., Any]):
    page.exchange.fail_next(1, Fault.code("50026"))
    await call(page.exchange, "get_balances")
    await call(page.exchange, "get_deposit_address", ccy="NOPE")
    fault, error = (await page.state())["arrivals"]
    assert (fault["fault"], fault["reason"]) == ("code 50026 as 500", "System error.")
    assert (error["code"], error["fault"]) == ("58006", None)
    assert error["reason"].startswith("Service unavailable for token")


async def test_nothing_secret_is_told(page: Browser, call: Callable[..., Any]):
    api_key, secret_key, passphrase = page.exchange.credentials.reveal()
    _, (made,) = await call(
        page.exchange, "create_subaccount_apikey",
        subAcct="trading1", label="x", passphrase="Unheard-Of-1",
    )  # fmt: skip
    text = json.dumps(await page.state()) + (await page.get("/"))[2]
    for secret in (api_key, secret_key, passphrase, "Unheard-Of-1", made["secretKey"]):
        assert str(secret) not in text


async def test_a_path_that_is_no_endpoint_is_shown_too(page: Browser, ask: Callable[..., Any]):
    await ask(page.exchange, "/api/v5/%3Cscript%3E")
    (arrival,) = (await page.state())["arrivals"]
    assert (arrival["status"], arrival["lanes"]) == (404, [])


# --- what its buttons do ---------------------------------------------------------------------


async def credit(page: Browser, **changes: str) -> tuple[int, Any]:
    wanted = {
        "user": page.exchange.user_ids[0], "ccy": "BTC", "chain": "BTC-Bitcoin", "amt": "0.25",
        "pending": "false",
    }  # fmt: skip
    return await page.act("deposit", **wanted | changes)


async def test_a_deposit_is_credited(page: Browser):
    status, said = await credit(page)
    assert (status, said) == (200, {"done": "A deposit of 0.25 BTC is credited."})
    assert page.exchange.account().balance("BTC") == Decimal("0.75")


async def test_a_deposit_that_arrives_is_confirmed_then_unlocked(page: Browser):
    account = page.exchange.account()
    await credit(page, pending="true")
    assert account.balance("BTC") == Decimal("0.5")
    (row,) = (await page.state())["open"]
    record = {name: row[name] for name in ("kind", "id", "user")}
    assert (row["next"], row["can_fail"]) == ("Confirm", True)
    await page.act("next", **record)
    assert account.balance("BTC") == Decimal("0.75")
    (row,) = (await page.state())["open"]
    assert (row["next"], row["can_fail"]) == ("Unlock", False)
    await page.act("next", **record)
    state = await page.state()
    assert state["open"] == []
    assert [it["state"] for it in state["closed"]] == ["2"]
    assert (await page.act("next", **record))[0] == 400
    assert account.balance("BTC") == Decimal("0.75")


async def test_a_frozen_deposit_is_released_once(page: Browser):
    account = page.exchange.account()
    await credit(page, pending="true")
    (row,) = (await page.state())["open"]
    record = {name: row[name] for name in ("kind", "id", "user")}
    await page.act("fail", **record)
    page.exchange.advance(hours=1)
    assert account.balance("BTC") == Decimal("0.5")
    (row,) = (await page.state())["open"]
    assert (row["next"], row["can_fail"]) == ("Release", False)
    await page.act("next", **record)
    assert account.balance("BTC") == Decimal("0.75")


async def withdraw(page: Browser, call: Callable[..., Any]) -> dict[str, str]:
    code, (row,) = await call(
        page.exchange, "withdrawal", ccy="USDT", amt="100", dest="4", chain="USDT-ERC20",
        toAddr=page.exchange.account().address, clientId="w1",
    )  # fmt: skip
    assert code == "0"
    return {"kind": "withdrawal", "id": row["wdId"], "user": page.exchange.user_ids[0]}


async def test_a_withdrawal_goes_from_state_to_state(page: Browser, call: Callable[..., Any]):
    record = await withdraw(page, call)
    buttons = []
    while rows := (await page.state())["open"]:
        buttons.append(rows[0]["next"])
        assert (await page.act("next", **record))[0] == 200
    assert buttons == ["Approve", "Broadcast", "Confirm"]
    assert page.exchange.account().withdrawals[0].state == "2"
    page.exchange.ledger.check()


async def test_a_withdrawal_that_fails_gives_the_money_back(
    page: Browser, call: Callable[..., Any]
):
    record = await withdraw(page, call)
    assert page.exchange.account().balance("USDT") == Decimal("698.5")
    assert (await page.act("fail", **record))[0] == 200
    assert page.exchange.account().balance("USDT") == Decimal(800)
    assert (await page.state())["movements"][0]["undone"]
    assert (await page.act("fail", **record))[0] == 400


async def test_a_chain_is_suspended_and_resumed(page: Browser):
    def works(state: Any) -> Any:
        return {it["chain"]: it["works"] for it in state["chains"]}

    await page.act("chain", chain="USDT-TRC20", works="false")
    assert not works(await page.state())["USDT-TRC20"]
    await page.act("chain", chain="USDT-TRC20", works="true")
    assert all(works(await page.state()).values())


@pytest.mark.parametrize("carried_out", ["true", "false"])
async def test_the_next_answer_is_lost(page: Browser, call: Callable[..., Any], carried_out: str):
    await page.act("lose", endpoint="funds_transfer", carried_out=carried_out)
    (coming,) = (await page.state())["ordered"]
    assert coming["endpoint"] == "funds_transfer"
    with pytest.raises(ConnectionResetError):
        await call(page.exchange, "funds_transfer", ccy="USDT", amt="1", from_="6", to="18")
    assert len(page.exchange.movements) == (carried_out == "true")
    assert (await page.state())["ordered"] == []


async def test_connections_are_dropped_after_the_button_was_answered(page: Browser):
    gone = (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    async with aiohttp.ClientSession() as bot, bot.ws_connect(page.exchange.ws_url) as socket:
        status, said = await page.act("drop")
        assert (status, said) == (
            200,
            {"done": "All connections are dropped, 1 of them a WebSocket."},
        )
        assert (await socket.receive()).type in gone
    assert (await page.get("/"))[0] == 200


async def test_an_outage_begins_and_ends_and_faults_are_cleared(page: Browser):
    await page.act("outage", on="true")
    assert page.exchange.outage
    await page.act("outage", on="false")
    assert not page.exchange.outage
    await page.act("lose", endpoint="", carried_out="true")  # type: ignore[unreachable]
    await page.act("calm")
    assert (await page.state())["ordered"] == []


async def test_the_clock_is_advanced(page: Browser):
    await credit(page, pending="true")
    await page.act("advance", seconds="3600")
    state = await page.state()
    assert (state["advanced"], state["open"]) == (3600, [])
    assert page.exchange.account().balance("BTC") == Decimal("0.75")


@pytest.mark.parametrize(
    "wanted",
    [
        {"do": "nothing"},
        {"do": "deposit", "user": "nobody", "ccy": "BTC", "amt": "1"},
        {"do": "deposit", "user": "", "ccy": "NOPE", "amt": "1"},
        *(
            {"do": "deposit", "amt": amt, "ccy": "BTC"}
            for amt in ("", "x", "0", "-1", "NaN", "1e99")
        ),
        {"do": "next", "kind": "deposit", "id": "1"},
        {"do": "chain", "chain": "NOPE"},
        {"do": "lose", "endpoint": "nope"},
        *({"do": "advance", "seconds": seconds} for seconds in ("", "x", "0", "-1", "nan", "inf")),
    ],
    ids=str,
)
async def test_what_can_not_be_done_is_said(page: Browser, wanted: dict[str, str]):
    user = page.exchange.user_ids[0]
    status, said = await page.act(**{"user": user} | wanted)
    assert status == 400
    assert said["error"].endswith(".") or "no endpoint is called" in said["error"]
    assert page.exchange.account().deposits == []


async def test_a_body_that_is_no_object_is_refused(page: Browser):
    headers = {"X-Page-Token": await page.token()}
    for body in (b"", b"[1]", b"{", b"\xff"):
        async with page.session.post(
            page.exchange.base_url + ACT, data=body, headers=headers
        ) as reply:
            assert reply.status == 400
