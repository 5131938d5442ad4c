"""What the exchange remembers of orders: transfers, withdrawals, deposits, quotes, trades.

Each gives its row with OKX's names. The classes are plain and mutable: the state machines in
``states`` change them, and tests may look at them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from .catalogue import plain
from .ledger import Holder, Movement

Row = dict[str, Any]


@dataclass(slots=True, eq=False, kw_only=True)
class Record:
    """What all of them have. ``hidden`` ones are there, but look-ups don't find them yet."""

    serial: int
    user_id: str
    client_id: str
    ts: int
    hidden: bool = False
    movement: Movement | None = field(default=None, repr=False)

    def names(self) -> tuple[str, ...]:
        """Its own id, and the client's where there is one."""
        return (str(self.serial), self.client_id) if self.client_id else (str(self.serial),)


@dataclass(slots=True, eq=False, kw_only=True)
class Transfer(Record):
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-funds-transfer-state"""

    ccy: str
    amt: Decimal
    from_: str
    to: str
    type: str
    sub_acct: str
    source: Holder
    target: Holder
    state: Literal["pending", "success", "failed"] = "pending"

    @property
    def trans_id(self) -> str:
        return str(self.serial)

    def receipt(self) -> Row:
        """The answer to the POST."""
        return {
            "transId": self.trans_id,
            "ccy": self.ccy,
            "clientId": self.client_id,
            "from": self.from_,
            "amt": plain(self.amt),
            "to": self.to,
        }

    def row(self) -> Row:
        """The row of transfer-state."""
        return {
            "amt": plain(self.amt),
            "ccy": self.ccy,
            "clientId": self.client_id,
            "from": self.from_,
            "instId": "",
            "state": self.state,
            "subAcct": self.sub_acct,
            "to": self.to,
            "toInstId": "",
            "transId": self.trans_id,
            "type": self.type,
        }


@dataclass(slots=True, eq=False, kw_only=True)
class Withdrawal(Record):
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-history"""

    ccy: str
    chain: str
    amt: Decimal
    fee: Decimal
    fee_ccy: str
    dest: str
    to: str
    to_addr_type: str
    area_code: str
    tag: str = ""
    non_tradable: bool = False
    state: str = "0"
    tx_id: str = ""
    note: str = ""

    @property
    def wd_id(self) -> str:
        return str(self.serial)

    @property
    def final(self) -> bool:
        """Whether it is at its end: done, failed or cancelled."""
        return self.state in ("2", "-1", "-2")

    def receipt(self) -> Row:
        """The answer to the POST."""
        return {
            "amt": plain(self.amt),
            "wdId": self.wd_id,
            "ccy": self.ccy,
            "clientId": self.client_id,
            "chain": self.chain,
        }

    def row(self) -> Row:
        """The row of withdrawal-history; what isn't needed is left out, as OKX does."""
        row = {
            "note": self.note,
            "chain": self.chain,
            "fee": plain(self.fee),
            "feeCcy": self.fee_ccy,
            "ccy": self.ccy,
            "clientId": self.client_id,
            "toAddrType": self.to_addr_type,
            "amt": plain(self.amt),
            "txId": self.tx_id,
            "from": "",
            "areaCodeFrom": "",
            "to": self.to,
            "areaCodeTo": self.area_code,
            "state": self.state,
            "ts": str(self.ts),
            "nonTradableAsset": self.non_tradable,
            "wdId": self.wd_id,
        }
        return row | ({"tag": self.tag} if self.tag else {})


