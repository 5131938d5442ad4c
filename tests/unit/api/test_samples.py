"""Every printed and recorded answer of OKX's, decoded field by field."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from okx_funding.api import (
    Currency,
    DepositWithdrawStatus,
    Row,
    Subaccount,
    SubaccountApiKey,
    Transfer,
    to_dict,
)
from okx_funding.api.table import ENDPOINTS
from okx_funding.wire.codec import codec_of

from .support import samples

SAMPLES = list(samples())


def decode(row: type[Row], *rows: dict[str, Any]) -> list[Any]:
    codec = codec_of(row)
    body = json.dumps({"code": "0", "msg": "", "data": list(rows)}).encode()
    return codec.rows(body) or codec.look(body)


def same(sent: Any, field: Any) -> bool:
    """Whether ``field`` of a row is what OKX sent."""
    if isinstance(field, msgspec.Struct):
        return all_same(sent, field)
    if isinstance(field, list | tuple):
        return len(sent) == len(field) and all(map(same, sent, field))
    if isinstance(field, Decimal):
        return bool(f"{field:f}" == sent)
    if isinstance(field, int) and not isinstance(field, bool):
        return bool(str(sent) == str(field))
    if field is None:
        return bool(sent == "")
    return bool(sent == field)


def all_same(sent: dict[str, Any], row: msgspec.Struct) -> bool:
    for field in msgspec.structs.fields(row):
        value = getattr(row, field.name)
        if field.encode_name in sent:
            assert same(sent[field.encode_name], value), (field.name, value)
        else:
            assert not field.required or value is None, field.name
    return True


def test_there_is_an_answer_of_every_endpoint():
    assert {name for name, _ in SAMPLES} == set(ENDPOINTS)


@pytest.mark.parametrize(("name", "body"), SAMPLES, ids=[name for name, _ in SAMPLES])
def test_an_answer_is_decoded_field_by_field(name, body):
    rows = decode(ENDPOINTS[name].row, *body["data"])
    assert len(rows) == len(body["data"])
    for sent, row in zip(body["data"], rows, strict=True):
        assert all_same(sent, row)


@pytest.mark.parametrize(("name", "body"), SAMPLES, ids=[name for name, _ in SAMPLES])
def test_every_field_that_okx_prints_is_known(name, body):
    known = {field.encode_name for field in msgspec.structs.fields(ENDPOINTS[name].row)}
    for sent in body["data"]:
        assert sent.keys() <= known


@pytest.mark.parametrize(("name", "body"), SAMPLES, ids=[name for name, _ in SAMPLES])
def test_a_row_has_all_moments_as_datetimes(name, body):
    for row in decode(ENDPOINTS[name].row, *body["data"]):
        for moment, as_datetime in {
            "ts": "time",
            "c_time": "created_at",
            "u_time": "updated_at",
            "quote_time": "quoted_at",
            "dep_est_open_time": "dep_est_open_at",
            "wd_est_open_time": "wd_est_open_at",
        }.items():
            value = getattr(row, moment, None)
            if value is not None:
                at = getattr(row, as_datetime)
                assert at.utcoffset().total_seconds() == 0
                assert round(at.timestamp() * 1000) == value


@pytest.mark.parametrize(("name", "body"), SAMPLES, ids=[name for name, _ in SAMPLES])
def test_a_row_as_a_dict_has_names_of_python_and_exact_amounts(name, body):
    for row in decode(ENDPOINTS[name].row, *body["data"]):
        plain = to_dict(row)
        assert list(plain) == [field.name for field in msgspec.structs.fields(row)]
        for field, value in plain.items():
            if isinstance(getattr(row, field), Decimal):
                assert value is getattr(row, field)


def currency(**more: Any) -> dict[str, Any]:
    return {"ccy": "BTC", "chain": "BTC-Bitcoin", "canDep": True, "canWd": False, **more}


def test_a_currency_needs_no_more_than_name_chain_and_the_two_switches():
    (row,) = decode(Currency, currency())
    assert row == Currency("BTC", "BTC-Bitcoin", can_dep=True, can_wd=False)
    assert row.fee is None
    assert row.name == ""


@pytest.mark.parametrize("fee", ["NaN", "1_000", "Infinity", "1e3", " 1", "٣"])
def test_an_amount_is_plain_digits_or_nothing(fee):
    with pytest.raises(ValueError, match="fee"):
        decode(Currency, currency(fee=fee))


@pytest.mark.parametrize("amount", ["NaN", "1_000"])
def test_an_amount_in_a_nested_list_is_as_strict(amount):
    body = next(body for name, body in SAMPLES if name == "get_subaccount_trading_balances")
    sent = json.loads(json.dumps(body["data"][0]))
    sent["details"][0]["eq"] = amount
    with pytest.raises(ValueError, match="eq"):
        decode(ENDPOINTS["get_subaccount_trading_balances"].row, sent)


def test_an_unknown_field_and_an_unknown_state_do_no_harm():
    body = next(body for name, body in SAMPLES if name == "get_withdrawal_history")
    (row,) = decode(
        ENDPOINTS["get_withdrawal_history"].row, {**body["data"][0], "state": "99", "newField": [1]}
    )
    assert row.state == "99"
    assert not row.is_final


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("01/09/2023, 8:10:48 PM", datetime(2023, 1, 9, 12, 10, 48, tzinfo=UTC)),
        ("12/31/2023, 12:00:00 AM", datetime(2023, 12, 30, 16, tzinfo=UTC)),
        ("12/31/2023, 12:00:00 PM", datetime(2023, 12, 31, 4, tzinfo=UTC)),
        ("", None),
        ("soon", None),
        ("13/01/2023, 8:10:48 PM", None),
        ("01/09/2023, 13:10:48 PM", None),
        ("01/09/2023, 0:10:48 AM", None),
        ("01/01/0001, 1:00:00 AM", None),
    ],
)
def test_the_expected_time_is_read_as_china_standard_time(text, at):
    assert DepositWithdrawStatus("Pending", est_complete_time=text).est_complete_at == at


def test_accounts_of_a_transfer_have_names():
    transfer = Transfer("1", "BTC", Decimal(1), from_="6", to="18")
    assert (transfer.from_account, transfer.to_account) == ("funding", "trading")
    assert Transfer("1", "BTC", Decimal(1), from_="7").from_account == "7"


def new_key() -> SubaccountApiKey:
    (key,) = decode(
        SubaccountApiKey,
        {
            "subAcct": "bot1",
            "label": "v5",
            "apiKey": "the-api-key-1234",
            "secretKey": "the-secret-key",
            "passphrase": "the-passphrase",
            "perm": "trade",
            "ip": "",
            "ts": "1597026383085",
        },
    )
    assert isinstance(key, SubaccountApiKey)
    return key


def test_a_new_key_shows_no_secret():
    key = new_key()
    for shown in (repr(key), str(key), f"{key}", repr([key]), str(to_dict(key))):
        assert "the-api-key" not in shown
        assert "the-secret-key" not in shown
        assert "the-passphrase" not in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)


def test_a_new_key_gives_credentials():
    assert new_key().credentials.reveal() == (
        "the-api-key-1234",
        "the-secret-key",
        "the-passphrase",
    )


def test_rows_are_immutable():
    row = Subaccount(1, "bot1", "44", enable=True)
    with pytest.raises(AttributeError):
        row.label = "x"  # type: ignore[misc]
