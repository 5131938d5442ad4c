"""The exchange's own table of endpoints, written from OKX's pages and from nothing of the client.

A row says method and path, the limits, the permission, and the parameters, one word for each:

    ccy*          required                     type=0|1|2     one of these values
    ccy,20        a list, at most 20 values    clientId#      1 to 32 letters and digits
    amt+          an amount above zero         after@         a whole number, such as milliseconds
    flag?         true or false                rcvrInfo{}     an object

https://www.okx.com/docs-v5/en/#funding-account-rest-api
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MONTH = 31 * 86_400.0
"""Seconds of the month that the quota of monthly statements is counted by."""

Scope = tuple[str, ...]
"""Whom a limit counts: "user" or "ip", then parameters; "a/b" is a pair in either order."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` requests in any ``period`` seconds, counted by ``per``."""

    count: int
    period: float = 1.0
    per: Scope = ("user",)

    def __str__(self) -> str:
        return f"{self.count} per {self.period:g} s"

    def key(self, who: str, params: Mapping[str, Any]) -> tuple[str, ...]:
        """What the request is counted under."""
        if len(self.per) == 1:
            return (who,)
        values = (
            "/".join(sorted(str(params.get(name, "")) for name in each.split("/")))
            for each in self.per[1:]
        )
        return (who, *values)


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of an endpoint."""

    name: str
    required: bool = False
    kind: Literal["text", "amount", "number", "id", "flag", "object"] = "text"
    allowed: frozenset[str] = frozenset()
    most: int = 0
    """The most values of a list; 0 where it is no list."""


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One row of the table. ``name`` is what logs, limits and faults call it."""

    name: str
    method: Literal["GET", "POST"]
    path: str
    limits: tuple[Limit, ...]
    permission: Literal["none", "read", "trade", "withdraw"]
    params: Mapping[str, Param] = field(default_factory=dict)

    @property
    def by_address(self) -> bool:
        """Whether anybody may ask, and is counted by address."""
        return self.permission == "none"


_WORD = re.compile(r"([A-Za-z]+)(#|\+|@|\?|\{\})?(\*)?(?:=([^,\s]+))?(?:,(\d+))?")
_KINDS: dict[str | None, Literal["text", "amount", "number", "id", "flag", "object"]] = {
    None: "text",
    "#": "id",
    "+": "amount",
    "@": "number",
    "?": "flag",
    "{}": "object",
}


def _param(word: str) -> Param:
    match = _WORD.fullmatch(word)
    assert match, word
    name, kind, required, allowed, most = match.groups()
    values = frozenset(allowed.split("|")) if allowed else frozenset()
    return Param(name, bool(required), _KINDS[kind], values, int(most or 0))


def _row(
    name: str,
    method: Literal["GET", "POST"],
    path: str,
    limits: tuple[Limit, ...],
    permission: Literal["none", "read", "trade", "withdraw"],
    params: str = "",
) -> Route:
    words = {param.name: param for param in map(_param, params.split())}
    return Route(name, method, f"/api/v5/{path}", limits, permission, words)


def _user(count: int, period: float = 1.0, *per: str) -> tuple[Limit, ...]:
    return (Limit(count, period, ("user", *per)),)


_TIMES = "after@ before@ limit@"
_WALLETS = "from*=6|18 to*=6|18"
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_METHODS = "TR_BANKS|PIX|SEPA|XPULSE|NPP|US_WIRE"
_ORDER_STATES = "completed|failed|canceled|pending|inqueue|processing"
_DEPOSIT_STATES = "0|1|2|8|11|12|13|14|17"
_WITHDRAWAL_STATES = "19|17|10|0|4|5|6|8|9|12|7|1|15|16|-3|-2|-1|2"
_FIAT_HISTORY = f"ccy paymentMethod={_METHODS} state={_ORDER_STATES} {_TIMES}"
_QUOTE_LIMITS = (Limit(10), Limit(1, 5.0, ("user", "baseCcy/quoteCcy")))

