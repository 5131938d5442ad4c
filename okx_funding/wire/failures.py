"""aiohttp's errors in our own words: theirs hold every header sent, the passphrase among them."""

from __future__ import annotations

import re
import ssl
import zlib

import aiohttp

from okx_funding.errors import (
    ClientClosedError,
    ConnectError,
    OKXError,
    ProtocolError,
    RequestTimeoutError,
    TransportError,
)

from .pool import Attempt, Dropped
from .response import plain


def translate(
    error: Exception,
    label: str,
    timeout: float,
    http: aiohttp.ClientSession | None,
    attempt: Attempt,
) -> OKXError:
    """The error that callers see, for one of aiohttp's; its text holds nothing of the request."""
    if attempt.expired and attempt.connected:
        return RequestTimeoutError(f"{label}: no whole answer within {timeout:g} s")
    failure = _in_our_words(error, label, timeout, http)
    if isinstance(failure, TransportError) and failure.sent and not attempt.connected:
        return ConnectError(f"{label}: no connection ({failure})")
    return failure


def _in_our_words(
    error: Exception, label: str, timeout: float, http: aiohttp.ClientSession | None
) -> OKXError:
    match error:
        case Dropped():
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
