"""The wire: one request, one answer, one connection pool.

What aiohttp would do unasked is off here, because a request costs a slot and carries a key: it
follows no redirect, keeps no cookie, reads no proxy and no netrc from the environment, and never
sends a request a second time (`pool.one_shot`). What was compressed is decompressed by us, up to
a bound. aiohttp's exceptions hold every header sent, the passphrase among them, so they never
leave this room, not even as a cause.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from functools import lru_cache
from typing import Protocol

import aiohttp
from yarl import URL

from okx_funding.auth.secret import Secret
from okx_funding.errors import (
    ConnectError,
    InvalidArgumentError,
    OKXError,
    ProtocolError,
    ResponseTooLargeError,
)

from . import websocket
from .decompress import decompressor_of
from .failures import translate
from .pool import Attempt, Connector, Deadlines, attempt, one_shot
from .response import Response
from .websocket import WebSocket

_CHUNK = 2**16
_ENCODINGS = {"Accept-Encoding": "gzip, deflate"}
_INHERITED: list[object] = []
"""What a forked child got from its parent: never closed here, for the sockets are the parent's."""


_MIDDLEWARES = (one_shot,)


class Transport(Protocol):
    """What sends a session's requests: aiohttp by default, or one of your own.

    It sends each request once, follows no redirect and keeps no cookie; the scheduler decides
    about everything else. `okx_funding.testing.FakeTransport` is one without a network.
    """

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
        """Send once and read the whole answer within ``timeout`` seconds.

        ``url`` goes out to the byte as it is, for it is signed; ``body`` is JSON, empty for none;
        ``label`` names the endpoint in errors. ``fresh`` asks for a connection that surely lives:
        one opened for this request, or one on which an answer was read within the last 5 s.

        Raises a TransportError when no whole answer comes. Its ``sent`` is False only where surely
        no byte has left; its text holds nothing of the request, for that carries a key.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections. Nothing is sent afterwards."""
        ...


