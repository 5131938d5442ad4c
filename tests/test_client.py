"""Both endpoints at the simulated exchange: who gets which rows, for how many requests."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from okx_funding import Credentials, FundingClient, InvalidArgumentError, RateLimit
from okx_funding.api import AssetValuation, ValuationDetails
from okx_funding.api.assets import VALUATION_UNITS
from okx_funding.simulator import SimulatedExchange
from tests.support import ASSETS, VALUATION, assets, at_exchange, row, someone, virtually

pytestmark = pytest.mark.looptime


def asked(exchange):
    """The currencies of each request, in order."""
    return [arrival.keys for arrival in exchange.requests(ASSETS)]


# -- rows -------------------------------------------------------------------------------------


async def test_the_documented_assets_arrive_to_the_last_digit():
    async with at_exchange() as (exchange, client):
        celt, meme = await client.get_non_tradable_assets(ccy=["CELT", "MEME"])
        assert [celt, meme] == assets(exchange.account().assets, "CELT", "MEME")
    assert celt.bal == Decimal("989.84719571")
    assert (celt.fee, celt.fee_ccy, celt.burning_fee_rate) == (Decimal(2), "USDT", None)
    assert (celt.wd_tick_sz, celt.ct_addr, celt.need_tag) == (8, "f403fb", False)
    assert meme.name == "MEME Inu"


async def test_rows_come_in_the_callers_order_and_not_in_the_exchanges():
    async with at_exchange() as (exchange, client):
        wanted = random.Random(3).sample(exchange.currencies, 18)
        rows = await client.get_non_tradable_assets(ccy=wanted)
        assert rows == assets(exchange.account().assets, *wanted)
        assert wanted != sorted(wanted, key=exchange.currencies.index)


async def test_rows_of_one_currency_keep_the_exchanges_order():
    async with at_exchange() as (exchange, client):
        exchange.account().assets = [
            row("TWO", chain="TWO-Z"),
            row("ONE", chain="ONE-A"),
            row("TWO", chain="TWO-A"),
            row("TWO", chain="TWO-M"),
        ]
        rows = await client.get_non_tradable_assets(ccy=["ONE", "TWO"])
    assert [each.chain for each in rows] == ["ONE-A", "TWO-Z", "TWO-A", "TWO-M"]


async def test_a_currency_without_rows_contributes_none():
    async with at_exchange() as (_, client):
        rows = await client.get_non_tradable_assets(ccy=["NOBODY", "MEME", "NEITHER"])
        assert [each.ccy for each in rows] == ["MEME"]
        assert await client.get_non_tradable_assets(ccy="NOBODY") == []


async def test_none_asks_for_all_in_one_request_without_a_query():
    async with at_exchange() as (exchange, client):
        rows = await client.get_non_tradable_assets()
        assert rows == assets(exchange.account().assets)
        assert [each.target for each in exchange.log] == ["/api/v5/asset/non-tradable-assets"]


async def test_a_str_is_one_currency():
    async with at_exchange() as (exchange, client):
        rows = await client.get_non_tradable_assets("CELT")
        assert [each.ccy for each in rows] == ["CELT"]
        assert [each.target for each in exchange.log] == [
            "/api/v5/asset/non-tradable-assets?ccy=CELT"
        ]


@pytest.mark.parametrize(
    "make",
    [list, tuple, iter, dict.fromkeys, lambda names: (name for name in names), lambda n: n],
    ids=["list", "tuple", "iterator", "dict keys", "generator", "keys view"],
)
async def test_any_iterable_of_currencies_will_do(make):
    given = make({"MEME": 1, "CELT": 2}.keys())
    if isinstance(given, dict):
        given = given.keys()
    async with at_exchange() as (_, client):
        rows = await client.get_non_tradable_assets(ccy=given)
    assert [each.ccy for each in rows] == ["MEME", "CELT"]


@pytest.mark.parametrize("nothing", [[], (), set(), iter(()), "".split()])
async def test_an_empty_iterable_is_an_empty_list_and_no_request(nothing):
    async with at_exchange() as (exchange, client):
        assert await client.get_non_tradable_assets(ccy=nothing) == []
        assert exchange.log == []


async def test_a_currency_given_twice_is_sent_once_and_answered_once():
    async with at_exchange() as (exchange, client):
        rows = await client.get_non_tradable_assets(ccy=["MEME", "CELT", "MEME", "CELT"])
        assert [each.ccy for each in rows] == ["MEME", "CELT"]
        assert asked(exchange) == [("MEME", "CELT")]


async def test_spellings_of_one_currency_count_once_within_a_call():
    async with at_exchange() as (exchange, client):
        rows = await client.get_non_tradable_assets(ccy=["celt", "CELT", "Celt", "MEME"])
        assert [each.ccy for each in rows] == ["CELT", "MEME"]
        assert asked(exchange) == [("celt", "MEME")]


async def test_rows_are_matched_without_regard_to_case_and_sent_as_given():
    async with at_exchange() as (exchange, client):
        low, high = await asyncio.gather(
            client.get_non_tradable_assets("meme"), client.get_non_tradable_assets("MEME")
        )
        assert low == high == assets(exchange.account().assets, "MEME")
        assert {key for keys in asked(exchange) for key in keys} >= {"meme"}


async def test_rows_that_nobody_asked_for_reach_nobody():
    async with at_exchange() as (_, client):
        one, two = await asyncio.gather(
            client.get_non_tradable_assets("CELT"), client.get_non_tradable_assets("MEME")
        )
    assert ([each.ccy for each in one], [each.ccy for each in two]) == (["CELT"], ["MEME"])


# -- requests ---------------------------------------------------------------------------------


async def test_more_than_twenty_currencies_are_spread_over_requests():
    async with at_exchange() as (exchange, client):
        wanted = exchange.currencies[:45]
        rows = await client.get_non_tradable_assets(ccy=wanted)
        assert rows == assets(exchange.account().assets, *wanted)
        assert [len(keys) for keys in asked(exchange)] == [20, 20, 5]


async def test_one_call_may_ask_for_more_than_a_window_holds():
    async with at_exchange() as (exchange, client):
        wanted = exchange.currencies[:250]
        rows = await client.get_non_tradable_assets(ccy=wanted)
        assert rows == assets(exchange.account().assets, *wanted)
        assert (len(exchange.log), exchange.refused) == (13, [])
        assert exchange.busiest_window(ASSETS) == 6


async def test_callers_of_one_turn_share_a_request():
    async with at_exchange() as (exchange, client):
        wanted = exchange.currencies[:20]
        await asyncio.gather(*(client.get_non_tradable_assets(ccy) for ccy in wanted))
        assert asked(exchange) == [tuple(wanted)]


async def test_what_many_callers_want_is_sent_once():
    async with at_exchange() as (exchange, client):
        answers = await asyncio.gather(
            *(client.get_non_tradable_assets(["CELT", "MEME"]) for _ in range(300))
        )
        assert asked(exchange) == [("CELT", "MEME")]
    assert all(each == answers[0] for each in answers)


async def test_callers_who_share_rows_get_lists_of_their_own():
    async with at_exchange() as (_, client):
        answers = await asyncio.gather(
            *(client.get_non_tradable_assets("CELT") for _ in range(2)),
            *(client.get_non_tradable_assets(["CELT", "MEME"]) for _ in range(2)),
            *(client.get_non_tradable_assets() for _ in range(2)),
        )
    assert len({id(each) for each in answers}) == len(answers)


async def test_clearing_ones_own_list_leaves_the_others_alone():
    async with at_exchange() as (_, client):
        mine, yours = await asyncio.gather(
            client.get_non_tradable_assets("CELT"), client.get_non_tradable_assets("CELT")
        )
    mine.clear()
    assert len(yours) == 1


async def test_an_idle_lane_sends_at_once():
    async with at_exchange() as (exchange, client):
        began = asyncio.get_running_loop().time()
        await client.get_non_tradable_assets("CELT")
        assert exchange.log[0].at == began


async def test_nobody_joins_a_request_that_was_sent():
    async with at_exchange(latency=0.1) as (exchange, client):
        first = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.15)  # read and judged, the answer is on its way back
        exchange.account().set_balance("CELT", "1")
        second = await client.get_non_tradable_assets("CELT")
        assert [each.bal for each in await first] == [Decimal("989.84719571")]
        assert [each.bal for each in second] == [Decimal(1)]
        assert len(exchange.log) == 2


async def test_rows_are_asked_anew_each_time():
    async with at_exchange() as (exchange, client):
        await client.get_non_tradable_assets("CELT")
        await client.get_non_tradable_assets("CELT")
        assert len(exchange.log) == 2


async def test_a_thousand_callers_cost_twenty_requests_and_three_windows():
    chance = random.Random(2)
    async with at_exchange(latency=0.005, jitter=0.005) as (exchange, client):
        listed = exchange.currencies[:400]
        wishes = [chance.sample(listed, chance.randint(1, 3)) for _ in range(1000)]
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers = await asyncio.gather(*map(client.get_non_tradable_assets, wishes))
        seconds = loop.time() - began
        mine = exchange.account().assets
        assert answers == [assets(mine, *wish) for wish in wishes]
        assert len(exchange.requests(ASSETS)) == len(exchange.log) == 20
        assert exchange.refused == []
        assert exchange.busiest_window(ASSETS) <= 6
    assert seconds <= 1.05 * 3


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whoever_comes_whenever_gets_exactly_its_own_rows(data):
    currencies = [f"C{number}" for number in range(60)]
    spelled = st.sampled_from([*currencies, *map(str.lower, currencies), "nothing-here"])
    wishes = data.draw(
        st.lists(
            st.tuples(
                st.floats(0, 3),
                st.none() | spelled | st.lists(spelled, max_size=50),
            ),
            max_size=60,
        )
    )

    async def scene():
        async with at_exchange(latency=0.02, jitter=0.1) as (exchange, client):
            exchange.account().assets = [
                row(ccy, chain=f"{ccy}-{chain}")
                for chain in range(2)
                for ccy in currencies
                if chain == 0 or ccy.endswith("7")
            ]

            async def call(after, ccy):
                await asyncio.sleep(after)
                return await client.get_non_tradable_assets(ccy)

            answers = await asyncio.gather(*(call(*wish) for wish in wishes))
            for (_, ccy), rows in zip(wishes, answers, strict=True):
                names = [ccy] if isinstance(ccy, str) else ccy
                if names == []:
                    assert rows == []
                    continue
                once = list(dict.fromkeys(name.upper() for name in names or ()))
                assert rows == assets(exchange.account().assets, *once)
            assert exchange.refused == []

    virtually(scene())


# -- valuation --------------------------------------------------------------------------------


async def test_the_documented_valuation_arrives_to_the_last_digit():
    async with at_exchange() as (_, client):
        valuation = await client.get_asset_valuation(ccy="USDT")
    assert valuation == AssetValuation(
        total_bal=Decimal("3790.09"),
        ts=valuation.ts,
        details=ValuationDetails(
            funding=Decimal("0.09"),
            trading=Decimal("2544.28"),
            earn=Decimal("1122.73"),
            classic=Decimal("124.6"),
        ),
        ccy="USDT",
    )


async def test_a_valuation_tells_the_exchanges_time():
    async with at_exchange() as (exchange, client):
        exchange.clock_skew = 7.0
        before = datetime.now(UTC)
        valuation = await client.get_asset_valuation()
        after = datetime.now(UTC)
    skew, millisecond = timedelta(seconds=7), timedelta(milliseconds=1)
    assert before + skew - millisecond <= valuation.time <= after + skew


@pytest.mark.parametrize("unit", sorted(VALUATION_UNITS))
async def test_a_valuation_tells_its_unit(unit):
    async with at_exchange() as (exchange, client):
        valuation = await client.get_asset_valuation(unit)
        told = exchange.account().valuation(unit)
    assert (valuation.ccy, valuation.total_bal) == (unit, Decimal(told["totalBal"]))


async def test_no_unit_and_btc_are_one_question():
    async with at_exchange() as (exchange, client):
        nothing, btc = await asyncio.gather(
            client.get_asset_valuation(), client.get_asset_valuation("BTC")
        )
        assert nothing == btc
        assert nothing.ccy == "BTC"
        assert [each.target for each in exchange.log] == ["/api/v5/asset/asset-valuation"]


async def test_callers_of_one_unit_share_a_request():
    async with at_exchange() as (exchange, client):
        answers = await asyncio.gather(*(client.get_asset_valuation("EUR") for _ in range(50)))
        assert len(exchange.log) == 1
    assert len(set(answers)) == 1


async def test_units_are_asked_one_a_second():
    async with at_exchange() as (exchange, client):
        units = ["EUR", "JPY", "USD"]
        valuations = await asyncio.gather(*map(client.get_asset_valuation, units))
        assert [each.ccy for each in valuations] == units
        times = [each.at for each in exchange.log]
        assert [round(time - times[0], 2) for time in times] == [0, 1, 2]
        assert exchange.refused == []


async def test_the_two_endpoints_do_not_wait_for_each_other():
    async with at_exchange() as (exchange, client):
        await asyncio.gather(
            client.get_asset_valuation("EUR"),
            client.get_non_tradable_assets(exchange.currencies[:120]),
        )
        assert len({arrival.at for arrival in exchange.log}) == 1


# -- one user, several clients ------------------------------------------------------------------


def same(credentials):
    return credentials


def another_key(credentials):
    return Credentials("another-key-0001", "s2", "p2", user_id=credentials.user_id)


@pytest.mark.parametrize("second", [same, another_key])
async def test_two_clients_of_one_user_stay_within_the_limit_together(second):
    first_key = someone()
    second_key = second(first_key)
    async with (
        SimulatedExchange(users=[first_key, second_key], latency=0.01) as exchange,
        FundingClient(first_key, base_url=exchange.base_url) as one,
        FundingClient(second_key, base_url=exchange.base_url) as two,
    ):
        listed = exchange.currencies
        mine, yours = await asyncio.gather(
            one.get_non_tradable_assets(listed[:240]), two.get_non_tradable_assets(listed[240:480])
        )
        assert mine + yours == assets(exchange.account().assets, *listed[:480])
        assert (len(exchange.log), exchange.refused) == (24, [])
        assert exchange.busiest_window(ASSETS) == 6


async def test_two_users_do_not_slow_each_other():
    users = [someone(), someone()]
    async with (
        SimulatedExchange(users=users) as exchange,
        FundingClient(users[0], base_url=exchange.base_url) as alice,
        FundingClient(users[1], base_url=exchange.base_url) as bob,
    ):
        loop = asyncio.get_running_loop()
        began = loop.time()
        wanted = exchange.currencies[:240]
        await asyncio.gather(
            alice.get_non_tradable_assets(wanted), bob.get_non_tradable_assets(wanted)
        )
        assert loop.time() - began == pytest.approx(1.0, abs=0.05)
        for user in exchange.user_ids:
            assert len(exchange.requests(ASSETS, user)) == 12
            assert exchange.busiest_window(ASSETS, user) == 6
        assert exchange.refused == []


async def test_demo_and_live_are_limited_apart():
    key = someone()
    async with (
        SimulatedExchange(users=[key]) as exchange,
        FundingClient(key, base_url=exchange.base_url) as live,
        FundingClient(key, base_url=exchange.base_url, demo=True) as demo,
    ):
        await live.get_asset_valuation()
        began = asyncio.get_running_loop().time()
        with pytest.raises(Exception, match="demo"):
            await demo.get_asset_valuation()
        assert asyncio.get_running_loop().time() == began


# -- what may not be given ----------------------------------------------------------------------

BAD_CURRENCIES = [
    "",
    " BTC",
    "BTC ",
    "BTC\r\nX: y",
    "BTC\n",
    "BTC\0",
    "BTC&x=1",
    "BTC%2C",
    "B+C",
    "B/C",
    "BTC?",
    "\uff22\uff34\uff23",
    "₿",
    "🚀",
    "B" * 33,
    "B" * 10_000,
    "BTC,ETH",
    ",",
    b"BTC",
    1,
    1.5,
    True,
    {"BTC": 1},
    object(),
    [""],
    ["BTC", " ETH"],
    ["BTC", None],
    [["BTC"]],
    ["BTC,ETH"],
    [b"BTC"],
    ("BTC", 5),
]


@pytest.mark.parametrize("bad", BAD_CURRENCIES, ids=lambda bad: repr(bad)[:20])
async def test_a_bad_currency_raises_before_anything_is_sent(bad):
    async with at_exchange() as (exchange, client):
        with pytest.raises(InvalidArgumentError, match="ccy") as caught:
            await client.get_non_tradable_assets(bad)
        assert isinstance(caught.value, ValueError)
        assert not caught.value.sent
        assert len(str(caught.value)) < 250
        assert exchange.log == []


async def test_a_comma_list_is_told_to_pass_a_list():
    async with at_exchange() as (_, client):
        with pytest.raises(InvalidArgumentError, match="list"):
            await client.get_non_tradable_assets("BTC,ETH")


async def test_a_bad_currency_is_named_by_its_index():
    async with at_exchange() as (_, client):
        with pytest.raises(InvalidArgumentError, match=r"ccy\[2\]"):
            await client.get_non_tradable_assets(["BTC", "ETH", "D GE"])


async def test_a_bad_currency_spoils_only_the_call_that_named_it():
    async with at_exchange() as (_, client):
        good, bad = await asyncio.gather(
            client.get_non_tradable_assets("CELT"),
            client.get_non_tradable_assets("C LT"),
            return_exceptions=True,
        )
    assert isinstance(bad, InvalidArgumentError)
    assert isinstance(good, list)
    assert [each.ccy for each in good] == ["CELT"]


@given(st.text(max_size=40))
@settings(max_examples=200)
def test_only_the_alphabet_of_currencies_is_ever_let_through(text):
    from okx_funding.api.params import currencies

    allowed = (
        set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-").issuperset(text)
        and 1 <= len(text) <= 32
    )
    try:
        keys = currencies(text)
    except InvalidArgumentError:
        assert not allowed
    else:
        assert allowed
        assert keys == (text,)


@pytest.mark.parametrize("bad", ["JP", "btc", "DOGE", "", "USD ", "USD,EUR", 5, ["USD"], b"USD"])
async def test_an_unknown_unit_raises_before_anything_is_sent(bad):
    async with at_exchange() as (exchange, client):
        with pytest.raises(InvalidArgumentError, match="JPY" if bad == "JP" else "ccy"):
            await client.get_asset_valuation(bad)
        assert exchange.log == []


@pytest.mark.parametrize(
    "bad",
    [
        {"timeout": float("nan")},
        {"timeout": "5"},
        {"timeout": True},
        {"priority": 1.5},
        {"priority": 101},
        {"priority": True},
        {"priority": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", [ASSETS, VALUATION])
async def test_a_bad_timeout_or_priority_raises_before_anything_is_sent(method, bad):
    async with at_exchange() as (exchange, client):
        with pytest.raises(InvalidArgumentError):
            await getattr(client, method)(**bad)
        assert exchange.log == []


@pytest.mark.parametrize(
    "bad",
    [
        {"credentials": "key"},
        {"base_url": "ftp://www.okx.com"},
        {"base_url": "www.okx.com"},
        {"base_url": "https://"},
        {"base_url": "https://www.okx.com/api/v5"},
        {"base_url": "https://www.okx.com?x=1"},
        {"base_url": "https://user:pass@www.okx.com"},
        {"base_url": "https://www.okx.com:port"},
        {"base_url": "https://www.okx.com:99999"},
        {"base_url": "https://www.okx.cøm"},
        {"base_url": 5},
        {"base_url": ""},
        {"base_url": "http://www.okx.com"},
        {"base_url": "http://127.0.0.1.example.com"},
        {"base_url": "http://localhost.example.com"},
        {"request_timeout": 0},
        {"request_timeout": -1},
        {"request_timeout": float("inf")},
        {"request_timeout": float("nan")},
        {"request_timeout": "10"},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retries": True},
        {"max_refusals": 0},
        {"max_queue": 0},
        {"refusal_cooldown": -1},
        {"rate_limits": {"get_everything": RateLimit(1)}},
        {"rate_limits": {ASSETS: 6}},
        {"rate_limits": {ASSETS: (6, 1.0)}},
        {"profile": "no-such-profile"},
    ],
    ids=str,
)
def test_a_client_refuses_what_it_cant_use(bad):
    with pytest.raises(ValueError, match=r".") as caught:
        FundingClient(**{"credentials": someone(), **bad})
    assert isinstance(caught.value, InvalidArgumentError)


@pytest.mark.parametrize(
    "limit", [(0, 1.0), (-1, 1.0), (1.5, 1.0), (True, 1.0), (1, 0), (1, -1.0), (1, float("inf"))]
)
def test_a_rate_limit_refuses_what_is_no_limit(limit):
    with pytest.raises(ValueError, match="RateLimit"):
        RateLimit(*limit)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://WWW.okx.com:443", "https://www.okx.com"),
        (None, "https://www.okx.com"),
    ],
)
def test_these_hosts_are_fine(url, shown):
    assert f" at {shown}>" in repr(FundingClient(someone(), base_url=url))


def test_plain_http_elsewhere_needs_a_word():
    with pytest.raises(InvalidArgumentError, match="allow_http"):
        FundingClient(someone(), base_url="http://exchange.example")
    client = FundingClient(someone(), base_url="http://exchange.example", allow_http=True)
    assert "http://exchange.example" in repr(client)
