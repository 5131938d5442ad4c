"""What may be asked for, and the exact body it becomes."""

from __future__ import annotations

import json
import pickle
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_funding.errors import InvalidArgumentError
from okx_funding.money import Intent, client_id_for
from okx_funding.money.checks import amount

from . import moves
from .exchange import Client, Exchange, Port
from .moves import Prepare

client = Client(Port(Exchange(now=lambda: 1_700_000_000.0)))


@pytest.mark.parametrize(
    ("given_", "sent"),
    [
        (Decimal("1.50"), "1.50"), (Decimal("1E+2"), "100"), (Decimal("1E-8"), "0.00000001"),
        (7, "7"), ("0.1", "0.1"), ("12", "12"),
    ],
)  # fmt: skip
def test_amounts_are_sent_exactly_and_without_an_exponent(given_: Any, sent: str):
    assert moves.transfer(client, given_).body["amt"] == sent


@pytest.mark.parametrize(
    "wrong",
    [
        1.5, True, 0, -1, "0", "0.0", "-1", "+1", "1e5", "1.", ".5", " 1", "1 ", "01", "", "NaN",
        "\u0661", Decimal("NaN"), Decimal("Infinity"), Decimal(-1), Decimal("1E+50"), 10**50,
        None, b"1", "1_000", "1,5",
    ],
)  # fmt: skip
def test_an_amount_that_is_none_is_refused(wrong: Any):
    with pytest.raises(InvalidArgumentError):
        moves.transfer(client, wrong)


@given(st.decimals("1e-20", "1e20", allow_nan=False, places=20))
def test_every_decimal_is_sent_to_the_last_digit(value: Decimal):
    assert Decimal(amount("amt", value)) == value


def test_a_transfer_names_accounts_by_word_or_number():
    named = client.prepare_transfer("USDT", 1, from_="funding", to="trading", client_id="a")
    numbered = client.prepare_transfer("USDT", 1, from_="6", to="18", client_id="a")

    assert named == numbered
    assert named.body == {
        "type": "0", "ccy": "USDT", "amt": "1", "from": "6", "to": "18", "clientId": "a",
    }  # fmt: skip


def test_a_withdrawal_carries_okx_names_and_the_nested_receiver():
    intent = client.prepare_withdrawal(
        "BTC", 1, dest="4", to_addr="bc1:x", chain="BTC-Bitcoin", max_fee="0.1", client_id="w",
        rcvr_info={"walletType": "exchange", "exchId": "0"},
    )  # fmt: skip

    assert intent.max_fee == "0.1"
    assert intent.body == {
        "ccy": "BTC", "amt": "1", "dest": "4", "toAddr": "bc1:x", "chain": "BTC-Bitcoin",
        "rcvrInfo": {"walletType": "exchange", "exchId": "0"}, "clientId": "w",
    }  # fmt: skip


def test_a_convert_is_the_trade_of_its_quote():
    intent = moves.convert(client, client_id="c")

    assert intent.body == {
        "quoteId": "quote-1", "baseCcy": "BTC", "quoteCcy": "USDT", "side": "buy", "sz": "30",
        "szCcy": "USDT", "clTReqId": "c",
    }  # fmt: skip
    assert intent.quote_ends_at == 1_700_000_010_000


