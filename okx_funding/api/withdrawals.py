"""Withdrawals: history, receipts, how to cancel one. To withdraw is `okx_funding.money`'s."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, Unpack

from . import params as check
from .pages import Cursor, PageIterator, Pages, walk
from .params import Moment, optional
from .rows import TimedRow
from .spec import Caller, Endpoint, Options, RateLimit, ReadOptions, Row, get, post

WithdrawalType = Literal["3", "4"]
"""3 to another user of OKX, 4 to the chain."""
WithdrawalState = Literal[
    "19", "17", "10", "0", "4", "5", "6", "8", "9", "12", "7", "1", "15", "16", "-3", "-2", "-1",
    "2",
]  # fmt: skip


class Withdrawal(TimedRow, frozen=True):
    """A withdrawal. ``ts`` is when it was asked for and stays, whatever becomes of it.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-history
    """

    wd_id: str
    ccy: str
    amt: Decimal
    """What was withdrawn in ccy, without the fee."""
    state: str
    """2 is done, -1 failed, -2 cancelled: these are final. Cancelling is possible at 0 (waits),
    17 (waits for the Travel Rule) and 19 (hot wallet short). 10 waits for the transfer, 4, 5, 6,
    8, 9 and 12 for a review, 7 is approved, 1 on its way to the chain, 15 in validation, 16 held
    up to 24 h for legal reasons, -3 being cancelled. There may be new ones."""
    chain: str = ""
    fee: Decimal | None = None
    """In fee_ccy."""
    fee_ccy: str = ""
    non_tradable_asset: bool | None = None
    """Whether it is an asset that can't be traded."""
    from_: str = ""
    """The sender's account, partly hidden."""
    area_code_from: str = ""
    """Area code where from_ is a telephone number."""
    to: str = ""
    """The recipient."""
    area_code_to: str = ""
    """Area code where to is a telephone number."""
    to_addr_type: str = ""
    """1 where ``to`` is an address, email, telephone number or login name; 2 a User ID."""
    tag: str = ""
    pmt_id: str = ""
    memo: str = ""
    addr_ex: dict[str, str] | None = None
    """What else goes with the address, such as {"comment": "123456"}."""
    tx_id: str = ""
    """The chain's hash; empty until there is one and between users of OKX."""
    client_id: str = ""
    """The caller's own id of it."""
    note: str = ""
    uid: str = ""
    """User ID of the account; pushed only."""
    sub_acct: str = ""
    """Name of the sub-account whose record a master is told of; pushed only."""
    p_time: int | None = None
    """When it was pushed, in milliseconds; None on rows of reads."""
    bookmark: str | None = None
    """Where a watch stands behind this event, for its ``since=``; None on rows of reads."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more can become of it."""
        return self.state in ("2", "-1", "-2")


class WithdrawalReceipt(Row, frozen=True):
    """OKX accepted a withdrawal; `get_withdrawal_history` tells what becomes of it.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-withdrawal
    """

    wd_id: str
    ccy: str
    amt: Decimal
    """In ccy, without the fee."""
    chain: str = ""
    client_id: str = ""


class WithdrawalCancellation(Row, frozen=True):
    """OKX will try to cancel a withdrawal; the history's state tells whether it is cancelled.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-cancel-withdrawal
    """

    wd_id: str


class Exchange(Row, frozen=True):
    """An exchange that a withdrawal may go to, for the recipient's information.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-exchange-list-public
    """

    exch_id: str
    exch_name: str = ""


WITHDRAWAL = post(
    "withdrawal", "/api/v5/asset/withdrawal", WithdrawalReceipt, RateLimit(6),
    docs="funding-account-rest-api-withdrawal", group="withdrawals", permission="withdraw",
    moves_money=True,
)  # fmt: skip
CANCEL_WITHDRAWAL = post(
    "cancel_withdrawal", "/api/v5/asset/cancel-withdrawal", WithdrawalCancellation, RateLimit(6),
    docs="funding-account-rest-api-cancel-withdrawal", group="withdrawals", permission="trade",
    repeatable=True,
)  # fmt: skip
GET_WITHDRAWAL_HISTORY = get(
    "get_withdrawal_history", "/api/v5/asset/withdrawal-history", Withdrawal, RateLimit(6),
    docs="funding-account-rest-api-get-withdrawal-history", group="withdrawals",
)  # fmt: skip
GET_EXCHANGE_LIST = get(
    "get_exchange_list", "/api/v5/asset/exchange-list", Exchange, RateLimit(6, per=("ip",)),
    docs="funding-account-rest-api-get-exchange-list-public", permission="none",
    group="withdrawals",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (
    WITHDRAWAL,
    CANCEL_WITHDRAWAL,
    GET_WITHDRAWAL_HISTORY,
    GET_EXCHANGE_LIST,
)
WITHDRAWALS = Pages(GET_WITHDRAWAL_HISTORY, ident="wd_id", narrow=("ccy", "type"))


class Withdrawals(Caller):
    """The methods of this section that move nothing."""

    __slots__ = ()

    async def get_withdrawal_history(
        self,
        ccy: str | None = None,
        *,
        wd_id: str | None = None,
        client_id: str | None = None,
        tx_id: str | None = None,
        type: WithdrawalType | str | None = None,
        state: WithdrawalState | str | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        limit: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[Withdrawal]:
        """One page of withdrawals, the newest first: up to ``limit`` rows, 100 by default.

        ``after`` gives older rows and ``before`` newer ones, both without that moment.
        `iter_withdrawal_history` takes care of the pages. One that isn't found gives no row, or
        an error of OKX's with code 51000, 58215 or 58129.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-history
        """
        params = {
            "ccy": optional(check.currency, "ccy", ccy),
            "wdId": optional(check.identifier, "wd_id", wd_id),
            "clientId": optional(check.client_id, "client_id", client_id),
            "txId": optional(check.identifier, "tx_id", tx_id),
            "type": optional(check.code, "type", type),
            "state": optional(check.code, "state", state),
            **check.page(after, before, limit),
        }
        return await self._rows(GET_WITHDRAWAL_HISTORY, params, options)

    def iter_withdrawal_history(
        self,
        ccy: str | None = None,
        *,
        type: WithdrawalType | str | None = None,
        state: WithdrawalState | str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: Cursor | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> PageIterator[Withdrawal]:
        """All withdrawals from ``until`` back to ``since``, both included, the newest first.

        A state may change between two pages: filter by ``state`` only for a look, not for a copy.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-history
        """
        filters = {
            "ccy": optional(check.currency, "ccy", ccy),
            "type": optional(check.code, "type", type),
            "state": optional(check.code, "state", state),
        }
        return walk(
            self._rows, WITHDRAWALS, filters, options, since=since, until=until, cursor=cursor
        )

    async def cancel_withdrawal(
        self, wd_id: str, **options: Unpack[Options]
    ) -> WithdrawalCancellation:
        """Ask OKX to cancel a withdrawal; possible while its state is 0, 17 or 19.

        An answer means that OKX will try, not that the withdrawal is cancelled: look at
        its state. Asked again after a fault, as cancelling twice does no harm.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-cancel-withdrawal
        """
        params = {"wdId": check.identifier("wd_id", wd_id)}
        return await self._row(CANCEL_WITHDRAWAL, params, options)

    async def get_exchange_list(self, **options: Unpack[ReadOptions]) -> list[Exchange]:
        """Exchanges and their ids for the recipient's information of a withdrawal.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-exchange-list-public
        """
        return await self._rows(GET_EXCHANGE_LIST, {}, options)
