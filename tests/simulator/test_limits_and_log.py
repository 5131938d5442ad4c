"""Limits are counted at arrival, for each user and endpoint, and the log remembers."""

from __future__ import annotations

import asyncio

import pytest

from okx_funding.api.spec import RateLimit
from okx_funding.auth.credentials import Credentials
from okx_funding.simulator import Fault, SimulatedExchange, TokenBucketJudge
from okx_funding.simulator.arrivals import busiest_window, utilisation

ASSETS = "/api/v5/asset/non-tradable-assets"
VALUATION = "/api/v5/asset/asset-valuation"
CONFIG = "/api/v5/account/config"
TIME = "/api/v5/public/time"

pytestmark = pytest.mark.looptime


async def codes(ask, exchange, n, target=ASSETS, **kwargs):
    return [(await ask(exchange, target, **kwargs)).code for _ in range(n)]


async def test_the_seventh_request_in_a_second_is_refused(exchange, ask):
    assert await codes(ask, exchange, 7) == ["0"] * 6 + ["50011"]


async def test_a_refusal_is_429_without_data(exchange, ask):
    await codes(ask, exchange, 6)
    reply = await ask(exchange)
    assert (reply.status, reply.json) == (429, {"msg": "Too Many Requests", "code": "50011"})


async def test_after_a_period_the_limit_is_free_again(exchange, ask):
    await codes(ask, exchange, 6)
    await asyncio.sleep(1.0)
    assert await codes(ask, exchange, 7) == ["0"] * 6 + ["50011"]


async def test_each_endpoint_has_its_own_limit(exchange, ask):
    assert await codes(ask, exchange, 2, VALUATION) == ["0", "50011"]
    assert await codes(ask, exchange, 1) == ["0"]
    assert await codes(ask, exchange, 6, CONFIG) == ["0"] * 5 + ["50011"]
    assert await codes(ask, exchange, 11, TIME) == ["0"] * 10 + ["50011"]


async def test_keys_of_one_user_share_a_limit_and_users_dont(ask):
    one, two = (Credentials(name, "s", "p", user_id="42") for name in ("one", "two"))
    other = Credentials("other", "s", "p", user_id="43")
    async with SimulatedExchange(users=[one, two, other]) as exchange:
        assert await codes(ask, exchange, 4, credentials=one) == ["0"] * 4
        assert await codes(ask, exchange, 3, credentials=two) == ["0", "0", "50011"]
        assert await codes(ask, exchange, 6, credentials=other) == ["0"] * 6


async def test_without_a_user_id_the_key_stands_in(ask):
    one, two = (Credentials(name, "s", "p") for name in ("one", "two"))
    async with SimulatedExchange(users=[one, two]) as exchange:
        assert exchange.user_ids == ["one", "two"]
        assert await codes(ask, exchange, 6, credentials=one) == ["0"] * 6
        assert await codes(ask, exchange, 6, credentials=two) == ["0"] * 6


async def test_public_time_is_counted_by_address(ask):
    one, two = (Credentials(name, "s", "p") for name in ("one", "two"))
    async with SimulatedExchange(users=[one, two]) as exchange:
        assert await codes(ask, exchange, 10, TIME, credentials=one) == ["0"] * 10
        assert await codes(ask, exchange, 1, TIME, credentials=two) == ["50011"]
        assert exchange.busiest_window("get_system_time") == 11


async def test_a_wrongly_signed_request_is_not_charged(exchange, ask):
    wrong = {"OK-ACCESS-SIGN": "AAAA"}
    assert await codes(ask, exchange, 7, headers=wrong) == ["50113"] * 7
    assert await codes(ask, exchange, 6) == ["0"] * 6
    assert exchange.busiest_window("get_non_tradable_assets") == 6


async def test_limits_can_be_overridden(ask):
    async with SimulatedExchange(limits={"get_asset_valuation": RateLimit(2, 5.0)}) as exchange:
        assert await codes(ask, exchange, 3, VALUATION) == ["0", "0", "50011"]
        assert exchange.limit("get_asset_valuation") == RateLimit(2, 5.0)


def test_a_limit_for_an_unknown_endpoint_is_refused():
    with pytest.raises(ValueError, match="'get_assets'.*get_non_tradable_assets"):
        SimulatedExchange(limits={"get_assets": RateLimit(1)})


def test_an_unknown_judge_is_refused_at_once():
    with pytest.raises(ValueError, match="no judge"):
        SimulatedExchange(judge="harsh")


@pytest.mark.parametrize("judge", ["token-bucket", TokenBucketJudge])
async def test_the_judge_is_a_setting(ask, judge):
    async with SimulatedExchange(judge=judge) as exchange:
        assert await codes(ask, exchange, 6) == ["0"] * 6
        await asyncio.sleep(0.2)
        assert await codes(ask, exchange, 2) == ["0", "50011"]


