"""Buying and selling crypto for money. The trade itself is `okx_funding.money`'s.

OKX offers these endpoints to institutions in the Bahamas.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Unpack

from . import params as check
from .convert import Side
from .pages import Cursor, PageIterator, Pages, walk
from .params import Amount, Moment, optional
from .rows import moment_of, moment_or_none
from .spec import Caller, Endpoint, Options, RateLimit, ReadOptions, Row, get, post

BuySellState = Literal["processing", "completed", "failed"]


class BuySellCurrency(Row, frozen=True):
    """The name of a currency in one of the lists of `BuySellCurrencies`."""

    ccy: str


class BuySellCurrencies(Row, frozen=True):
    """What can be bought and sold for what.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-buy-sell-currencies
    """

    fiat_ccy_list: list[BuySellCurrency]
    crypto_ccy_list: list[BuySellCurrency]


class BuySellPair(Row, frozen=True):
    """How much of a pair can be bought or sold at once.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-buy-sell-currency-pair
    """

    side: str
    from_ccy: str
    to_ccy: str
    payment_methods: list[str]
    """How it can be paid: balance."""
    single_trade_max: Decimal | None = None
    """Largest amount of one trade."""
    single_trade_min: Decimal | None = None
    """Smallest amount of one trade."""
    fixed_px_daily_limit: Decimal | None = None
    """Amount a day at the fixed price; None but between two kinds of money."""
    fixed_px_remaining_daily_quota: Decimal | None = None
    """What is left of fixed_px_daily_limit."""


class BuySellQuote(Row, frozen=True):
    """A price to buy or sell at, which holds for ``ttl_ms`` milliseconds.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-buy-sell-quote
    """

    quote_id: str
    from_ccy: str
    to_ccy: str
    rfq_amt: Decimal
    """The amount asked for, in rfq_ccy."""
    rfq_ccy: str
    quote_px: Decimal
    """In quote_ccy."""
    quote_ccy: str
    quote_from_amt: Decimal
    """What would be paid, in from_ccy."""
    quote_to_amt: Decimal
    """What would be got, in to_ccy."""
    quote_time: int
    """Milliseconds since the epoch."""
    ttl_ms: int
    """Milliseconds that the quote holds."""
    side: str = ""
    """buy or sell; documented, but missing in OKX's own sample."""

    @property
    def quoted_at(self) -> datetime:
        """``quote_time`` as an aware datetime in UTC."""
        return moment_of(self.quote_time)

    @property
    def expires_at(self) -> datetime:
        """Until when the quote holds, as an aware datetime in UTC, by OKX's clock."""
        return moment_of(self.quote_time + self.ttl_ms)


class BuySellTrade(Row, frozen=True):
    """A purchase or sale, as its POST answers and as the history lists it.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-buy-sell-trade
    """

    ord_id: str
    from_ccy: str
    to_ccy: str
    rfq_amt: Decimal
    """In rfq_ccy."""
    rfq_ccy: str
    c_time: int
    """When it was made, in milliseconds since the epoch."""
    state: str = ""
    """completed and failed are final, processing isn't; missing in OKX's own sample."""
    side: str = ""
    fill_px: Decimal | None = None
    """In fill_quote_ccy."""
    fill_quote_ccy: str = ""
    fill_from_amt: Decimal | None = None
    """What was paid, in from_ccy."""
    fill_to_amt: Decimal | None = None
    """What was got, in to_ccy."""
    quote_id: str = ""
    cl_ord_id: str = ""
    """The caller's own id of it."""
    u_time: int | None = None
    """When it last changed, in milliseconds since the epoch; in the history only."""

    @property
    def created_at(self) -> datetime:
        """``c_time`` as an aware datetime in UTC."""
        return moment_of(self.c_time)

    @property
    def updated_at(self) -> datetime | None:
        """``u_time`` as an aware datetime in UTC."""
        return moment_or_none(self.u_time)


