"""Convert: currencies, pairs, quotes and trades. The trade itself is `okx_funding.money`'s."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Unpack

from . import params as check
from .pages import Cursor, PageIterator, Pages, walk
from .params import Amount, Moment, optional
from .rows import TimedRow, moment_of
from .spec import Caller, Endpoint, Options, RateLimit, ReadOptions, Row, get, post

Side = Literal["buy", "sell"]
ConvertMode = Literal["0", "1"]
"""0 is standard, 1 a large order of a VIP."""


class ConvertCurrency(Row, frozen=True):
    """A currency that can be converted.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-convert-currencies
    """

    ccy: str
    min: Decimal | None = None
    """Deprecated by OKX."""
    max: Decimal | None = None
    """Deprecated by OKX."""


class ConvertPair(Row, frozen=True):
    """How much of a pair can be converted at once.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-convert-currency-pair
    """

    inst_id: str
    base_ccy: str
    quote_ccy: str
    base_ccy_max: Decimal | None = None
    """In base_ccy."""
    base_ccy_min: Decimal | None = None
    """In base_ccy."""
    quote_ccy_max: Decimal | None = None
    """In quote_ccy."""
    quote_ccy_min: Decimal | None = None
    """In quote_ccy."""


class Quote(Row, frozen=True):
    """A price to convert at, which holds for ``ttl_ms`` milliseconds.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-estimate-quote
    """

    quote_id: str
    base_ccy: str
    quote_ccy: str
    side: str
    """buy or sell, of base_ccy."""
    cnvt_px: Decimal
    """Price of one base_ccy, in quote_ccy."""
    base_sz: Decimal
    """In base_ccy."""
    quote_sz: Decimal
    """In quote_ccy."""
    rfq_sz: Decimal
    """The amount that OKX quotes, in rfq_sz_ccy."""
    rfq_sz_ccy: str
    quote_time: int
    """Milliseconds since the epoch."""
    ttl_ms: int
    """Milliseconds that the quote holds."""
    orig_rfq_sz: Decimal | None = None
    """The amount asked for, in rfq_sz_ccy."""
    cl_q_req_id: str = ""
    """The caller's own id of it."""

    @property
    def quoted_at(self) -> datetime:
        """``quote_time`` as an aware datetime in UTC."""
        return moment_of(self.quote_time)

    @property
    def expires_at(self) -> datetime:
        """Until when the quote holds, as an aware datetime in UTC, by OKX's clock."""
        return moment_of(self.quote_time + self.ttl_ms)


class ConvertTrade(TimedRow, frozen=True):
    """A conversion, as its POST answers and as the history lists it.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-convert-trade
    """

    trade_id: str
    state: str
    """fullyFilled is done, rejected isn't; both are final."""
    base_ccy: str
    quote_ccy: str
    side: str
    """buy or sell, of base_ccy."""
    inst_id: str = ""
    fill_px: Decimal | None = None
    """Price of one base_ccy, in quote_ccy."""
    fill_base_sz: Decimal | None = None
    """In base_ccy."""
    fill_quote_sz: Decimal | None = None
    """In quote_ccy."""
    quote_id: str = ""
    """The quote it was made by; empty in the history."""
    cl_t_req_id: str = ""
    """The caller's own id of it."""


