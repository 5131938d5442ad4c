"""OKX's funding section as data: a struct, a row of the table and a method for each endpoint.

A file per section holds all three. Names are loaded when they are asked for, so that a program
pays for the sections it uses. `ENDPOINTS` is the table of all of them, by the method's name.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .account import AccountConfig, ServerTime
    from .assets import (
        AssetValuation,
        Balance,
        Currency,
        NonTradableAsset,
        ValuationDetails,
        ValuationUnit,
    )
    from .bills import Bill, PagingType
    from .buy_sell import (
        BuySellCurrencies,
        BuySellCurrency,
        BuySellPair,
        BuySellQuote,
        BuySellState,
        BuySellTrade,
    )
    from .convert import ConvertCurrency, ConvertMode, ConvertPair, ConvertTrade, Quote, Side
    from .deposits import Deposit, DepositAddress, DepositState, DepositType, DepositWithdrawStatus
    from .fiat import (
        FiatCancellation,
        FiatOrder,
        FiatState,
        PaymentAccount,
        PaymentLimits,
        PaymentMethod,
        PaymentMethodName,
    )
    from .pages import Cursor, PageIterator
    from .rows import to_dict
    from .spec import Endpoint, Options, RateLimit, ReadOptions, Row
    from .statements import Month, MonthlyStatement, StatementRequest
    from .subaccount_balances import MaxWithdrawal, TradingBalance, TradingBalanceDetail
    from .subaccount_bills import ManagedSubaccountBill, SubaccountBill, SubaccountBillType
    from .subaccount_keys import (
        CreatedSubaccount,
        DeletedApiKey,
        KeyPermission,
        SubaccountApiKey,
        SubaccountApiKeyInfo,
        SubaccountType,
    )
    from .subaccounts import (
        EntrustSubaccount,
        Subaccount,
        SubaccountTransfer,
        TransferOutPermission,
    )
    from .table import ENDPOINTS
    from .transfers import Transfer, TransferState, TransferType
    from .withdrawals import (
        Exchange,
        Withdrawal,
        WithdrawalCancellation,
        WithdrawalReceipt,
        WithdrawalState,
        WithdrawalType,
    )

__all__ = [
    "ENDPOINTS",
    "AccountConfig",
    "AssetValuation",
    "Balance",
    "Bill",
    "BuySellCurrencies",
    "BuySellCurrency",
    "BuySellPair",
    "BuySellQuote",
    "BuySellState",
    "BuySellTrade",
    "ConvertCurrency",
    "ConvertMode",
    "ConvertPair",
    "ConvertTrade",
    "CreatedSubaccount",
    "Currency",
    "Cursor",
    "DeletedApiKey",
    "Deposit",
    "DepositAddress",
    "DepositState",
    "DepositType",
    "DepositWithdrawStatus",
    "Endpoint",
    "EntrustSubaccount",
    "Exchange",
    "FiatCancellation",
    "FiatOrder",
    "FiatState",
    "KeyPermission",
    "ManagedSubaccountBill",
    "MaxWithdrawal",
    "Month",
    "MonthlyStatement",
    "NonTradableAsset",
    "Options",
    "PageIterator",
    "PagingType",
    "PaymentAccount",
    "PaymentLimits",
    "PaymentMethod",
    "PaymentMethodName",
    "Quote",
    "RateLimit",
    "ReadOptions",
    "Row",
    "ServerTime",
    "Side",
    "StatementRequest",
    "Subaccount",
    "SubaccountApiKey",
    "SubaccountApiKeyInfo",
    "SubaccountBill",
    "SubaccountBillType",
    "SubaccountTransfer",
    "SubaccountType",
    "TradingBalance",
    "TradingBalanceDetail",
    "Transfer",
    "TransferOutPermission",
    "TransferState",
    "TransferType",
    "ValuationDetails",
    "ValuationUnit",
    "Withdrawal",
    "WithdrawalCancellation",
    "WithdrawalReceipt",
    "WithdrawalState",
    "WithdrawalType",
    "to_dict",
]

_HOMES = {
    "account": "AccountConfig ServerTime",
    "assets": "AssetValuation Balance Currency NonTradableAsset ValuationDetails ValuationUnit",
    "bills": "Bill PagingType",
    "buy_sell": "BuySellCurrencies BuySellCurrency BuySellPair "
    "BuySellQuote BuySellState BuySellTrade",
    "convert": "ConvertCurrency ConvertMode ConvertPair ConvertTrade Quote Side",
    "deposits": "Deposit DepositAddress DepositState DepositType DepositWithdrawStatus",
    "fiat": "FiatCancellation FiatOrder FiatState PaymentAccount "
    "PaymentLimits PaymentMethod PaymentMethodName",
    "pages": "Cursor PageIterator",
    "rows": "to_dict",
    "spec": "Endpoint Options RateLimit ReadOptions Row",
    "statements": "Month MonthlyStatement StatementRequest",
    "subaccount_balances": "MaxWithdrawal TradingBalance TradingBalanceDetail",
    "subaccount_bills": "ManagedSubaccountBill SubaccountBill SubaccountBillType",
    "subaccount_keys": "CreatedSubaccount DeletedApiKey KeyPermission "
    "SubaccountApiKey SubaccountApiKeyInfo SubaccountType",
    "subaccounts": "EntrustSubaccount Subaccount SubaccountTransfer TransferOutPermission",
    "table": "ENDPOINTS",
    "transfers": "Transfer TransferState TransferType",
    "withdrawals": "Exchange Withdrawal WithdrawalCancellation "
    "WithdrawalReceipt WithdrawalState WithdrawalType",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f".{home}", __name__)
        return globals().setdefault(name, getattr(module, name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
