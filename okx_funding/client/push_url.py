"""Where OKX pushes: the WebSocket's URL, given or by the REST host."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from okx_funding.auth.settings import origin_of
from okx_funding.errors import InvalidArgumentError

VARIABLE = "OKX_WS_URL"
_PATH = "/ws/v5/business"
# https://www.okx.com/docs-v5/en/#overview-production-trading-services
_HOSTS = {
    ("https://www.okx.com", False): "ws",
    ("https://www.okx.com", True): "wspap",
    ("https://openapi.okx.com", False): "ws",
    ("https://openapi.okx.com", True): "wspap",
    ("https://eea.okx.com", False): "wseea",
    ("https://eea.okx.com", True): "wseeapap",
    ("https://us.okx.com", False): "wsus",
    ("https://us.okx.com", True): "wsuspap",
}
"""The WebSocket's host for each REST host, live and demo. Australia has the host of the US."""


def push_url(given: str | None, origin: str, demo: bool, *, allow_http: bool) -> str | None:
    """The WebSocket's URL: what was given, OKX_WS_URL, or what follows from the REST host.

    A host that isn't OKX's has its WebSocket at the same place. None for a host of OKX's whose
    WebSocket isn't documented. Raises InvalidArgumentError for what is no URL, and for plain ws
    beyond loopback.
    """
    name, url = "ws_url", given
    if url is None:
        name, url = VARIABLE, os.environ.get(VARIABLE, "").strip() or None
    if url is not None:
        return _checked(name, url, allow_http)
    host = _HOSTS.get((origin, demo))
    if host is not None:
        return f"wss://{host}.okx.com{_PATH}"
    if origin.endswith(".okx.com"):
        return None
    return f"ws{origin.removeprefix('http')}{_PATH}"


def _checked(name: str, url: str, allow_http: bool) -> str:
    example = "wss://ws.okx.com/ws/v5/business"
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        known = parts is not None and parts.scheme in ("ws", "wss") and bool(parts.hostname)
    except ValueError:
        parts, known = None, False
    if parts is None or not known or parts.query or parts.fragment or not parts.path.strip("/"):
        raise InvalidArgumentError(f"{name} must be a whole URL, such as {example}")
    try:
        origin_of(f"http{parts.scheme.removeprefix('ws')}://{parts.netloc}", allow_http)
    except InvalidArgumentError as error:
        problem = str(error).replace("base_url", name).replace("http", "ws", 1)
    else:
        return url
    if parts.scheme == "ws" and not parts.username:
        problem = (
            f"{name}: ws://{parts.hostname} would send the passphrase in clear: use wss, or "
            f"allow_http=True"
        )
    raise InvalidArgumentError(problem)
