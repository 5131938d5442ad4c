"""Requests go out as OKX documents them, and what is signed is what is sent."""

from __future__ import annotations

import base64
import hmac
import json
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_funding import Credentials, InvalidArgumentError
from okx_funding.api.spec import RateLimit, Row, get, post
from okx_funding.wire.request import Request, build_request


class Anything(Row, frozen=True):
    """Nobody looks at the rows here."""


READ = get(
    "get_x", "/api/v5/asset/x", Anything, RateLimit(6), docs="x", batch_by="ccy"
)  # fmt: skip
WRITE = post(
    "do_x", "/api/v5/asset/y", Anything, RateLimit(6), docs="x", group="x", permission="trade"
)


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({}, ""),
        ({"ccy": None, "type": None}, ""),
        ({"ccy": ["BTC", "ETH"]}, "?ccy=BTC,ETH"),
        ({"ccy": (None,)}, ""),
        ({"ccy": []}, ""),
        ({"ccy": "BTC", "type": None, "after": "1700000000000"}, "?ccy=BTC&after=1700000000000"),
        ({"to": "0xab:12 3/4+5&6=7%"}, "?to=0xab%3A12%203%2F4%2B5%266%3D7%25"),
        ({"subAcct": "\u00e9t\u00e9"}, "?subAcct=%C3%A9t%C3%A9"),
        ({"loanTrans": True}, "?loanTrans=true"),
        ({"ccy": ""}, "?ccy="),
    ],
)
def test_the_parameters_of_a_get_are_its_query(params, query):
    assert build_request(READ, params) == Request("GET", f"/api/v5/asset/x{query}", "")


@pytest.mark.parametrize(
    ("params", "body"),
    [
        ({}, "{}"),
        ({"ccy": "USDT", "amt": "1.50", "from": "6"}, '{"ccy":"USDT","amt":"1.50","from":"6"}'),
        ({"ccy": "USDT", "clientId": None}, '{"ccy":"USDT"}'),
        (
            {"rcvrInfo": {"walletType": "exchange", "exchId": None, "rcvrFirstName": "Zo\u00eb"}},
            '{"rcvrInfo":{"walletType":"exchange","rcvrFirstName":"Zo\\u00eb"}}',
        ),
        ({"rcvrInfo": {"exchId": None}}, "{}"),
        ({"perm": ["read_only", None, "trade"]}, '{"perm":["read_only","trade"]}'),
        ({"loanTrans": False}, '{"loanTrans":false}'),
    ],
)
def test_the_parameters_of_a_post_are_its_body(params, body):
    assert build_request(WRITE, params) == Request("POST", "/api/v5/asset/y", body)


@pytest.mark.parametrize("value", [1.5, 1, Decimal("1.5"), b"x", object(), ["1", 2], {"a": 1.5}])
@pytest.mark.parametrize("endpoint", [READ, WRITE])
def test_a_number_is_never_sent(endpoint, value):
    with pytest.raises(InvalidArgumentError, match="amt"):
        build_request(endpoint, {"amt": value})


def test_a_query_holds_no_object():
    with pytest.raises(InvalidArgumentError, match="rcvrInfo"):
        build_request(READ, {"rcvrInfo": {"a": "b"}})


names = st.from_regex(r"[a-z][A-Za-z]{0,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.dictionaries(names, texts, max_size=4))
def test_a_query_says_what_was_given_in_printable_ascii(params):
    request = build_request(READ, params)
    assert request.target.isascii()
    assert request.target.isprintable()
    assert dict(parse_qsl(urlsplit(request.target).query, keep_blank_values=True)) == params


@given(st.dictionaries(names, texts | st.lists(texts, min_size=1), max_size=4))
def test_a_body_says_what_was_given_in_ascii(params):
    request = build_request(WRITE, params)
    assert request.body.isascii()
    assert json.loads(request.body) == params


@pytest.mark.parametrize("endpoint", [READ, WRITE])
def test_what_is_signed_is_what_is_sent(endpoint):
    request = build_request(endpoint, {"ccy": ["BTC", "ETH"], "to": "0xab:1 \u00eb"})
    headers = Credentials("key", "secret", "passphrase").headers("2020-12-08T", *request)
    text = f"2020-12-08T{request.method}{request.target}{request.body}"
    expected = base64.b64encode(hmac.digest(b"secret", text.encode(), "sha256")).decode()
    assert headers["OK-ACCESS-SIGN"] == expected
    assert ("Content-Type" in headers) is (request.method == "POST")
