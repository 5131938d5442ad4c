"""A withdrawal held against OKX's tables before it is sent: each rule by its name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from okx_funding.api.assets import Balance, Currency, NonTradableAsset
from okx_funding.errors import InvalidArgumentError, RequestTimeoutError
from okx_funding.money import Done, NotDone
from tests.support import failure_of

from .exchange import Client, Exchange, Port

pytestmark = pytest.mark.looptime

USDT = Currency(
    ccy="USDT", chain="USDT-ERC20", can_dep=True, can_wd=True, can_internal=True,
    min_wd=Decimal(2), max_wd=Decimal(1000), min_internal=Decimal("0.1"), wd_tick_sz=6,
    fee=Decimal(1), need_tag=False,
)  # fmt: skip
CELT = NonTradableAsset(
    ccy="CELT", name="", logo_link="", bal=Decimal(50), can_wd=True, chain="CELT-OKTC",
    min_wd=Decimal(1), wd_all=False, fee=Decimal("0.2"), fee_ccy="USDT", burning_fee_rate=None,
    ct_addr="", wd_tick_sz=8, need_tag=False,
)  # fmt: skip


def balance(ccy: str, amount: str) -> Balance:
    return Balance(ccy=ccy, bal=Decimal(amount), frozen_bal=Decimal(0), avail_bal=Decimal(amount))


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(
        tables={
            "get_currencies": [USDT],
            "get_non_tradable_assets": [CELT],
            "get_balances": [balance("USDT", "100")],
        }
    )


@pytest.fixture
def client(exchange: Exchange) -> Client:
    return Client(Port(exchange))


async def withdraw(client: Client, amt: str = "10", ccy: str = "USDT", **options: Any) -> Any:
    chain = {"USDT": "USDT-ERC20", "CELT": "CELT-OKTC"}[ccy]
    given = {"dest": "4", "to_addr": "0xabc", "chain": chain, **options}
    return await client.withdrawal(ccy, amt, **given)


@pytest.mark.parametrize(
    ("change", "options", "rule"),
    [
        ({}, {"chain": "USDT-Nowhere"}, "chain"),
        ({"can_wd": False}, {}, "canWd"),
        ({}, {"amt": "1"}, "minWd"),
        ({}, {"amt": "1001"}, "maxWd"),
        ({}, {"amt": "3.1234567"}, "wdTickSz"),
        ({}, {"max_fee": "0.99"}, "max_fee"),
        ({"fee": None}, {"max_fee": "0.99"}, "max_fee"),
        ({"need_tag": True}, {}, "needTag"),
        ({"need_tag": True}, {"to_addr": "0xabc:"}, "needTag"),
        ({}, {"amt": "99.5"}, "balance"),
        ({"can_internal": False}, {"dest": "3"}, "canInternal"),
        ({}, {"dest": "3", "amt": "0.05"}, "minInternal"),
        ({}, {"dest": "3", "amt": "0.123456789"}, "wdTickSz"),
        ({}, {"dest": "3", "amt": "101"}, "balance"),
    ],
)
async def test_a_broken_rule_is_named_and_nothing_is_sent(
    exchange: Exchange, client: Client, change: dict[str, Any], options: dict[str, Any], rule: str
):
    exchange.tables["get_currencies"] = [msgspec.structs.replace(USDT, **change)]

    error = await failure_of(withdraw(client, **options), InvalidArgumentError)

    assert f": {rule}: " in str(error)
    assert not exchange.requests


@pytest.mark.parametrize(
    ("change", "options", "rule"),
    [
        ({"can_wd": False}, {}, "canWd"),
        ({}, {"amt": "0.5"}, "minWd"),
        ({}, {"max_fee": "0.1"}, "max_fee"),
        ({"need_tag": True}, {}, "needTag"),
        ({"wd_all": True}, {}, "wdAll"),
        ({}, {"amt": "51"}, "balance"),
        ({"fee": Decimal(101)}, {}, "balance"),
    ],
)
async def test_a_broken_rule_of_a_non_tradable_asset_is_named(
    exchange: Exchange, client: Client, change: dict[str, Any], options: dict[str, Any], rule: str
):
    exchange.tables["get_non_tradable_assets"] = [msgspec.structs.replace(CELT, **change)]

    error = await failure_of(withdraw(client, ccy="CELT", **options), InvalidArgumentError)

    assert f": {rule}: " in str(error)
    assert not exchange.requests


@pytest.mark.parametrize(
    "options",
    [
        {}, {"amt": "99"}, {"amt": "2"}, {"max_fee": "1"}, {"dest": "3", "amt": "100"},
        {"amt": "3.1230000"}, {"ccy": "CELT"}, {"ccy": "CELT", "amt": "50"},
        {"to_addr": "kaspa:qq1"},
    ],
)  # fmt: skip
async def test_what_keeps_all_rules_is_sent(
    exchange: Exchange, client: Client, options: dict[str, Any]
):
    row = await withdraw(client, **options)

    assert row.wd_id == exchange.movements[0].ident


async def test_a_broken_rule_leaves_the_client_id_unused(exchange: Exchange, client: Client):
    await failure_of(withdraw(client, "1", client_id="payout1"), InvalidArgumentError)

    assert (await withdraw(client, "10", client_id="payout1")).client_id == "payout1"


async def test_a_row_that_cannot_be_had_is_not_done(exchange: Exchange, client: Client):
    del exchange.tables["get_currencies"]
    exchange.read_faults.append(RequestTimeoutError("no answer"))
    intent = client.prepare_withdrawal("USDT", 10, dest="4", to_addr="0xabc", chain="USDT-ERC20")

    outcome = await client.submit(intent)

    assert isinstance(outcome, NotDone)
    assert outcome.reason == "never sent"
    assert outcome.error.repeat_is_safe is True
    assert not exchange.requests


async def test_the_check_can_be_left_out(exchange: Exchange, client: Client):
    await withdraw(client, "1", check=False)

    assert len(exchange.movements) == 1
    assert not exchange.reads


async def test_the_check_can_be_run_alone(exchange: Exchange, client: Client):
    intent = client.prepare_withdrawal("USDT", 1, dest="4", to_addr="0xabc", chain="USDT-ERC20")

    await failure_of(client.check_withdrawal(intent), InvalidArgumentError)
    assert isinstance(await client.submit(intent, check=False), Done)
