"""Parameters: read from query or body, and held against the table.

OKX's page names each endpoint's parameters. Clients send more: python-okx puts ``""`` into its
bodies for whatever wasn't given, ccxt sends ``fee`` with a withdrawal. Such extras are counted
and ignored, or refused by ``strict``. https://www.okx.com/docs-v5/en/#overview-rest-authentication
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from . import answers
from .answers import Refused
from .auth import Request
from .history import PAGE
from .table import Param, Route

_CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
_AMOUNT = re.compile(r"\d{1,30}(\.\d{1,20})?", re.ASCII)
_NUMBER = re.compile(r"\d{1,19}", re.ASCII)
_FLAGS = {True: "true", False: "false"}


def read(request: Request) -> dict[str, Any]:
    """What the request says, unchecked. Raises Refused for a body that is no JSON object."""
    if request.method == "GET":
        found: dict[str, Any] = {}
        for name, value in parse_qsl(request.query, keep_blank_values=True):
            found.setdefault(name, value)
        return found
    if not request.body:
        raise Refused("50000")
    try:
        body = json.loads(request.body, parse_float=Decimal)
    except ValueError:
        raise Refused("50002") from None
    if isinstance(body, list) and len(body) == 1:
        body = body[0]  # a batch of one, as ccxt and others sometimes send it
    if not isinstance(body, dict):
        raise Refused("50002")
    return body


def check(
    route: Route, given: Mapping[str, Any], unexpected: Counter[tuple[str, str]], *, strict: bool
) -> dict[str, Any]:
    """The parameters by OKX's page; those that weren't given are left out. Raises Refused."""
    for name in _extras(route, given):
        if strict:
            raise Refused("51000", name)
        unexpected[route.name, name] += 1
    found: dict[str, Any] = {}
    for name, param in route.params.items():
        value = given.get(name)
        if value in (None, ""):
            if param.required:
                raise Refused("50014", name)
            continue
        found[name] = _value(param, value, strict=strict)
    return found


def _extras(route: Route, given: Mapping[str, Any]) -> Iterator[str]:
    for name, value in given.items():
        param = route.params.get(name)
        empty = value in ("", None) and not (param and param.required)
        if param is None or empty:
            yield name


def _value(param: Param, value: Any, *, strict: bool) -> Any:
    if param.kind == "object":
        if not isinstance(value, dict):
            raise Refused("51000", param.name)
        return value
    if isinstance(value, bool):
        value = _FLAGS[value] if param.kind == "flag" or not strict else None
    elif isinstance(value, int | Decimal) and not strict:
        value = str(value)
    if not isinstance(value, str):
        raise Refused("51000", param.name)
    if param.kind == "flag":
        if value not in ("true", "false"):
            raise Refused("51000", param.name)
    elif (
        (param.kind == "id" and not _CLIENT_ID.fullmatch(value))
        or (param.kind == "number" and not _NUMBER.fullmatch(value))
        or (param.allowed and value not in param.allowed)
    ):
        raise Refused("51000", param.name)
    elif param.kind == "amount":
        return _amount(param, value)
    elif param.most:
        values = [it for it in value.split(",") if it]
        if len(values) > param.most:
            raise Refused(answers.TOO_MANY_CURRENCIES)
    if param.name == "limit" and strict and not 1 <= int(value) <= PAGE:
        raise Refused("51000", "limit")
    return value


def _amount(param: Param, value: str) -> Decimal:
    try:
        amount = Decimal(value) if _AMOUNT.fullmatch(value) else None
    except InvalidOperation:  # pragma: no cover - the pattern is narrower
        amount = None
    if amount is None:
        raise Refused("51000", param.name)
    if amount == 0:
        raise Refused("58114" if param.name == "amt" else "51000", param.name)
    return amount


def listed(params: Mapping[str, Any], name: str = "ccy") -> list[str]:
    """The values of a list, in upper case and in their order; empty where it wasn't given."""
    return [it.upper() for it in str(params.get(name, "")).split(",") if it]
