"""All sub-accounts of a master, by the master's key: listed, looked at, and moved between.

OKX answers one sub-account a request, and counts these requests by the master's User ID:
balances at 3 a second, maximum withdrawals at 10 a second, however many sub-accounts there are.
Keys of the sub-accounts themselves have limits of their own: see `AccountGroup`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from okx_funding.errors import InvalidArgumentError, OKXError

if TYPE_CHECKING:
    from okx_funding.api.assets import Balance
    from okx_funding.api.subaccount_balances import MaxWithdrawal, TradingBalance
    from okx_funding.api.subaccount_bills import SubaccountBill
    from okx_funding.api.subaccounts import Subaccount, TransferOutPermission
    from okx_funding.client import FundingClient
    from okx_funding.money import Intent, Outcome
    from okx_funding.money.prepare import TransferType

T = TypeVar("T")


class EachSubAccount(Generic[T]):
    """The answers of many sub-accounts, ``(name, answer or error)``, as they come.

    ``count`` is how many will be asked, ``estimated_seconds`` about how long that takes when
    nobody else asks; ``done`` how many have answered so far.
    """

    def __init__(
        self, names: Sequence[str], ask: Callable[[str], Awaitable[T]], per_second: float
    ) -> None:
        self.count: int = len(names)
        self.estimated_seconds: float = max(0.0, len(names) / per_second - 1.0)
        self.done: int = 0
        self._names = names
        self._ask = ask
        self._answers: AsyncIterator[tuple[str, T | OKXError]] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[str, T | OKXError]:
        if self._answers is None:
            self._answers = self._all()
        answer = await anext(self._answers)
        self.done += 1
        return answer

    async def _all(self) -> AsyncIterator[tuple[str, T | OKXError]]:
        async def ask(name: str) -> tuple[str, T | OKXError]:
            try:
                return name, await self._ask(name)
            except InvalidArgumentError:
                raise
            except OKXError as error:
                return name, error

        tasks = [asyncio.ensure_future(ask(name)) for name in self._names]
        try:
            for answered in asyncio.as_completed(tasks):
                yield await answered
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class SubAccounts:
    """The sub-accounts of the master whose key ``client`` has.

        subs = SubAccounts(client)
        answers = await subs.funding_balances()
        print(answers.count, "sub-accounts, about", answers.estimated_seconds, "seconds")
        async for name, balances in answers:
            ...

    Nothing here is kept: every method asks OKX anew.
    """

    def __init__(self, client: FundingClient) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<SubAccounts of {self._client!r}>"

    async def list_all(self, *, timeout: float | None = None) -> list[Subaccount]:
        """Every sub-account, the newest first; a request for each hundred."""
        return [row async for row in self._client.iter_subaccount_list(timeout=timeout)]

    async def funding_balances(
        self, names: Iterable[str] | None = None, *, ccy: str | Iterable[str] | None = None
    ) -> EachSubAccount[Sequence[Balance]]:
        """The funding balances of ``names``, or of all: 3 sub-accounts a second."""
        currencies = None if ccy is None or isinstance(ccy, str) else tuple(ccy)

        async def ask(name: str) -> Sequence[Balance]:
            return await self._client.get_subaccount_funding_balances(
                name, ccy if currencies is None else currencies
            )

        return EachSubAccount(await self._names(names), ask, 3.0)

    async def trading_balances(
        self, names: Iterable[str] | None = None
    ) -> EachSubAccount[Sequence[TradingBalance]]:
        """The trading balances of ``names``, or of all: 3 sub-accounts a second."""
        return EachSubAccount(
            await self._names(names), self._client.get_subaccount_trading_balances, 3.0
        )

    async def max_withdrawals(
        self, names: Iterable[str] | None = None
    ) -> EachSubAccount[Sequence[MaxWithdrawal]]:
        """What ``names``, or all, can move out at most: 10 sub-accounts a second."""
        return EachSubAccount(
            await self._names(names), self._client.get_subaccount_max_withdrawal, 10.0
        )

    def bills(self, sub_acct: str | None = None) -> AsyncIterator[SubaccountBill]:
        """Transfers between master and sub-accounts, the newest first."""
        return self._client.iter_subaccount_bills(sub_acct=sub_acct)

    async def set_permission_transfer_out(
        self, names: Iterable[str], can_trans_out: bool
    ) -> Sequence[TransferOutPermission]:
        """Allow or forbid sub-accounts to move funds out by themselves."""
        return await self._client.set_permission_transfer_out(names, can_trans_out=can_trans_out)

    async def transfer(
        self, from_sub: str, to_sub: str, ccy: str, amt: Decimal | int | str
    ) -> AsyncIterator[tuple[Intent, Outcome]]:
        """Move ``amt`` from one sub-account to another in two legs: to the master, and on.

        Each leg has a client id, so an answer that got lost can be resolved. Yields
        ``(intent, outcome)`` of each, and stops at the first that isn't Done: then the money is
        with ``from_sub``, or with the master, and ``client.resolve(intent)`` tells which.
        """
        from okx_funding.money import Done

        legs: tuple[tuple[TransferType, str], ...] = (("2", from_sub), ("1", to_sub))
        for kind, sub_acct in legs:
            intent = self._client.prepare_transfer(
                ccy, amt, from_="funding", to="funding", type=kind, sub_acct=sub_acct
            )
            outcome = await self._client.submit(intent)
            yield intent, outcome
            if not isinstance(outcome, Done):
                return

    async def _names(self, names: Iterable[str] | None) -> list[str]:
        if names is None:
            return [row.sub_acct for row in await self.list_all()]
        if isinstance(names, str):
            raise InvalidArgumentError("names must be a list of sub-account names, not one text")
        return list(names)