async def test_latency_is_taken_each_way_and_counted_between(exchange, ask):
    exchange.latency = 0.25
    now = asyncio.get_running_loop().time
    start = now()
    await ask(exchange)
    assert exchange.log[-1].at - start == pytest.approx(0.25)
    assert now() - start == pytest.approx(0.5)


async def test_jitter_reorders_and_repeats_by_seed(ask):
    async def arrivals(seed):
        async with SimulatedExchange(jitter=0.1, seed=seed) as exchange:
            start = asyncio.get_running_loop().time()
            await asyncio.gather(*(ask(exchange, f"{ASSETS}?ccy=C{n}") for n in range(6)))
            return [(round(a.at - start, 4), a.keys) for a in exchange.log]

    first = await arrivals(1)
    assert first == await arrivals(1)
    assert first != await arrivals(2)
    assert [keys for _, keys in first] != [(f"C{n}",) for n in range(6)]
    assert all(0 <= at <= 0.1 for at, _ in first)


async def test_a_request_whose_client_left_on_the_way_still_arrives(exchange, ask):
    exchange.latency = 1.0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(exchange), 0.5)
    await asyncio.sleep(1.0)
    assert len(exchange.requests("get_non_tradable_assets")) == 1


async def test_the_log_tells_who_asked_for_what_and_what_became_of_it(exchange, ask):
    await ask(exchange, f"{ASSETS}?ccy=CELT,NOPE")
    arrival = exchange.log[-1]
    assert (arrival.endpoint, arrival.keys) == ("get_non_tradable_assets", ("CELT", "NOPE"))
    assert arrival.user == exchange.credentials.user_id
    assert (arrival.status, arrival.code, arrival.refused) == (200, "0", False)
    assert (arrival.method, arrival.target) == ("GET", f"{ASSETS}?ccy=CELT,NOPE")
    assert arrival.at == asyncio.get_running_loop().time()


async def test_requests_selects_by_endpoint_and_user(ask):
    one, two = (Credentials(name, "s", "p") for name in ("one", "two"))
    async with SimulatedExchange(users=[one, two]) as exchange:
        await codes(ask, exchange, 2, credentials=one)
        await codes(ask, exchange, 1, credentials=two)
        await codes(ask, exchange, 1, VALUATION, credentials=two)
        assert len(exchange.requests()) == 4
        assert len(exchange.requests("get_non_tradable_assets")) == 3
        assert len(exchange.requests(user="two")) == 2
        assert len(exchange.requests("get_asset_valuation", "one")) == 0


async def test_refused_ones_are_listed_and_count_as_arrivals(exchange, ask):
    await codes(ask, exchange, 8)
    assert len(exchange.refused) == 2
    assert exchange.busiest_window("get_non_tradable_assets") == 8
    assert exchange.utilisation("get_non_tradable_assets") == 1.0


async def test_another_program_can_spend_the_same_limit(exchange, ask):
    assert exchange.spend("get_non_tradable_assets", n=4) == 4
    assert await codes(ask, exchange, 3) == ["0", "0", "50011"]
    assert len(exchange.log) == 3


async def test_reset_forgets_history_and_keeps_users(exchange, ask):
    await codes(ask, exchange, 7)
    exchange.reset()
    assert exchange.log == []
    assert await codes(ask, exchange, 6) == ["0"] * 6


async def test_the_log_is_bounded_and_the_counts_are_not(ask):
    async with SimulatedExchange(log_size=3) as exchange:
        await codes(ask, exchange, 7)
        assert len(exchange.log) == 3
        assert "7 requests, 1 refused" in repr(exchange)


async def test_nothing_secret_is_logged_or_shown(ask):
    user = Credentials("key-canary", "secret-canary", "pass-canary", user_id="42")
    async with SimulatedExchange(users=[user]) as exchange:
        await ask(exchange)
        await ask(exchange, headers={"OK-ACCESS-SIGN": "AAAA"})
        shown = repr([exchange, exchange.log, exchange.key(), exchange.account()])
        assert "secret-canary" not in shown
        assert "pass-canary" not in shown


async def test_asyncios_debug_log_shows_no_secret_either(ask, caplog):
    user = Credentials("key", "secret-canary", "pass-canary", user_id="42")
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    with caplog.at_level("DEBUG"):
        async with SimulatedExchange(users=[user], latency=0.1) as exchange:
            exchange.fail_next(1, Fault.drip(0.2))
            await ask(exchange)
            await ask(exchange)
    assert "Connection" in caplog.text
    assert "canary" not in caplog.text


def test_busiest_window_is_half_open():
    assert busiest_window([], 1.0) == 0
    assert busiest_window([0.0, 0.5, 1.0], 1.0) == 2
    assert busiest_window([0.0, 0.0, 0.2, 5.0, 5.1, 5.2, 5.9], 1.0) == 4


