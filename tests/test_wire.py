"""Answers become structs or errors with a name, and nothing else."""

from __future__ import annotations

import copy
import dataclasses
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from okx_funding import (
    APIError,
    AuthenticationError,
    ClockSkewError,
    DecodeError,
    HTTPStatusError,
    InvalidParameterError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ResponseError,
    ServiceUnavailableError,
)
from okx_funding.api import AssetValuation, NonTradableAsset, ValuationDetails
from okx_funding.api.account import GET_ACCOUNT_CONFIG, GET_SYSTEM_TIME, AccountConfig, ServerTime
from okx_funding.api.assets import GET_ASSET_VALUATION, GET_NON_TRADABLE_ASSETS
from okx_funding.api.table import ENDPOINTS
from okx_funding.wire.request import build_request as build
from okx_funding.wire.response import Response, parse_response, parse_retry_after
from tests.support import envelope, row, sample

DOCUMENTED = [
    body["body"] for body in sample("get-asset-non-tradable-assets")["responses"]
]  # one answer with two rows
VALUATIONS = [body["body"] for body in sample("get-asset-asset-valuation")["responses"]]


def parse(body: Any, status: int = 200, endpoint=GET_NON_TRADABLE_ASSETS, **options: Any):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return parse_response(endpoint, Response(status, body, **options))


def failure(body: Any, status: int = 200, **options: Any) -> ResponseError:
    with pytest.raises(ResponseError) as caught:
        parse(body, status, **options)
    assert caught.value.sent
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


def assets(*rows: dict[str, Any]) -> list[NonTradableAsset]:
    answer: list[NonTradableAsset] = parse(envelope(*rows))
    return answer


def valuation(**changes: Any) -> AssetValuation:
    told = {**VALUATIONS[0]["data"][0], **changes}
    (answer,) = parse(envelope(told), endpoint=GET_ASSET_VALUATION)
    assert isinstance(answer, AssetValuation)
    return answer


def without(told: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != field}


# -- what is documented -----------------------------------------------------------------------


def test_the_documented_assets_become_these_structs():
    assert parse(DOCUMENTED[0]) == [
        NonTradableAsset(
            ccy="CELT",
            name="",
            logo_link="https://static.coinall.ltd/cdn/assets/imgs/221/460DA8A592400393.png",
            bal=Decimal("989.84719571"),
            can_wd=True,
            chain="CELT-OKTC",
            min_wd=Decimal("0.1"),
            wd_all=False,
            fee=Decimal(2),
            fee_ccy="USDT",
            burning_fee_rate=None,
            ct_addr="f403fb",
            wd_tick_sz=8,
            need_tag=False,
        ),
        NonTradableAsset(
            ccy="MEME",
            name="MEME Inu",
            logo_link="https://static.coinall.ltd/cdn/assets/imgs/207/2E664E470103C613.png",
            bal=Decimal("0.001"),
            can_wd=True,
            chain="MEME-ERC20",
            min_wd=Decimal("0.001"),
            wd_all=False,
            fee=Decimal(5),
            fee_ccy="USDT",
            burning_fee_rate=None,
            ct_addr="09b760",
            wd_tick_sz=8,
            need_tag=False,
        ),
    ]


def test_the_documented_valuation_becomes_this_struct():
    (answer,) = parse(VALUATIONS[0], endpoint=GET_ASSET_VALUATION)
    assert answer == AssetValuation(
        total_bal=Decimal("3790.09"),
        ts=1637566660769,
        details=ValuationDetails(
            funding=Decimal("0.09"),
            trading=Decimal("2544.28"),
            earn=Decimal("1122.73"),
            classic=Decimal("124.6"),
        ),
    )
    assert answer.time == datetime(2021, 11, 22, 7, 37, 40, 769000, UTC)


def test_a_recorded_valuation_keeps_every_digit():
    (answer,) = parse(VALUATIONS[1], endpoint=GET_ASSET_VALUATION)
    assert str(answer.total_bal) == "0.00218857"
    assert answer.details.earn == 0


