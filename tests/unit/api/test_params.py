"""What callers give is checked by name before anything is sent."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from traceback import walk_tb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_funding.api import params as check
from okx_funding.auth.secret import Secret
from okx_funding.errors import InvalidArgumentError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.1"), "0.1"),
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-8"), "0.00000001"),
        (7, "7"),
        (10**50, "1" + "0" * 50),
        ("0.25", "0.25"),
        ("007", "7"),
    ],
)
def test_an_amount_goes_out_as_plain_digits(value, text):
    assert check.amount("amt", value) == text


@pytest.mark.parametrize(
    "value",
    [
        0.1, True, None, b"1", "1e3", "1_000", "NaN", " 1", "1 ", "", "-1", "٣", ".5", "5.", "+1",
        Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal(-1), Decimal(0), 0, -3,
        "0.00", Decimal("1E+1000000"), Decimal("1E-1000000"), 10**100_000, "1" * 61,
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else "int",
)  # fmt: skip
def test_what_is_no_exact_amount_above_zero_is_refused_by_name(value):
    with pytest.raises(InvalidArgumentError, match="^amt "):
        check.amount("amt", value)


def test_a_float_is_told_why():
    with pytest.raises(InvalidArgumentError, match="a float isn't exact"):
        check.amount("amt", 0.1)  # type: ignore[arg-type]


@given(st.decimals(min_value=Decimal("1e-50"), max_value=Decimal("1e50"), places=10))
def test_an_amount_is_sent_to_the_last_digit(value):
    if value > 0:
        text = check.amount("amt", value)
        assert Decimal(text) == value
        assert "E" not in text


NINETIES = datetime(1990, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone
ZONES = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))


@given(st.datetimes(min_value=NINETIES, timezones=ZONES))
def test_a_datetime_is_its_millisecond_in_any_zone(at):
    exact = at.replace(microsecond=at.microsecond // 1000 * 1000)
    assert check.moment("since", at) == str(round(exact.timestamp() * 1000))


def test_milliseconds_stay_as_they_are():
    assert check.moment("after", 1597026383085) == "1597026383085"


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (datetime(2024, 1, 1), "no time zone"),  # noqa: DTZ001
        (1597026383, "seconds"),
        (1597026383.0, "float"),
        ("1597026383085", "str"),
        (True, "bool"),
        (-1, "milliseconds"),
        (10**15, "milliseconds"),
    ],
)
def test_what_is_no_moment_is_refused_by_name(value, hint):
    with pytest.raises(InvalidArgumentError, match=f"^since .*{hint}"):
        check.moment("since", value)


@pytest.mark.parametrize("size", [1, 100])
def test_a_page_has_up_to_a_hundred_rows(size):
    assert check.limit("limit", size) == str(size)


@pytest.mark.parametrize("size", [0, 101, -1, True, 10.0, "10"])
def test_another_page_is_refused(size):
    with pytest.raises(InvalidArgumentError, match="^limit "):
        check.limit("limit", size)


@pytest.mark.parametrize("value", ["", "a" * 33, "a-b", "ä", "a b", "a\n"])
def test_a_client_id_is_letters_and_digits(value):
    assert check.client_id("client_id", "aZ09" * 8) == "aZ09" * 8
    with pytest.raises(InvalidArgumentError, match="^client_id "):
        check.client_id("client_id", value)


@pytest.mark.parametrize("value", ["", "BTC,ETH", "a" * 33, "B T", "ä"])
def test_a_currency_is_one_name(value):
    assert check.currency("from_ccy", "BTC") == "BTC"
    with pytest.raises(InvalidArgumentError, match="^from_ccy "):
        check.currency("from_ccy", value)


@pytest.mark.parametrize(
    "check_",
    [check.currency, check.client_id, check.code, check.identifier, check.text, check.month,
     check.account_code],
)  # fmt: skip
@pytest.mark.parametrize("value", [None, 4, b"BTC", 1.5])
def test_text_is_a_str(check_, value):
    with pytest.raises(InvalidArgumentError, match=f"^x must be a str, not {type(value).__name__}"):
        check_("x", value)


def test_new_codes_of_okx_are_let_through():
    assert check.code("state", "-3") == "-3"
    assert check.code("type", "9999") == "9999"
    with pytest.raises(InvalidArgumentError, match="^state "):
        check.code("state", "a&b")


@pytest.mark.parametrize(
    ("given_", "text"),
    [
        ("bot1", "bot1"),
        (["bot1", "bot2"], "bot1,bot2"),
        ("1.1.1.1,2.2.2.2", "1.1.1.1,2.2.2.2"),
        (iter(["a"]), "a"),
    ],
)
def test_several_become_a_comma_list(given_, text):
    assert check.several("ip", given_) == text


@pytest.mark.parametrize(
    "given_", [[], "", ["a,b"], [f"n{n}" for n in range(21)], [1], {"a": 1}, b"a", 4, ["a b"]]
)
def test_another_list_is_refused_by_name(given_):
    with pytest.raises(InvalidArgumentError, match="^ip"):
        check.several("ip", given_)


def test_accounts_have_names_and_codes():
    assert check.account_code("from_", "funding") == "6"
    assert check.account_code("from_", "trading") == "18"
    assert check.account_code("to", "18") == "18"
    assert check.account_name("6") == "funding"
    with pytest.raises(InvalidArgumentError, match="^to must be 'funding' or 'trading'"):
        check.account_code("to", "spot")


def test_months_are_spelt_as_okx_spells_them():
    assert check.month("month", "Jan") == "Jan"
    with pytest.raises(InvalidArgumentError, match="^month must be one of Jan, Feb"):
        check.month("month", "January")


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_a_flag_is_true_or_false(value):
    assert check.flag("enable", True) == "true"
    assert check.truth("enable", False) is False
    with pytest.raises(InvalidArgumentError, match="^enable must be True or False"):
        check.flag("enable", value)


def test_a_secret_is_wrapped_and_never_told():
    secret = check.secret("passphrase", "open-sesame")
    assert type(secret) is Secret
    with pytest.raises(InvalidArgumentError) as refused:
        check.secret("passphrase", "open-sesame ")
    assert "open-sesame" not in str(refused.value)
    frames = [
        repr(frame.f_locals)
        for frame, _ in walk_tb(refused.tb)
        if frame.f_code.co_filename == check.__file__
    ]
    assert frames
    assert not any("open-sesame" in frame for frame in frames)


def test_currencies_count_once_in_their_order():
    assert check.currencies(None) == (None,)
    assert check.currencies("BTC") == ("BTC",)
    assert check.currencies(["ETH", "BTC", "eth"]) == ("ETH", "BTC")
    assert check.currencies(()) == ()
    with pytest.raises(InvalidArgumentError, match=r"^ccy\[1\] "):
        check.currencies(["BTC", 4])  # type: ignore[list-item]
    with pytest.raises(InvalidArgumentError, match="comma list"):
        check.currencies("BTC,ETH")
