"""Deposits: addresses, history, and where one stands."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, Unpack

from okx_funding.errors import InvalidArgumentError

from . import params as check
from .pages import Cursor, PageIterator, Pages, walk
from .params import Moment, optional
from .rows import TimedRow
from .spec import Caller, Endpoint, RateLimit, ReadOptions, Row, get

DepositType = Literal["3", "4"]
"""3 from another user of OKX, 4 from the chain."""
DepositState = Literal["0", "1", "2", "8", "11", "12", "13", "14", "17"]
_OKX_TIME = timezone(timedelta(hours=8))


class DepositAddress(Row, frozen=True):
    """An address to deposit to.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-address
    """

    addr: str
    ccy: str
    chain: str
    """Chain, such as BTC-Bitcoin; its spelling may differ from that of get_currencies."""
    to: str = ""
    """Account that deposits go to: 6 is funding, 18 trading."""
    selected: bool | None = None
    """Whether it is the address shown first; the others stay valid."""
    verified_name: str = ""
    """The owner's name, where a sender has to know it."""
    ct_addr: str = ""
    """Last six characters of the contract's address."""
    tag: str = ""
    """Tag that must go with a deposit; empty where none is needed."""
    memo: str = ""
    """Memo that must go with a deposit; empty where none is needed."""
    pmt_id: str = ""
    """Payment id that must go with a deposit; empty where none is needed."""
    addr_ex: dict[str, str] | None = None
    """What else must go with a deposit, such as {"comment": "6040348"} for TON."""


class Deposit(TimedRow, frozen=True):
    """A deposit. ``ts`` is when it was first seen and stays, whatever becomes of it.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-history
    """

    dep_id: str
    ccy: str
    amt: Decimal
    """In ccy."""
    state: str
    """0 waits for confirmations, 1 is credited but can't be withdrawn, 2 is done; 8 suspended,
    11 address on a blacklist, 12 account or deposit frozen, 13 stopped for a sub-account,
    14 limit of identity check, 17 waits for the Travel Rule. There may be new ones."""
    chain: str = ""
    from_: str = ""
    """The sender where that is a user of OKX, else empty."""
    area_code_from: str = ""
    """Area code where from_ is a telephone number."""
    to: str = ""
    """The address deposited to; empty where it came from a user of OKX."""
    tx_id: str = ""
    """The chain's hash."""
    from_wd_id: str = ""
    """The withdrawal's id at the sender, where that is a user of OKX."""
    actual_dep_blk_confirm: int | None = None
    """Confirmations so far."""
    uid: str = ""
    """User ID of the account; pushed only."""
    sub_acct: str = ""
    """Name of the sub-account whose record a master is told of; pushed only."""
    p_time: int | None = None
    """When it was pushed, in milliseconds; None on rows of reads."""
    bookmark: str | None = None
    """Where a watch stands behind this event, for its ``since=``; None on rows of reads."""


class DepositWithdrawStatus(Row, frozen=True):
    """Where a deposit or withdrawal stands, in words.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-withdraw-status
    """

    state: str
    """Stage and reason in words, such as "Pending withdrawal: Wallet is under maintenance"."""
    est_complete_time: str = ""
    """When it should be done, OKX's text in UTC+8, such as ``01/09/2023, 8:10:48 PM``."""
    tx_id: str = ""
    """The chain's hash; empty until there is one."""
    wd_id: str = ""
    """The withdrawal's id; empty for a deposit."""

    @property
    def est_complete_at(self) -> datetime | None:
        """``est_complete_time`` as an aware datetime in UTC, None if it can't be read."""
        # Not strptime: its %p depends on the locale.
        found = _CLOCK(self.est_complete_time)
        if found is None:
            return None
        month, day, year, hour, minute, second = map(int, found.groups()[:6])
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found[7].upper() == "PM" else 0)
        try:
            at = datetime(year, month, day, hour, minute, second, tzinfo=_OKX_TIME)
            return at.astimezone(UTC)
        except (ValueError, OverflowError):
            return None


_CLOCK = re.compile(
    r"\s*(\d{1,2})/(\d{1,2})/(\d{4}),?\s+(\d{1,2}):(\d{2}):(\d{2})\s*([AP]M)\s*",
    re.ASCII | re.IGNORECASE,
).fullmatch