ROUTES: tuple[Route, ...] = (
    # --- assets ------------------------------------------------------------------------------
    _row("get_currencies", "GET", "asset/currencies", _user(6), "read", "ccy,1000"),
    _row("get_balances", "GET", "asset/balances", _user(6), "read", "ccy,20"),
    _row("get_non_tradable_assets", "GET", "asset/non-tradable-assets", _user(6), "read", "ccy,20"),
    _row("get_asset_valuation", "GET", "asset/asset-valuation", _user(1), "read", "ccy"),
    # --- transfers and bills -----------------------------------------------------------------
    _row(
        "funds_transfer", "POST", "asset/transfer", _user(2, 1.0, "ccy"), "trade",
        f"type=0|1|2|3|4 ccy* amt+* {_WALLETS} subAcct loanTrans? omitPosRisk clientId#",
    ),
    _row(
        "transfer_state", "GET", "asset/transfer-state", _user(10), "read",
        "transId clientId# type=0|1|2|3|4",
    ),
    _row(
        "get_bills", "GET", "asset/bills", _user(6), "read",
        f"ccy type clientId# {_TIMES} thirdPartyType",
    ),
    _row(
        "get_bills_history", "GET", "asset/bills-history", _user(1), "read",
        f"ccy type clientId# {_TIMES} pagingType=1|2",
    ),
    # --- deposits and withdrawals --------------------------------------------------------------
    _row("get_deposit_address", "GET", "asset/deposit-address", _user(6), "read", "ccy*"),
    _row(
        "get_deposit_history", "GET", "asset/deposit-history", _user(6), "read",
        f"ccy depId fromWdId txId type=3|4 state={_DEPOSIT_STATES} {_TIMES}",
    ),
    _row(
        "withdrawal", "POST", "asset/withdrawal", _user(6), "withdraw",
        "ccy* amt+* dest*=3|4 toAddr* toAddrType=1|2 chain areaCode rcvrInfo{} clientId#",
    ),
    _row("cancel_withdrawal", "POST", "asset/cancel-withdrawal", _user(6), "trade", "wdId*"),
    _row(
        "get_withdrawal_history", "GET", "asset/withdrawal-history", _user(6), "read",
        f"ccy wdId clientId# txId type=3|4 state={_WITHDRAWAL_STATES} {_TIMES}",
    ),
    _row(
        "get_deposit_withdraw_status", "GET", "asset/deposit-withdraw-status", _user(1, 2.0),
        "read", "wdId txId ccy to chain",
    ),
    _row(
        "get_exchange_list", "GET", "asset/exchange-list", (Limit(6, 1.0, ("ip",)),), "none"
    ),
    _row(
        "apply_monthly_statement", "POST", "asset/monthly-statement", _user(20, MONTH), "read",
        f"month={_MONTHS}",
    ),
    _row(
        "get_monthly_statement", "GET", "asset/monthly-statement", _user(10, 2.0), "read",
        f"month*={_MONTHS}",
    ),
    # --- convert -------------------------------------------------------------------------------
    _row("get_convert_currencies", "GET", "asset/convert/currencies", _user(6), "read"),
    _row(
        "get_convert_currency_pair", "GET", "asset/convert/currency-pair", _user(6), "read",
        "fromCcy* toCcy* convertMode=0|1",
    ),
    _row(
        "estimate_quote", "POST", "asset/convert/estimate-quote", _QUOTE_LIMITS, "trade",
        "baseCcy* quoteCcy* side*=buy|sell rfqSz+* rfqSzCcy* clQReqId# tag convertMode=0|1",
    ),
    _row(
        "convert_trade", "POST", "asset/convert/trade",
        (Limit(10), Limit(1, 5.0, ("user", "side"))), "trade",
        "quoteId* baseCcy* quoteCcy* side*=buy|sell sz+* szCcy* clTReqId# tag convertMode=0|1",
    ),
    _row(
        "get_convert_history", "GET", "asset/convert/history", _user(6), "read",
        f"clTReqId# {_TIMES} tag",
    ),
    # --- fiat ----------------------------------------------------------------------------------
    _row(
        "get_deposit_payment_methods", "GET", "fiat/deposit-payment-methods", _user(3), "read",
        "ccy*",
    ),
    _row(
        "get_withdrawal_payment_methods", "GET", "fiat/withdrawal-payment-methods", _user(3),
        "read", "ccy*",
    ),
    _row(
        "create_fiat_withdrawal", "POST", "fiat/create-withdrawal", _user(3), "withdraw",
        f"paymentAcctId* ccy* amt+* paymentMethod*={_METHODS} clientId#*",
    ),
    _row("cancel_fiat_withdrawal", "POST", "fiat/cancel-withdrawal", _user(3), "trade", "ordId*"),
    _row(
        "get_fiat_withdrawal_history", "GET", "fiat/withdrawal-order-history", _user(3), "read",
        _FIAT_HISTORY,
    ),
    _row("get_fiat_withdrawal", "GET", "fiat/withdrawal", _user(3), "read", "ordId*"),
    _row(
        "get_fiat_deposit_history", "GET", "fiat/deposit-order-history", _user(3), "read",
        _FIAT_HISTORY,
    ),
    _row("get_fiat_deposit", "GET", "fiat/deposit", _user(3), "read", "ordId*"),
    _row("get_buy_sell_currencies", "GET", "fiat/buy-sell/currencies", _user(6), "read"),
    _row(
        "get_buy_sell_currency_pair", "GET", "fiat/buy-sell/currency-pair", _user(6), "read",
        "fromCcy* toCcy*",
    ),
    _row(
        "buy_sell_quote", "POST", "fiat/buy-sell/quote",
        (Limit(10), Limit(1, 5.0, ("user", "fromCcy/toCcy"))), "read",
        "side*=buy|sell fromCcy* toCcy* rfqAmt+* rfqCcy*",
    ),
    _row(
        "buy_sell_trade", "POST", "fiat/buy-sell/trade", _user(1, 5.0), "trade",
        "quoteId* side*=buy|sell fromCcy* toCcy* rfqAmt+* rfqCcy* paymentMethod*=balance clOrdId#*",
    ),
    _row(
        "get_buy_sell_history", "GET", "fiat/buy-sell/history", _user(6), "read",
        "ordId clOrdId# state=processing|completed|failed begin@ end@ limit@",
    ),
    # --- sub-accounts --------------------------------------------------------------------------
    _row(
        "get_subaccount_list", "GET", "users/subaccount/list", _user(20, 2.0), "read",
        f"enable? subAcct {_TIMES}",
    ),
    _row(
        "get_subaccount_funding_balances", "GET", "asset/subaccount/balances", _user(6, 2.0),
        "read", "subAcct* ccy,20",
    ),
    _row(
        "get_subaccount_trading_balances", "GET", "account/subaccount/balances", _user(6, 2.0),
        "read", "subAcct*",
    ),
    _row(
        "get_subaccount_max_withdrawal", "GET", "account/subaccount/max-withdrawal",
        _user(20, 2.0), "read", "subAcct* ccy,20",
    ),
    _row(
        "get_subaccount_bills", "GET", "asset/subaccount/bills", _user(6), "read",
        f"ccy type=0|1 subAcct {_TIMES}",
    ),
    _row(
        "get_managed_subaccount_bills", "GET", "asset/subaccount/managed-subaccount-bills",
        _user(6), "read", f"ccy type=0|1 subAcct subUid {_TIMES}",
    ),
    _row(
        "subaccount_transfer", "POST", "asset/subaccount/transfer", _user(1), "trade",
        f"ccy* amt+* {_WALLETS} fromSubAccount* toSubAccount* loanTrans? omitPosRisk",
    ),
    _row(
        "set_permission_transfer_out", "POST", "users/subaccount/set-transfer-out", _user(1),
        "trade", "subAcct*,20 canTransOut?",
    ),
    _row(
        "get_entrust_subaccount_list", "GET", "users/entrust-subaccount-list", _user(1), "read",
        "subAcct",
    ),
    _row(
        "create_subaccount", "POST", "users/subaccount/create-subaccount", _user(1), "trade",
        "subAcct* type*=1|5|12 label pwd",
    ),
    _row(
        "create_subaccount_apikey", "POST", "users/subaccount/apikey", _user(1), "trade",
        "subAcct* label* passphrase* perm ip,20",
    ),
    _row(
        "get_subaccount_apikeys", "GET", "users/subaccount/apikey", _user(20, 2.0), "read",
        "subAcct* apiKey",
    ),
    _row(
        "reset_subaccount_apikey", "POST", "users/subaccount/modify-apikey", _user(1), "trade",
        "subAcct* apiKey* label perm ip,20",
    ),
    _row(
        "delete_subaccount_apikey", "POST", "users/subaccount/delete-apikey", _user(1), "trade",
        "subAcct* apiKey*",
    ),
    # --- beside them ---------------------------------------------------------------------------
    _row("get_account_config", "GET", "account/config", _user(5, 2.0), "read"),
    _row("get_system_time", "GET", "public/time", (Limit(10, 2.0, ("ip",)),), "none"),
)  # fmt: skip

EXTRA = (
    _row(
        "get_instruments", "GET", "public/instruments", (Limit(20, 2.0, ("ip", "instType")),),
        "none", "instType* uly instFamily instId",
    ),
)  # fmt: skip
"""Outside of the funding account, but ccxt asks it before anything else."""

BY_NAME = {it.name: it for it in (*ROUTES, *EXTRA)}
BY_PATH: dict[tuple[str, str], Route] = {(it.method, it.path): it for it in BY_NAME.values()}
PATHS = {it.path for it in BY_NAME.values()}


def route(name: str) -> Route:
    """The row of this name. Raises ValueError where no endpoint is called so."""
    found = BY_NAME.get(name)
    if found is None:
        raise ValueError(f"no endpoint is called {name!r}; there are {', '.join(BY_NAME)}")
    return found
