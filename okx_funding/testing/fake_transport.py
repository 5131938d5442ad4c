"""A transport without a network: answers that a test makes up, and a record of the requests."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from okx_funding.errors import ClientClosedError, ConnectError, RequestTimeoutError
from okx_funding.wire.response import Response

_HIDDEN = frozenset({"OK-ACCESS-KEY", "OK-ACCESS-SIGN", "OK-ACCESS-PASSPHRASE"})


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request as the transport was asked to send it."""

    at: float
    """When, by the event loop's clock."""
    method: str
    path: str
    """Without the query, such as ``/api/v5/asset/balances``."""
    params: Mapping[str, Any]
    """The query of a GET as texts, or the JSON body of a POST."""
    target: str
    """Path and query to the byte."""
    body: str
    """The body to the byte; empty for none."""
    headers: Mapping[str, str] = field(repr=False)
    label: str = ""
    timeout: float = 0.0
    fresh: bool = False
    """Whether a connection was asked for that surely lives."""


Answer: TypeAlias = (
    Response
    | BaseException
    | Sequence[Mapping[str, Any]]
    | Mapping[str, Any]
    | Callable[[SentRequest], Any]
)
"""What to answer: rows of ``data``, a whole JSON object, a `Response`, an error to raise, or a
function of the request that gives one of these, at once or awaited."""


class FakeTransport:
    """Answers requests by a script, without a network. It works in virtual time, too.

    fake = FakeTransport(latency=0.05)
    fake.answers["/api/v5/asset/balances"] = [
        {"ccy": "BTC", "bal": "1", "frozenBal": "0", "availBal": "1"}
    ]
    fake.next.append(FakeTransport.refused("50011", http_status=429))
    async with Session(transport=fake) as session: ...
    assert fake.requests[0].params == {"ccy": "BTC"}

    ``next`` is used up first, one answer for each request; then ``answers`` by path. A path that
    nobody answers for gets HTTP 404 with OKX's code 404. OKX's clock, ``/api/v5/public/time``, is
    this machine's. `FakeTransport.hang` as an answer never comes.
    """

    def __init__(
        self, answers: Mapping[str, Answer] | None = None, *, latency: float = 0.0
    ) -> None:
        self.answers: dict[str, Answer] = {"/api/v5/public/time": _clock, **(answers or {})}
        """Answers by path, for as many requests as come."""
        self.next: deque[Answer] = deque()
        """Answers for the next requests, whatever they ask for."""
        self.latency = latency
        """Seconds from a request to its answer."""
        self.requests: list[SentRequest] = []
        """All requests, in the order they came."""
        self.in_flight: int = 0
        """Requests that aren't answered yet."""
        self.closed: bool = False

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: str,
        *,
        label: str,
        timeout: float,
        fresh: bool = False,
    ) -> Response:
        """Record the request and answer it, see `okx_funding.wire.transport.Transport`."""
        if self.closed:
            raise ClientClosedError(f"{label}: the transport was closed")
        parts = urlsplit(url)
        target = parts._replace(scheme="", netloc="").geturl()
        params = json.loads(body) if body else dict(parse_qsl(parts.query, keep_blank_values=True))
        now = asyncio.get_running_loop().time()
        request = SentRequest(
            now, method, parts.path, params, target, body, _Headers(headers), label, timeout, fresh
        )
        self.requests.append(request)
        answer = self.next.popleft() if self.next else self.answers.get(parts.path, _NOBODY)
        self.in_flight += 1
        try:
            async with asyncio.timeout(timeout):
                await asyncio.sleep(self.latency)
                return await _response(answer, request)
        except TimeoutError:
            raise RequestTimeoutError(f"{label}: no whole answer within {timeout:g} s") from None
        finally:
            self.in_flight -= 1

    async def aclose(self) -> None:
        """Refuse requests from now on."""
        self.closed = True

    @staticmethod
    def refused(code: str, msg: str = "", *, http_status: int = 200) -> Response:
        """OKX's envelope of an error."""
        body = json.dumps({"code": code, "msg": msg, "data": []}, separators=(",", ":"))
        return Response(http_status, body.encode())

    @staticmethod
    def unreachable(request: SentRequest) -> Response:
        """No connection comes about, so nothing is sent."""
        raise ConnectError(f"{request.label}: no connection (made up by a test)")

    @staticmethod
    async def hang(_request: SentRequest) -> Response:
        """No answer ever comes."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError


class _Headers(dict[str, str]):
    """Headers whose repr shows no key."""

    def __repr__(self) -> str:
        return repr({name: "***" if name in _HIDDEN else text for name, text in self.items()})


async def _response(answer: Answer, request: SentRequest) -> Response:
    made: Any = answer
    if callable(made):
        made = made(request)
    if isinstance(made, Awaitable):
        made = await made
    if isinstance(made, BaseException):
        raise made.with_traceback(None)
    if isinstance(made, Response):
        return made
    whole = made if isinstance(made, Mapping) else {"code": "0", "msg": "", "data": list(made)}
    return Response(200, json.dumps(whole, separators=(",", ":")).encode())


def _clock(_request: SentRequest) -> list[dict[str, str]]:
    return [{"ts": str(int(time.time() * 1000))}]


_NOBODY = FakeTransport.refused("404", "nobody answers for this path", http_status=404)
