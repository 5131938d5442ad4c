"""Money by bank: ways to pay, deposits and withdrawals. To withdraw is `okx_funding.money`'s."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Unpack

from . import params as check
from .pages import Cursor, PageIterator, Pages, walk
from .params import Moment, optional
from .rows import moment_of, moment_or_none
from .spec import Caller, Endpoint, Options, RateLimit, ReadOptions, Row, get, post

PaymentMethodName = Literal["TR_BANKS", "PIX", "SEPA", "XPULSE", "NPP", "US_WIRE"]
FiatState = Literal["completed", "failed", "canceled", "pending", "inqueue", "processing"]


class PaymentLimits(Row, frozen=True):
    """How much may be paid a way, in the currency asked for; None where OKX sets no limit."""

    daily_limit: Decimal | None = None
    daily_limit_remaining: Decimal | None = None
    weekly_limit: Decimal | None = None
    weekly_limit_remaining: Decimal | None = None
    monthly_limit: Decimal | None = None
    monthly_limit_remaining: Decimal | None = None
    max_amt: Decimal | None = None
    """Largest amount of one order."""
    min_amt: Decimal | None = None
    """Smallest amount of one order."""
    lifetime_limit: Decimal | None = None


class PaymentAccount(Row, frozen=True):
    """A bank account of the user's that OKX knows."""

    payment_acct_id: str
    acct_num: str = ""
    """The account's number at the bank, such as an IBAN."""
    recipient_name: str = ""
    bank_name: str = ""
    bank_code: str = ""
    state: str = ""
    """active, or why not."""


class PaymentMethod(Row, frozen=True):
    """A way to pay in or out, with its fee, limits and bank accounts.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-payment-methods
    """

    ccy: str
    payment_method: str
    """TR_BANKS, PIX, SEPA, XPULSE, NPP, US_WIRE; there may be new ones."""
    limits: PaymentLimits
    accounts: list[PaymentAccount]
    fee_rate: Decimal | None = None
    """0.02 takes 2 % of the amount."""
    min_fee: Decimal | None = None
    """The least that is taken, in ccy."""


class FiatOrder(Row, frozen=True):
    """A deposit or withdrawal by bank.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-order-detail
    """

    ord_id: str
    ccy: str
    amt: Decimal
    """In ccy."""
    state: str
    """completed, failed and canceled are final; pending, inqueue and processing aren't."""
    c_time: int
    """When it was made, in milliseconds since the epoch."""
    u_time: int | None = None
    """When it last changed, in milliseconds since the epoch."""
    fee: Decimal | None = None
    """In ccy."""
    payment_acct_id: str = ""
    payment_method: str = ""
    client_id: str = ""
    """The caller's own id; empty for most deposits."""

    @property
    def created_at(self) -> datetime:
        """``c_time`` as an aware datetime in UTC."""
        return moment_of(self.c_time)

    @property
    def updated_at(self) -> datetime | None:
        """``u_time`` as an aware datetime in UTC."""
        return moment_or_none(self.u_time)

    @property
    def is_final(self) -> bool:
        """Whether nothing more can become of it."""
        return self.state in ("completed", "failed", "canceled")


class FiatCancellation(Row, frozen=True):
    """What a cancelled order has become.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-cancel-withdrawal-order
    """

    ord_id: str
    state: str


