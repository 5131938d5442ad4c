"""How an endpoint is declared: a frozen row of the table, a struct, and a short method.

BALANCES = get("get_balances", "/api/v5/asset/balances", Balance, RateLimit(6),
               docs="funding-account-rest-api-get-balance", batch_by="ccy")

class Assets(Caller):
    async def get_balances(self, ccy=None, **options: Unpack[ReadOptions]) -> list[Balance]:
        return await self._rows(BALANCES, {"ccy": currencies(ccy)}, options)
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypedDict, TypeVar

import msgspec

from okx_funding.errors import InvalidArgumentError

DOCS = "https://www.okx.com/docs-v5/en/#"
MAX_CURRENCIES = 20
"""The most currencies that one request may name, as OKX documents it."""
QUOTA = 3600.0
"""A limit with a longer period, in seconds, is a quota: counted and refused, never waited out."""

Permission = Literal["none", "read", "trade", "withdraw"]
Param = str | bool | Sequence[str | None] | Mapping[str, str] | None
"""What a parameter may hold: text, the keys of ``batch_by``, a nested object, or nothing; True
and False in the body of a POST only."""


class Row(msgspec.Struct, frozen=True, rename="camel"):
    """One row of ``data``. A field that may be None may be missing in the answer, no other."""


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``count`` requests in any ``period`` seconds.

    ``per`` says what OKX counts by: "user" (the User ID), "ip" (the address), and names of
    parameters as OKX spells them; "a/b" stands for an unordered pair of parameters. ``spread``
    spaces the requests evenly instead of using a free limit at once.

    Raises InvalidArgumentError, a ValueError, for a count below one or a period that isn't
    positive and finite.
    """

    count: int
    period: float = 1.0
    per: tuple[str, ...] = ("user",)
    spread: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise InvalidArgumentError(
                f"RateLimit.count must be a whole number from 1 on, not {self.count!r}"
            )
        if (
            isinstance(self.period, bool)
            or not isinstance(self.period, int | float)
            or not math.isfinite(self.period)
            or self.period <= 0
        ):
            raise InvalidArgumentError(
                f"RateLimit.period must be seconds above zero, not {self.period!r}"
            )

    @property
    def rate(self) -> float:
        """Requests per second in the long run."""
        return self.count / self.period

    @property
    def is_quota(self) -> bool:
        """Whether it is counted and refused instead of waited out."""
        return self.period > QUOTA

    def values(self, params: Mapping[str, Param]) -> tuple[str, ...]:
        """The values of ``params`` that this limit counts by, next to the user or address."""
        found = []
        for name in self.per:
            if name not in ("user", "ip"):
                found.append("/".join(sorted(str(params.get(each)) for each in name.split("/"))))
        return tuple(found)

    def __str__(self) -> str:
        return f"{self.count} per {self.period:g} s"


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint(Generic[R]):
    """One row of the table.

    ``name`` is the method of FundingClient and the key of ``rate_limits=``; ``group`` the section
    of docs and command line. Three questions decide how it is sent:

    * ``shared``: may equal calls share one request, and may its answer be remembered?
    * ``repeatable``: may it be sent again after a byte of it may have left?
    * ``batch_by``: which parameter lists keys of up to ``batch_size`` callers in one request?

    ``moves_money`` marks what only `okx_funding.money` may send.
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    row: type[R]
    limits: tuple[RateLimit, ...]
    docs: str
    group: str = "assets"
    permission: Permission = "read"
    shared: bool = True
    repeatable: bool = True
    batch_by: str | None = None
    batch_size: int = 1
    moves_money: bool = False

    @property
    def command(self) -> str:
        """Its name on the command line: the end of OKX's path, such as ``bills-history``."""
        end = self.path.removeprefix("/api/v5/").removeprefix("asset/")
        return end.replace("/", "-")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def get(
    name: str,
    path: str,
    row: type[R],
    *limits: RateLimit,
    docs: str,
    group: str = "assets",
    permission: Permission = "read",
    batch_by: str | None = None,
) -> Endpoint[R]:
    """Declare a read: shared and repeatable."""
    return Endpoint(
        name,
        "GET",
        path,
        row,
        limits,
        DOCS + docs,
        group,
        permission,
        batch_by=batch_by,
        batch_size=MAX_CURRENCIES if batch_by else 1,
    )


def post(
    name: str,
    path: str,
    row: type[R],
    *limits: RateLimit,
    docs: str,
    group: str,
    permission: Permission,
    repeatable: bool = False,
    moves_money: bool = False,
) -> Endpoint[R]:
    """Declare a POST: never shared, never remembered, repeated only where that is harmless."""
    return Endpoint(
        name,
        "POST",
        path,
        row,
        limits,
        DOCS + docs,
        group,
        permission,
        shared=False,
        repeatable=repeatable,
        moves_money=moves_money,
    )


class Options(TypedDict, total=False):
    """What every call takes."""

    timeout: float | None
    """Seconds for the whole call, waiting included; None waits as long as it takes."""
    priority: int
    """From -100 to 100; a step weighs as much as ten seconds of waiting."""


class ReadOptions(Options, total=False):
    """What every shared read takes."""

    max_age: float | None
    """Seconds that an answer may be old; by default it was asked after the call."""


class Caller:
    """What the methods of a section are built on; FundingClient fills it with life."""

    __slots__ = ()

    def _rows(
        self, endpoint: Endpoint[R], params: Mapping[str, Param], options: ReadOptions | Options
    ) -> Awaitable[list[R]]:
        """Ask ``endpoint``; a parameter that is None is left out. Gives the rows."""
        raise NotImplementedError

    async def _row(
        self, endpoint: Endpoint[R], params: Mapping[str, Param], options: ReadOptions | Options
    ) -> R:
        """Ask ``endpoint``, which answers one row always; DecodeError where it doesn't."""
        raise NotImplementedError
