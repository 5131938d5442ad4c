"""Transfers between a master account and its sub-accounts."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, Unpack

from . import params as check
from .pages import Cursor, PageIterator, Pages, walk
from .params import Moment, optional
from .rows import TimedRow
from .spec import Caller, Endpoint, RateLimit, ReadOptions, get

SubaccountBillType = Literal["0", "1"]
"""0 from master to sub-account, 1 from sub-account to master."""


class SubaccountBill(TimedRow, frozen=True):
    """A transfer between master and sub-account.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-history-of-sub-account-transfer
    """

    bill_id: str
    ccy: str
    amt: Decimal
    """In ccy."""
    sub_acct: str
    type: str = ""
    """0 from master to sub-account, 1 from sub-account to master."""


class ManagedSubaccountBill(TimedRow, frozen=True):
    """A transfer between master and managed sub-account.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-history-of-managed-sub-account-transfer
    """

    bill_id: str
    ccy: str
    amt: Decimal
    """In ccy."""
    sub_acct: str
    sub_uid: str = ""
    """The sub-account's User ID."""
    type: str = ""
    """0 from master to sub-account, 1 from sub-account to master."""


GET_SUBACCOUNT_BILLS = get(
    "get_subaccount_bills", "/api/v5/asset/subaccount/bills", SubaccountBill, RateLimit(6),
    docs="sub-account-rest-api-get-history-of-sub-account-transfer", group="subaccounts",
)  # fmt: skip
GET_MANAGED_SUBACCOUNT_BILLS = get(
    "get_managed_subaccount_bills", "/api/v5/asset/subaccount/managed-subaccount-bills",
    ManagedSubaccountBill, RateLimit(6),
    docs="sub-account-rest-api-get-history-of-managed-sub-account-transfer", group="subaccounts",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (GET_SUBACCOUNT_BILLS, GET_MANAGED_SUBACCOUNT_BILLS)

SUBACCOUNT_BILLS = Pages(
    GET_SUBACCOUNT_BILLS, ident="bill_id", depth=datetime(2022, 9, 28, tzinfo=UTC),
    narrow=("ccy", "type", "sub_acct"),
)  # fmt: skip
MANAGED_SUBACCOUNT_BILLS = Pages(
    GET_MANAGED_SUBACCOUNT_BILLS, ident="bill_id", narrow=("ccy", "type", "sub_acct"),
)  # fmt: skip


class SubaccountBills(Caller):
    """The methods of this section."""

    __slots__ = ()

    async def get_subaccount_bills(
        self,
        ccy: str | None = None,
        *,
        type: SubaccountBillType | str | None = None,
        sub_acct: str | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        limit: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[SubaccountBill]:
        """One page of transfers between master and sub-accounts since 2022-09-28, newest first.

        Up to ``limit`` rows, 100 by default. ``after`` gives older rows and ``before`` newer
        ones, both without that moment. `iter_subaccount_bills` takes care of the pages.
        https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-history-of-sub-account-transfer
        """
        params = {**_filters(ccy, type, sub_acct), **check.page(after, before, limit)}
        return await self._rows(GET_SUBACCOUNT_BILLS, params, options)

    def iter_subaccount_bills(
        self,
        ccy: str | None = None,
        *,
        type: SubaccountBillType | str | None = None,
        sub_acct: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: Cursor | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> PageIterator[SubaccountBill]:
        """All transfers between master and sub-accounts, the newest first.

        From ``until`` back to ``since``, both included.
        https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-history-of-sub-account-transfer
        """
        filters = _filters(ccy, type, sub_acct)
        return walk(
            self._rows, SUBACCOUNT_BILLS, filters, options, since=since, until=until, cursor=cursor
        )

    async def get_managed_subaccount_bills(
        self,
        ccy: str | None = None,
        *,
        type: SubaccountBillType | str | None = None,
        sub_acct: str | None = None,
        sub_uid: str | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        limit: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[ManagedSubaccountBill]:
        """One page of transfers between a trading team and its managed sub-accounts.

        Up to ``limit`` rows, 100 by default, the newest first. ``after`` gives older rows and
        ``before`` newer ones, both without that moment. `iter_managed_subaccount_bills` takes
        care of the pages.
        https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-history-of-managed-sub-account-transfer
        """
        params = {
            **_filters(ccy, type, sub_acct),
            "subUid": optional(check.identifier, "sub_uid", sub_uid),
            **check.page(after, before, limit),
        }
        return await self._rows(GET_MANAGED_SUBACCOUNT_BILLS, params, options)

    def iter_managed_subaccount_bills(
        self,
        ccy: str | None = None,
        *,
        type: SubaccountBillType | str | None = None,
        sub_acct: str | None = None,
        sub_uid: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: Cursor | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> PageIterator[ManagedSubaccountBill]:
        """All transfers between a trading team and its managed sub-accounts, the newest first.

        From ``until`` back to ``since``, both included.
        https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-history-of-managed-sub-account-transfer
        """
        filters = {
            **_filters(ccy, type, sub_acct),
            "subUid": optional(check.identifier, "sub_uid", sub_uid),
        }
        return walk(
            self._rows,
            MANAGED_SUBACCOUNT_BILLS,
            filters,
            options,
            since=since,
            until=until,
            cursor=cursor,
        )


def _filters(ccy: str | None, type: str | None, sub_acct: str | None) -> dict[str, str | None]:
    return {
        "ccy": optional(check.currency, "ccy", ccy),
        "type": optional(check.code, "type", type),
        "subAcct": optional(check.identifier, "sub_acct", sub_acct),
    }
