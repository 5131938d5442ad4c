"""Monthly statements: applied for, and fetched."""

from __future__ import annotations

from typing import Any, Literal, Unpack

from . import params as check
from .params import optional
from .rows import TimedRow
from .spec import Caller, Endpoint, Options, RateLimit, ReadOptions, get, post

Month = Literal["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_MONTH = 31 * 86400.0
"""OKX doesn't say whether a month is one of the calendar: any 31 days are the safe reading."""


class StatementRequest(TimedRow, frozen=True):
    """A monthly statement was applied for; get_monthly_statement has its link.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-apply-for-monthly-statement-last-year
    """


class MonthlyStatement(TimedRow, frozen=True):
    """The link to a month's statement.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-monthly-statement-last-year
    """

    state: str
    """finished, or ongoing while it is made."""
    file_href: str = ""
    """Where to fetch it. Whoever has the link can."""


APPLY_MONTHLY_STATEMENT = post(
    "apply_monthly_statement", "/api/v5/asset/monthly-statement", StatementRequest,
    RateLimit(20, _MONTH), docs="funding-account-rest-api-apply-for-monthly-statement-last-year",
    group="assets", permission="read",
)  # fmt: skip
GET_MONTHLY_STATEMENT = get(
    "get_monthly_statement", "/api/v5/asset/monthly-statement", MonthlyStatement,
    RateLimit(10, 2.0), docs="funding-account-rest-api-get-monthly-statement-last-year",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (APPLY_MONTHLY_STATEMENT, GET_MONTHLY_STATEMENT)


class Statements(Caller):
    """The methods of this section."""

    __slots__ = ()

    async def apply_monthly_statement(
        self, month: Month | None = None, **options: Unpack[Options]
    ) -> list[StatementRequest]:
        """Apply for the statement of a month of the last year, by default of the last month.

        OKX takes 20 of these a month; the 21st is refused here. Never repeated by itself.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-apply-for-monthly-statement-last-year
        """
        params = {"month": optional(check.month, "month", month)}
        return await self._rows(APPLY_MONTHLY_STATEMENT, params, options)

    async def get_monthly_statement(
        self, month: Month, **options: Unpack[ReadOptions]
    ) -> list[MonthlyStatement]:
        """The link to a statement that was applied for before.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-monthly-statement-last-year
        """
        return await self._rows(
            GET_MONTHLY_STATEMENT, {"month": check.month("month", month)}, options
        )