WITHDRAWAL: dict[str, Any] = {"dest": "4", "to_addr": "0xabc", "chain": "USDT-ERC20"}
TRANSFER: dict[str, Any] = {"from_": "funding", "to": "trading"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"chain": None}, "chain"), ({"dest": "5"}, "dest"), ({"dest": 4}, "dest"),
        ({"to_addr": ""}, "to_addr"), ({"to_addr": "a\nb"}, "to_addr"),
        ({"to_addr_type": "2"}, "to_addr_type"), ({"area_code": "86"}, "area_code"),
        ({"dest": "3", "area_code": "+86"}, "area_code"), ({"rcvr_info": "x"}, "rcvr_info"),
        ({"rcvr_info": {"walletType": "purse"}}, "walletType"),
        ({"rcvr_info": {"walletType": "exchange"}}, "exchId"),
        ({"rcvr_info": {"walletType": "private", "name": "x"}}, "name"),
        ({"rcvr_info": {"walletType": "private", "rcvrCountry": 7}}, "rcvrCountry"),
        ({"max_fee": 0.5}, "max_fee"), ({"client_id": "a-b"}, "client_id"),
        ({"client_id": "a" * 33}, "client_id"), ({"client_id": ""}, "client_id"),
        ({"client_id": "ä"}, "client_id"), ({"client_id": 7}, "client_id"),
    ],
)  # fmt: skip
def test_a_withdrawal_that_cannot_be_sent_is_refused(change: dict[str, Any], word: str):
    with pytest.raises(InvalidArgumentError, match=word):
        client.prepare_withdrawal("USDT", 1, **{**WITHDRAWAL, **change})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"to": "funding"}, "same account"), ({"from_": "7"}, "from_"), ({"to": 18}, "to"),
        ({"type": "5"}, "type"), ({"type": 1}, "type"), ({"type": "1"}, "sub_acct"),
        ({"sub_acct": "bot1"}, "sub_acct"), ({"type": "3", "sub_acct": "bot1"}, "sub_acct"),
        ({"loan_trans": "yes"}, "loan_trans"), ({"omit_pos_risk": 1}, "omit_pos_risk"),
    ],
)  # fmt: skip
def test_a_transfer_that_cannot_be_sent_is_refused(change: dict[str, Any], word: str):
    with pytest.raises(InvalidArgumentError, match=word):
        client.prepare_transfer("USDT", 1, **{**TRANSFER, **change})


def test_fiat_has_two_decimals_at_most():
    with pytest.raises(InvalidArgumentError, match="two decimals"):
        client.prepare_fiat_withdrawal(
            "TRY", "1.001", payment_acct_id="1", payment_method="TR_BANKS"
        )


async def test_a_sub_to_sub_transfer_wants_to_be_acknowledged():
    with pytest.raises(InvalidArgumentError, match="two legs"):
        await client.subaccount_transfer(
            "USDT", 1, from_="6", to="6", from_sub_account="a", to_sub_account="b",
            acknowledge_no_handle=False,
        )  # fmt: skip


@given(st.text(min_size=1))
def test_a_client_id_for_a_key_is_always_the_same_and_always_allowed(key: str):
    assert client_id_for(key) == client_id_for(key)
    assert re.fullmatch(r"[A-Z2-7]{32}", client_id_for(key))


@pytest.mark.parametrize("prepare", moves.ALL)
def test_an_intent_survives_json_and_pickle(prepare: Prepare):
    intent = prepare(client).stamped(1_700_000_000_123)

    for copy in (Intent.from_json(intent.to_json()), pickle.loads(pickle.dumps(intent))):
        assert copy == intent
        assert copy.signed_at == intent.signed_at
        assert copy.body == intent.body
    assert "\n" not in intent.to_json()


def test_a_client_id_that_is_not_given_is_made_of_32_letters_and_digits():
    first, second = moves.transfer(client), moves.transfer(client)

    assert re.fullmatch(r"[a-z0-9]{32}", first.client_id)
    assert first.client_id != second.client_id


@pytest.mark.parametrize("field", ["kind", "client_id", "created_at", "body", "demo", "host"])
def test_json_that_is_no_intent_is_refused(field: str):
    values = json.loads(moves.transfer(client).to_json())
    values[field] = [None]

    with pytest.raises(InvalidArgumentError):
        Intent.from_json(json.dumps(values))
    with pytest.raises(InvalidArgumentError):
        Intent.from_json("{}")


def test_an_intent_is_frozen():
    intent = moves.transfer(client)

    with pytest.raises(AttributeError):
        intent.client_id = "x"  # type: ignore[misc]
    intent.body["amt"] = "1000000"
    assert intent.body["amt"] == "1.5"
