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

import pytest

from okx_funding.auth.credentials import Credentials
from okx_funding.simulator import SimulatedExchange


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


@pytest.fixture
async def exchange() -> AsyncIterator[SimulatedExchange]:
    async with SimulatedExchange() as exchange:
        yield exchange
