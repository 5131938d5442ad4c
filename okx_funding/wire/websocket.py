"""One WebSocket connection over aiohttp: text in, text out, and how it ended."""

from __future__ import annotations

from typing import NamedTuple

import aiohttp

from okx_funding.errors import ConnectError, ProtocolError

MAX_MESSAGE = 4 * 2**20
"""Bytes of one message; OKX's are a few hundred."""


class Closed(NamedTuple):
    """How a connection ended: the close code, 1006 where none came, and the reason given."""

    code: int
    reason: str


class WebSocket:
    """A connection that is open. One task reads; sending is short."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, label: str) -> None:
        self._socket = socket
        self._label = label

    async def send(self, text: str) -> None:
        """Send one text frame; ProtocolError where the connection is gone."""
        try:
            await self._socket.send_str(text)
        except (OSError, RuntimeError, aiohttp.ClientError) as error:
            failure = ProtocolError(f"{self._label}: the connection broke ({type(error).__name__})")
        else:
            return
        raise failure

    async def receive(self) -> str | Closed:
        """Wait for the next text frame, or for the end of the connection."""
        message = await self._socket.receive()
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                text: str = message.data
                return text
            case aiohttp.WSMsgType.BINARY:
                return ""  # OKX sends text only: nothing that anybody could use
            case aiohttp.WSMsgType.CLOSE:
                return Closed(int(message.data or 1005), str(message.extra or ""))
        return Closed(int(self._socket.close_code or 1006), "")

    async def close(self) -> None:
        """Close it politely; the other side has a moment to answer."""
        try:
            await self._socket.close()
        except (OSError, RuntimeError, aiohttp.ClientError):
            return


async def connect(
    http: aiohttp.ClientSession, url: str, *, timeout: float, proxy: str | None = None
) -> WebSocket:
    """Open a connection within ``timeout`` seconds; ConnectError where none comes about.

    aiohttp's own heartbeat stays off: OKX documents the text ``ping``, and no protocol pings.
    """
    label = "the WebSocket"
    try:
        socket = await http.ws_connect(
            url,
            heartbeat=None,
            autoping=True,
            autoclose=True,
            max_msg_size=MAX_MESSAGE,
            proxy=proxy,
            timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            receive_timeout=None,
        )
    except aiohttp.WSServerHandshakeError as error:
        failure = ConnectError(f"{label}: the server refused it (HTTP {error.status})")
        failure.may_pass = error.status >= 500 or error.status == 429
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError):
        failure = ConnectError(f"{label}: TLS failed; certificates are always verified")
        failure.may_pass = False
    except TimeoutError:
        failure = ConnectError(f"{label}: no connection within {timeout:g} s")
    except (OSError, aiohttp.ClientError, ValueError) as error:
        failure = ConnectError(f"{label}: no connection ({type(error).__name__})")
    else:
        return WebSocket(socket, label)
    raise failure
