"""Serves the page: who may ask, which path is which, and the headers. No I/O but files read once.

Whoever may press the buttons moves made-up money only, yet a foreign page in the same browser must
not be able to: a request has to come from this machine, for a name of this machine (which is what
DNS rebinding can't forge), and a POST needs the token that only the page itself was given.
"""

from __future__ import annotations

import hmac
import html
import ipaddress
import json
import secrets
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

from okx_funding.simulator.answers import Answer, compact
from okx_funding.simulator.auth import Request

from .actions import ActionError, Actions
from .view import View

_FOLDER = "/_page/"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_FILES = ("page.css", "page.js", "dom.js", "lanes.js", "money.js")
_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_MAX_BODY = 10_000


class Page:
    """The page of one exchange. ``token`` is what a POST has to bring."""

    def __init__(self, view: View, actions: Actions) -> None:
        self.token: str = secrets.token_urlsafe(24)
        self._view = view
        self._actions = actions

    def serves(self, request: Request) -> bool:
        """Whether the request is for the page; all others are for OKX's API."""
        return request.path == "/" or request.path.startswith(_FOLDER)

    def answer(self, request: Request, now: float) -> Answer:
        """The answer to a request for the page, at ``now`` seconds of the loop's clock."""
        if not _is_loopback(request.peer):
            return _text(403, "This page is for browsers of the exchange's own machine only.")
        host = request.headers.get("host", "")
        if not _is_local(host):
            return _text(
                403, "This page is at 127.0.0.1 or localhost only, and not under another name."
            )
        name = "" if request.path == "/" else request.path.removeprefix(_FOLDER)
        if name == "act":
            return self._act(request, host)
        if request.method != "GET":
            return _text(405, "This can only be read.")
        if name == "":
            text = _read("index.html").replace("{{token}}", html.escape(self.token))
            return _answer(200, text.encode(), "text/html; charset=utf-8")
        if name in _FILES:
            return _answer(200, _read(name).encode(), _TYPES[name.rpartition(".")[2]])
        if name == "state":
            query = parse_qs(request.query)
            since, epoch = (_number(query.get(key, [""])[0]) for key in ("since", "epoch"))
            return _json(200, self._view.state(now, since, epoch))
        return _text(404, "There is nothing here.")

    def _act(self, request: Request, host: str) -> Answer:
        headers = request.headers
        if request.method != "POST":
            return _text(405, "An action is a POST.")
        origin = headers.get("origin", f"http://{host}")
        given = headers.get("x-page-token", "").encode("latin-1")
        if (
            origin != f"http://{host}"
            or headers.get("sec-fetch-site", "same-origin") != "same-origin"
            or not hmac.compare_digest(given, self.token.encode())
        ):
            return _error(403, "The page is from before a restart. Reload it.")
        if len(request.body) > _MAX_BODY:
            return _error(413, "That is too long.")
        try:
            wanted = json.loads(request.body)
        except ValueError:
            wanted = None
        if not isinstance(wanted, dict):
            return _error(400, "The body isn't a JSON object.")
        try:
            done = self._actions.run({name: str(value) for name, value in wanted.items()})
        except ActionError as error:
            return _error(400, str(error))
        return _json(200, {"done": done})


def _is_loopback(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_local(host: str) -> bool:
    """Whether a Host header names this machine: a loopback address, or localhost."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or _is_loopback(name)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _read(name: str) -> str:
    return (resources.files(__package__) / "static" / name).read_text("utf-8")


def _answer(status: int, body: bytes, content_type: str) -> Answer:
    return Answer(status, body, content_type=content_type, headers=_HEADERS)


def _text(status: int, words: str) -> Answer:
    return _answer(status, f"{words}\n".encode(), "text/plain; charset=utf-8")


def _json(status: int, value: Any) -> Answer:
    return _answer(status, compact(value), "application/json; charset=utf-8")


def _error(status: int, words: str) -> Answer:
    return _json(status, {"error": words})
