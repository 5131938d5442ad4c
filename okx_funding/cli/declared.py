"""The commands that the table of endpoints declares: one for each, its parameters as options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from okx_funding.api.spec import Endpoint
from okx_funding.api.table import ENDPOINTS, Reads
from okx_funding.money.client import Money

from .options import Parameter, parameters_of

Role = Literal["read", "change", "money"]

GROUPS = {
    "assets": "assets",
    "transfers": "transfers",
    "bills": "bills",
    "deposits": "deposits",
    "withdrawals": "withdrawals",
    "convert": "convert",
    "fiat": "fiat",
    "subaccounts": "sub-accounts",
    "account": "the key",
}
"""Titles of the table's groups."""

QUOTED = {"convert_trade": "estimate_quote", "buy_sell_trade": "buy_sell_quote"}
"""Trades of a quote, and the method that gives it: their command asks for the quote itself."""
FOLLOWED = {
    "get_deposit_history": "watch_deposits",
    "get_withdrawal_history": "watch_withdrawals",
}
_HARMLESS = ("apply_monthly_statement", "estimate_quote", "buy_sell_quote")
"""POSTs that change nothing worth a question."""
_LEFT_OUT = ("create_subaccount_apikey",)
"""Its answer is a new secret, which has no place on a screen."""
_SECRET = ("pwd",)
"""Parameters that would be read by every user of the machine."""
_SUMMARIES = {
    "funds_transfer": "Transfer between funding and trading account, or with a sub-account",
    "withdrawal": "Withdraw, on chain or to another user of OKX",
    "convert_trade": "Ask for a price, and convert at it",
    "buy_sell_trade": "Ask for a price, and buy or sell against fiat at it",
    "create_fiat_withdrawal": "Withdraw fiat money to a bank account that OKX knows",
}


@dataclass(frozen=True, slots=True)
class Declared:
    """One command of the table."""

    name: str
    endpoint: Endpoint[Any]
    role: Role
    parameters: tuple[Parameter, ...]
    """What the request is made of; of a trade, what its quote is made of, too."""
    walk: tuple[Parameter, ...] = ()
    """What the walk through all pages takes, where there are pages."""

    @property
    def method(self) -> Callable[..., Any]:
        """The method, unbound."""
        return method_of(self.endpoint.name)

    @property
    def iterator(self) -> str | None:
        """The name of the method that walks through all pages, if there is one."""
        name = "iter_" + self.endpoint.name.removeprefix("get_")
        return name if hasattr(Reads, name) else None

    @property
    def summary(self) -> str:
        """Half a sentence."""
        known = _SUMMARIES.get(self.endpoint.name)
        if known is not None:
            return known
        text = (self.method.__doc__ or str(self.endpoint)).strip().splitlines()[0]
        text = text.replace("`", "").removeprefix("One page of ")
        for end in (": ", "; ", ". "):
            text = text.partition(end)[0]
        text = text.rstrip(".")
        return text[:1].upper() + text[1:]


def method_of(name: str) -> Callable[..., Any]:
    """A method of FundingClient, without what it takes to make one."""
    found: Callable[..., Any] = getattr(Reads, name, None) or getattr(Money, name)
    return found


def command_of(endpoint: Endpoint[Any]) -> str:
    """The end of OKX's path; where a GET has the same path, a POST goes by its method's name."""
    taken = {it.command for it in ENDPOINTS.values() if it.method == "GET"}
    if endpoint.method == "POST" and endpoint.command in taken:
        return endpoint.name.replace("_", "-")
    return endpoint.command


def declared() -> Iterator[Declared]:
    """All commands that come from the table."""
    for endpoint in ENDPOINTS.values():
        if endpoint.name in _LEFT_OUT:
            continue
        parameters = parameters_of(method_of(endpoint.name))
        if endpoint.name in QUOTED:
            others = [it for it in parameters if it.name != "quote"]
            parameters = parameters_of(method_of(QUOTED[endpoint.name]))
            names = {it.name for it in parameters}
            parameters += [it for it in others if it.name not in names]
        parameters = [it for it in parameters if it.name not in _SECRET]
        made = Declared(command_of(endpoint), endpoint, _role(endpoint), tuple(parameters))
        if made.iterator is not None:
            walk = parameters_of(getattr(Reads, made.iterator))
            made = Declared(made.name, endpoint, made.role, made.parameters, tuple(walk))
        yield made


def _role(endpoint: Endpoint[Any]) -> Role:
    if endpoint.moves_money:
        return "money"
    if endpoint.method == "GET" or endpoint.name in _HARMLESS:
        return "read"
    return "change"


def add_options(parser: argparse.ArgumentParser, command: Declared) -> None:
    """The options of ``command``, without those that every command of its role has."""
    endpoint = command.endpoint
    group = parser.add_argument_group("what to ask for" if command.role == "read" else "what to do")
    for each in command.parameters:
        each.add_to(group, positional=each.name == endpoint.batch_by and each.kind == "list")
    if not command.walk:
        return
    names = {each.name for each in command.parameters}
    walk = parser.add_argument_group("all pages, the newest row first")
    walk.add_argument("--all", action="store_true", help="walk through all pages there are")
    for each in command.walk:
        if each.name not in names:
            each.add_to(walk)
    if endpoint.name in FOLLOWED:
        walk.add_argument(
            "--follow",
            action="store_true",
            help="show what happens from now on, as it happens, until Ctrl-C; needs --json",
        )