GET_DEPOSIT_PAYMENT_METHODS = get(
    "get_deposit_payment_methods", "/api/v5/fiat/deposit-payment-methods", PaymentMethod,
    RateLimit(3), docs="funding-account-rest-api-get-deposit-payment-methods", group="fiat",
)  # fmt: skip
GET_WITHDRAWAL_PAYMENT_METHODS = get(
    "get_withdrawal_payment_methods", "/api/v5/fiat/withdrawal-payment-methods", PaymentMethod,
    RateLimit(3), docs="funding-account-rest-api-get-withdrawal-payment-methods", group="fiat",
)  # fmt: skip
CREATE_FIAT_WITHDRAWAL = post(
    "create_fiat_withdrawal", "/api/v5/fiat/create-withdrawal", FiatOrder, RateLimit(3),
    docs="funding-account-rest-api-create-withdrawal-order", group="fiat", permission="withdraw",
    moves_money=True,
)  # fmt: skip
CANCEL_FIAT_WITHDRAWAL = post(
    "cancel_fiat_withdrawal", "/api/v5/fiat/cancel-withdrawal", FiatCancellation, RateLimit(3),
    docs="funding-account-rest-api-cancel-withdrawal-order", group="fiat", permission="trade",
    repeatable=True,
)  # fmt: skip
GET_FIAT_WITHDRAWAL_HISTORY = get(
    "get_fiat_withdrawal_history", "/api/v5/fiat/withdrawal-order-history", FiatOrder,
    RateLimit(3), docs="funding-account-rest-api-get-withdrawal-order-history", group="fiat",
)  # fmt: skip
GET_FIAT_WITHDRAWAL = get(
    "get_fiat_withdrawal", "/api/v5/fiat/withdrawal", FiatOrder, RateLimit(3),
    docs="funding-account-rest-api-get-withdrawal-order-detail", group="fiat",
)  # fmt: skip
GET_FIAT_DEPOSIT_HISTORY = get(
    "get_fiat_deposit_history", "/api/v5/fiat/deposit-order-history", FiatOrder, RateLimit(3),
    docs="funding-account-rest-api-get-deposit-order-history", group="fiat",
)  # fmt: skip
GET_FIAT_DEPOSIT = get(
    "get_fiat_deposit", "/api/v5/fiat/deposit", FiatOrder, RateLimit(3),
    docs="funding-account-rest-api-get-deposit-order-detail", group="fiat",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (
    GET_DEPOSIT_PAYMENT_METHODS,
    GET_WITHDRAWAL_PAYMENT_METHODS,
    CREATE_FIAT_WITHDRAWAL,
    CANCEL_FIAT_WITHDRAWAL,
    GET_FIAT_WITHDRAWAL_HISTORY,
    GET_FIAT_WITHDRAWAL,
    GET_FIAT_DEPOSIT_HISTORY,
    GET_FIAT_DEPOSIT,
)


def _by_range(endpoint: Endpoint[FiatOrder]) -> Pages[FiatOrder]:
    """Here ``after`` begins and ``before`` ends a closed range, the reverse of all others.

    OKX doesn't say whether the range is of c_time or u_time: c_time is taken.
    """
    return Pages(
        endpoint, ident="ord_id", moment="c_time", older="before", inclusive=True, since="after",
        narrow=("ccy", "payment_method"),
    )  # fmt: skip


FIAT_WITHDRAWALS = _by_range(GET_FIAT_WITHDRAWAL_HISTORY)
FIAT_DEPOSITS = _by_range(GET_FIAT_DEPOSIT_HISTORY)


class Fiat(Caller):
    """The methods of this section that move nothing."""

    __slots__ = ()

    async def get_deposit_payment_methods(
        self, ccy: str, **options: Unpack[ReadOptions]
    ) -> list[PaymentMethod]:
        """The ways to pay ``ccy`` in, such as TRY, with fees, limits and bank accounts.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-payment-methods
        """
        params = {"ccy": check.currency("ccy", ccy)}
        return await self._rows(GET_DEPOSIT_PAYMENT_METHODS, params, options)

    async def get_withdrawal_payment_methods(
        self, ccy: str, **options: Unpack[ReadOptions]
    ) -> list[PaymentMethod]:
        """The ways to pay ``ccy`` out, such as TRY, with fees, limits and bank accounts.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-payment-methods
        """
        params = {"ccy": check.currency("ccy", ccy)}
        return await self._rows(GET_WITHDRAWAL_PAYMENT_METHODS, params, options)

    async def get_fiat_deposit(
        self, ord_id: str, **options: Unpack[ReadOptions]
    ) -> list[FiatOrder]:
        """One deposit by bank.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-order-detail
        """
        params = {"ordId": check.identifier("ord_id", ord_id)}
        return await self._rows(GET_FIAT_DEPOSIT, params, options)

    async def get_fiat_withdrawal(
        self, ord_id: str, **options: Unpack[ReadOptions]
    ) -> list[FiatOrder]:
        """One withdrawal by bank.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-order-detail
        """
        params = {"ordId": check.identifier("ord_id", ord_id)}
        return await self._rows(GET_FIAT_WITHDRAWAL, params, options)

    async def get_fiat_deposit_history(
        self,
        ccy: str | None = None,
        *,
        payment_method: PaymentMethodName | str | None = None,
        state: FiatState | str | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        limit: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[FiatOrder]:
        """One page of deposits by bank, the newest first: up to ``limit`` rows, 100 by default.

        Here ``after`` is the first moment and ``before`` the last one, both included, the
        reverse of the other histories. `iter_fiat_deposit_history` takes care of that.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-order-history
        """
        params = {**_filters(ccy, payment_method, state), **check.page(after, before, limit)}
        return await self._rows(GET_FIAT_DEPOSIT_HISTORY, params, options)

    def iter_fiat_deposit_history(
        self,
        ccy: str | None = None,
        *,
        payment_method: PaymentMethodName | str | None = None,
        state: FiatState | str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: Cursor | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> PageIterator[FiatOrder]:
        """All deposits by bank from ``until`` back to ``since``, both included, newest first.

        They are ordered by ``c_time``. A state may change between two pages: filter by ``state``
        only for a look, not for a copy.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-order-history
        """
        filters = _filters(ccy, payment_method, state)
        return walk(
            self._rows, FIAT_DEPOSITS, filters, options, since=since, until=until, cursor=cursor
        )

    async def get_fiat_withdrawal_history(
        self,
        ccy: str | None = None,
        *,
        payment_method: PaymentMethodName | str | None = None,
        state: FiatState | str | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        limit: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[FiatOrder]:
        """One page of withdrawals by bank, the newest first: up to ``limit`` rows, 100 by default.

        Here ``after`` is the first moment and ``before`` the last one, both included, the
        reverse of the other histories. `iter_fiat_withdrawal_history` takes care of that.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-order-history
        """
        params = {**_filters(ccy, payment_method, state), **check.page(after, before, limit)}
        return await self._rows(GET_FIAT_WITHDRAWAL_HISTORY, params, options)

    def iter_fiat_withdrawal_history(
        self,
        ccy: str | None = None,
        *,
        payment_method: PaymentMethodName | str | None = None,
        state: FiatState | str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: Cursor | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> PageIterator[FiatOrder]:
        """All withdrawals by bank from ``until`` back to ``since``, both included, newest first.

        They are ordered by ``c_time``. A state may change between two pages: filter by ``state``
        only for a look, not for a copy.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-order-history
        """
        filters = _filters(ccy, payment_method, state)
        return walk(
            self._rows, FIAT_WITHDRAWALS, filters, options, since=since, until=until, cursor=cursor
        )

    async def cancel_fiat_withdrawal(
        self, ord_id: str, **options: Unpack[Options]
    ) -> FiatCancellation:
        """Cancel a withdrawal by bank; OKX does so for TRY only.

        Asked again after a fault, as cancelling twice does no harm.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-cancel-withdrawal-order
        """
        params = {"ordId": check.identifier("ord_id", ord_id)}
        return await self._row(CANCEL_FIAT_WITHDRAWAL, params, options)


def _filters(
    ccy: str | None, payment_method: str | None, state: str | None
) -> dict[str, str | None]:
    return {
        "ccy": optional(check.currency, "ccy", ccy),
        "paymentMethod": optional(check.code, "payment_method", payment_method),
        "state": optional(check.code, "state", state),
    }
