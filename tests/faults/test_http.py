"""Faults of HTTP and of what it carries, row by row: ``pytest -k H7_`` finds that of row H7."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib

import pytest

from okx_funding import (
    DecodeError,
    FundingClient,
    HTTPStatusError,
    OutcomeUnknownError,
    ProtocolError,
    RequestTimeoutError,
    ResponseTooLargeError,
    Session,
)
from okx_funding.simulator import Fault
from tests.faults.answers import BADLY_PACKED, HEADED, NO_HTTP, STRANGE, bomb
from tests.faults.server import (
    BODY,
    FINE,
    FaultServer,
    always,
    facing,
    fails,
    fine,
    nothing_is_held,
    once,
    transfer,
    works,
)
from tests.support import ASSETS, at_exchange, envelope, failure_of, http, now, row, someone

pytestmark = [pytest.mark.looptime, pytest.mark.anyloop]
virtual = pytest.mark.anyloop(False)

PAGE = b"<html>\r\n<body>\r\n<h1>Sorry</h1>" + b"x" * 5000 + b"</body></html>"


# -- H1 to H4: the gateway speaks -----------------------------------------------------------------


@virtual
@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 521, 522, 523, 524])
async def test_H1_a_page_with_5xx_is_tried_again(status):
    async with facing(always(http(PAGE, status)), max_retries=2) as (server, client):
        error = await fails(client, HTTPStatusError)
        assert error.http_status == status
        assert len(server.heard) == 3
        assert "Sorry" in str(error)
        assert len(str(error)) < 400
        assert isinstance(await failure_of(transfer(client), OutcomeUnknownError), Exception)


async def test_H1_a_page_with_403_is_told_at_once_even_if_it_looks_like_okx():
    page = b'{"msg":"","data":[]} <html>'
    async with facing(always(http(page, 403))) as (server, client):
        error = await fails(client, HTTPStatusError)
        assert error.http_status == 403
        assert "IP address, region or firewall" in str(error)
        assert len(server.heard) == 1
        refused = await failure_of(transfer(client), HTTPStatusError)
        assert refused.http_status == 403  # it never got as far as OKX


async def test_H1_a_gateway_that_speaks_json_of_its_own_is_no_okx():
    async with facing(once(http(b'{"code":429,"msg":"slow down"}', 429)), max_retries=0) as (
        server,
        client,
    ):
        error = await fails(client, HTTPStatusError)
        assert error.http_status == 429
    async with facing(always(http(b'{"code":503,"msg":"?"}', 503)), fine) as (server, client):
        await failure_of(client.get_non_tradable_assets("CELT"), Exception)
        assert len(server.heard) == 3


@virtual
@pytest.mark.parametrize("fault", [Fault.code("50011"), Fault.code("50011", status=200)], ids=repr)
async def test_H2_a_429_with_okxs_body_is_okxs_limit_and_closes_no_gate(fault):
    async with at_exchange() as (exchange, client):
        exchange.fail_next(1, fault, ASSETS)
        call = asyncio.ensure_future(client.get_non_tradable_assets("CELT"))
        await asyncio.sleep(0.05)
        await client.get_asset_valuation()
        assert now() < 0.1
        await call
        assert client.statistics().refused == 1


@virtual
async def test_H3_a_bare_429_closes_the_gate_for_every_endpoint_and_every_user():
    busy = once(http(b"", 429, ["Retry-After: 3"]))
    async with FaultServer(busy, fine) as server, Session() as session:
        alice, bob = (
            FundingClient(someone(), base_url=server.base_url, session=session) for _ in range(2)
        )
        call = asyncio.ensure_future(works(alice))
        await asyncio.sleep(0.1)
        await works(bob)
        await call
    assert [round(heard.at, 1) >= 3 for heard in server.heard] == [False, True, True]


@virtual
async def test_H3_a_gate_that_stays_closed_is_told_after_a_few_tries():
    async with facing(always(http(b"", 429))) as (server, client):
        error = await fails(client, HTTPStatusError)
        assert (error.http_status, error.retry_after) == (429, None)
        assert "gateway" in str(error)
        assert len(server.heard) == 3


@virtual
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "attempts", "least"),
    [
        ("20", 2, 20),
        ("0", 2, 0),
        ("-10", 2, 0),
        ("garbage", 2, 0),
        ("", 2, 0),
        ("60", 2, 60),
        ("61", 1, 0),
        ("9" * 40, 1, 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1, 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 2, 0),
        ("Someday, 99 Foo 2026", 2, 0),
    ],
)
async def test_H4_a_strange_retry_after_never_makes_anybody_sleep_for_long(
    status, said, attempts, least
):
    date = "Date: Sat, 21 Nov 2026 20:00:00 GMT"
    busy = once(http(b"", status, [f"Retry-After: {said}", date]))
    async with facing(busy, fine) as (server, client):
        if attempts == 2:
            await works(client)
            assert least <= now() < least + 2.1
        else:
            error = await fails(client, HTTPStatusError)
            assert error.retry_after is not None
            assert error.retry_after > 60
            assert now() < 0.1
        assert len(server.heard) == attempts


# -- H5 to H7: half of it -------------------------------------------------------------------------

HALF = BODY[: len(BODY) // 2]


def breaks_off(data):
    async def script(peer):
        await peer.hear()
        peer.say(data)

    return script


async def test_H5_a_body_that_ends_before_its_length_is_tried_again():
    async with facing(breaks_off(http(HALF, length=len(BODY))), fine) as (server, client):
        await works(client)
        assert len(server.heard) == 2
    async with facing(breaks_off(http(HALF, length=len(BODY))), max_retries=0) as (_, client):
        assert (await fails(client, ProtocolError)).sent
        await failure_of(transfer(client), OutcomeUnknownError)


async def test_H6_half_a_body_without_a_length_is_tried_again_once():
    async with facing(breaks_off(http(HALF, length=None)), fine) as (server, client):
        await works(client)
        assert len(server.heard) == 2
    async with facing(breaks_off(http(HALF, length=None)), max_retries=5) as (server, client):
        await fails(client, DecodeError)
        assert len(server.heard) == 2
        await failure_of(transfer(client), OutcomeUnknownError)


@pytest.mark.parametrize("data", NO_HTTP.values(), ids=NO_HTTP)
async def test_H7_what_is_no_http_is_tried_again_on_another_connection(data):
    async with facing(breaks_off(data), fine) as (server, client):
        await works(client)
        assert [heard.connection for heard in server.heard] == [1, 2]
    async with facing(breaks_off(data), max_retries=0) as (server, client):
        error = await fails(client, ProtocolError)
        assert error.sent
        assert "x16" not in str(error)
        await failure_of(transfer(client), OutcomeUnknownError)
        await nothing_is_held(client)


# -- H8 to H12: what the body says ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/html", "text/plain; charset=gbk", "x", ""])
async def test_H8_the_content_type_does_not_matter(kind):
    answer = http(BODY).replace(b"application/json", kind.encode())
    async with facing(always(answer)) as (_, client):
        await works(client)


async def cant_be_read(body, match=""):
    """The error of a body that is no answer: asked for twice, since it may have been cut short."""
    async with facing(always(http(body)), max_retries=1) as (server, client):
        error = await fails(client, DecodeError)
        assert len(server.heard) == 2
        assert match in str(error)
        assert error.sent
        return str(error)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"[[]]", b"0", b"1e400", b'"0"', b"true", b"{}", b" ", b"\x00"]
)
async def test_H9_what_is_no_envelope_cant_be_decoded(body):
    await cant_be_read(body)


def without(name):
    return json.dumps({key: value for key, value in row().items() if key != name}).encode()


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b'{"data":[],"msg":""}', "code"),
        (b'{"code":"0","msg":""}', "data"),
        (b'{"code":"0","data":null,"msg":""}', "data"),
        (b'{"code":"0","data":{},"msg":""}', "data"),
        (b'{"code":0,"data":[],"msg":""}', "code"),
        (b'{"code":"0","data":[%s],"msg":""}' % without("bal"), "bal"),
        (b'{"code":"0","data":[%s],"msg":""}' % without("ccy"), "ccy"),
        (envelope(row(canWd="yes")), "canWd"),
    ],
)
async def test_H10_what_is_missing_is_named(body, match):
    told = await cant_be_read(body, match)
    assert "989.84719571" not in told  # an amount of the row


async def test_H10_what_is_new_is_no_trouble():
    body = envelope(row("CELT", newField={"a": [1]}, chain="A-NEW-CHAIN"), inTime="1", outTime=2)
    async with facing(always(http(body))) as (_, client):
        (asset,) = await client.get_non_tradable_assets("CELT")
        assert asset.chain == "A-NEW-CHAIN"


@pytest.mark.parametrize("field", ["bal", "minWd", "fee", "burningFeeRate", "wdTickSz"])
@pytest.mark.parametrize(
    "text", ["NaN", "-Infinity", "1e400", "1_000", "0x1", "1,5", "٣", " 1", "1 ", "9" * 200]
)
async def test_H11_what_is_no_plain_number_is_an_error(field, text):
    await cant_be_read(envelope(row(**{field: text})), field)


async def test_H11_what_may_be_empty_is_none_and_what_must_be_there_is_an_error():
    gaps = row("CELT", minWd="", fee="", burningFeeRate="", wdTickSz="")
    async with facing(always(http(envelope(gaps)))) as (_, client):
        (asset,) = await client.get_non_tradable_assets("CELT")
        assert {asset.min_wd, asset.fee, asset.burning_fee_rate, asset.wd_tick_sz} == {None}
    await cant_be_read(envelope(row(bal="")), "bal")


@pytest.mark.parametrize(
    ("twice", "name"),
    [
        (BODY.replace(b'"bal": ', b'"bal": "0.1", "bal": '), "bal"),
        (BODY.replace(b'"bal": ', b'"b\\u0061l": "0.1", "bal": '), "bal"),
        (BODY.replace(b'"ccy": ', b'"ccy": "BTC", "ccy": '), "ccy"),
        (BODY.replace(b'"fee": ', b'"fee":"0.1" , "fee": '), "fee"),
        (BODY.replace(b'{"code": "0"', b'{"code": "51000", "code": "0"'), "code"),
        (BODY.replace(b'"data": ', b'"data": [], "data": '), "data"),
    ],
)
async def test_H12_an_amount_that_stands_twice_is_not_guessed(twice, name):
    told = await cant_be_read(twice, f"{name} stands twice")
    assert "0.1" not in told


async def test_H12_what_only_looks_like_a_name_is_no_trouble():
    body = envelope(row("CELT", name='"bal": "1", "bal": "2"'))
    async with facing(always(http(body))) as (_, client):
        await works(client)


@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE)
async def test_H12_strange_json_is_an_error_and_no_crash(body):
    await cant_be_read(body)


# -- H13 to H15: too much -------------------------------------------------------------------------


async def at_cap(script, cap):
    """The outcome of one call with this max_body, and the server."""
    async with (
        FaultServer(script) as server,
        Session(max_body=cap) as session,
        FundingClient(
            someone(), base_url=server.base_url, session=session, max_retries=2
        ) as client,
    ):
        error = await fails(client, ResponseTooLargeError)
        assert f"max_body={cap}" in str(error)
        await nothing_is_held(client)
    return error, server


async def test_H13_a_body_over_the_cap_is_not_read_to_its_end():
    poured = 0

    async def pours(peer):
        nonlocal poured
        await peer.hear()
        peer.say(http(b"", length=2**40))
        while True:
            await peer.pour(b" " * 2**16)
            poured += 2**16

    error, server = await at_cap(pours, 2**20)
    assert error.sent
    assert poured < 2**25
    assert len(server.heard) == 1  # asking again would bring it again


async def test_H14_a_bomb_of_300_megabytes_is_never_blown_up():
    data = http(bomb(300), headers=["Content-Encoding: gzip"])
    assert len(data) < 400_000
    tracemalloc.start()
    try:
        await at_cap(once(data), 8 * 2**20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 * 2**20


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate", "raw deflate"])
async def test_H14_what_is_compressed_is_read_up_to_the_cap_and_no_byte_further(encoding):
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = {
        "deflate": zlib.compress,
        "raw deflate": lambda body: raw.compress(body) + raw.flush(),
    }.get(encoding, gzip.compress)(BODY)
    answer = http(packed, headers=[f"Content-Encoding: {encoding.split()[-1]}"])
    await at_cap(once(answer), len(BODY) - 1)
    async with (
        FaultServer(always(answer)) as server,
        Session(max_body=len(BODY)) as session,
        FundingClient(someone(), base_url=server.base_url, session=session) as client,
    ):
        await works(client)
        assert server.heard[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(("body", "encoding"), BADLY_PACKED.values(), ids=BADLY_PACKED)
async def test_H14_what_is_badly_compressed_is_tried_again(body, encoding):
    answer = http(body, headers=[f"Content-Encoding: {encoding}"])
    async with facing(once(answer), fine) as (server, client):
        await works(client)
        assert len(server.heard) == 2
    async with facing(once(answer), max_retries=0) as (_, client):
        assert (await fails(client, ProtocolError)).sent


async def test_H14_endless_nothing_is_too_much_as_well():
    async def pours(peer):
        await peer.hear()
        peer.say(http(b"", headers=["Content-Encoding: gzip"], length=2**40))
        press = zlib.compressobj(9, zlib.DEFLATED, 31)
        peer.say(press.flush(zlib.Z_SYNC_FLUSH))
        while True:  # empty blocks
            await peer.pour(b"\x00\x00\x00\xff\xff" * 10_000)

    await at_cap(pours, 2**20)


@pytest.mark.parametrize("data", HEADED.values(), ids=HEADED)
async def test_H15_headers_and_trailers_have_their_bounds(data):
    async def pours(peer):
        await peer.hear()
        await peer.pour(data)
        await peer.gone()

    async with facing(pours, fine) as (server, client):
        await works(client)
        assert len(server.heard) == 2
    async with facing(pours, max_retries=0) as (server, client):
        error = await fails(client, ProtocolError)
        assert "xxx" not in str(error)


# -- H16 to H19: leading astray ---------------------------------------------------------------


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_H16_no_redirect_is_followed_and_its_host_is_named(status):
    async with FaultServer(fine) as elsewhere:
        where = f"http://localhost:{elsewhere.port}/api/v5/asset/non-tradable-assets"
        async with facing(always(http(b"", status, [f"Location: {where}"]))) as (server, client):
            error = await fails(client, HTTPStatusError)
            assert error.http_status == status
            assert "localhost" in str(error)
            assert len(server.heard) == 1
        assert elsewhere.connections == 0


FORGED = http(envelope(row("CELT", bal="666")))


async def forged_together(peer):
    await peer.hear()
    peer.say(FINE + FORGED)
    await peer.hear()
    peer.say(FINE)


async def forged_later(peer):
    await peer.hear()
    peer.say(FINE)
    await asyncio.sleep(0.01)
    peer.say(FORGED)
    await peer.hear()
    peer.say(FINE)


async def forged_in_part(peer):
    await peer.hear()
    peer.say(FINE)
    await asyncio.sleep(0.01)
    peer.say(FORGED[:-10])
    await peer.hear()
    peer.say(FORGED[-10:] + FORGED)


async def garbage_later(peer):
    await peer.hear()
    peer.say(FINE)
    await asyncio.sleep(0.01)
    peer.say(b"}]}\r\n\r\nHTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("script", [forged_together, forged_later, forged_in_part, garbage_later])
async def test_H17_what_nobody_asked_for_is_nobodys_answer(script):
    async with facing(script, fine) as (server, client):
        for _ in range(3):
            (asset,) = await client.get_non_tradable_assets("CELT")
            assert asset.bal != 666
            await asyncio.sleep(0.05)
        assert server.connections == 2


@virtual
async def test_H18_a_flood_of_interim_answers_ends_with_the_request_timeout():
    async def floods(peer):
        await peer.hear()
        while True:
            await peer.pour(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
            await asyncio.sleep(0.1)

    async with facing(floods, max_retries=0, request_timeout=3) as (_, client):
        await fails(client, RequestTimeoutError)
        assert abs(now() - 3) <= 0.05


async def test_H18_a_few_of_them_are_skipped_and_101_is_no_answer():
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 5
    async with facing(always(hints + FINE)) as (_, client):
        await works(client)
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    async with facing(once(upgrade), fine) as (server, client):
        await fails(client, HTTPStatusError)
        await works(client)
        assert server.connections == 2


async def test_H19_a_gateways_cookie_is_not_kept_for_this_user_nor_for_another():
    cookie = ["Set-Cookie: __cf_bm=canary; Path=/; HttpOnly", "Set-Cookie: a=b"]
    async with FaultServer(always(http(BODY, headers=cookie))) as server, Session() as session:
        for _ in range(2):
            client = FundingClient(someone(), base_url=server.base_url, session=session)
            await works(client)
            await works(client)
    assert len(server.heard) == 4
    assert not any("cookie" in heard.headers for heard in server.heard)
