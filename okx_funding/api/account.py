"""Whose key it is, and OKX's clock."""

from __future__ import annotations

from typing import Any, Unpack

from .rows import TimedRow
from .spec import Caller, Endpoint, RateLimit, ReadOptions, Row, get


class AccountConfig(Row, frozen=True):
    """Whose key this is, and how the account is set up.

    https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration
    """

    uid: str
    """The User ID by which OKX counts rate limits."""
    perm: str | None = None
    """What the key may do, a comma list of read_only, trade and withdraw."""
    ip: str | None = None
    """The addresses that the key is bound to, a comma list; empty for none."""
    main_uid: str = ""
    """The master account's User ID; equal to uid for a master account."""
    label: str = ""
    """The key's name."""
    kyc_lv: str = ""
    """Level of the identity check."""
    type: str = ""
    """0 is a master account, 1 a standard sub-account; there are more."""
    acct_lv: str = ""
    """Account mode: 1 spot, 2 futures, 3 multi-currency margin, 4 portfolio margin."""
    acct_stp_mode: str = ""
    pos_mode: str = ""
    auto_loan: bool | None = None
    greeks_type: str = ""
    fee_type: str = ""
    level: str = ""
    """Fee level, such as Lv1."""
    level_tmp: str = ""
    ct_iso_mode: str = ""
    mgn_iso_mode: str = ""
    spot_offset_type: str = ""
    """Deprecated by OKX."""
    stgy_type: str = ""
    role_type: str = ""
    trader_insts: list[str] | None = None
    spot_role_type: str = ""
    spot_trader_insts: list[str] | None = None
    op_auth: str = ""
    liquidation_gear: str = ""
    enable_spot_borrow: bool | None = None
    spot_borrow_auto_repay: bool | None = None
    settle_ccy: str = ""
    settle_ccy_list: list[str] | None = None
    """OKX documents a text and sends a list."""


class ServerTime(TimedRow, frozen=True):
    """OKX's clock.

    https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time
    """


GET_ACCOUNT_CONFIG = get(
    "get_account_config", "/api/v5/account/config", AccountConfig, RateLimit(5, 2.0),
    docs="trading-account-rest-api-get-account-configuration", group="account",
)  # fmt: skip
GET_SYSTEM_TIME = get(
    "get_system_time", "/api/v5/public/time", ServerTime, RateLimit(10, 2.0, per=("ip",)),
    docs="public-data-rest-api-get-system-time", group="account", permission="none",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (GET_ACCOUNT_CONFIG, GET_SYSTEM_TIME)


class Account(Caller):
    """The methods of this section."""

    __slots__ = ()

    async def get_account_config(self, **options: Unpack[ReadOptions]) -> AccountConfig:
        """Whose key this is: User ID, permissions, addresses it is bound to, account mode.

        https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration
        """
        return await self._row(GET_ACCOUNT_CONFIG, {}, options)

    async def get_system_time(self, **options: Unpack[ReadOptions]) -> ServerTime:
        """OKX's clock as it answered; it needs no key.

        https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time
        """
        return await self._row(GET_SYSTEM_TIME, {}, options)
