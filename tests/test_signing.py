"""Signatures, timestamps and headers are what OKX documents."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_funding.auth.credentials import Credentials
from okx_funding.auth.signing import timestamp

VECTORS = json.loads((Path(__file__).parent / "samples/signature-vectors.json").read_text())
TIME = "2020-12-08T09:08:57.715Z"
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=200)


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_every_public_vector_is_signed_alike(vector):
    credentials = Credentials("key", vector["secret"], "passphrase")
    signature = credentials.sign(
        vector["timestamp"], vector["method"], vector["requestPath"], vector["body"]
    )
    assert signature == vector["sign"]


@pytest.mark.parametrize("length", [1, 63, 64, 65, 127, 300])
def test_a_secret_key_may_have_any_length(length):
    secret = "s" * length
    expected = hmac.digest(secret.encode(), f"{TIME}GET/".encode(), "sha256")
    signature = Credentials("key", secret, "passphrase").sign(TIME, "GET", "/")
    assert base64.b64decode(signature) == expected


@given(printable, st.text(), st.text())
def test_a_signature_is_the_base64_of_hmac_sha256(secret, target, body):
    target, body = (text.encode(errors="ignore").decode() for text in (target, body))
    expected = hmac.digest(secret.encode(), f"{TIME}POST{target}{body}".encode(), "sha256")
    signature = Credentials("key", secret, "passphrase").sign(TIME, "POST", target, body)
    assert signature == base64.b64encode(expected).decode()


def test_signing_once_does_not_change_the_next_signature():
    credentials = Credentials("key", "secret", "passphrase")
    first = credentials.sign(TIME, "GET", "/a")
    credentials.sign(TIME, "GET", "/b")
    assert credentials.sign(TIME, "GET", "/a") == first


def test_the_headers_of_a_get():
    credentials = Credentials("key", "secret", "passphrase")
    assert credentials.headers(TIME, "GET", "/api/v5/x?ccy=BTC") == {
        "OK-ACCESS-KEY": "key",
        "OK-ACCESS-SIGN": credentials.sign(TIME, "GET", "/api/v5/x?ccy=BTC"),
        "OK-ACCESS-TIMESTAMP": TIME,
        "OK-ACCESS-PASSPHRASE": "passphrase",
    }


def test_demo_trading_is_asked_for_by_a_header():
    credentials = Credentials("key", "secret", "passphrase")
    assert credentials.headers(TIME, "GET", "/", demo=True)["x-simulated-trading"] == "1"
    assert "x-simulated-trading" not in credentials.headers(TIME, "GET", "/")


def test_a_body_is_signed_and_declared_json():
    credentials = Credentials("key", "secret", "passphrase")
    headers = credentials.headers(TIME, "POST", "/", '{"a":1}')
    assert headers["Content-Type"] == "application/json"
    assert headers["OK-ACCESS-SIGN"] == credentials.sign(TIME, "POST", "/", '{"a":1}')


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1607418537.715, "2020-12-08T09:08:57.715Z"),
        (1607418537.9994, "2020-12-08T09:08:57.999Z"),
        (1607418537.9996, "2020-12-08T09:08:58.000Z"),
        (1607418537.0004, "2020-12-08T09:08:57.000Z"),
        (1607471999.9999, "2020-12-09T00:00:00.000Z"),
        (1735689599.9999, "2025-01-01T00:00:00.000Z"),
        (1709164800.05, "2024-02-29T00:00:00.050Z"),
    ],
)
def test_a_timestamp_has_three_decimals_and_rounds_into_the_next_second(now, text):
    assert timestamp(now) == text


@given(st.integers(0, 4_102_444_800_000))
def test_every_whole_millisecond_is_rendered_as_itself(millisecond):
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millisecond)
    expected = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert timestamp(millisecond / 1000) == expected


def test_threads_that_ask_for_different_seconds_each_get_their_own():
    wrong: list[str] = []

    def ask(second):
        expected = f"1970-01-01T00:00:{second:02d}.000Z"
        wrong.extend(text for _ in range(2000) if (text := timestamp(second)) != expected)

    threads = [threading.Thread(target=ask, args=(second,)) for second in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_second_is_rendered_once(monkeypatch):
    timestamp(1607418537.1)

    def never(*args):
        raise AssertionError("rendered again")

    monkeypatch.setattr("time.strftime", never)
    assert timestamp(1607418537.2) == "2020-12-08T09:08:57.200Z"