GET_BUY_SELL_CURRENCIES = get(
    "get_buy_sell_currencies", "/api/v5/fiat/buy-sell/currencies", BuySellCurrencies,
    RateLimit(6), docs="funding-account-rest-api-get-buy-sell-currencies", group="fiat",
)  # fmt: skip
GET_BUY_SELL_CURRENCY_PAIR = get(
    "get_buy_sell_currency_pair", "/api/v5/fiat/buy-sell/currency-pair", BuySellPair,
    RateLimit(6), docs="funding-account-rest-api-get-buy-sell-currency-pair", group="fiat",
)  # fmt: skip
BUY_SELL_QUOTE = post(
    "buy_sell_quote", "/api/v5/fiat/buy-sell/quote", BuySellQuote, RateLimit(10),
    RateLimit(1, 5.0, per=("user", "fromCcy/toCcy")),
    docs="funding-account-rest-api-get-buy-sell-quote", group="fiat", permission="read",
    repeatable=True,
)  # fmt: skip
BUY_SELL_TRADE = post(
    "buy_sell_trade", "/api/v5/fiat/buy-sell/trade", BuySellTrade, RateLimit(1, 5.0),
    docs="funding-account-rest-api-buy-sell-trade", group="fiat", permission="trade",
    moves_money=True,
)  # fmt: skip
GET_BUY_SELL_HISTORY = get(
    "get_buy_sell_history", "/api/v5/fiat/buy-sell/history", BuySellTrade, RateLimit(6),
    docs="funding-account-rest-api-get-buy-sell-trade-history", group="fiat",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (
    GET_BUY_SELL_CURRENCIES,
    GET_BUY_SELL_CURRENCY_PAIR,
    BUY_SELL_QUOTE,
    BUY_SELL_TRADE,
    GET_BUY_SELL_HISTORY,
)
# Whether begin and end belong to the range isn't said: a millisecond more at both ends is asked.
BUY_SELL_TRADES = Pages(
    GET_BUY_SELL_HISTORY, ident="ord_id", moment="c_time", older="end", since="begin",
    since_offset=-1, narrow=("state",),
)  # fmt: skip


class BuySell(Caller):
    """The methods of this section that move nothing."""

    __slots__ = ()

    async def get_buy_sell_currencies(self, **options: Unpack[ReadOptions]) -> BuySellCurrencies:
        """What can be bought and sold for what.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-buy-sell-currencies
        """
        return await self._row(GET_BUY_SELL_CURRENCIES, {}, options)

    async def get_buy_sell_currency_pair(
        self, from_ccy: str, to_ccy: str, **options: Unpack[ReadOptions]
    ) -> BuySellPair:
        """The smallest and largest amount of a trade.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-buy-sell-currency-pair
        """
        params = {
            "fromCcy": check.currency("from_ccy", from_ccy),
            "toCcy": check.currency("to_ccy", to_ccy),
        }
        return await self._row(GET_BUY_SELL_CURRENCY_PAIR, params, options)

    async def buy_sell_quote(
        self,
        side: Side | str,
        from_ccy: str,
        to_ccy: str,
        rfq_amt: Amount,
        rfq_ccy: str,
        **options: Unpack[Options],
    ) -> BuySellQuote:
        """A price to buy or sell at. It moves nothing and holds for ten seconds or so.

        ``rfq_amt`` is the amount in ``rfq_ccy``, which is one of the two. OKX takes ten of these
        a second, and one in 5 s for each pair, whichever its side.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-buy-sell-quote
        """
        params = {
            "side": check.code("side", side),
            "fromCcy": check.currency("from_ccy", from_ccy),
            "toCcy": check.currency("to_ccy", to_ccy),
            "rfqAmt": check.amount("rfq_amt", rfq_amt),
            "rfqCcy": check.currency("rfq_ccy", rfq_ccy),
        }
        return await self._row(BUY_SELL_QUOTE, params, options)

    async def get_buy_sell_history(
        self,
        *,
        ord_id: str | None = None,
        cl_ord_id: str | None = None,
        state: BuySellState | str | None = None,
        begin: Moment | None = None,
        end: Moment | None = None,
        limit: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[BuySellTrade]:
        """One page of trades, the newest first: up to ``limit`` rows, 100 by default.

        `iter_buy_sell_history` takes care of the pages.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-buy-sell-trade-history
        """
        params = {
            "ordId": optional(check.identifier, "ord_id", ord_id),
            "clOrdId": optional(check.client_id, "cl_ord_id", cl_ord_id),
            "state": optional(check.code, "state", state),
            "begin": None if begin is None else check.moment("begin", begin),
            "end": None if end is None else check.moment("end", end),
            "limit": optional(check.limit, "limit", limit),
        }
        return await self._rows(GET_BUY_SELL_HISTORY, params, options)

    def iter_buy_sell_history(
        self,
        *,
        state: BuySellState | str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: Cursor | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> PageIterator[BuySellTrade]:
        """All trades from ``until`` back to ``since``, both included, the newest first.

        They are ordered by ``c_time``.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-buy-sell-trade-history
        """
        filters = {"state": optional(check.code, "state", state)}
        return walk(
            self._rows, BUY_SELL_TRADES, filters, options, since=since, until=until, cursor=cursor
        )
