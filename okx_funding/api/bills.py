"""Bills: every change of a funding balance, of the last month and since 2021."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Unpack

from okx_funding.errors import InvalidArgumentError

from . import params as check
from .pages import Cursor, PageIterator, Pages, walk
from .params import Moment, optional
from .rows import TimedRow
from .spec import Caller, Endpoint, RateLimit, ReadOptions, get

PagingType = Literal["1", "2"]
"""What after and before mean in bills-history: 1 a moment, 2 a bill id."""


class Bill(TimedRow, frozen=True):
    """One change of a funding balance.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-asset-bills-details
    """

    bill_id: str
    ccy: str
    bal_chg: Decimal
    """The change in ccy, below zero for what went out."""
    type: str
    """What it was, such as 1 for a deposit, 2 a withdrawal, 130 and 131 a transfer from and to
    the trading account. OKX's page lists over a hundred; new ones appear."""
    bal: Decimal | None = None
    """The balance afterwards, in ccy."""
    client_id: str = ""
    """The caller's own id of the transfer or withdrawal."""
    notes: str = ""


GET_BILLS = get(
    "get_bills", "/api/v5/asset/bills", Bill, RateLimit(6),
    docs="funding-account-rest-api-asset-bills-details", group="bills",
)  # fmt: skip
GET_BILLS_HISTORY = get(
    "get_bills_history", "/api/v5/asset/bills-history", Bill, RateLimit(1),
    docs="funding-account-rest-api-asset-bills-history", group="bills",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (GET_BILLS, GET_BILLS_HISTORY)

BILLS_HISTORY = Pages(
    GET_BILLS_HISTORY, ident="bill_id", by_id=True, depth=datetime(2021, 2, 1, tzinfo=UTC),
)  # fmt: skip
BILLS = Pages(
    GET_BILLS,
    ident="bill_id",
    depth=timedelta(days=30),
    further="iter_bills_history",
    by_ids=BILLS_HISTORY,
    same_filters=frozenset({"ccy", "type", "clientId"}),
    narrow=("ccy", "type"),
)


class Bills(Caller):
    """The methods of this section."""

    __slots__ = ()

    async def get_bills(
        self,
        ccy: str | None = None,
        *,
        type: str | None = None,
        client_id: str | None = None,
        third_party_type: str | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        limit: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[Bill]:
        """One page of the last month's bills, the newest first: up to ``limit``, 100 by default.

        ``after`` gives older rows and ``before`` newer ones, both without that moment.
        `iter_bills` takes care of the pages. ``third_party_type`` is the custodian of bills of
        the types 284 to 289: 1 Copper, 2 Komainu, 5 SCB.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-asset-bills-details
        """
        params = {
            **_filters(ccy, type, client_id, third_party_type),
            **check.page(after, before, limit),
        }
        return await self._rows(GET_BILLS, params, options)

    async def get_bills_history(
        self,
        ccy: str | None = None,
        *,
        type: str | None = None,
        client_id: str | None = None,
        paging_type: PagingType | None = None,
        after: Moment | str | None = None,
        before: Moment | str | None = None,
        limit: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[Bill]:
        """One page of the bills since February 2021, the newest first; 1 request per second.

        ``after`` and ``before`` are moments, or bill ids with ``paging_type="2"``. OKX documents
        ``before`` for moments too, and refuses it (50039). New bills take half a minute to
        appear, under load longer. `iter_bills_history` takes care of the pages.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-asset-bills-history
        """
        params = {
            **_filters(ccy, type, client_id, None),
            "pagingType": optional(check.code, "paging_type", paging_type),
            "after": _bound("after", after, paging_type),
            "before": _bound("before", before, paging_type),
            "limit": optional(check.limit, "limit", limit),
        }
        return await self._rows(GET_BILLS_HISTORY, params, options)

    def iter_bills(
        self,
        ccy: str | None = None,
        *,
        type: str | None = None,
        client_id: str | None = None,
        third_party_type: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: Cursor | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> PageIterator[Bill]:
        """All bills of the last month from ``until`` back to ``since``, the newest first.

        Both moments are included. Six pages of a hundred rows per second. Where more than a page
        of bills share a millisecond, `get_bills_history` is asked for the rest of them.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-asset-bills-details
        """
        filters = _filters(ccy, type, client_id, third_party_type)
        return walk(self._rows, BILLS, filters, options, since=since, until=until, cursor=cursor)

    def iter_bills_history(
        self,
        ccy: str | None = None,
        *,
        type: str | None = None,
        client_id: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: Cursor | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> PageIterator[Bill]:
        """All bills since February 2021 from ``until`` back to ``since``, the newest first.

        Both moments are included. One page of a hundred rows per second, walked by bill id.
        The last half minute is missing: OKX fills this history late.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-asset-bills-history
        """
        filters = _filters(ccy, type, client_id, None)
        return walk(
            self._rows, BILLS_HISTORY, filters, options, since=since, until=until, cursor=cursor
        )


def _filters(
    ccy: str | None, type: str | None, client_id: str | None, third_party_type: str | None
) -> dict[str, str | None]:
    return {
        "ccy": optional(check.currency, "ccy", ccy),
        "type": optional(check.code, "type", type),
        "clientId": optional(check.client_id, "client_id", client_id),
        "thirdPartyType": optional(check.code, "third_party_type", third_party_type),
    }


def _bound(name: str, value: Moment | str | None, paging_type: str | None) -> str | None:
    """A moment, or a bill id where ``paging_type`` says so."""
    if value is None:
        return None
    if paging_type == "2":
        if not isinstance(value, str):
            raise InvalidArgumentError(f"{name} is a bill id, a str, for paging_type='2'")
        return check.identifier(name, value)
    if isinstance(value, str):
        raise InvalidArgumentError(f"{name} is a moment; for a bill id say paging_type='2'")
    return check.moment(name, value)