GET_DEPOSIT_ADDRESS = get(
    "get_deposit_address", "/api/v5/asset/deposit-address", DepositAddress, RateLimit(6),
    docs="funding-account-rest-api-get-deposit-address", group="deposits",
)  # fmt: skip
GET_DEPOSIT_HISTORY = get(
    "get_deposit_history", "/api/v5/asset/deposit-history", Deposit, RateLimit(6),
    docs="funding-account-rest-api-get-deposit-history", group="deposits",
)  # fmt: skip
GET_DEPOSIT_WITHDRAW_STATUS = get(
    "get_deposit_withdraw_status", "/api/v5/asset/deposit-withdraw-status", DepositWithdrawStatus,
    RateLimit(1, 2.0), docs="funding-account-rest-api-get-deposit-withdraw-status",
    group="deposits",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (
    GET_DEPOSIT_ADDRESS,
    GET_DEPOSIT_HISTORY,
    GET_DEPOSIT_WITHDRAW_STATUS,
)
DEPOSITS = Pages(GET_DEPOSIT_HISTORY, ident="dep_id", narrow=("ccy", "type"))


class Deposits(Caller):
    """The methods of this section."""

    __slots__ = ()

    async def get_deposit_address(
        self, ccy: str, **options: Unpack[ReadOptions]
    ) -> list[DepositAddress]:
        """All deposit addresses of ``ccy``, former ones included; a row for each chain at least.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-address
        """
        params = {"ccy": check.currency("ccy", ccy)}
        return await self._rows(GET_DEPOSIT_ADDRESS, params, options)

    async def get_deposit_history(
        self,
        ccy: str | None = None,
        *,
        dep_id: str | None = None,
        from_wd_id: str | None = None,
        tx_id: str | None = None,
        type: DepositType | str | None = None,
        state: DepositState | str | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        limit: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[Deposit]:
        """One page of deposits, the newest first: up to ``limit`` rows, 100 by default.

        ``after`` gives older rows and ``before`` newer ones, both without that moment.
        `iter_deposit_history` takes care of the pages.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-history
        """
        params = {
            "ccy": optional(check.currency, "ccy", ccy),
            "depId": optional(check.identifier, "dep_id", dep_id),
            "fromWdId": optional(check.identifier, "from_wd_id", from_wd_id),
            "txId": optional(check.identifier, "tx_id", tx_id),
            "type": optional(check.code, "type", type),
            "state": optional(check.code, "state", state),
            **check.page(after, before, limit),
        }
        return await self._rows(GET_DEPOSIT_HISTORY, params, options)

    def iter_deposit_history(
        self,
        ccy: str | None = None,
        *,
        type: DepositType | str | None = None,
        state: DepositState | str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: Cursor | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> PageIterator[Deposit]:
        """All deposits from ``until`` back to ``since``, both included, the newest first.

        A state may change between two pages: filter by ``state`` only for a look, not for a copy.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-history
        """
        filters = {
            "ccy": optional(check.currency, "ccy", ccy),
            "type": optional(check.code, "type", type),
            "state": optional(check.code, "state", state),
        }
        return walk(self._rows, DEPOSITS, filters, options, since=since, until=until, cursor=cursor)

    async def get_deposit_withdraw_status(
        self,
        *,
        wd_id: str | None = None,
        tx_id: str | None = None,
        ccy: str | None = None,
        to: str | None = None,
        chain: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[DepositWithdrawStatus]:
        """Where a withdrawal (``wd_id``) or a deposit (``tx_id`` with ccy, to, chain) stands.

        One request in 2 s.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-withdraw-status
        """
        if (wd_id is None) == (tx_id is None):
            raise InvalidArgumentError("give either wd_id or tx_id")
        if tx_id is not None and (ccy is None or to is None or chain is None):
            raise InvalidArgumentError("tx_id needs ccy, to and chain beside it")
        params = {
            "wdId": optional(check.identifier, "wd_id", wd_id),
            "txId": optional(check.identifier, "tx_id", tx_id),
            "ccy": optional(check.currency, "ccy", ccy),
            "to": optional(check.identifier, "to", to),
            "chain": optional(check.identifier, "chain", chain),
        }
        return await self._rows(GET_DEPOSIT_WITHDRAW_STATUS, params, options)