def test_the_clock_and_the_account_of_a_key():
    assert parse(envelope({"ts": "1597026383085"}), endpoint=GET_SYSTEM_TIME) == [
        ServerTime(ts=1597026383085)
    ]
    (config,) = parse(envelope({"uid": "446", "acctLv": "2"}), endpoint=GET_ACCOUNT_CONFIG)
    assert config == AccountConfig(uid="446", acct_lv="2")


def test_no_rows_are_an_empty_list():
    assert parse({"code": "0", "data": [], "msg": ""}) == []


@pytest.mark.parametrize("ts", ["1637566660769", 1637566660769])
def test_a_timestamp_may_come_as_text_or_number(ts):
    assert valuation(ts=ts).ts == 1637566660769


def test_structs_are_frozen():
    (asset,) = assets(row())
    with pytest.raises(AttributeError):
        asset.bal = Decimal(1)  # type: ignore[misc]
    assert hash(asset) == hash(copy.copy(asset))


# -- what may be missing, and what may not -----------------------------------------------------

OPTIONAL = ["burningFeeRate", "fee", "minWd", "wdTickSz"]
REQUIRED = [name for name in row() if name not in OPTIONAL]


@pytest.mark.parametrize("field", REQUIRED)
def test_a_missing_required_field_is_named(field):
    error = failure(envelope(row(), without(row(), field)))
    assert isinstance(error, DecodeError)
    assert f"`{field}`" in str(error)


@pytest.mark.parametrize("field", OPTIONAL)
@pytest.mark.parametrize("absence", ["missing", "", None])
def test_what_may_be_absent_is_none(field, absence):
    told = without(row(), field) if absence == "missing" else row(**{field: absence})
    attribute = {
        "burningFeeRate": "burning_fee_rate", "fee": "fee", "minWd": "min_wd",
        "wdTickSz": "wd_tick_sz",
    }[field]  # fmt: skip
    (asset,) = assets(told)
    assert getattr(asset, attribute) is None


@pytest.mark.parametrize("field", REQUIRED)
def test_a_required_field_cant_be_null(field):
    error = failure(envelope({**row(), field: None}))
    assert isinstance(error, DecodeError)


@pytest.mark.parametrize("member", ["funding", "trading", "earn", "classic"])
@pytest.mark.parametrize("absence", ["missing", "", None])
def test_each_member_of_the_details_may_be_absent(member, absence):
    details = VALUATIONS[0]["data"][0]["details"]
    told = without(details, member) if absence == "missing" else {**details, member: absence}
    answer = valuation(details=told)
    assert getattr(answer.details, member) is None
    assert answer.total_bal == Decimal("3790.09")


@pytest.mark.parametrize("field", ["totalBal", "ts", "details"])
def test_a_valuation_without_its_fields_is_an_error_that_names_them(field):
    told = without(VALUATIONS[0]["data"][0], field)
    error = failure(envelope(told), endpoint=GET_ASSET_VALUATION)
    assert isinstance(error, DecodeError)
    assert f"`{field}`" in str(error)


def test_fields_that_nobody_knows_are_ignored():
    (asset,) = assets(row(color="green", nested={"a": [1, None]}, fee2="1"))
    assert asset == assets(row())[0]
    assert valuation(details={"crypto": "1"}).details == ValuationDetails(None, None, None, None)


def test_keys_of_the_envelope_that_nobody_knows_are_ignored():
    extra = sample("envelope-extra-keys")["body"]
    body = {**extra, "data": [row()], "hint": {"x": 1}}
    assert parse(body) == assets(row())


def test_the_order_of_keys_does_not_matter():
    told = dict(reversed(row().items()))
    assert parse({"msg": "", "data": [told], "code": "0"}) == assets(row())


# -- amounts -----------------------------------------------------------------------------------

NO_AMOUNTS = [
    "NaN", "nan", "-NaN", "sNaN", "Infinity", "-Infinity", "inf", "1_000", "1,000", "1e5", "1E5",
    "1e400", "+1", " 1", "1 ", "1\n", "\t1", " ", "0x10", "1/2", "12abc", "--1", "-", ".", "1.2.3",
    "1-2", "\uff11\uff12", "\u0661\u0662", "\u00b2", "\ud800", "9" * 200, "-" + "0" * 200,
    "0." + "3" * 200, "1\0", "None", "null", "true",
]  # fmt: skip
NO_TEXTS = [5, 5.5, True, [], {}, ["5"]]


