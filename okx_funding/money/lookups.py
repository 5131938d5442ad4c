"""How a movement is found again at OKX by its client id, never by its amount."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from okx_funding.errors import APIError, OKXError

from .intent import Intent
from .kinds import KINDS, Kind, State
from .port import MoneyPort

LOOK_UP_TIMEOUT = 2.5
"""Seconds for one look-up."""
WALK_TIMEOUT = 6.0
"""Seconds for one walk through a history that has no filter by client id."""
TRANSFER_DEPTH = 13 * 86_400.0
"""Seconds for which transfer-state surely knows a transfer; OKX documents two weeks."""
_WALK_MARGIN = 60_000
"""Milliseconds before the stamp from which fiat orders are walked."""
_PAGE = 100
_MAX_PAGES = 20


@dataclass(frozen=True, slots=True)
class Found:
    """OKX shows the movement."""

    row: Any
    """The row of the look-up."""
    state: State


@dataclass(frozen=True, slots=True)
class Different:
    """OKX shows another movement under the same client id."""

    shown: str
    """In what it differs."""


class NotFound:
    """OKX shows no such movement; alone that proves nothing."""


Finding = Found | Different | NotFound


async def look_up(
    port: MoneyPort, intent: Intent, *, timeout: float, accepted: Any = None
) -> Finding:
    """Ask OKX once for the movement of ``intent``.

    ``accepted`` is the row with which OKX accepted it, if that is known. Raises an OKXError where
    the look-up itself failed, which says nothing about the movement.
    """
    kind = KINDS[intent.kind]
    if intent.kind == "fiat_withdrawal":
        rows: Sequence[Any] = await _walk_fiat_orders(port, intent, timeout)
    else:
        params = _params(kind, intent, accepted)
        if params is None:
            return NotFound()
        try:
            rows = await port.read(kind.look_up, params, timeout=timeout)
        except APIError as error:
            if error.code in kind.not_found and error.http_status < 500:
                return NotFound()
            raise
    for row in rows:
        if kind.handle is None or getattr(row, kind.handle, None) == intent.client_id:
            difference = kind.difference(intent, row)
            if difference is not None:
                return Different(difference)
            return Found(row, kind.state_of(row))
    return NotFound()


def _params(kind: Kind, intent: Intent, accepted: Any) -> dict[str, str] | None:
    """The parameters of a look-up; None where there is nothing to look for."""
    body = intent.body
    if kind.handle is None:
        return None if accepted is None else {"transId": accepted.trans_id}
    params = {kind.handle_field: intent.client_id}
    if kind.name == "transfer":
        params["type"] = body["type"]  # without it a transfer of another type looks absent
    if "tag" in body:
        params["tag"] = body["tag"]  # a trade with a tag is found only with it
    return params


async def _walk_fiat_orders(port: MoneyPort, intent: Intent, timeout: float) -> list[Any]:
    """The orders since the intent was made; there is no filter by client id.

    ``after`` is the begin and ``before`` the end of the range, both inclusive, the reverse of
    every other endpoint. https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-order-history
    """
    begin = min(intent.created_at, intent.signed_at or intent.created_at) - _WALK_MARGIN
    params = {"ccy": intent.body["ccy"], "after": str(begin), "limit": str(_PAGE)}
    seen: set[str] = set()
    for _ in range(_MAX_PAGES):
        rows = await port.read("get_fiat_withdrawal_history", params, timeout=timeout)
        mine = [row for row in rows if row.client_id == intent.client_id]
        if mine:
            return mine
        new = {row.ord_id for row in rows} - seen
        if not new and len(rows) < _PAGE:
            return []
        if not new:
            break  # a full page of one moment hides what is older
        seen |= new
        # Orders of the same moment come again, since the range is inclusive; seen ones drop out.
        params["before"] = str(min(row.c_time for row in rows))
    raise OKXError("the history of fiat orders can't be walked to its end")


async def has_bills(port: MoneyPort, intent: Intent, *, timeout: float) -> bool:
    """Whether the bills show anything under the client id: the second witness."""
    if not KINDS[intent.kind].has_bills:
        return False
    endpoint = "get_bills"
    if intent.signed_at is not None and port.now() - intent.signed_at / 1000 > TRANSFER_DEPTH:
        endpoint = "get_bills_history"
    rows = await port.read(endpoint, {"clientId": intent.client_id}, timeout=timeout)
    return any(row.client_id == intent.client_id for row in rows)
