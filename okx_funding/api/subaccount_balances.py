"""What a sub-account holds, asked with its master's key."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Unpack

from . import params as check
from .assets import Balance
from .params import Currencies, currencies
from .rows import moment_of
from .spec import Caller, Endpoint, RateLimit, ReadOptions, Row, get


class TradingBalanceDetail(Row, frozen=True):
    """What a trading account holds of one currency; amounts are in ccy where not said otherwise."""

    ccy: str
    u_time: int
    """When it last changed, in milliseconds since the epoch."""
    eq: Decimal | None = None
    """Equity, in ccy."""
    cash_bal: Decimal | None = None
    """Cash balance, in ccy."""
    iso_eq: Decimal | None = None
    """Equity in isolated margin, in ccy."""
    avail_eq: Decimal | None = None
    """Available equity, in ccy."""
    dis_eq: Decimal | None = None
    """Discounted equity, in USD."""
    fixed_bal: Decimal | None = None
    avail_bal: Decimal | None = None
    """Available balance, in ccy."""
    frozen_bal: Decimal | None = None
    """Frozen balance, in ccy."""
    ord_frozen: Decimal | None = None
    liab: Decimal | None = None
    """Liabilities, in ccy."""
    upl: Decimal | None = None
    """Unrealised profit and loss, in ccy."""
    upl_liab: Decimal | None = None
    cross_liab: Decimal | None = None
    reward_bal: Decimal | None = None
    iso_liab: Decimal | None = None
    mgn_ratio: Decimal | None = None
    imr: Decimal | None = None
    mmr: Decimal | None = None
    interest: Decimal | None = None
    """Accrued interest, in ccy."""
    twap: Decimal | None = None
    frp_type: str = ""
    max_loan: Decimal | None = None
    """What can be borrowed at most, in ccy."""
    eq_usd: Decimal | None = None
    """Equity, in USD."""
    borrow_froz: Decimal | None = None
    notional_lever: Decimal | None = None
    stgy_eq: Decimal | None = None
    iso_upl: Decimal | None = None
    spot_in_use_amt: Decimal | None = None
    cl_spot_in_use_amt: Decimal | None = None
    max_spot_in_use: Decimal | None = None
    spot_iso_bal: Decimal | None = None
    smt_sync_eq: Decimal | None = None
    spot_copy_trading_eq: Decimal | None = None
    spot_bal: Decimal | None = None
    open_avg_px: Decimal | None = None
    acc_avg_px: Decimal | None = None
    spot_upl: Decimal | None = None
    spot_upl_ratio: Decimal | None = None
    total_pnl: Decimal | None = None
    total_pnl_ratio: Decimal | None = None
    col_res: str = ""
    col_borr_auto_conversion: str = ""
    collateral_restrict: bool | None = None
    """Deprecated by OKX."""
    collateral_enabled: bool | None = None
    auto_lend_status: str = ""
    auto_lend_mt_amt: Decimal | None = None

    @property
    def updated_at(self) -> datetime:
        """``u_time`` as an aware datetime in UTC."""
        return moment_of(self.u_time)


class TradingBalance(Row, frozen=True):
    """What a trading account is worth; None where OKX's account mode knows no such amount.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-sub-account-trading-balance
    """

    u_time: int
    """When it last changed, in milliseconds since the epoch."""
    details: list[TradingBalanceDetail]
    total_eq: Decimal | None = None
    """All equity, in USD."""
    iso_eq: Decimal | None = None
    """Equity in isolated margin, in USD."""
    adj_eq: Decimal | None = None
    """Effective equity, in USD."""
    avail_eq: Decimal | None = None
    """Available equity, in USD."""
    ord_froz: Decimal | None = None
    """Margin frozen for orders, in USD."""
    imr: Decimal | None = None
    """Initial margin, in USD."""
    mmr: Decimal | None = None
    """Maintenance margin, in USD."""
    borrow_froz: Decimal | None = None
    """Margin frozen for borrowing, in USD."""
    mgn_ratio: Decimal | None = None
    """Margin ratio."""
    notional_usd: Decimal | None = None
    """Notional value of positions, in USD."""
    notional_usd_for_borrow: Decimal | None = None
    notional_usd_for_swap: Decimal | None = None
    notional_usd_for_futures: Decimal | None = None
    notional_usd_for_option: Decimal | None = None
    upl: Decimal | None = None
    """Unrealised profit and loss, in USD."""
    delta: Decimal | None = None
    """Delta, in USD."""
    delta_lever: Decimal | None = None
    """Delta leverage ratio."""
    delta_neutral_status: str = ""

    @property
    def updated_at(self) -> datetime:
        """``u_time`` as an aware datetime in UTC."""
        return moment_of(self.u_time)


class MaxWithdrawal(Row, frozen=True):
    """How much of one currency a sub-account's trading account can give.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-sub-account-maximum-withdrawals
    """

    ccy: str
    max_wd: Decimal | None = None
    """Without borrowing, in ccy."""
    max_wd_ex: Decimal | None = None
    """With borrowing, in ccy."""
    spot_offset_max_wd: Decimal | None = None
    """Without borrowing, under spot-derivatives risk offset, in ccy."""
    spot_offset_max_wd_ex: Decimal | None = None
    """With borrowing, under spot-derivatives risk offset, in ccy."""


GET_SUBACCOUNT_FUNDING_BALANCES = get(
    "get_subaccount_funding_balances", "/api/v5/asset/subaccount/balances", Balance,
    RateLimit(6, 2.0), docs="sub-account-rest-api-get-sub-account-funding-balance",
    group="subaccounts", batch_by="ccy",
)  # fmt: skip
GET_SUBACCOUNT_TRADING_BALANCES = get(
    "get_subaccount_trading_balances", "/api/v5/account/subaccount/balances", TradingBalance,
    RateLimit(6, 2.0), docs="sub-account-rest-api-get-sub-account-trading-balance",
    group="subaccounts",
)  # fmt: skip
GET_SUBACCOUNT_MAX_WITHDRAWAL = get(
    "get_subaccount_max_withdrawal", "/api/v5/account/subaccount/max-withdrawal", MaxWithdrawal,
    RateLimit(20, 2.0), docs="sub-account-rest-api-get-sub-account-maximum-withdrawals",
    group="subaccounts", batch_by="ccy",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (
    GET_SUBACCOUNT_FUNDING_BALANCES,
    GET_SUBACCOUNT_TRADING_BALANCES,
    GET_SUBACCOUNT_MAX_WITHDRAWAL,
)


class SubaccountBalances(Caller):
    """The methods of this section."""

    __slots__ = ()

    async def get_subaccount_funding_balances(
        self, sub_acct: str, ccy: Currencies = None, **options: Unpack[ReadOptions]
    ) -> list[Balance]:
        """Funding balances of a sub-account, of ``ccy`` or of all.

        Calls for one sub-account share requests of up to 20 currencies; three a second for all
        sub-accounts together.
        https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-sub-account-funding-balance
        """
        name = check.identifier("sub_acct", sub_acct)
        if not (keys := currencies(ccy)):
            return []
        params = {"subAcct": name, "ccy": keys}
        return await self._rows(GET_SUBACCOUNT_FUNDING_BALANCES, params, options)

    async def get_subaccount_trading_balances(
        self, sub_acct: str, **options: Unpack[ReadOptions]
    ) -> list[TradingBalance]:
        """The trading account of a sub-account; three a second for all of them together.

        https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-sub-account-trading-balance
        """
        params = {"subAcct": check.identifier("sub_acct", sub_acct)}
        return await self._rows(GET_SUBACCOUNT_TRADING_BALANCES, params, options)

    async def get_subaccount_max_withdrawal(
        self, sub_acct: str, ccy: Currencies = None, **options: Unpack[ReadOptions]
    ) -> list[MaxWithdrawal]:
        """How much a sub-account's trading account can give, of ``ccy`` or of all.

        Calls for one sub-account share requests of up to 20 currencies.
        https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-sub-account-maximum-withdrawals
        """
        name = check.identifier("sub_acct", sub_acct)
        if not (keys := currencies(ccy)):
            return []
        params = {"subAcct": name, "ccy": keys}
        return await self._rows(GET_SUBACCOUNT_MAX_WITHDRAWAL, params, options)
