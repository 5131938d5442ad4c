"""Sub-accounts as their master sees them, and what they may do.

All of these are asked with the master account's key. To transfer is `okx_funding.money`'s; how
sub-accounts and their keys are made is in `subaccount_keys`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from . import params as check
from .pages import Cursor, PageIterator, Pages, walk
from .params import Moment, optional
from .rows import TimedRow
from .spec import Caller, Endpoint, Options, Param, RateLimit, ReadOptions, Row, get, post


class Subaccount(TimedRow, frozen=True):
    """A sub-account; ``ts`` is when it was made.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-sub-account-list
    """

    sub_acct: str
    """Its name."""
    uid: str
    """Its User ID: OKX counts its limits apart from the master's."""
    enable: bool
    """Whether it may be used."""
    type: str = ""
    """1 standard, 2 managed trading, 5 custody by Copper, 9 managed trading with Copper,
    12 custody by Komainu; there may be new ones."""
    label: str = ""
    mobile: str = ""
    g_auth: bool | None = None
    """Whether it has an authenticator."""
    frozen_func: list[str] | None = None
    """What it may not do: trading, convert, transfer, withdrawal, deposit, flexible_loan."""
    can_trans_out: bool | None = None
    """Whether it may transfer out."""
    sub_acct_lv: str = ""
    """1 below the master, 2 below another sub-account."""
    first_lv_sub_acct: str = ""
    """The sub-account of level 1 that it belongs to, or itself."""
    if_dma: bool | None = None
    """Whether it has direct market access."""


class SubaccountTransfer(Row, frozen=True):
    """OKX accepted a transfer between sub-accounts; `transfer_state` tells whether it is done.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-master-accounts-manage-the-transfers-between-sub-accounts
    """

    trans_id: str


class TransferOutPermission(Row, frozen=True):
    """Whether a sub-account may transfer out now.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-set-permission-of-transfer-out
    """

    sub_acct: str
    can_trans_out: bool


class EntrustSubaccount(Row, frozen=True):
    """A custody trading sub-account.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-custody-trading-sub-account-list
    """

    sub_acct: str


GET_SUBACCOUNT_LIST = get(
    "get_subaccount_list", "/api/v5/users/subaccount/list", Subaccount, RateLimit(20, 2.0),
    docs="sub-account-rest-api-get-sub-account-list", group="subaccounts",
)  # fmt: skip
SUBACCOUNT_TRANSFER = post(
    "subaccount_transfer", "/api/v5/asset/subaccount/transfer", SubaccountTransfer, RateLimit(1),
    docs="sub-account-rest-api-master-accounts-manage-the-transfers-between-sub-accounts",
    group="subaccounts", permission="trade", moves_money=True,
)  # fmt: skip
SET_PERMISSION_TRANSFER_OUT = post(
    "set_permission_transfer_out", "/api/v5/users/subaccount/set-transfer-out",
    TransferOutPermission, RateLimit(1),
    docs="sub-account-rest-api-set-permission-of-transfer-out", group="subaccounts",
    permission="trade", repeatable=True,
)  # fmt: skip
GET_ENTRUST_SUBACCOUNT_LIST = get(
    "get_entrust_subaccount_list", "/api/v5/users/entrust-subaccount-list", EntrustSubaccount,
    RateLimit(1), docs="sub-account-rest-api-get-custody-trading-sub-account-list",
    group="subaccounts",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (
    GET_SUBACCOUNT_LIST,
    SUBACCOUNT_TRANSFER,
    SET_PERMISSION_TRANSFER_OUT,
    GET_ENTRUST_SUBACCOUNT_LIST,
)
SUBACCOUNT_LIST = Pages(GET_SUBACCOUNT_LIST, ident="uid", narrow=("enable",))


class Subaccounts(Caller):
    """The methods of this section that move nothing."""

    __slots__ = ()

    async def get_subaccount_list(
        self,
        *,
        enable: bool | None = None,
        sub_acct: str | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        limit: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[Subaccount]:
        """One page of sub-accounts, the newest first: up to ``limit`` rows, 100 by default.

        ``after`` gives those made earlier and ``before`` those made later.
        `iter_subaccount_list` takes care of the pages.
        https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-sub-account-list
        """
        params = {
            "enable": optional(check.flag, "enable", enable),
            "subAcct": optional(check.identifier, "sub_acct", sub_acct),
            **check.page(after, before, limit),
        }
        return await self._rows(GET_SUBACCOUNT_LIST, params, options)

    def iter_subaccount_list(
        self,
        *,
        enable: bool | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: Cursor | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> PageIterator[Subaccount]:
        """All sub-accounts made from ``until`` back to ``since``, both included, newest first.

        https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-sub-account-list
        """
        filters = {"enable": optional(check.flag, "enable", enable)}
        return walk(
            self._rows, SUBACCOUNT_LIST, filters, options, since=since, until=until, cursor=cursor
        )

    async def set_permission_transfer_out(
        self,
        sub_acct: str | Iterable[str],
        can_trans_out: bool = True,
        **options: Unpack[Options],
    ) -> list[TransferOutPermission]:
        """Allow or forbid up to 20 sub-accounts to transfer out.

        Asked again after a fault, as saying it twice does no harm.
        https://www.okx.com/docs-v5/en/#sub-account-rest-api-set-permission-of-transfer-out
        """
        params: dict[str, Param] = {
            "subAcct": check.several("sub_acct", sub_acct),
            "canTransOut": check.truth("can_trans_out", can_trans_out),
        }
        return await self._rows(SET_PERMISSION_TRANSFER_OUT, params, options)

    async def get_entrust_subaccount_list(
        self, sub_acct: str | None = None, **options: Unpack[ReadOptions]
    ) -> list[EntrustSubaccount]:
        """The custody trading sub-accounts.

        https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-custody-trading-sub-account-list
        """
        params = {"subAcct": optional(check.identifier, "sub_acct", sub_acct)}
        return await self._rows(GET_ENTRUST_SUBACCOUNT_LIST, params, options)
