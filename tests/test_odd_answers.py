"""Answers of odd shapes through a whole client, without a socket.

aioresponses stands in for ClientSession._request, so this is about shapes only: how answers get
here is the matter of test_transport.
"""

from __future__ import annotations

import re

import pytest
from aioresponses import aioresponses as mocked

from okx_funding import (
    APIError,
    AuthenticationError,
    DecodeError,
    FundingClient,
    HTTPStatusError,
    InvalidParameterError,
    RateLimitError,
    ServiceUnavailableError,
)
from okx_funding.scheduler.context import Policy
from tests.support import row, sample, someone

pytestmark = pytest.mark.looptime

URL = re.compile(r"https://www\.okx\.com/api/v5/asset/.*")
PAGE = "<html><body><h1>502 Bad Gateway</h1></body></html>"


@pytest.fixture
async def client():
    async with FundingClient(someone(), max_retries=0, policy=Policy(max_refusals=1)) as client:
        yield client


@pytest.fixture
def okx():
    with mocked() as okx:
        yield okx


async def test_an_answer_as_documented(client, okx):
    told = sample("get-asset-non-tradable-assets")["responses"][0]["body"]
    okx.get(URL, payload=told)
    celt, meme = await client.get_non_tradable_assets(["CELT", "MEME"])
    assert (celt.chain, meme.chain) == ("CELT-OKTC", "MEME-ERC20")
    ((method, url),) = okx.requests
    assert (method, str(url)) == (
        "GET",
        "https://www.okx.com/api/v5/asset/non-tradable-assets?ccy=CELT,MEME",
    )


async def test_a_valuation_as_recorded(client, okx):
    told = sample("get-asset-asset-valuation")["responses"][1]["body"]
    okx.get(URL, payload=told)
    valuation = await client.get_asset_valuation()
    assert str(valuation.total_bal) == "0.00218857"


@pytest.mark.parametrize(
    "content_type", ["text/html", "text/plain; charset=gbk", "application/octet-stream", ""]
)
async def test_the_content_type_does_not_matter(client, okx, content_type):
    okx.get(URL, payload={"code": "0", "data": [row()], "msg": ""}, content_type=content_type)
    assert len(await client.get_non_tradable_assets("CELT")) == 1


@pytest.mark.parametrize("status", [201, 204, 206])
async def test_success_is_200_and_nothing_else(client, okx, status):
    okx.get(URL, payload={"code": "0", "data": [], "msg": ""}, status=status)
    with pytest.raises(HTTPStatusError):
        await client.get_non_tradable_assets("CELT")


@pytest.mark.parametrize("status", [400, 403, 404, 500, 502, 503, 504, 520, 530])
async def test_a_page_of_html_is_a_status(client, okx, status):
    okx.get(URL, body=PAGE, status=status, content_type="text/html")
    with pytest.raises(HTTPStatusError, match="502 Bad Gateway") as caught:
        await client.get_non_tradable_assets("CELT")
    assert caught.value.http_status == status


@pytest.mark.parametrize(("header", "seconds"), [({}, None), ({"Retry-After": "120"}, 120)])
async def test_a_bare_429_is_a_status_that_tells_when_to_come_back(client, okx, header, seconds):
    okx.get(URL, body="", status=429, headers=header)
    with pytest.raises(HTTPStatusError) as caught:
        await client.get_non_tradable_assets("CELT")
    assert caught.value.retry_after == seconds
    assert not isinstance(caught.value, RateLimitError)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_a_status(client, okx, status):
    okx.get(URL, status=status, headers={"Location": "https://www.okx.com/maintenance"})
    with pytest.raises(HTTPStatusError, match="redirect"):
        await client.get_non_tradable_assets("CELT")


@pytest.mark.parametrize("body", ["", "null", "[]", "0", '"0"', "{}", PAGE, "[" * 50_000])
async def test_what_is_no_envelope_cant_be_decoded(client, okx, body):
    okx.get(URL, body=body)
    with pytest.raises(DecodeError):
        await client.get_non_tradable_assets("CELT")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (200, "50011", RateLimitError),
        (429, "50011", RateLimitError),
        (429, 50011, RateLimitError),
        (429, "50013", ServiceUnavailableError),
        (401, "50111", AuthenticationError),
        (200, "50119", AuthenticationError),
        (200, "51000", InvalidParameterError),
        (400, "51000", InvalidParameterError),
        (404, 404, APIError),
        (500, "50026", ServiceUnavailableError),
    ],
)
async def test_the_code_decides(client, okx, status, code, kind):
    okx.get(URL, payload={"msg": "Words.", "code": code}, status=status, repeat=True)
    with pytest.raises(APIError) as caught:
        await client.get_asset_valuation()
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.http_status) == (str(code), status)


async def test_a_row_too_few_is_no_row_and_a_row_too_many_is_nobodys(client, okx):
    okx.get(URL, payload={"code": "0", "data": [row("OTHER"), row("MEME")], "msg": ""})
    rows = await client.get_non_tradable_assets(["CELT", "meme"])
    assert [each.ccy for each in rows] == ["MEME"]
