"""What a service is asked, and how it is found by the endpoint's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from okx_funding.simulator.accounts import Account
from okx_funding.simulator.answers import Answer, Refused
from okx_funding.simulator.auth import Key
from okx_funding.simulator.books import Books, Processing
from okx_funding.simulator.history import PAGE, History, Record
from okx_funding.simulator.params import listed
from okx_funding.simulator.users import User

Row = dict[str, Any]
R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """One request that has passed authentication, limit, permission and the table.

    ``params`` hold what was given: text, amounts as Decimal, objects as dicts. ``user`` and
    ``key`` are None where anybody may ask. ``wall`` is the exchange's clock, in seconds.
    """

    params: Mapping[str, Any]
    books: Books
    wall: float
    peer: str
    maybe_user: User | None = None
    maybe_key: Key | None = None
    maybe_account: Account | None = None
    processing: Processing = Processing()

    @property
    def user(self) -> User:
        assert self.maybe_user is not None
        return self.maybe_user

    @property
    def key(self) -> Key:
        assert self.maybe_key is not None
        return self.maybe_key

    @property
    def account(self) -> Account:
        assert self.maybe_account is not None
        return self.maybe_account

    @property
    def milliseconds(self) -> int:
        return int(self.wall * 1000)

    def text(self, name: str, default: str = "") -> str:
        """A parameter, or the default where it wasn't given."""
        return str(self.params.get(name, default))

    def amount(self, name: str) -> Decimal:
        """An amount, which the table says is required."""
        value = self.params[name]
        assert isinstance(value, Decimal)
        return value

    def currencies(self) -> list[str]:
        """The values of ``ccy``, in upper case. Raises Refused for what the rules refuse."""
        wanted = listed(self.params)
        self.refuse_bad(wanted, str(self.params.get("ccy", "")).split(","))
        return wanted

    def refuse_bad(self, wanted: list[str], given: list[str]) -> None:
        """Raise Refused for a currency that the rules call bad."""
        rules = self.books.rules
        if not rules.bad_currencies:
            return
        for ccy, text in zip(wanted, [it for it in given if it], strict=True):
            if ccy in rules.bad_currencies:
                raise bad_currency(rules.bad_code, text, named=rules.bad_named)

    def page(
        self,
        history: History[R],
        *,
        accept: Callable[[R], bool],
        depth: float | None = None,
        named: str = "",
    ) -> list[R]:
        """A page by ``after``, ``before`` and ``limit``, both times exclusive.

        ``named`` is the parameter that holds an id: only records with that one, if it is given.
        """
        after, before = self.params.get("after"), self.params.get("before")
        newer = int(before) if before else -1
        if depth is not None:
            newer = max(newer, self.books.clock.stamp() - int(depth * 1000) - 1)
        return history.page(
            older_than=int(after) if after else float("inf"),
            newer_than=newer,
            limit=self.limit(),
            accept=accept,
            name=self.params.get(named) if named else None,
        )

    def limit(self) -> int:
        """The size of the page."""
        return max(1, min(int(self.params.get("limit", PAGE)), PAGE))

    def matches(self, **filters: str) -> Callable[[Any], bool]:
        """Accept what agrees with each parameter that was given: its name, then the attribute."""
        wanted = {
            attribute: self.params[name]
            for name, attribute in filters.items()
            if name in self.params
        }
        return lambda record: all(
            str(getattr(record, attribute)) == value for attribute, value in wanted.items()
        )


def bad_currency(code: str, ccy: str, *, named: bool) -> Refused:
    """The refusal of a currency that the exchange doesn't like."""
    return Refused(code, msg=f"Parameter ccy error: {ccy}" if named else None)


Service = Callable[[ServiceRequest], "list[Row] | Answer"]

SERVICES: dict[str, Service] = {}
"""By the endpoint's name."""


def service(name: str) -> Callable[[Service], Service]:
    """Register a service under the name of its endpoint."""

    def register(function: Service) -> Service:
        assert name not in SERVICES, name
        SERVICES[name] = function
        return function

    return register


def sub_account(request: ServiceRequest, name: str, code: str = "59510") -> User:
    """The master's sub-account of this name. Raises Refused."""
    found = request.user.subs.get(name)
    if found is None:
        raise Refused(code)
    return found


def master_only(request: ServiceRequest, code: str = "59604") -> User:
    """The user, who has to be a master. Raises Refused."""
    if request.user.main is not None:
        raise Refused(code)
    return request.user
