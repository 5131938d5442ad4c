"""Convert and buy-sell: quotes that expire and trade once."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from okx_funding.simulator.books import Books, Processing
from okx_funding.simulator.ledger import CONVERT, FUNDING, TRADING, Holder
from okx_funding.simulator.records import BuySellOrder, Quote, Trade
from okx_funding.simulator.users import User

_PLACES = Decimal("0.00000001")
_SPREAD = Decimal("0.001")
_CONVERT_OUT, _CONVERT_IN = "273", "272"
_BUY = "200"


def quote(
    books: Books, user: User, base: str, quote_ccy: str, side: str, size: Decimal, size_ccy: str
) -> Quote:
    """A price for this size, given in either currency."""
    middle = books.catalogue.price(base, quote_ccy)
    px = middle * (1 + _SPREAD if side == "buy" else 1 - _SPREAD)
    px = px.quantize(_PLACES)
    if size_ccy == base:
        base_sz, quote_sz = size, (size * px).quantize(_PLACES, ROUND_DOWN)
    else:
        base_sz, quote_sz = (size / px).quantize(_PLACES, ROUND_DOWN), size
    made = Quote(
        quote_id=f"quoter{base}-{quote_ccy}{books.serial()}",
        user_id=user.uid,
        base=base,
        quote=quote_ccy,
        side=side,
        base_sz=base_sz,
        quote_sz=quote_sz,
        px=px,
        size=size,
        size_ccy=size_ccy,
        expires=books.clock.elapsed() + books.rules.quote_seconds,
    )
    books.quotes[made.quote_id] = made
    return made


def trade(
    books: Books, user: User, made: Quote, client_id: str, tag: str, processing: Processing
) -> Trade:
    """Convert in the trading account; raises InsufficientError where the money isn't there."""
    record = Trade(
        serial=books.serial(),
        user_id=user.uid,
        client_id=client_id,
        ts=books.clock.stamp(),
        quote=made,
        tag=tag,
        state="rejected" if processing.fails else "fullyFilled",
    )
    if not processing.fails:
        _swap(books, Holder(user.uid, TRADING), made, client_id, ("", ""))
        books.count(record, "convert", record.trade_id, *made.spends())
    made.traded = True
    books.trades[user.uid].add(record)
    books.hide(record, processing)
    return record


def buy_sell(
    books: Books, user: User, made: Quote, client_id: str, processing: Processing
) -> BuySellOrder:
    """Buy or sell against fiat in the funding account; raises InsufficientError."""
    record = BuySellOrder(
        serial=books.serial(),
        user_id=user.uid,
        client_id=client_id,
        ts=books.clock.stamp(),
        quote=made,
        state="failed" if processing.fails else "completed",
    )
    if not processing.fails:
        _swap(books, Holder(user.uid, FUNDING), made, client_id, (_BUY, _BUY))
        books.count(record, "buy-sell", record.ord_id, *made.spends())
    made.traded = True
    books.buy_sell[user.uid].add(record)
    books.hide(record, processing)
    return record


def _swap(
    books: Books, holder: Holder, made: Quote, client_id: str, bills: tuple[str, str]
) -> None:
    stamp = books.clock.stamp()
    books.ledger.post(
        holder, CONVERT, *made.spends(), stamp, bills=(bills[0], ""), client_id=client_id
    )
    books.ledger.post(
        CONVERT, holder, *made.gets(), stamp, bills=("", bills[1]), client_id=client_id
    )