GET_CONVERT_CURRENCIES = get(
    "get_convert_currencies", "/api/v5/asset/convert/currencies", ConvertCurrency, RateLimit(6),
    docs="funding-account-rest-api-get-convert-currencies", group="convert",
)  # fmt: skip
GET_CONVERT_CURRENCY_PAIR = get(
    "get_convert_currency_pair", "/api/v5/asset/convert/currency-pair", ConvertPair, RateLimit(6),
    docs="funding-account-rest-api-get-convert-currency-pair", group="convert",
)  # fmt: skip
ESTIMATE_QUOTE = post(
    "estimate_quote", "/api/v5/asset/convert/estimate-quote", Quote, RateLimit(10),
    RateLimit(1, 5.0, per=("user", "baseCcy/quoteCcy")),
    docs="funding-account-rest-api-estimate-quote", group="convert", permission="trade",
    repeatable=True,
)  # fmt: skip
CONVERT_TRADE = post(
    "convert_trade", "/api/v5/asset/convert/trade", ConvertTrade, RateLimit(10),
    RateLimit(1, 5.0, per=("user", "side")),
    docs="funding-account-rest-api-convert-trade", group="convert", permission="trade",
    moves_money=True,
)  # fmt: skip
GET_CONVERT_HISTORY = get(
    "get_convert_history", "/api/v5/asset/convert/history", ConvertTrade, RateLimit(6),
    docs="funding-account-rest-api-get-convert-history", group="convert",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (
    GET_CONVERT_CURRENCIES,
    GET_CONVERT_CURRENCY_PAIR,
    ESTIMATE_QUOTE,
    CONVERT_TRADE,
    GET_CONVERT_HISTORY,
)
CONVERSIONS = Pages(GET_CONVERT_HISTORY, ident="trade_id", narrow=("tag",))


class Convert(Caller):
    """The methods of this section that move nothing."""

    __slots__ = ()

    async def get_convert_currencies(self, **options: Unpack[ReadOptions]) -> list[ConvertCurrency]:
        """All currencies that can be converted.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-convert-currencies
        """
        return await self._rows(GET_CONVERT_CURRENCIES, {}, options)

    async def get_convert_currency_pair(
        self,
        from_ccy: str,
        to_ccy: str,
        *,
        convert_mode: ConvertMode | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[ConvertPair]:
        """The smallest and largest amount of a conversion.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-convert-currency-pair
        """
        params = {
            "fromCcy": check.currency("from_ccy", from_ccy),
            "toCcy": check.currency("to_ccy", to_ccy),
            "convertMode": optional(check.code, "convert_mode", convert_mode),
        }
        return await self._rows(GET_CONVERT_CURRENCY_PAIR, params, options)

    async def estimate_quote(
        self,
        base_ccy: str,
        quote_ccy: str,
        side: Side | str,
        rfq_sz: Amount,
        rfq_sz_ccy: str,
        *,
        cl_q_req_id: str | None = None,
        tag: str | None = None,
        convert_mode: ConvertMode | str | None = None,
        **options: Unpack[Options],
    ) -> Quote:
        """A price to convert at. It moves nothing and holds for ten seconds or so.

        ``rfq_sz`` is the amount in ``rfq_sz_ccy``, which is one of the two. OKX takes ten of
        these a second, and one in 5 s for each pair, whichever its side.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-estimate-quote
        """
        params = {
            "baseCcy": check.currency("base_ccy", base_ccy),
            "quoteCcy": check.currency("quote_ccy", quote_ccy),
            "side": check.code("side", side),
            "rfqSz": check.amount("rfq_sz", rfq_sz),
            "rfqSzCcy": check.currency("rfq_sz_ccy", rfq_sz_ccy),
            "clQReqId": optional(check.client_id, "cl_q_req_id", cl_q_req_id),
            "tag": optional(check.code, "tag", tag),
            "convertMode": optional(check.code, "convert_mode", convert_mode),
        }
        return await self._row(ESTIMATE_QUOTE, params, options)

    async def get_convert_history(
        self,
        *,
        cl_t_req_id: str | None = None,
        tag: str | None = None,
        after: Moment | None = None,
        before: Moment | None = None,
        limit: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> list[ConvertTrade]:
        """One page of conversions, the newest first: up to ``limit`` rows, 100 by default.

        Those made with a ``tag`` are found with that tag only. ``after`` gives older rows and
        ``before`` newer ones. `iter_convert_history` takes care of the pages.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-convert-history
        """
        params = {
            "clTReqId": optional(check.client_id, "cl_t_req_id", cl_t_req_id),
            "tag": optional(check.code, "tag", tag),
            **check.page(after, before, limit),
        }
        return await self._rows(GET_CONVERT_HISTORY, params, options)

    def iter_convert_history(
        self,
        *,
        tag: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cursor: Cursor | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> PageIterator[ConvertTrade]:
        """All conversions from ``until`` back to ``since``, both included, the newest first.

        Those made with a ``tag`` are found with that tag only.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-convert-history
        """
        filters = {"tag": optional(check.code, "tag", tag)}
        return walk(
            self._rows, CONVERSIONS, filters, options, since=since, until=until, cursor=cursor
        )