class AiohttpTransport:
    """A pool of connections. It belongs to the event loop of its first request."""

    def __init__(
        self,
        http: aiohttp.ClientSession | None = None,
        *,
        proxy: str | None = None,
        max_body: int = 8 * 2**20,
    ) -> None:
        if http is not None and not isinstance(http, aiohttp.ClientSession):
            raise InvalidArgumentError("http must be an aiohttp.ClientSession")
        self._http = http
        self._own = http is None
        self._proxy = None if proxy is None else Secret(proxy)
        self._max_body = max_body
        self._process = os.getpid()
        self._lasting: AsyncGenerator[None, None] | None = None
        self._deadlines: Deadlines | None = None

    @property
    def started(self) -> bool:
        """Whether there is a pool of our own that nobody closed yet."""
        return self._lasting is not None

    async def connect(self, url: str, *, timeout: float) -> WebSocket:
        """Open a WebSocket within ``timeout`` seconds, by the same rules as requests."""
        session = self._session()
        attempt.set(Attempt(self._own, fresh=True))
        try:
            async with asyncio.timeout(timeout):
                return await websocket.connect(session, url, timeout=timeout, proxy=self._proxy)
        except TimeoutError:
            pass
        raise ConnectError(f"the WebSocket: no connection within {timeout:g} s")

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=Connector(),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
            self._process = os.getpid()
            self._deadlines = Deadlines(asyncio.get_running_loop())
            self._lasting = _as_long_as_the_loop(self._http)
            with contextlib.suppress(StopIteration):
                self._lasting.__anext__().send(None)
        return self._http

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
        """Send once and read the whole answer, see `Transport.send`.

        A pool that isn't ours knows nothing of ``fresh``.
        """
        http = self._session()
        current = Attempt(self._own, fresh)
        attempt.set(current)
        deadlines = self._deadlines
        ends = None if deadlines is None else deadlines.add(current, timeout)
        answer: aiohttp.ClientResponse | None = None
        try:
            answer = await http.request(
                method,
                URL(url, encoded=True),
                headers={**headers, **_ENCODINGS},
                data=body.encode() if body else None,
                allow_redirects=False,
                auto_decompress=False,
                raise_for_status=False,
                timeout=_timeout(timeout, self._own),
                middlewares=_MIDDLEWARES,
                proxy=self._proxy,
            )
            encoding = answer.headers.get("Content-Encoding")
            if encoding is None and answer.content.is_eof():
                whole = answer.content.read_nowait()
                if len(whole) > self._max_body:
                    raise self._too_large(label)
            else:
                whole = await self._read(answer.content, encoding or "", label)
            if current.expired:  # a body without a length ends where its connection does
                raise TimeoutError
            return _response(answer, whole, current.made)
        except OKXError:
            raise
        except Exception as error:  # every kind of it is put into our own words
            failure = translate(error, label, timeout, http, current)
            error.__traceback__ = None  # the answer holds the error, and its frames the answer
        finally:
            if ends is not None:
                ends.pop(current, None)
            if answer is not None and not answer.content.at_eof():
                answer.close()
        raise failure

    async def _read(self, content: aiohttp.StreamReader, encoding: str, label: str) -> bytes:
        decompressor = decompressor_of(encoding, label)
        parts: list[bytes] = []
        size = raw = 0
        async for part in content.iter_chunked(_CHUNK):
            raw += len(part)
            if decompressor is not None:
                part = decompressor.feed(part, self._max_body + 1 - size)
            size += len(part)
            if max(size, raw) > self._max_body:
                raise self._too_large(label)
            parts.append(part)
        if decompressor is not None and raw and not decompressor.whole:
            raise ProtocolError(f"{label}: the answer was cut short, or is malformed")
        return b"".join(parts)

    def _too_large(self, label: str) -> ResponseTooLargeError:
        return ResponseTooLargeError(f"{label} answered more than max_body={self._max_body} bytes")

    @property
    def inherited(self) -> bool:
        """Whether this is a forked child, and the pool its parent's."""
        return self._process != os.getpid()

    def abandon(self) -> None:
        """Let go of a pool of our own without an event loop, and without aiohttp's complaints."""
        lasting, self._lasting = self._lasting, None
        if self._http is None or lasting is None:
            return
        if self._deadlines is not None and not self.inherited:
            self._deadlines.close()
        if self.inherited:  # closing would take the parent's sockets out of the parent's loop
            _INHERITED.extend((self._http, lasting))
            return
        connector = self._http.connector
        self._http.detach()
        if connector is not None:
            next(connector.close().__await__(), None)  # its first step closes; nobody waits
        with contextlib.suppress(StopIteration, RuntimeError):
            lasting.aclose().send(None)

    async def aclose(self) -> None:
        """Close the pool if it is our own."""
        lasting, self._lasting = self._lasting, None
        if lasting is not None:
            await lasting.aclose()
        if self._deadlines is not None:
            self._deadlines.close()


async def _as_long_as_the_loop(http: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    """Closes the pool when it is closed: by us, or by the event loop at its own end.

    `asyncio.run` closes all asynchronous generators while the loop can still close sockets.
    """
    try:
        yield
    finally:
        await http.close()


def _response(answer: aiohttp.ClientResponse, body: bytes, fresh: bool) -> Response:
    if answer.status == 200:
        return Response(200, body, fresh=fresh)
    get = answer.headers.get
    return Response(
        answer.status, body, get("Retry-After"), get("Location"), get("Date"), fresh=fresh
    )


@lru_cache(maxsize=64)
def _timeout(seconds: float, ours: bool) -> aiohttp.ClientTimeout:
    # A connection that doesn't come about ends a little earlier, as what it is. All the rest is
    # ended by our own deadlines, which cost less, where the pool is ours. Without ceil_threshold
    # aiohttp rounds a timeout above 5 s up to a whole second.
    return aiohttp.ClientTimeout(
        total=None if ours else seconds, connect=0.9 * seconds, ceil_threshold=seconds + 1
    )
