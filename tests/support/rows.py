"""Rows as OKX sends them, and the structs that callers get."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from okx_funding.api import NonTradableAsset

SAMPLES = Path(__file__).parents[1] / "samples"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def asset(row: dict[str, Any]) -> NonTradableAsset:
    """The public struct of a wire row, by another way than the client's."""

    def amount(name: str) -> Decimal | None:
        return Decimal(row[name]) if row[name] else None

    return NonTradableAsset(
        ccy=row["ccy"],
        name=row["name"],
        logo_link=row["logoLink"],
        bal=Decimal(row["bal"]),
        can_wd=row["canWd"],
        chain=row["chain"],
        min_wd=amount("minWd"),
        wd_all=row["wdAll"],
        fee=amount("fee"),
        fee_ccy=row["feeCcy"],
        burning_fee_rate=amount("burningFeeRate"),
        ct_addr=row["ctAddr"],
        wd_tick_sz=int(row["wdTickSz"]) if row["wdTickSz"] else None,
        need_tag=row["needTag"],
    )


def assets(rows: Iterable[dict[str, Any]], *ccys: str) -> list[NonTradableAsset]:
    """The rows of these currencies, in this order; all of them without any."""
    rows = list(rows)
    if not ccys:
        return [asset(row) for row in rows]
    return [asset(row) for ccy in ccys for row in rows if row["ccy"] == ccy.upper()]


def row(ccy: str = "CELT", **changes: Any) -> dict[str, Any]:
    """A wire row like the documented one."""
    documented: dict[str, Any] = sample("get-asset-non-tradable-assets")["responses"][0]["body"][
        "data"
    ][0]
    return {**documented, "ccy": ccy, **changes}


def envelope(*rows: dict[str, Any], **extra: Any) -> bytes:
    return json.dumps({"code": "0", "data": rows, "msg": "", **extra}).encode()
