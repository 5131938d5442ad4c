"""A client of a few lines that signs by OKX's page, and by nobody's code."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from okx_funding.auth.credentials import Credentials
from okx_funding.simulator import Judge, SimulatedExchange, make_judge
from okx_funding.simulator.table import route


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> Any:
        return self.json["code"]


def read_reply(raw: bytes) -> Reply:
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
    return Reply(int(line.split(" ")[1]), headers, body)


def sign(
    credentials: Credentials, target: str, *, method: str = "GET", body: str = "", skew: float = 0
) -> dict[str, str]:
    api_key, secret_key, passphrase = credentials.reveal()
    at = datetime.now(UTC) + timedelta(seconds=skew)
    timestamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    digest = hmac.digest(
        secret_key.encode(), f"{timestamp}{method}{target}{body}".encode(), hashlib.sha256
    )
    return {
        "OK-ACCESS-KEY": str.__str__(api_key),
        "OK-ACCESS-SIGN": base64.b64encode(digest).decode(),
        "OK-ACCESS-TIMESTAMP": timestamp,
        "OK-ACCESS-PASSPHRASE": str.__str__(passphrase),
    }


async def exchange_bytes(exchange: SimulatedExchange, raw: bytes) -> bytes:
    """Everything the exchange says to these bytes until it closes."""
    host, port = exchange.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(raw)
        return await reader.read()
    finally:
        writer.close()


Ask = Callable[..., Awaitable[Reply]]
ASSETS = "/api/v5/asset/non-tradable-assets"


@pytest.fixture
def signed() -> Callable[..., dict[str, str]]:
    return sign


@pytest.fixture
def converse() -> Callable[[SimulatedExchange, bytes], Awaitable[bytes]]:
    return exchange_bytes


@pytest.fixture
def ask() -> Ask:
    """``await ask(exchange, target)``: a signed request on a connection of its own.

    ``headers`` are laid over the signed ones; None takes one away.
    """

    async def send(
        exchange: SimulatedExchange,
        target: str = ASSETS,
        *,
        credentials: Credentials | None = None,
        method: str = "GET",
        body: str = "",
        skew: float = 0,
        headers: dict[str, str | None] | None = None,
    ) -> Reply:
        lines: dict[str, str | None] = {"Host": "exchange", "Connection": "close"}
        user = credentials or exchange.credentials
        lines |= sign(user, target, method=method, body=body, skew=skew)
        if body:
            lines["Content-Length"] = str(len(body.encode()))
        lines |= headers or {}
        fields = [f"{name}: {value}" for name, value in lines.items() if value is not None]
        raw = "\r\n".join([f"{method} {target} HTTP/1.1", *fields, "", body]).encode()
        return read_reply(await exchange_bytes(exchange, raw))

    return send


def unlimited(_count: int, period: float) -> Judge:
    """A judge that admits whatever these tests may send."""
    return make_judge("sliding", 1_000_000, period)


Call = Callable[..., Awaitable[tuple[str, list[dict[str, Any]]]]]


@pytest.fixture
def call(ask: Ask) -> Call:
    """``await call(exchange, name, ccy="BTC")``: the code, and the rows of an endpoint.

    ``from_`` stands for ``from``. ``credentials`` may be given.
    """

    async def send(
        exchange: SimulatedExchange,
        endpoint: str,
        *,
        credentials: Credentials | None = None,
        **params: Any,
    ) -> tuple[str, list[dict[str, Any]]]:
        row = route(endpoint)
        given = {name.rstrip("_"): value for name, value in params.items()}
        if row.method == "GET":
            target = row.path + ("?" + urlencode(given) if given else "")
            reply = await ask(exchange, target, credentials=credentials)
        else:
            reply = await ask(
                exchange, row.path, method="POST", body=json.dumps(given), credentials=credentials
            )
        return str(reply.code), reply.json.get("data", [])

    return send


@pytest.fixture
async def bank() -> AsyncIterator[SimulatedExchange]:
    """An exchange without limits that refuses what OKX's pages don't name."""
    async with SimulatedExchange(judge=unlimited, strict=True) as exchange:
        yield exchange


@pytest.fixture
async def exchange() -> AsyncIterator[SimulatedExchange]:
    async with SimulatedExchange() as exchange:
        yield exchange