def test_full_bursts_use_all_of_the_limit():
    assert utilisation([0.0] * 6 + [1.0] * 6 + [2.0] * 6, 6, 1.0) == 1.0
    assert utilisation([0.0] * 6 + [1.0] * 3, 6, 1.0) == 0.75
    assert utilisation([], 6, 1.0) == 0.0


# --- limits of several kinds -------------------------------------------------------------------

PAIR = {"side": "buy", "rfqSz": "30", "rfqSzCcy": "USDT"}
TO_TRADING = {"amt": "0.001", "from_": "6", "to": "18"}


async def all_codes(call, exchange, endpoint, *bodies):
    return [(await call(exchange, endpoint, **body))[0] for body in bodies]


async def test_transfers_are_counted_by_user_and_currency(exchange, call):
    btc, eth = ({"ccy": ccy, **TO_TRADING} for ccy in ("BTC", "ETH"))
    assert await all_codes(call, exchange, "funds_transfer", btc, btc, btc) == ["0", "0", "50011"]
    assert await all_codes(call, exchange, "funds_transfer", eth, eth, eth) == ["0", "0", "50011"]
    assert len(exchange.movements) == 4


async def test_quotes_have_two_limits_at_once(exchange, call):
    def quotes(*bases):
        return [{"baseCcy": base, "quoteCcy": "USDT", **PAIR} for base in bases]

    assert await all_codes(call, exchange, "estimate_quote", *quotes("BTC", "BTC")) == [
        "0",
        "50011",
    ]
    assert await all_codes(call, exchange, "estimate_quote", *quotes("ETH")) == ["0"]
    await asyncio.sleep(1)
    assert await all_codes(call, exchange, "estimate_quote", *quotes("BTC")) == ["50011"]
    await asyncio.sleep(4)
    assert await all_codes(call, exchange, "estimate_quote", *quotes("BTC")) == ["0"]
    many = [{"baseCcy": f"C{n}", "quoteCcy": "USDT", **PAIR} for n in range(10)]
    await asyncio.sleep(1)
    codes_ = await all_codes(call, exchange, "estimate_quote", *many, *quotes("ETH"))
    assert codes_ == ["51000"] * 10 + ["50011"]


async def test_a_pair_is_one_in_either_order(exchange, call):
    there = {"baseCcy": "BTC", "quoteCcy": "USDT", **PAIR}
    back = {"baseCcy": "USDT", "quoteCcy": "BTC", **PAIR}
    assert await all_codes(call, exchange, "estimate_quote", there, back) == ["0", "50011"]


async def test_trades_are_counted_by_side_too(exchange, call):
    order = {"quoteId": "x", "baseCcy": "BTC", "quoteCcy": "USDT", "sz": "1", "szCcy": "BTC"}
    buy, sell = ({**order, "side": side} for side in ("buy", "sell"))
    found = await all_codes(call, exchange, "convert_trade", buy, buy, sell, sell)
    assert found == ["51000", "50011", "51000", "50011"]


async def test_monthly_statements_are_a_months_quota(exchange, call):
    january = {"month": "Jan"}
    found = await all_codes(call, exchange, "apply_monthly_statement", *[january] * 21)
    assert found == ["0"] * 20 + ["50011"]
    await asyncio.sleep(86_400)
    assert await all_codes(call, exchange, "apply_monthly_statement", january) == ["50011"]
    exchange.advance(hours=31 * 24)
    assert await all_codes(call, exchange, "apply_monthly_statement", january) == ["0"]


async def test_sub_accounts_have_limits_of_their_own(ask):
    main, bot = (Credentials(name, "s", "p", user_id=name) for name in ("1", "2"))
    async with SimulatedExchange([main]) as exchange:
        exchange.account().add_sub_account("bot1", bot)
        assert await codes(ask, exchange, 7) == ["0"] * 6 + ["50011"]
        assert await codes(ask, exchange, 7, credentials=bot) == ["0"] * 6 + ["50011"]


async def test_several_limits_can_be_overridden_at_once(ask):
    both = [RateLimit(3, 1.0), RateLimit(4, 10.0)]
    async with SimulatedExchange(limits={"get_balances": both}) as exchange:
        target = "/api/v5/asset/balances"
        assert await codes(ask, exchange, 4, target) == ["0"] * 3 + ["50011"]
        await asyncio.sleep(1)
        assert await codes(ask, exchange, 2, target) == ["0", "50011"]


async def test_spending_by_currency_leaves_the_others(exchange, call):
    assert exchange.spend("funds_transfer", n=3, params={"ccy": "BTC"}) == 2
    btc, eth = ({"ccy": ccy, **TO_TRADING} for ccy in ("BTC", "ETH"))
    assert await all_codes(call, exchange, "funds_transfer", btc, eth) == ["50011", "0"]