@pytest.mark.parametrize(
    "text", [*NO_AMOUNTS, "", *NO_TEXTS, None], ids=lambda text: repr(text)[:9]
)
@pytest.mark.parametrize("field", ["bal", "totalBal"])
def test_what_is_no_plain_decimal_is_an_error_where_an_amount_must_be(field, text):
    if field == "bal":
        error = failure(envelope(row(bal=text)))
    else:
        told = {**VALUATIONS[0]["data"][0], "totalBal": text}
        error = failure(envelope(told), endpoint=GET_ASSET_VALUATION)
    assert isinstance(error, DecodeError)
    if text != "\ud800":  # that is no JSON at all
        assert field in str(error) or "$.data[0]" in str(error)


@pytest.mark.parametrize("text", [*NO_AMOUNTS, *NO_TEXTS], ids=lambda text: repr(text)[:9])
@pytest.mark.parametrize("field", ["fee", "minWd", "burningFeeRate", "classic"])
def test_what_is_no_plain_decimal_is_an_error_where_an_amount_may_be_too(field, text):
    if field == "classic":
        told = {**VALUATIONS[0]["data"][0], "details": {"classic": text}}
        error = failure(envelope(told), endpoint=GET_ASSET_VALUATION)
    else:
        error = failure(envelope(row(), row(**{field: text}), row()))
    assert isinstance(error, DecodeError)


@pytest.mark.parametrize(
    "text", ["", "8.0", "1e1", " 8", "1_0", "\uff18", "eight", "9" * 5000, "-"]
)
def test_what_is_no_whole_number_is_an_error(text):
    told = {**VALUATIONS[0]["data"][0], "ts": text}
    assert isinstance(failure(envelope(told), endpoint=GET_ASSET_VALUATION), DecodeError)
    if text:
        assert isinstance(failure(envelope(row(wdTickSz=text))), DecodeError)


decimals = st.from_regex(r"-?[0-9]{1,40}(\.[0-9]{1,40})?", fullmatch=True)


@given(st.lists(st.tuples(decimals, decimals | st.just(""), decimals), min_size=1, max_size=5))
@pytest.mark.slow
def test_any_amount_survives_to_the_last_digit(amounts):
    answer = assets(*(row(bal=bal, fee=fee, burningFeeRate=rate) for bal, fee, rate in amounts))
    for (bal, fee, rate), asset in zip(amounts, answer, strict=True):
        assert (str(asset.bal), asset.bal.is_finite()) == (str(Decimal(bal)), True)
        assert asset.bal.as_tuple() == Decimal(bal).as_tuple()
        assert asset.fee == (Decimal(fee) if fee else None)
        assert asset.burning_fee_rate is not None
        assert asset.burning_fee_rate.as_tuple() == Decimal(rate).as_tuple()


@given(st.text(max_size=30))
@example("1e5")
@example("٣")
def test_an_amount_is_a_plain_decimal_or_an_error(text):
    body = json.dumps({"code": "0", "data": [row(bal=text)]}).encode()
    try:
        (asset,) = parse(body)
    except DecodeError:
        return
    assert set(text) <= set("0123456789.-")
    assert asset.bal == Decimal(text)


def test_absent_and_present_amounts_keep_their_places():
    fees = ["1", "", "2", "", "", "3"]
    answer = assets(*(row(fee=fee) for fee in fees))
    assert [asset.fee for asset in answer] == [1, None, 2, None, None, 3]


def test_many_rows_come_in_their_order():
    answer = assets(*(row(f"C{number}", bal=str(number)) for number in range(500)))
    assert [(asset.ccy, asset.bal) for asset in answer] == [
        (f"C{n}", Decimal(n)) for n in range(500)
    ]


# -- errors of OKX's ----------------------------------------------------------------------------

CLASS_OF = {
    "50011": RateLimitError,
    "58102": RateLimitError,
    "50102": ClockSkewError,
    "50101": AuthenticationError,
    "50103": AuthenticationError,
    "50111": AuthenticationError,
    "50113": AuthenticationError,
    "50119": AuthenticationError,
    "50001": ServiceUnavailableError,
    "50013": ServiceUnavailableError,
    "50026": ServiceUnavailableError,
    "50014": InvalidParameterError,
    "51000": InvalidParameterError,
    "58129": NotFoundError,
    "50038": APIError,
    "404": APIError,
}


