"""A withdrawal held against OKX's own tables just before it is sent.

What only OKX can know is left to OKX: verified addresses, quotas in USD, who must name the
receiver, freezes after changed credentials, maintenance. The fee can't be fixed by the request:
between this check and OKX's own reckoning it may still change.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from okx_funding.errors import APIError, InvalidArgumentError

from .intent import Intent
from .port import MoneyPort

_INTERNAL_DECIMALS = 8
_UNKNOWN_CURRENCY = "51000"


async def check(port: MoneyPort, intent: Intent, timeout: float) -> None:
    """Raises InvalidArgumentError, naming the rule, where OKX would refuse the withdrawal.

    Raises another OKXError where a row that is needed can't be had.
    """
    if intent.kind != "withdrawal":
        raise InvalidArgumentError(f"check_withdrawal needs a withdrawal, not a {intent.kind}")
    body = intent.body
    rows = await _rows(port, "get_currencies", body["ccy"], timeout)
    row: Any = _row_for(body, rows)
    if row is None:
        others = await _rows(port, "get_non_tradable_assets", body["ccy"], timeout)
        row = _row_for(body, others)
        _check_non_tradable(body, row, intent.max_fee, [*rows, *others])
        fee_ccy, fee = row.fee_ccy or row.ccy, row.fee or Decimal(0)
    else:
        _check_tradable(body, row, intent.max_fee)
        fee_ccy, fee = row.ccy, _fee_of(body, row)
    amt = Decimal(body["amt"])
    if fee_ccy.upper() == row.ccy.upper():
        needs = {row.ccy: amt + fee}
    else:
        needs = {row.ccy: amt, fee_ccy: fee}
    for ccy, need in needs.items():
        if ccy == row.ccy and hasattr(row, "bal"):
            have = row.bal  # of a non-tradable asset: balances don't list it
        else:
            balances = await _rows(port, "get_balances", ccy, timeout)
            have = sum((each.avail_bal for each in balances if each.ccy == ccy), Decimal(0))
        if need > have:
            raise _broken("balance", f"{need} {ccy} with the fee, but {have} {ccy} are available")


def _row_for(body: dict[str, Any], rows: Sequence[Any]) -> Any:
    """The row of the chain; any row of the currency for a withdrawal within OKX."""
    for row in rows:
        if row.ccy.upper() != body["ccy"].upper():
            continue
        if row.chain == body.get("chain") or (body["dest"] == "3" and "chain" not in body):
            return row
    return None


def _check_tradable(body: dict[str, Any], row: Any, max_fee: str | None) -> None:
    amt = Decimal(body["amt"])
    if body["dest"] == "3":
        if row.can_internal is False:
            raise _broken("canInternal", f"{row.ccy} can't be withdrawn within OKX at the moment")
        _check_least(amt, row.min_internal, "minInternal")
        _check_decimals(body["amt"], _INTERNAL_DECIMALS)
        return
    if not row.can_wd:
        raise _broken("canWd", f"{row.chain} can't be withdrawn to at the moment")
    _check_least(amt, row.min_wd, "minWd")
    if row.max_wd is not None and amt > row.max_wd:
        raise _broken("maxWd", f"the largest withdrawal is {row.max_wd}, not {amt}")
    _check_decimals(body["amt"], row.wd_tick_sz)
    _check_fee(row.fee, row.ccy, max_fee)
    _check_tag(body["toAddr"], row.need_tag)


def _check_non_tradable(
    body: dict[str, Any], row: Any, max_fee: str | None, rows: Sequence[Any]
) -> None:
    if row is None:
        chains = ", ".join(sorted({each.chain for each in rows if each.chain}))
        raise _broken(
            "chain",
            f"OKX knows no {body['ccy']} on {body.get('chain')!r}"
            + (f"; its chains are {chains}" if chains else ""),
        )
    amt = Decimal(body["amt"])
    if not row.can_wd:
        raise _broken("canWd", f"{row.chain} can't be withdrawn to at the moment")
    _check_least(amt, row.min_wd, "minWd")
    _check_decimals(body["amt"], row.wd_tick_sz)
    _check_fee(row.fee, row.fee_ccy, max_fee)
    _check_tag(body["toAddr"], row.need_tag)
    if row.wd_all and amt != row.bal:
        raise _broken("wdAll", f"all of it must be withdrawn at once: {row.bal}, not {amt}")


def _check_least(amt: Decimal, least: Decimal | None, rule: str) -> None:
    if least is not None and amt < least:
        raise _broken(rule, f"the smallest withdrawal is {least}, not {amt}")


def _check_decimals(amt: str, decimals: int | None) -> None:
    digits = len(amt.partition(".")[2].rstrip("0"))
    if decimals is not None and digits > decimals:
        raise _broken("wdTickSz", f"{decimals} decimals at most, not {digits}")


def _check_fee(fee: Decimal | None, ccy: str, max_fee: str | None) -> None:
    if max_fee is None:
        return
    if fee is None:
        raise _broken("max_fee", "OKX names no fee, so it can't be held against max_fee")
    if fee > Decimal(max_fee):
        raise _broken("max_fee", f"the fee is {fee} {ccy} now, above {max_fee}")


def _check_tag(to_addr: str, need_tag: bool | None) -> None:
    # An address may hold ":" itself, so only where a tag is needed is one looked for.
    if need_tag and not (":" in to_addr and to_addr.rpartition(":")[2]):
        raise _broken("needTag", "the address needs a tag or memo behind it: 'address:tag'")


def _fee_of(body: dict[str, Any], row: Any) -> Decimal:
    fee: Decimal | None = None if body["dest"] == "3" else row.fee
    return Decimal(0) if fee is None else fee


async def _rows(port: MoneyPort, endpoint: str, ccy: str, timeout: float) -> Sequence[Any]:
    try:
        return await port.read(endpoint, {"ccy": ccy}, timeout=timeout)
    except APIError as error:
        if error.code == _UNKNOWN_CURRENCY:
            return []
        raise


def _broken(rule: str, why: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"check_withdrawal: {rule}: {why}. Nothing was sent")
