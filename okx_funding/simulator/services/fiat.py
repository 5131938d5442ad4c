"""Fiat: payment methods, orders in both directions, and buying and selling against fiat.

The histories of orders page the other way round: ``after`` is where the range begins, ``before``
where it ends, and both are inclusive.
"""

from __future__ import annotations

from decimal import Decimal

from okx_funding.simulator.answers import Refused
from okx_funding.simulator.catalogue import FIAT, payment_method_row, plain
from okx_funding.simulator.history import History
from okx_funding.simulator.ledger import InsufficientError
from okx_funding.simulator.records import FiatOrder
from okx_funding.simulator.states import convert, fiat

from .convert import quote_of
from .request import Row, ServiceRequest, service

_ACCOUNTS: dict[str, list[Row]] = {
    "TRY": [
        {
            "paymentAcctId": "1",
            "acctNum": "TR740001592093703829602611",
            "recipientName": "John Doe",
            "bankName": "VakifBank",
            "bankCode": "TVBATR2AXXX",
            "state": "active",
        },
        {
            "paymentAcctId": "2",
            "acctNum": "TR740001592093703829602622",
            "recipientName": "John Doe",
            "bankName": "FBHLTRISXXX",
            "bankCode": "",
            "state": "active",
        },
    ],
    "USD": [
        {
            "paymentAcctId": "3",
            "acctNum": "000123456789",
            "recipientName": "John Doe",
            "bankName": "A Bank",
            "bankCode": "",
            "state": "active",
        }
    ],
}
_LEAST = Decimal(10)
_CENTS = Decimal("0.01")
_CRYPTO = ("BTC", "USDT")


def _methods(request: ServiceRequest, *, deposit: bool) -> list[Row]:
    ccy = request.text("ccy")
    if ccy not in FIAT:
        raise Refused("51000")
    return [payment_method_row(ccy, _ACCOUNTS[ccy], deposit=deposit)]


