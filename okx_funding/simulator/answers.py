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
    "50000": (400, "Body for POST request cannot be empty."),
    "50001": (503, "Service temporarily unavailable. Please try again later."),
    "50002": (400, "JSON syntax error"),
    "50004": (400, "API endpoint request timeout. Please check the request result."),
    "50005": (410, "API is offline or unavailable."),
    "50011": (429, "Too Many Requests"),
    "50013": (429, "Systems are busy. Please try again later."),
    "50014": (400, "Parameter {param} can not be empty."),
    "50015": (400, "Either parameter ccy or ccy is required."),
    "50016": (400, "Parameter ccy does not match parameter ccy."),
    "50024": (200, "Parameter ccy and ccy can not exist at the same time."),
    "50025": (200, "Parameter ccy count exceeds the limit."),
    "50026": (500, "System error."),
    "50030": (200, "You don't have permission to use this API endpoint."),
    "50040": (200, "Too frequent operations, please try again later"),
    "50061": (200, "You've reached the maximum request rate limit for this account."),
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
    "51000": (400, "Parameter {param} error"),
    "50038": (200, "This feature is unavailable in demo trading"),
    "50039": (200, "The before parameter is not available for implementing timestamp pagination"),
    "50042": (200, "Repeated request"),
    "50071": (400, "{param} already exists"),
    "51604": (200, "Initiate a download request before obtaining the hyperlink"),
    "52907": (200, "Order does not exist"),
    "52909": (200, "Duplicate Client Order Id"),
    "52910": (500, "Service unavailable, please try again later"),
    "52912": (500, "Server timeout"),
    "52915": (200, "The conversion amount is out of range"),
    "52921": (200, "Quote traded, please ask for quote again"),
    "52922": (200, "Quote expired, please ask for quote again"),
    "52925": (200, "Duplicate client request ID"),
    "58006": (200, "Service unavailable for token {param}"),
    "58102": (
        429,
        "Rate limit reached. Please refer to API docs and throttle requests accordingly.",
    ),
    "58112": (200, "Transfer failed. Contact customer support for assistance"),
    "58114": (400, "Transfer amount must be more than 0"),
    "58115": (200, "Sub-account does not exist"),
    "58119": (200, "{param} Sub-account has no permission to transfer out"),
    "58120": (200, "Transfers are currently unavailable. Try again later"),
    "58123": (200, "Parameter from cannot equal to parameter to"),
    "58124": (
        200,
        "Your transfer is being processed, transfer id:{param}. Please check the latest state of"
        " your transfer from the endpoint (GET /api/v5/asset/transfer-state)",
    ),
    "58127": (200, "Main account API key does not support current transfer 'type' parameter"),
    "58128": (200, "Sub-account API key does not support current transfer 'type' parameter"),
    "58129": (200, "{param} is incorrect or {param} does not match with 'type'"),
    "58200": (200, "Withdrawal from {param} is unavailable for this currency."),
    "58203": (200, "Please add a withdrawal address."),
    "58205": (200, "Withdrawal amount exceeds the upper limit."),
    "58206": (200, "Withdrawal amount is less than the lower limit."),
    "58207": (
        200,
        "Withdrawal address isn't on the verified address list. (The format for withdrawal"
        " addresses with a label is “address:label”.)",
    ),
    "58209": (200, "Sub-accounts don't support withdrawals or deposits."),
    "58213": (200, "The internal transfer address is illegal."),
    "58214": (200, "Withdrawals suspended due to {param} maintenance."),
    "58215": (200, "Withdrawal ID does not exist."),
    "58216": (200, "Operation not allowed."),
    "58220": (200, "Withdrawal request already canceled."),
    "58221": (200, "The toAddr parameter format is incorrect: address:label is required."),
    "58222": (200, "Invalid withdrawal address."),
    "58227": (200, "Withdrawal of non-tradable assets can be withdrawn all at once only."),
    "58228": (
        200,
        "Withdrawal of non-tradable assets requires that the API key must be bound to an IP",
    ),
    "58229": (200, "Insufficient funding account balance to pay fees {param} USDT"),
    "58350": (200, "Insufficient balance."),
    "58373": (200, "The minimum {param} conversion amount isn't reached"),
    "58400": (200, "Request Failed"),
    "58401": (200, "Unsupported payment method"),
    "58402": (200, "Invalid payment account"),
    "58403": (200, "Transaction cannot be canceled"),
    "58404": (200, "ClientId already exists"),
    "58405": (200, "Withdrawal suspended"),
    "58406": (200, "Unsupported channel"),
    "59500": (200, "Only the API key of the main account has permission."),
    "59504": (
        200,
        "Sub-accounts don't support withdrawals. Please use your main account for withdrawals.",
    ),
    "59507": (
        200,
        "The two accounts involved in a transfer must be 2 different sub-accounts under the same"
        " main account.",
    ),
    "59510": (200, "Sub-account does not exist"),
    "59515": (200, "You are currently not on the custody whitelist."),
    "59604": (200, "Only the API key of the main account can access this API."),
    "59614": (200, "Sub-accounts can't be created under this name"),
}

_FROM_GATEWAY = frozenset(code for code in _ERRORS if code == "50011" or "50100" <= code < "51000")
"""Refused before any service is asked: these bodies were seen without ``data``."""


def compact(value: Any) -> bytes:
    """JSON without blanks, in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def error(
    code: str,
    *,
    status: int | None = None,
    msg: str | None = None,
    as_int: bool = False,
    param: str = "ccy",
) -> Answer:
    """An error of OKX's: gateway errors have no ``data``, those of a service an empty one.

    ``as_int`` sends the code as a number, as OKX once did. ``param`` is what it is about.
    """
    known_status, known_msg = _ERRORS.get(code, (200, "Operation failed."))
    known_msg = known_msg.replace("{param}", param)
    body: dict[str, Any] = {"msg": known_msg if msg is None else msg}
    body["code"] = int(code) if as_int else code
    if code not in _FROM_GATEWAY:
        body["data"] = []
    return Answer(known_status if status is None else status, compact(body), code)


def is_known(code: str) -> bool:
    """Whether this is a code that the exchange has words for."""
    return code in _ERRORS


def words(code: str) -> str:
    """What a code says; empty for one that the exchange has no words for."""
    return _ERRORS.get(code, (200, ""))[1].replace("{param}", "…")


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


class Refused(Exception):
    """A service refuses: a code, with the parameter it is about, or a whole answer."""

    def __init__(self, code: str | Answer, param: str = "ccy", *, msg: str | None = None) -> None:
        super().__init__(code)
        if isinstance(code, Answer):
            self.answer: Answer = code
        else:
            self.answer = error(code, msg=msg, param=param)


def rows(items: list[dict[str, Any]]) -> Answer:
    """OKX's envelope around rows."""
    return success(b",".join(compact(row) for row in items))
