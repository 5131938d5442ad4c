"""What a request looks like: the very text that is signed and sent.

https://www.okx.com/docs-v5/en/#overview-rest-authentication
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from okx_funding.api import spec
from okx_funding.errors import InvalidArgumentError


class Request(NamedTuple):
    """One request as it is signed and sent, but for its headers."""

    method: str
    target: str
    """The path with its query."""
    body: str = ""
    """Compact JSON in ASCII; empty for a GET."""


def build_request(endpoint: spec.Endpoint[Any], params: Mapping[str, spec.Param | bool]) -> Request:
    """The request of ``endpoint``: a query for a GET, a JSON object for a POST.

    What is None is left out, in lists and nested objects too. In a query, a list's comma stays a
    comma and everything else is percent-encoded: OKX verifies the query as it was received.

    Raises InvalidArgumentError for a value that is no text, list, nested object or bool; a number
    is never sent, as a float might not be what was meant.
    """
    if endpoint.method == "POST":
        body = {name: _given(name, value) for name, value in params.items()}
        body = {name: value for name, value in body.items() if value not in (None, [], {})}
        return Request("POST", endpoint.path, json.dumps(body, separators=(",", ":")))
    parts = []
    for name, value in params.items():
        text = value
        if type(text) is list and text:
            try:
                text = ",".join(text)
            except TypeError:  # something in it is no text, and may be refused or left out
                text = None
        if type(text) is str and _SAFE(text):
            parts.append(f"{name}={text}")
        elif (given := _given(name, value)) not in (None, [], {}):
            parts.append(f"{name}={_in_query(name, given)}")
    query = "&".join(parts)
    return Request("GET", f"{endpoint.path}?{query}" if query else endpoint.path)


_SAFE = re.compile(r"[A-Za-z0-9_.~,-]*", re.ASCII).fullmatch
"""Matches what is the same in a query, so that most values needn't be looked at one by one."""


def _given(name: str, value: object) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Mapping):
        inner = {key: _given(f"{name}.{key}", each) for key, each in value.items()}
        return {key: each for key, each in inner.items() if each is not None}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_given(name, each) for each in value if each is not None]
    raise InvalidArgumentError(f"{name} must be given to OKX as text, not {type(value).__name__}")


def _in_query(name: str, value: Any) -> str:
    if isinstance(value, dict):
        raise InvalidArgumentError(f"{name} is an object, and a query can't hold one")
    if isinstance(value, list):
        return ",".join(_in_query(name, each) for each in value)
    return quote(value if isinstance(value, str) else str(value).lower(), safe=",")