@service("get_deposit_payment_methods")
def deposit_payment_methods(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-payment-methods"""
    return _methods(request, deposit=True)


@service("get_withdrawal_payment_methods")
def withdrawal_payment_methods(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-payment-methods"""
    return _methods(request, deposit=False)


@service("create_fiat_withdrawal")
def create_fiat_withdrawal(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-create-withdrawal-order"""
    if request.user.main is not None:
        raise Refused("59504")
    (methods,) = _methods(request, deposit=False)
    amount = request.amount("amt")
    if request.text("paymentMethod") != methods["paymentMethod"]:
        raise Refused("58401")
    accounts = [it["paymentAcctId"] for it in methods["accounts"]]
    if request.text("paymentAcctId") not in accounts:
        raise Refused("58402")
    if amount != amount.quantize(_CENTS):
        raise Refused("51000", "amt")
    if amount < _LEAST:
        raise Refused("58206")
    if request.books.is_duplicate(
        request.books.fiat_withdrawals[request.user.uid], request.text("clientId")
    ):
        raise Refused("58404")
    params = {name: str(value) for name, value in request.params.items()}
    try:
        order = fiat.withdraw(request.books, request.user, params, amount, request.processing)
    except InsufficientError:
        raise Refused("58350") from None
    return [order.row()]


@service("cancel_fiat_withdrawal")
def cancel_fiat_withdrawal(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-cancel-withdrawal-order"""
    order = _order(request, request.books.fiat_withdrawals[request.user.uid])
    if order.ccy != "TRY" or order.state not in fiat.CANCELLABLE:
        raise Refused("58403")
    fiat.end(request.books, order, "canceled")
    return [{"ordId": order.ord_id, "state": order.state}]


def _order(request: ServiceRequest, orders: History[FiatOrder]) -> FiatOrder:
    for order in orders.named(request.text("ordId")):
        if order.ord_id == request.text("ordId") and not order.hidden:
            return order
    raise Refused("51000", "ordId")


@service("get_fiat_withdrawal")
def fiat_withdrawal(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-order-detail"""
    return [_order(request, request.books.fiat_withdrawals[request.user.uid]).row()]


@service("get_fiat_deposit")
def fiat_deposit(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-order-detail"""
    return [_order(request, request.books.fiat_deposits[request.user.uid]).row()]


@service("get_fiat_withdrawal_history")
def fiat_withdrawal_history(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-withdrawal-order-history"""
    return _history(request, request.books.fiat_withdrawals[request.user.uid])


@service("get_fiat_deposit_history")
def fiat_deposit_history(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-deposit-order-history"""
    return _history(request, request.books.fiat_deposits[request.user.uid])


def _history(request: ServiceRequest, orders: History[FiatOrder]) -> list[Row]:
    begin, end = request.params.get("after"), request.params.get("before")
    page = orders.page(
        older_than=int(end) + 1 if end else float("inf"),
        newer_than=int(begin) - 1 if begin else -1,
        limit=request.limit(),
        accept=request.matches(ccy="ccy", paymentMethod="payment_method", state="state"),
    )
    return [order.row() for order in page]


# --- buy and sell -----------------------------------------------------------------------------


@service("get_buy_sell_currencies")
def buy_sell_currencies(_request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-buy-sell-currencies"""
    return [
        {
            "fiatCcyList": [{"ccy": "USD"}],
            "cryptoCcyList": [{"ccy": ccy} for ccy in _CRYPTO],
        }
    ]


def _sides(request: ServiceRequest) -> tuple[str, str, str]:
    """Side, and the pair as crypto and fiat."""
    source, target = request.text("fromCcy"), request.text("toCcy")
    if source == "USD" and target in _CRYPTO:
        return "buy", target, source
    if target == "USD" and source in _CRYPTO:
        return "sell", source, target
    raise Refused("51000", "fromCcy")


@service("get_buy_sell_currency_pair")
def buy_sell_currency_pair(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-buy-sell-currency-pair"""
    side, _, _ = _sides(request)
    return [
        {
            "side": side,
            "fromCcy": request.text("fromCcy"),
            "toCcy": request.text("toCcy"),
            "singleTradeMax": "10000",
            "singleTradeMin": "0.0001",
            "fixedPxRemainingDailyQuota": "",
            "fixedPxDailyLimit": "",
            "paymentMethods": ["balance"],
        }
    ]


@service("buy_sell_quote")
def buy_sell_quote(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-buy-sell-quote"""
    side, crypto, fiat_ccy = _sides(request)
    if request.text("side") != side:
        raise Refused("51000", "side")
    if request.text("rfqCcy") not in (crypto, fiat_ccy):
        raise Refused("51000", "rfqCcy")
    made = convert.quote(
        request.books, request.user, crypto, fiat_ccy, side, request.amount("rfqAmt"),
        request.text("rfqCcy"),
    )  # fmt: skip
    spent, got = made.spends(), made.gets()
    return [
        {
            "quoteId": made.quote_id,
            "side": side,
            "fromCcy": spent[0],
            "toCcy": got[0],
            "rfqAmt": plain(made.size),
            "rfqCcy": made.size_ccy,
            "quotePx": plain(made.px),
            "quoteCcy": fiat_ccy,
            "quoteFromAmt": plain(spent[1]),
            "quoteToAmt": plain(got[1]),
            "quoteTime": str(request.books.clock.stamp()),
            "ttlMs": str(int(request.books.rules.quote_seconds * 1000)),
        }
    ]


@service("buy_sell_trade")
def buy_sell_trade(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-buy-sell-trade"""
    made = quote_of(request)
    stated = (made.side, made.spends()[0], made.gets()[0], made.size_ccy)
    for name, value in zip(("side", "fromCcy", "toCcy", "rfqCcy"), stated, strict=True):
        if request.text(name) != value:
            raise Refused("51000", name)
    if request.amount("rfqAmt") != made.size:
        raise Refused("51000", "rfqAmt")
    client_id = request.text("clOrdId")
    if request.books.is_duplicate(request.books.buy_sell[request.user.uid], client_id):
        raise Refused("50071", "clOrdId")
    try:
        order = convert.buy_sell(request.books, request.user, made, client_id, request.processing)
    except InsufficientError:
        raise Refused("58350") from None
    return [order.receipt()]


@service("get_buy_sell_history")
def buy_sell_history(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-buy-sell-trade-history"""
    begin, end = request.params.get("begin"), request.params.get("end")
    page = request.books.buy_sell[request.user.uid].page(
        older_than=int(end) if end else float("inf"),
        newer_than=int(begin) if begin else -1,
        limit=request.limit(),
        accept=request.matches(ordId="ord_id", clOrdId="client_id", state="state"),
    )
    return [order.row() for order in page]
