"""Convert: pairs, quotes, trades in the trading account, history."""

from __future__ import annotations

from decimal import Decimal

from okx_funding.simulator.answers import Refused
from okx_funding.simulator.catalogue import CONVERTIBLE, plain
from okx_funding.simulator.ledger import InsufficientError
from okx_funding.simulator.records import Quote
from okx_funding.simulator.states import convert

from .request import Row, ServiceRequest, service

_QUOTE_MIN, _QUOTE_MAX = Decimal(1), Decimal(100_000)
_PLACES = Decimal("0.00000001")


@service("get_convert_currencies")
def convert_currencies(_request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-convert-currencies"""
    return [{"ccy": ccy, "max": "", "min": ""} for ccy in CONVERTIBLE]


@service("get_convert_currency_pair")
def convert_currency_pair(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-convert-currency-pair"""
    base, quote = _pair(request, request.text("fromCcy"), request.text("toCcy"))
    px = request.books.catalogue.price(base, quote)
    return [
        {
            "baseCcy": base,
            "baseCcyMax": plain((_QUOTE_MAX / px).quantize(_PLACES)),
            "baseCcyMin": plain((_QUOTE_MIN / px).quantize(_PLACES)),
            "instId": f"{base}-{quote}",
            "quoteCcy": quote,
            "quoteCcyMax": plain(_QUOTE_MAX),
            "quoteCcyMin": plain(_QUOTE_MIN),
        }
    ]


def _pair(request: ServiceRequest, one: str, other: str) -> tuple[str, str]:
    found = request.books.catalogue.pair(one, other)
    if found is None:
        raise Refused("51000", "fromCcy" if "fromCcy" in request.params else "baseCcy")
    return found


@service("estimate_quote")
def estimate_quote(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-estimate-quote"""
    base, quote_ccy = request.text("baseCcy"), request.text("quoteCcy")
    if _pair(request, base, quote_ccy) != (base, quote_ccy):
        raise Refused("51000", "baseCcy")
    size_ccy = request.text("rfqSzCcy")
    if size_ccy not in (base, quote_ccy):
        raise Refused("51000", "rfqSzCcy")
    made = convert.quote(
        request.books, request.user, base, quote_ccy, request.text("side"),
        request.amount("rfqSz"), size_ccy,
    )  # fmt: skip
    if not _QUOTE_MIN <= made.quote_sz <= _QUOTE_MAX or not made.base_sz:
        raise Refused("52915")
    return [
        {
            "baseCcy": base,
            "baseSz": plain(made.base_sz),
            "clQReqId": request.text("clQReqId"),
            "cnvtPx": plain(made.px),
            "origRfqSz": plain(made.size),
            "quoteCcy": quote_ccy,
            "quoteId": made.quote_id,
            "quoteSz": plain(made.quote_sz),
            "quoteTime": str(request.books.clock.stamp()),
            "rfqSz": plain(made.size),
            "rfqSzCcy": size_ccy,
            "side": made.side,
            "ttlMs": str(int(request.books.rules.quote_seconds * 1000)),
        }
    ]


def quote_of(request: ServiceRequest) -> Quote:
    """The user's quote, which is neither traded nor expired. Raises Refused."""
    made = request.books.quotes.get(request.text("quoteId"))
    if made is None or made.user_id != request.user.uid:
        raise Refused("51000", "quoteId")
    if made.traded:
        raise Refused("52921")
    if request.books.clock.elapsed() >= made.expires:
        raise Refused("52922")
    return made


@service("convert_trade")
def convert_trade(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-convert-trade"""
    made = quote_of(request)
    for name, value in (("baseCcy", made.base), ("quoteCcy", made.quote), ("side", made.side)):
        if request.text(name) != value:
            raise Refused("51000", name)
    sizes = {made.base: made.base_sz, made.quote: made.quote_sz}
    if request.amount("sz") != sizes.get(request.text("szCcy")):
        raise Refused("51000", "sz")
    client_id = request.text("clTReqId")
    if request.books.is_duplicate(request.books.trades[request.user.uid], client_id):
        raise Refused("52925")
    try:
        trade = convert.trade(
            request.books, request.user, made, client_id, request.text("tag"), request.processing
        )
    except InsufficientError:
        raise Refused("58350") from None
    return [trade.receipt()]


@service("get_convert_history")
def convert_history(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-convert-history"""
    tag, client_id = request.text("tag"), request.params.get("clTReqId")
    page = request.page(
        request.books.trades[request.user.uid],
        accept=lambda it: it.tag == tag and client_id in (None, it.client_id),
        named="clTReqId",
    )
    return [trade.row() for trade in page]
