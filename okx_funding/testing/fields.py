"""Does OKX still send what the structs say? Names of fields, compared with answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from okx_funding.api.spec import Endpoint
from okx_funding.api.table import ENDPOINTS
from okx_funding.errors import OKXError
from okx_funding.wire.constructors import fields_of

if TYPE_CHECKING:
    from okx_funding.client import FundingClient

_PUSHED = frozenset({"uid", "subAcct", "pTime", "bookmark"})
"""Fields of deposits and withdrawals that only pushes and watches fill."""
_PUSHED_TOO = frozenset({"get_deposit_history", "get_withdrawal_history"})


@dataclass(frozen=True, slots=True)
class FieldReport:
    """What one read answered, by names only: no value is kept."""

    endpoint: str
    """The name of the method."""
    rows: int = 0
    unknown: tuple[str, ...] = ()
    """Fields that OKX sent and the struct doesn't have, nested ones as ``details.funding``."""
    missing: tuple[str, ...] = ()
    """Fields that the struct has and no row had."""
    not_asked: str = ""
    """Why it wasn't asked, or the error that it ended with."""


async def unknown_fields(
    client: FundingClient, names: Iterable[str] | None = None, *, timeout: float = 30.0
) -> AsyncIterator[FieldReport]:
    """Ask each read of ``names``, or of all, once, and compare fields with structs.

    A test against the live API may say: no report has ``unknown`` or ``missing``. What needs an
    id that isn't known (a sub-account's name, an order's) is looked up first, or not asked. What
    the key isn't allowed to read ends in ``not_asked``. Values are looked at nowhere.
    """
    known: dict[str, str] = {"ccy": "USDT", "month": _last_month()}
    for name in ENDPOINTS if names is None else names:
        endpoint = ENDPOINTS[name]
        if endpoint.method != "GET":
            continue
        params = _parameters(endpoint, known)
        if isinstance(params, str):
            yield FieldReport(name, not_asked=params)
            continue
        try:
            rows = await client.request("GET", endpoint.path, params, timeout=timeout)
        except OKXError as error:
            yield FieldReport(name, not_asked=f"{type(error).__name__}: {error}")
            continue
        _learn(known, name, rows)
        yield compared(endpoint, rows)


def compared(endpoint: Endpoint[Any], rows: Iterable[Mapping[str, Any]]) -> FieldReport:
    """Compare rows as OKX sent them with the struct of ``endpoint``."""
    unknown: dict[str, None] = {}
    seen: dict[str, None] = {}
    rows = list(rows)
    for row in rows:
        _compare(endpoint.row, row, "", unknown, seen)
    besides = _PUSHED if endpoint.name in _PUSHED_TOO else frozenset()
    missing = [
        name
        for name in _documented(endpoint.row, "", seen)
        if rows and name not in seen and name not in besides
    ]
    return FieldReport(endpoint.name, len(rows), tuple(unknown), tuple(missing))


def _compare(
    kind: Any, row: Mapping[str, Any], prefix: str, unknown: dict[str, None], seen: dict[str, None]
) -> None:
    fields = {field.key: field for field in fields_of(kind)}
    for key, value in row.items():
        if key not in fields:
            unknown[prefix + key] = None
            continue
        seen[prefix + key] = None
        inner = fields[key].struct
        if inner is not None:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    _compare(inner, each, f"{prefix}{key}.", unknown, seen)


def _documented(kind: Any, prefix: str, seen: Mapping[str, None]) -> Iterable[str]:
    """All names of a struct; those of a nested one only where there was one to look at."""
    for field in fields_of(kind):
        yield prefix + field.key
        inside = f"{prefix}{field.key}."
        if field.struct is not None and any(name.startswith(inside) for name in seen):
            yield from _documented(field.struct, inside, seen)


_NEEDED: dict[str, tuple[str, ...]] = {
    "transfer_state": ("transId",),
    "get_deposit_address": ("ccy",),
    "get_deposit_withdraw_status": ("wdId",),
    "get_monthly_statement": ("month",),
    "get_convert_currency_pair": ("fromCcy", "toCcy"),
    "get_deposit_payment_methods": ("fiat",),
    "get_withdrawal_payment_methods": ("fiat",),
    "get_fiat_withdrawal": ("fiatWithdrawal",),
    "get_fiat_deposit": ("fiatDeposit",),
    "get_buy_sell_currency_pair": ("from", "to"),
    "get_subaccount_funding_balances": ("subAcct",),
    "get_subaccount_trading_balances": ("subAcct",),
    "get_subaccount_max_withdrawal": ("subAcct",),
    "get_subaccount_apikeys": ("subAcct",),
}
"""What a read can't be asked without."""
_SPELT = {"fiat": "ccy", "fiatWithdrawal": "ordId", "fiatDeposit": "ordId", "from": "fromCcy",
          "to": "toCcy"}  # fmt: skip


def _parameters(endpoint: Endpoint[Any], known: Mapping[str, str]) -> dict[str, str] | str:
    """The parameters of one question; text says what isn't known."""
    needed = _NEEDED.get(endpoint.name, ())
    lacking = [name for name in needed if name not in known]
    if lacking:
        return f"it needs {', '.join(_SPELT.get(name, name) for name in lacking)}"
    return {_SPELT.get(name, name): known[name] for name in needed}


_TELLS = {
    "get_convert_currencies": (("ccy", "fromCcy", 0), ("ccy", "toCcy", 1)),
    "get_withdrawal_history": (("wdId", "wdId", 0),),
    "get_fiat_withdrawal_history": (("ordId", "fiatWithdrawal", 0), ("ccy", "fiat", 0)),
    "get_fiat_deposit_history": (("ordId", "fiatDeposit", 0), ("ccy", "fiat", 0)),
    "get_subaccount_list": (("subAcct", "subAcct", 0),),
}
"""What an answer tells for later questions: its field, the name here, the row."""


def _learn(known: dict[str, str], name: str, rows: list[dict[str, Any]]) -> None:
    for field, as_name, number in _TELLS.get(name, ()):
        if len(rows) > number and isinstance(rows[number].get(field), str):
            known[as_name] = rows[number][field]


def _last_month() -> str:
    first = dt.datetime.now(dt.UTC).replace(day=1)
    return ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[
        (first - dt.timedelta(days=1)).month - 1
    ]
