"""The wire: one request, one answer, one connection pool. The only room that knows aiohttp.

What aiohttp would do unasked is off here, because a request costs a slot and carries a key: it
follows no redirect, keeps no cookie, reads no proxy and no netrc from the environment, and never
sends a request a second time when a kept-alive connection dies (`_one_shot`). A connection on
which something came that nobody asked for is not used again (`_Connector`), and what was
compressed is decompressed by us, up to a bound (`Decompressor`). aiohttp's exceptions hold every
header sent, the passphrase among them, so they never leave this room, not even as a cause.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import zlib
from collections.abc import AsyncGenerator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import aiohttp
from yarl import URL

from okx_funding.auth.secret import Secret
from okx_funding.errors import (
    ClientClosedError,
    ConnectError,
    InvalidArgumentError,
    OKXError,
    ProtocolError,
    RequestTimeoutError,
    ResponseTooLargeError,
    TransportError,
)

from .decompress import decompressor_of
from .response import Response, plain

_CHUNK = 2**16
_ENCODINGS = {"Accept-Encoding": "gzip, deflate"}
_INHERITED: list[object] = []
"""What a forked child got from its parent: never closed here, for the sockets are the parent's."""


class _Attempt:
    """How far one request came. A pool that isn't ours tells nothing of it: the worst is taken."""

    __slots__ = ("connected", "fresh", "ours")

    def __init__(self, ours: bool) -> None:
        self.ours = ours
        self.connected = not ours
        """Whether there was a connection, so that the first byte may have left."""
        self.fresh = not ours
        """Whether a connection had to be made."""


_attempt: ContextVar[_Attempt] = ContextVar("_attempt")


class _Connector(aiohttp.TCPConnector):
    """aiohttp's pool, which hands out idle connections with unread answers on them."""

    async def connect(self, *args: Any, **options: Any) -> Any:
        while True:
            connection = await super().connect(*args, **options)
            protocol = connection.protocol
            if protocol is None or not protocol.should_close:
                _attempt.get().connected = True
                return connection
            connection.close()


class _Dropped(Exception):
    """The connection died. Not aiohttp's own error, which makes it send once more."""

    def __init__(self, *, stale: bool) -> None:
        super().__init__()
        self.stale = stale


async def _one_shot(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # https://github.com/aio-libs/aiohttp/issues/10790
    attempt = _attempt.get()
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except aiohttp.ServerDisconnectedError:
        stale = not (attempt.ours and attempt.fresh)
    except aiohttp.ClientOSError:
        stale = attempt.ours and not attempt.fresh
    raise _Dropped(stale=stale)


_MIDDLEWARES = (_one_shot,)


class Transport:
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

    @property
    def started(self) -> bool:
        """Whether there is a pool of our own that nobody closed yet."""
        return self._lasting is not None

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=_Connector(limit=0, ttl_dns_cache=60, socket_factory=_open_socket),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
            self._process = os.getpid()
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
    ) -> Response:
        """Send once and read the whole answer within ``timeout`` seconds.

        ``url`` goes out to the byte as it is; ``label`` names the endpoint in errors. Raises a
        TransportError whose text holds nothing of the request.
        """
        attempt = _Attempt(self._own)
        _attempt.set(attempt)
        answer: aiohttp.ClientResponse | None = None
        try:
            answer = await self._session().request(
                method,
                URL(url, encoded=True),
                headers={**headers, **_ENCODINGS},
                data=body or None,
                allow_redirects=False,
                auto_decompress=False,
                raise_for_status=False,
                timeout=_timeout(timeout),
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
            return _response(answer, whole, attempt.fresh)
        except OKXError:
            raise
        except Exception as error:  # every kind of it is put into our own words
            failure = _translate(error, label, timeout, self._http, attempt)
            error.__traceback__ = None  # the answer holds the error, and its frames the answer
        finally:
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


def _open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    _attempt.get().fresh = True
    family, kind, protocol, _, _ = address
    return socket.socket(family=family, type=kind, proto=protocol)


@lru_cache(maxsize=64)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    # Without ceil_threshold aiohttp rounds a timeout above 5 s up to a whole second.
    # A connection that doesn't come about ends a little earlier, as what it is.
    return aiohttp.ClientTimeout(total=seconds, connect=0.9 * seconds, ceil_threshold=seconds + 1)


def _translate(
    error: Exception,
    label: str,
    timeout: float,
    http: aiohttp.ClientSession | None,
    attempt: _Attempt,
) -> OKXError:
    failure = _in_our_words(error, label, timeout, http)
    if isinstance(failure, TransportError) and failure.sent and not attempt.connected:
        return ConnectError(f"{label}: no connection ({failure})")
    return failure


def _in_our_words(
    error: Exception, label: str, timeout: float, http: aiohttp.ClientSession | None
) -> OKXError:
    match error:
        case _Dropped():
            failure = ProtocolError(f"{label}: the connection broke before an answer came")
            failure.stale = error.stale
            return failure
        case aiohttp.ConnectionTimeoutError():
            return ConnectError(f"{label}: no connection within {0.9 * timeout:g} s")
        case TimeoutError():
            return RequestTimeoutError(f"{label}: no whole answer within {timeout:g} s")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            refused = ConnectError(
                f"{label}: TLS failed ({_tls(error)}); certificates are always verified"
            )
            refused.may_pass = False
            return refused
        case aiohttp.ClientProxyConnectionError():
            return ConnectError(f"{label}: the proxy can't be reached ({_reason(error.os_error)})")
        case aiohttp.ClientHttpProxyError(status=status):
            refused = ConnectError(f"{label}: the proxy refused to connect (HTTP {status})")
            refused.may_pass = status >= 500
            return refused
        case aiohttp.ClientConnectorError():
            return ConnectError(f"{label}: no connection ({_reason(error.os_error)})")
        case aiohttp.InvalidURL():
            return ConnectError(f"{label}: the URL is unusable; check base_url")
        case aiohttp.ClientPayloadError() | zlib.error():
            return ProtocolError(f"{label}: the answer was cut short, or is malformed")
        case aiohttp.ClientResponseError():
            return ProtocolError(f"{label}: the answer is no HTTP ({_complaint(error)})")
        case OSError():
            return ProtocolError(f"{label}: the connection broke ({_reason(error)})")
        case RuntimeError() if http is not None and http.closed:
            return ClientClosedError(f"{label}: the HTTP session was closed")
    return ProtocolError(f"{label}: {type(error).__name__}")


_QUOTE = re.compile(r"""[:\n]| b?['"]""")


def _complaint(error: aiohttp.ClientResponseError) -> str:
    """aiohttp's complaint, up to where it quotes what came."""
    return plain(_QUOTE.split(error.message, maxsplit=1)[0], 80) or "malformed"


def _reason(error: OSError) -> str:
    return plain(error.strerror or type(error).__name__, 80)


def _tls(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return plain(cause.verify_message, 120)
    return type(cause or error).__name__
