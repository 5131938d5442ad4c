"""What the exchange says: answers as values, OKX's errors in OKX's shapes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

JSON = "application/json"

_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. ``code`` is the one within the body, for the log; "" where there is none."""

    status: int
    body: bytes
    code: str = ""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    def head(self, *, close: bool = False, length: int | None = -1) -> bytes:
        """Status line and headers. ``length`` is what Content-Length claims; None leaves it out."""
        length = len(self.body) if length == -1 else length
        lines = [
            f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Unknown')}",
            f"Content-Type: {self.content_type}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        if close:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def with_body(self, body: bytes) -> Answer:
        """The same answer with another body."""
        return replace(self, body=body)


# https://www.okx.com/docs-v5/en/#error-code-rest-api: HTTP status and words of the codes. The
# words are those seen on the wire where somebody has shown them; nobody should match on them.
_ERRORS: dict[str, tuple[int, str]] = {
    "50001": (503, "Service temporarily unavailable. Please try again later."),
    "50004": (400, "API endpoint request timeout. Please check the request result."),
    "50005": (410, "API is offline or unavailable."),
    "50011": (429, "Too Many Requests"),
    "50013": (429, "Systems are busy. Please try again later."),
    "50014": (400, "Parameter ccy can not be empty."),
    "50015": (400, "Either parameter ccy or ccy is required."),
    "50016": (400, "Parameter ccy does not match parameter ccy."),
    "50024": (200, "Parameter ccy and ccy can not exist at the same time."),
    "50025": (200, "Parameter ccy count exceeds the limit."),
    "50026": (500, "System error."),
    "50030": (200, "You don't have permission to use this API endpoint."),
    "50100": (400, "API frozen, please contact customer service."),
    "50101": (401, "APIKey does not match current environment."),
    "50102": (401, "Timestamp request expired"),
    "50103": (401, "Request header “OK_ACCESS_KEY“ can't be empty."),
    "50104": (401, "Request header “OK_ACCESS_PASSPHRASE“ can't be empty."),
    "50105": (401, "Request header “OK_ACCESS_PASSPHRASE“ incorrect."),
    "50106": (401, "Request header “OK_ACCESS_SIGN“ can't be empty."),
    "50107": (401, "Request header “OK_ACCESS_TIMESTAMP“ can't be empty."),
    "50110": (401, "Your IP is not included in your API key's IP whitelist."),
    "50111": (401, "Invalid OK-ACCESS-KEY"),
    "50112": (401, "Invalid OK-ACCESS-TIMESTAMP"),
    "50113": (401, "Invalid Sign"),
    "50114": (401, "Invalid authorization"),
    "50115": (405, "Invalid request method."),
    "50119": (401, "API key doesn't exist"),
    "51000": (400, "Parameter ccy error"),
}

_FROM_GATEWAY = frozenset(code for code in _ERRORS if code == "50011" or "50100" <= code < "51000")
"""Refused before any service is asked: these bodies were seen without ``data``."""


def compact(value: Any) -> bytes:
    """JSON without blanks, in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def error(
    code: str, *, status: int | None = None, msg: str | None = None, as_int: bool = False
) -> Answer:
    """An error of OKX's: gateway errors have no ``data``, those of a service an empty one.

    ``as_int`` sends the code as a number, as OKX once did.
    """
    known_status, known_msg = _ERRORS.get(code, (200, "Operation failed."))
    body: dict[str, Any] = {"msg": known_msg if msg is None else msg}
    body["code"] = int(code) if as_int else code
    if code not in _FROM_GATEWAY:
        body["data"] = []
    return Answer(known_status if status is None else status, compact(body), code)


def success(rows: bytes) -> Answer:
    """OKX's envelope around the rows, which are JSON joined by commas already."""
    return Answer(200, b'{"code":"0","data":[' + rows + b'],"msg":""}', "0")


def html(status: int, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """A page of the network in front of OKX, which knows nothing of the envelope."""
    title = f"{status} {_REASONS.get(status, 'Error')}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1>"
        "</center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
    )
    headers = (("Server", "cloudflare"), ("CF-RAY", "8a0simulated-FRA"), *headers)
    return Answer(status, page.encode(), content_type="text/html; charset=UTF-8", headers=headers)


NOT_FOUND = Answer(
    404,
    compact(
        {
            "code": 404,
            "data": {},
            "detailMsg": "",
            "error_code": "404",
            "error_message": "Not Found",
            "msg": "Not Found",
        }
    ),
    "404",
)
"""A path that doesn't exist: the code is a number here, and ``data`` an object."""

MISSING_KEY = error("50103")
MISSING_PASSPHRASE = error("50104")
WRONG_PASSPHRASE = error("50105")
MISSING_SIGN = error("50106")
MISSING_TIMESTAMP = error("50107")
WRONG_ENVIRONMENT = error("50101")
EXPIRED = error("50102")
WRONG_IP = error("50110")
UNKNOWN_KEY = error("50111")
BAD_TIMESTAMP = error("50112")
BAD_SIGN = error("50113")
WRONG_METHOD = error("50115")
NO_PERMISSION = error("50030")
TOO_MANY_REQUESTS = error("50011")
TOO_MANY_CURRENCIES = error("50025")
UNKNOWN_UNIT = error("51000")