@pytest.mark.parametrize("seen", sample("errors")["errors"], ids=lambda seen: seen["body"]["code"])
@pytest.mark.parametrize(
    "endpoint", [GET_NON_TRADABLE_ASSETS, GET_ASSET_VALUATION, GET_SYSTEM_TIME]
)
def test_every_error_that_was_seen_has_its_class_code_and_status(seen, endpoint):
    error = failure(seen["body"], seen["http_status"], endpoint=endpoint)
    code = str(seen["body"]["code"])
    assert type(error) is CLASS_OF[code]
    assert (error.code, error.http_status) == (code, seen["http_status"])
    assert error.endpoint == str(endpoint)
    assert error.msg.startswith(seen["body"]["msg"].partition("“")[0].strip()[:40])
    assert code in str(error)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("code", ["50011", "50102", "51000", "50001", "50110"])
def test_the_code_decides_before_the_status(code, status):
    kind = {**CLASS_OF, "50110": PermissionDeniedError}[code]
    assert type(failure({"code": code, "msg": "x"}, status)) is kind
    assert type(failure({"code": int(code), "msg": "x"}, status)) is kind


@pytest.mark.parametrize("body", [{"code": "50011"}, {"code": "50011", "msg": None}])
def test_an_error_needs_no_message(body):
    error = failure(body, 429)
    assert isinstance(error, RateLimitError)
    assert error.msg == ""


def test_a_code_that_nobody_knows_is_an_api_error():
    error = failure({"code": "59999", "msg": "Brand new.", "data": []})
    assert type(error) is APIError
    assert (error.code, error.msg) == ("59999", "Brand new.")


def test_data_does_not_make_an_error_a_result():
    assert isinstance(failure({"code": "1", "msg": "failed", "data": [row()]}), APIError)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("50119", "eea.okx.com"),
        ("50101", "demo=True"),
        ("50102", "clock"),
        ("50105", "passphrase"),
        ("50110", "IP address"),
        ("50111", "copied whole"),
        ("50113", "secret key"),
        ("50030", "permission"),
        ("50011", "another program"),
    ],
)
def test_an_error_says_what_to_do(code, advice):
    assert advice in str(failure({"code": code, "msg": "Words change."}, 401))


@pytest.mark.parametrize(
    "code", ["5\n0", "5\x1b[31m", "\uff15", "9" * 5000, 10**30, -1, "", "x" * 99]
)
def test_a_strange_code_makes_one_short_plain_line(code):
    error = failure(json.dumps({"code": code, "msg": "m\r\n\x1b[2J" + "x" * 9999}).encode(), 400)
    assert isinstance(error, ResponseError)
    assert str(error).isprintable()
    assert len(str(error)) < 600


# -- answers that aren't OKX's --------------------------------------------------------------------

HTML = b"<html>\r\n<head><title>502 Bad Gateway</title></head></html>"
NO_ENVELOPES = {
    "empty": b"",
    "blank": b" \r\n",
    "null": b"null",
    "list": b"[]",
    "number": b"5",
    "text": b'"0"',
    "true": b"true",
    "object": b"{}",
    "html": HTML,
    "bom": b'\xef\xbb\xbf{"code":"0","data":[]}',
    "utf-16": '{"code":"0","data":[]}'.encode("utf-16"),
    "bad utf-8": b'{"code":"0","data":[{"ccy":"\xff"}],"msg":""}',
    "bad utf-8 elsewhere": b'{"code":"0","data":[],"msg":"\xff\xfe"}',
    "lone surrogate": b'{"code":"0","data":[{"ccy":"\\ud800"}],"msg":""}',
    "cut": b'{"code":"0","data":[{"ccy":"BTC',
    "two": b'{"code":"0","data":[]}{"code":"0","data":[]}',
    "single quotes": b"{'code':'0','data':[]}",
    "no code": b'{"data":[],"msg":""}',
    "no data": b'{"code":"0","msg":""}',
    "null code": b'{"code":null,"data":[]}',
    "null data": b'{"code":"0","data":null}',
    "data is an object": b'{"code":"0","data":{}}',
    "data is a text": b'{"code":"0","data":"[]"}',
    "row is null": b'{"code":"0","data":[null]}',
    "row is a list": b'{"code":"0","data":[["BTC"]]}',
    "deep": b"[" * 100_000,
    "deep and closed": b"[" * 100_000 + b"]" * 100_000,
    "deep row": b'{"code":"0","data":[{"x":' + b"[" * 100_000,
    "deep unknown key": b'{"x":' + b'{"x":' * 100_000,
}


