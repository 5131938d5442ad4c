"""The wire: one request, one answer, one connection pool. The only room that knows aiohttp.

What aiohttp would do unasked is off here, because a request costs a slot and carries a key: it
follows no redirect, keeps no cookie, reads no proxy and no netrc from the environment, and never
sends a request a second time when a kept-alive connection dies (`_one_shot`). Its exceptions hold
every header sent, the passphrase among them, so they never leave this room, not even as a cause.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping

import aiohttp
from yarl import URL

from .errors import (
    ClientClosedError,
    ConnectError,
    OKXError,
    ProtocolError,
    RequestTimeoutError,
    ResponseTooLargeError,
)
from .wire import Response, plain

_CHUNK = 2**16


class _Dropped(Exception):
    """The connection died. Not aiohttp's own error, which makes it send once more."""

    def __init__(self, *, stale: bool) -> None:
        super().__init__()
        self.stale = stale


async def _one_shot(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # https://github.com/aio-libs/aiohttp/issues/10790
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except aiohttp.ServerDisconnectedError:
        stale = True
    except aiohttp.ClientOSError:
        stale = False
    raise _Dropped(stale=stale)


class Transport:
    """A pool of connections. It belongs to the event loop of its first request."""

    def __init__(
        self,
        http: aiohttp.ClientSession | None = None,
        *,
        proxy: str | None = None,
        max_body: int = 8 * 2**20,
    ) -> None:
        self._http = http
        self._own = http is None
        self._proxy = proxy
        self._max_body = max_body
        self._opened = 0
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    @property
    def started(self) -> bool:
        """Whether there is a pool of our own that has to be closed."""
        return self._own and self._http is not None and not self._http.closed

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, ttl_dns_cache=60, socket_factory=self._open_socket
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._http

    def _open_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        self._opened += 1
        family, kind, protocol, _, _ = address
        return socket.socket(family=family, type=kind, proto=protocol)

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        timeout = self._timeouts.get(seconds)
        if timeout is None:
            # Without ceil_threshold aiohttp rounds a timeout above 5 s up to a whole second.
            # A connection that doesn't come about ends a little earlier, as what it is.
            timeout = aiohttp.ClientTimeout(
                total=seconds, connect=0.9 * seconds, ceil_threshold=seconds + 1
            )
            self._timeouts = {**self._timeouts, seconds: timeout}
        return timeout

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
        opened = self._opened if self._own else -1
        try:
            async with self._session().request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body or None,
                allow_redirects=False,
                timeout=self._timeout(timeout),
                middlewares=(_one_shot,),
                proxy=self._proxy,
            ) as answer:
                return await self._read(answer, label, opened)
        except OKXError:
            raise
        except Exception as error:  # every kind of it is put into our own words
            failure = _translate(error, label, timeout, self._http)
        raise failure

    async def _read(self, answer: aiohttp.ClientResponse, label: str, opened: int) -> Response:
        parts: list[bytes] = []
        size = 0
        async for part in answer.content.iter_chunked(_CHUNK):
            size += len(part)
            if size > self._max_body:
                answer.close()
                raise ResponseTooLargeError(
                    f"{label} answered more than max_body={self._max_body} bytes"
                )
            parts.append(part)
        headers = answer.headers
        return Response(
            answer.status,
            parts[0] if len(parts) == 1 else b"".join(parts),
            headers.get("Retry-After"),
            headers.get("Location"),
            headers.get("Date"),
            fresh=self._opened != opened,
        )

    def abandon(self) -> None:
        """Let go of a pool of our own without an event loop, and without aiohttp's complaints."""
        if self._own and self._http is not None and self._http.connector is not None:
            connector = self._http.connector
            self._http.detach()
            next(connector.close().__await__(), None)  # its first step closes; nobody waits

    async def aclose(self) -> None:
        """Close the pool if it is our own."""
        if self._own and self._http is not None:
            await self._http.close()


def _translate(
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
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return ConnectError(f"{label}: the proxy refused the connection")
        case aiohttp.ClientConnectorError():
            return ConnectError(f"{label}: no connection ({_reason(error.os_error)})")
        case aiohttp.InvalidURL():
            return ConnectError(f"{label}: the URL is unusable; check base_url")
        case aiohttp.ClientPayloadError():
            return ProtocolError(f"{label}: the answer was cut short or is malformed")
        case aiohttp.ClientResponseError():
            return ProtocolError(f"{label}: the answer is no HTTP ({plain(error.message, 80)})")
        case OSError():
            return ProtocolError(f"{label}: the connection broke ({_reason(error)})")
        case RuntimeError() if http is not None and http.closed:
            return ClientClosedError(f"{label}: the HTTP session was closed")
    return ProtocolError(f"{label}: {type(error).__name__}")


def _reason(error: OSError) -> str:
    return plain(error.strerror or type(error).__name__, 80)


def _tls(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return plain(cause.verify_message, 120)
    return type(cause or error).__name__