@dataclass(slots=True, eq=False, kw_only=True)
class Deposit(Record):
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-history"""

    ccy: str
    chain: str
    amt: Decimal
    to: str
    tx_id: str
    from_: str = ""
    from_wd_id: str = ""
    state: str = "0"
    confirmations: int = 0
    credited: bool = False

    @property
    def dep_id(self) -> str:
        return str(self.serial)

    def row(self) -> Row:
        """The row of deposit-history."""
        return {
            "actualDepBlkConfirm": str(self.confirmations),
            "amt": plain(self.amt),
            "areaCodeFrom": "",
            "ccy": self.ccy,
            "chain": self.chain,
            "depId": self.dep_id,
            "from": self.from_,
            "fromWdId": self.from_wd_id,
            "state": self.state,
            "to": self.to,
            "ts": str(self.ts),
            "txId": self.tx_id,
        }


@dataclass(slots=True, eq=False, kw_only=True)
class Quote:
    """A price that holds for a while, and may be traded at once. Times are in seconds."""

    quote_id: str
    user_id: str
    base: str
    quote: str
    side: str
    base_sz: Decimal
    quote_sz: Decimal
    px: Decimal
    size: Decimal
    size_ccy: str
    expires: float
    traded: bool = False

    def spends(self) -> tuple[str, Decimal]:
        """What the user gives: currency and amount."""
        return (self.quote, self.quote_sz) if self.side == "buy" else (self.base, self.base_sz)

    def gets(self) -> tuple[str, Decimal]:
        """What the user gets: currency and amount."""
        return (self.base, self.base_sz) if self.side == "buy" else (self.quote, self.quote_sz)


@dataclass(slots=True, eq=False, kw_only=True)
class Trade(Record):
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-convert-trade"""

    quote: Quote
    tag: str
    state: Literal["fullyFilled", "rejected"] = "fullyFilled"

    @property
    def trade_id(self) -> str:
        return f"trader{self.serial}"

    def row(self) -> Row:
        """The row of convert/history."""
        filled = self.state == "fullyFilled"
        return {
            "clTReqId": self.client_id,
            "instId": f"{self.quote.base}-{self.quote.quote}",
            "side": self.quote.side,
            "fillPx": plain(self.quote.px),
            "baseCcy": self.quote.base,
            "quoteCcy": self.quote.quote,
            "fillBaseSz": plain(self.quote.base_sz) if filled else "0",
            "state": self.state,
            "tradeId": self.trade_id,
            "fillQuoteSz": plain(self.quote.quote_sz) if filled else "0",
            "ts": str(self.ts),
        }

    def receipt(self) -> Row:
        """The answer to the POST."""
        return {**self.row(), "quoteId": self.quote.quote_id}


@dataclass(slots=True, eq=False, kw_only=True)
class FiatOrder(Record):
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-order-detail"""

    ccy: str
    amt: Decimal
    fee: Decimal
    payment_method: str
    payment_acct_id: str
    state: str = "pending"
    u_time: int = 0

    @property
    def ord_id(self) -> str:
        return str(self.serial)

    def row(self) -> Row:
        """The row of both histories, and of one order."""
        return {
            "cTime": str(self.ts),
            "uTime": str(self.u_time or self.ts),
            "ordId": self.ord_id,
            "paymentMethod": self.payment_method,
            "paymentAcctId": self.payment_acct_id,
            "amt": plain(self.amt),
            "fee": plain(self.fee),
            "ccy": self.ccy,
            "state": self.state,
            "clientId": self.client_id,
        }


@dataclass(slots=True, eq=False, kw_only=True)
class BuySellOrder(Record):
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-buy-sell-trade"""

    quote: Quote
    state: Literal["processing", "completed", "failed"] = "completed"
    u_time: int = 0

    @property
    def ord_id(self) -> str:
        return str(self.serial)

    def row(self) -> Row:
        """The row of the history."""
        spent, got = self.quote.spends(), self.quote.gets()
        return {
            "ordId": self.ord_id,
            "clOrdId": self.client_id,
            "quoteId": self.quote.quote_id,
            "state": self.state,
            "side": self.quote.side,
            "fromCcy": spent[0],
            "toCcy": got[0],
            "rfqAmt": plain(self.quote.size),
            "rfqCcy": self.quote.size_ccy,
            "fillPx": plain(self.quote.px),
            "fillQuoteCcy": self.quote.quote,
            "fillFromAmt": plain(spent[1]),
            "fillToAmt": plain(got[1]),
            "cTime": str(self.ts),
            "uTime": str(self.u_time or self.ts),
        }

    def receipt(self) -> Row:
        """The answer to the POST."""
        return {name: value for name, value in self.row().items() if name != "uTime"}


@dataclass(slots=True, eq=False, kw_only=True)
class SubTransfer(Record):
    """A row of ``subaccount/bills``: between a master and a sub-account.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-get-history-of-sub-account-transfer
    """

    ccy: str
    amt: Decimal
    type: str
    sub_acct: str
    sub_uid: str

    def row(self) -> Row:
        return {
            "amt": plain(self.amt),
            "billId": str(self.serial),
            "ccy": self.ccy,
            "subAcct": self.sub_acct,
            "ts": str(self.ts),
            "type": self.type,
        }