@pytest.mark.parametrize("body", NO_ENVELOPES.values(), ids=NO_ENVELOPES)
@pytest.mark.parametrize("endpoint", [GET_NON_TRADABLE_ASSETS, GET_ASSET_VALUATION])
def test_what_is_no_envelope_is_a_decode_error_with_200(body, endpoint):
    if body == NO_ENVELOPES["bad utf-8 elsewhere"]:
        return
    error = failure(body, endpoint=endpoint)
    assert isinstance(error, DecodeError)
    assert str(error).isprintable()


@pytest.mark.parametrize("status", [201, 400, 401, 403, 404, 408, 429, 500, 502, 503, 520, 599])
@pytest.mark.parametrize("body", ["empty", "html", "null", "deep", "bad utf-8", "object"])
def test_what_is_no_envelope_is_a_status_otherwise(body, status):
    error = failure(NO_ENVELOPES[body], status)
    assert type(error) is HTTPStatusError
    assert (error.http_status, error.endpoint) == (status, str(GET_NON_TRADABLE_ASSETS))
    assert str(status) in str(error)
    assert str(error).isprintable()


def test_a_page_of_the_gateway_is_quoted_in_short():
    error = failure(b"<h1>Attention\x00 Required!</h1>" + b"x" * 10_000, 403)
    assert "Attention  Required!" in str(error)
    assert "firewall" in str(error)
    assert len(str(error)) < 600


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None), ("", None), ("0", 0), ("7", 7), (" 7 ", 7), ("999999999999", 999999999),
        ("-10", None), ("1.5", None), ("soon", None), ("\u0667", None), ("\u00b2", None),
        ("1_0", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_nothing(text, seconds):
    error = failure(b"", 429, retry_after=text)
    assert isinstance(error, HTTPStatusError)
    assert error.retry_after == seconds


def test_retry_after_may_be_a_date_and_counts_from_the_servers_own():
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    assert parse_retry_after(date, "Wed, 21 Oct 2026 07:27:30 GMT") == 30
    assert parse_retry_after(date, "Wed, 21 Oct 2026 07:29:00 GMT") == 0
    assert parse_retry_after(date, "Wed, 21 Oct 2026 07:27:00 +0000") == 60
    assert parse_retry_after(date, None) is None
    assert parse_retry_after(date, "yesterday") is None


STRANGE_DATES = [
    "Wod, 99 Oct", "Wed, 99 Oct 2026 07:28:00 GMT", "Wed", ",", "Wed, 21 Oct 2026 07:28:00 +9999",
    "Wed, 21 Oct 2026 07:28:00 +99999999999", "Wed, 21 Oct 99999999999 07:28:00 GMT",
    "Wed, 21 Oct 0000 07:28:00 GMT", "Wed, 21 Oct 2026 99:99:99 GMT", "1 Jan 1 0:0:0 +2359",
    "31 Dec 9999 23:59:59 -2359", "Wed, -1 Oct 2026 07:28:00 GMT",
]  # fmt: skip


@pytest.mark.parametrize("strange", STRANGE_DATES)
def test_strange_dates_never_raise(strange):
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    for text, now in [(strange, date), (date, strange), (strange, strange)]:
        seconds = parse_retry_after(text, now)
        assert seconds is None or seconds >= 0


@given(st.text() | st.none(), st.text() | st.none() | st.sampled_from(STRANGE_DATES))
def test_retry_after_never_raises(text, date):
    seconds = parse_retry_after(text, date)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_and_not_followed(status):
    error = failure(b"", status, location="https://elsewhere.example/?secret=1")
    assert type(error) is HTTPStatusError
    assert "elsewhere.example" in str(error)
    assert "base_url" in str(error)
    assert "secret" not in str(error)


def test_a_redirect_is_one_even_with_an_envelope():
    error = failure({"code": "0", "data": []}, 302, location="https://elsewhere.example/")
    assert type(error) is HTTPStatusError


@pytest.mark.parametrize("location", [None, "", "/relative", "http://[", "//", "http://\x00/"])
def test_a_redirect_to_nowhere_is_an_error_all_the_same(location):
    assert isinstance(failure(b"", 302, location=location), HTTPStatusError)


# -- anything at all -----------------------------------------------------------------------------

every_endpoint = st.sampled_from(list(ENDPOINTS.values()))
BODIES = [
    json.dumps(DOCUMENTED[0]).encode(),
    json.dumps(VALUATIONS[0]).encode(),
    *(json.dumps(seen["body"]).encode() for seen in sample("errors")["errors"]),
]


def rows_or_a_named_error(endpoint, status, body, **options):
    try:
        rows = parse(body, status, endpoint=endpoint, **options)
    except ResponseError as error:
        failed = error
    else:
        assert all(isinstance(each, endpoint.row) for each in rows)
        return
    assert str(failed).isprintable()
    assert len(str(failed)) < 1000
    assert failed.__cause__ is failed.__context__ is None


@given(every_endpoint, st.integers(100, 599) | st.just(200), st.binary(max_size=200))
def test_arbitrary_bytes_give_rows_or_a_named_error(endpoint, status, body):
    rows_or_a_named_error(endpoint, status, body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    every_endpoint,
    st.sampled_from([200, 200, 400, 429, 503]),
    st.fixed_dictionaries(
        {},
        optional={"code": json_values | st.sampled_from(["0", 0, 50011]), "data": json_values,
                  "msg": json_values},
    ),
)  # fmt: skip
def test_any_json_gives_rows_or_a_named_error(endpoint, status, body):
    rows_or_a_named_error(endpoint, status, json.dumps(body).encode())


@settings(max_examples=300)
@given(st.data())
@pytest.mark.slow
def test_damaged_answers_give_rows_or_a_named_error(data):
    body = bytearray(data.draw(st.sampled_from(BODIES)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        upto = data.draw(st.integers(at, min(len(body), at + 12)))
        body[at:upto] = data.draw(
            st.binary(max_size=6) | st.sampled_from([b'"', b"\\", b"1", b"{"])
        )
    endpoint = data.draw(every_endpoint)
    rows_or_a_named_error(endpoint, data.draw(st.sampled_from([200, 429])), bytes(body))


@given(st.data())
@pytest.mark.slow
def test_a_row_with_any_value_in_any_field_gives_rows_or_a_named_error(data):
    told = row()
    for name in data.draw(st.lists(st.sampled_from(list(told)), min_size=1, max_size=3)):
        told[name] = data.draw(json_values)
    rows_or_a_named_error(GET_NON_TRADABLE_ASSETS, 200, envelope(row(), told))


# -- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "query"),
    [
        ({}, ""),
        ({"ccy": "BTC"}, "?ccy=BTC"),
        ({"ccy": "A.B,c-D,E_1"}, "?ccy=A.B,c-D,E_1"),
        ({"ccy": "BTC", "type": "1"}, "?ccy=BTC&type=1"),
        ({"toAddr": "a:b&c=d é"}, "?toAddr=a%3Ab%26c%3Dd%20%C3%A9"),
    ],
)
def test_the_arguments_of_a_get_are_its_query(args, query):
    path = "/api/v5/asset/non-tradable-assets"
    assert build(GET_NON_TRADABLE_ASSETS, args) == ("GET", path + query, "")


def test_the_arguments_of_a_post_are_its_compact_body():
    endpoint = dataclasses.replace(GET_NON_TRADABLE_ASSETS, method="POST")
    args = {"ccy": "BTC", "to": {"a": "ß"}}
    path = "/api/v5/asset/non-tradable-assets"
    assert build(endpoint, args) == ("POST", path, '{"ccy":"BTC","to":{"a":"\\u00df"}}')  # type: ignore[arg-type]
