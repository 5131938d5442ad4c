"""Many accounts as one: every read of FundingClient, asked of all accounts at the same time.

OKX counts limits by User ID, and every sub-account has its own: each account of a group asks at
its own full rate, over one connection pool. Nothing here moves money.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Concatenate, Final, Generic, ParamSpec, Self, TypedDict, TypeVar, Unpack

from okx_funding.api.deposits import Deposit
from okx_funding.api.spec import RateLimit
from okx_funding.api.table import Reads
from okx_funding.api.withdrawals import Withdrawal
from okx_funding.auth.credentials import Credentials
from okx_funding.auth.settings import profile_names
from okx_funding.errors import ClientClosedError, InvalidArgumentError, OKXError
from okx_funding.money import Journal
from okx_funding.scheduler.context import Policy
from okx_funding.session import Session
from okx_funding.telemetry.events import Observer, Statistics

from .funding import FundingClient

P = ParamSpec("P")
T = TypeVar("T")


class AccountResults(dict[str, T | Exception], Generic[T]):
    """What each account answered, by its name, in the order of the group: a result or an error."""

    @property
    def ok(self) -> dict[str, T]:
        """The results of the accounts that answered."""
        return {name: it for name, it in self.items() if not isinstance(it, Exception)}

    @property
    def failed(self) -> dict[str, Exception]:
        """The errors of the accounts that failed."""
        return {name: it for name, it in self.items() if isinstance(it, Exception)}

    def total(self, amount: Callable[[T], Decimal]) -> Decimal:
        """Add up ``amount(result)`` of the accounts that answered; look at `failed` too."""
        return sum(map(amount, self.ok.values()), Decimal(0))

    def raise_any(self) -> Self:
        """Raise the first account's error, with a note of its name; give the results if none."""
        for name, error in self.failed.items():
            error.add_note(f"account {name!r}; {len(self.failed)} of {len(self)} accounts failed")
            raise error
        return self


class ForEach(Generic[P, T]):
    """A read of FundingClient as a method of AccountGroup, with the same parameters."""

    def __init__(self, method: Callable[Concatenate[Any, P], Awaitable[T]]) -> None:
        self._method = method
        self.__doc__ = f"Ask every account: {method.__doc__ or ''}"

    def __set_name__(self, owner: type, name: str) -> None:
        self.__name__ = name

    def __get__(
        self, group: AccountGroup, owner: type | None = None
    ) -> Callable[P, Coroutine[Any, Any, AccountResults[T]]]:
        method = self._method

        async def ask(*args: P.args, **kwargs: P.kwargs) -> AccountResults[T]:
            clients = group.clients
            answers = await asyncio.gather(
                *(method(client, *args, **kwargs) for client in clients.values()),
                return_exceptions=True,
            )
            return _results(clients, answers)

        return ask


def _results(
    clients: Mapping[str, object], answers: Iterable[T | BaseException]
) -> AccountResults[T]:
    results: AccountResults[T] = AccountResults()
    for name, answer in zip(clients, answers, strict=True):
        if isinstance(answer, InvalidArgumentError):
            raise answer  # the same for all accounts, and nothing was sent
        if isinstance(answer, asyncio.CancelledError):
            answer = ClientClosedError(f"account {name!r} was cancelled from outside")
        if isinstance(answer, BaseException) and not isinstance(answer, Exception):
            raise answer
        results[name] = answer
    return results


class WalkEach(Generic[P, T]):
    """An iterator of FundingClient as a method of AccountGroup: rows of all, the newest first."""

    def __init__(
        self, method: Callable[Concatenate[Any, P], AsyncIterator[T]], moment: Callable[[T], int]
    ) -> None:
        self._method = method
        self._moment = moment
        self.__doc__ = f"Walk through every account: {method.__doc__ or ''}"

    def __get__(
        self, group: AccountGroup, owner: type | None = None
    ) -> Callable[P, AccountWalk[T]]:
        def walk(*args: P.args, **kwargs: P.kwargs) -> AccountWalk[T]:
            walks = {
                name: self._method(client, *args, **kwargs)
                for name, client in group.clients.items()
            }
            return AccountWalk(walks, self._moment)

        return walk


class AccountWalk(Generic[T]):
    """Rows of several accounts, merged by their moments: ``(name, row)``, the newest first.

    An account that fails ends alone: the others' rows go on to their end, and then the first
    error is raised; `failed` holds all of them. ``walks[name].cursor`` tells how far each came.
    """

    def __init__(self, walks: Mapping[str, AsyncIterator[T]], moment: Callable[[T], int]) -> None:
        self.walks: dict[str, AsyncIterator[T]] = dict(walks)
        self.failed: dict[str, Exception] = {}
        """The errors of the accounts that failed so far."""
        self._moment = moment
        self._heads: list[tuple[int, int, str, T]] | None = None
        self._next: tuple[int, str] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[str, T]:
        if self._heads is None:
            self._heads = []
            await self._fetch(list(enumerate(self.walks)))
        elif self._next is not None:
            await self._fetch([self._next])
        self._next = None
        if not self._heads:
            for name, error in self.failed.items():
                error.add_note(f"account {name!r}; the rows of the other accounts are complete")
                raise error
            raise StopAsyncIteration
        _, place, name, row = heapq.heappop(self._heads)
        self._next = (place, name)
        return name, row

    async def _fetch(self, places: list[tuple[int, str]]) -> None:
        """Put the next row of each account on the heap."""
        assert self._heads is not None
        rows = await asyncio.gather(
            *(anext(self.walks[name], None) for _, name in places), return_exceptions=True
        )
        for (place, name), row in zip(places, rows, strict=True):
            if isinstance(row, Exception):
                self.failed[name] = row
            elif isinstance(row, BaseException):
                raise row
            elif row is not None:
                heapq.heappush(self._heads, (-self._moment(row), place, name, row))

    async def aclose(self) -> None:
        """End the walk of every account."""
        for walk in self.walks.values():
            close = getattr(walk, "aclose", None)
            if close is not None:
                await close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class WatchEach(Generic[T]):
    """A watch of FundingClient as a method of AccountGroup: ``(name, event)`` of all accounts."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, group: AccountGroup, owner: type | None = None) -> Watching[T]:
        return Watching(group, self._name)


class Watching(Generic[T]):
    """The watch of every account, once it is called."""

    def __init__(self, group: AccountGroup, name: str) -> None:
        self._group = group
        self._name = name

    async def __call__(
        self,
        ccy: str | None = None,
        *,
        since: Mapping[str, str] | datetime | int | None = None,
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncIterator[tuple[str, T]]:
        """Yield ``(name, event)`` as they come; see `FundingClient.watch_deposits`.

        ``since`` is a moment, or maps names to their bookmarks; a name without one begins now.
        A watch that ends with an error ends all of them: its error has a note of the account.
        """
        events: asyncio.Queue[tuple[str, T | Exception]] = asyncio.Queue(1)

        async def watch(name: str, client: FundingClient) -> None:
            begin = since.get(name) if isinstance(since, Mapping) else since
            options = {"since": begin, "details": details, "max_backlog": max_backlog}
            try:
                async for event in getattr(client, self._name)(ccy, **options):
                    await events.put((name, event))
            except OKXError as error:
                error.add_note(f"account {name!r}")
                await events.put((name, error))

        tasks = [asyncio.ensure_future(watch(*each)) for each in self._group.clients.items()]
        try:
            while tasks:
                name, event = await events.get()
                if isinstance(event, Exception):
                    raise event
                yield name, event
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _ts(row: Any) -> int:
    moment: int = row.ts
    return moment


def _c_time(row: Any) -> int:
    moment: int = row.c_time
    return moment


class ClientOptions(TypedDict, total=False):
    """The options of FundingClient that all clients of a group share."""

    base_url: str | None
    ws_url: str | None
    demo: bool | None
    allow_http: bool
    request_timeout: float
    max_retries: int
    rate_limits: Mapping[str, RateLimit] | None
    read_only: bool
    journal: Journal | None
    policy: Policy | None
    observer: Observer | None


class AccountGroup:
    """Several accounts as one, by names of your own. Use it with ``async with``.

        async with AccountGroup({"main": Credentials(...), "bot1": Credentials(...)}) as group:
            values = await group.get_asset_valuation("USDT")
            print(values.total(lambda v: v.total_bal), values.failed)

    ``accounts`` maps names to `Credentials`, or to clients of your own, which stay open when
    the group closes. ``session`` is shared by all; without one the group opens its own and closes
    it. Every other option is FundingClient's. One account that fails fails alone, with its own
    error in the results. No method moves money: that is done one account at a time, by
    ``group.clients[name]``.

    Raises InvalidArgumentError, a ValueError, for an argument that can't be used.
    """

    def __init__(
        self,
        accounts: Mapping[str, Credentials | FundingClient],
        *,
        session: Session | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        if not isinstance(accounts, Mapping):
            raise InvalidArgumentError("accounts must map names to Credentials or FundingClients")
        self._own = session is None
        self._session = session if session is not None else Session()
        self._options = options
        self._given: set[str] = set()
        self._closed = False
        self.clients: dict[str, FundingClient] = {}
        """The client of each account, by its name."""
        for name, account in accounts.items():
            self.add(name, account)

    @classmethod
    def from_profiles(
        cls,
        names: Iterable[str] | None = None,
        *,
        session: Session | None = None,
        **options: Unpack[ClientOptions],
    ) -> Self:
        """Make a group of the profiles in ``~/.okx/config.toml``: those named, or all.

        Each keeps its own site, demo flag and user id. Raises InvalidArgumentError for a profile
        that isn't there or lacks a part of its credentials.
        """
        group = cls({}, session=session, **options)
        for name in profile_names() if names is None else names:
            group.clients[name] = FundingClient(profile=name, session=group._session, **options)
        return group

    # -- reads of every account ------------------------------------------------------------

    get_currencies: Final = ForEach(Reads.get_currencies)
    get_balances: Final = ForEach(Reads.get_balances)
    get_non_tradable_assets: Final = ForEach(Reads.get_non_tradable_assets)
    get_asset_valuation: Final = ForEach(Reads.get_asset_valuation)
    transfer_state: Final = ForEach(Reads.transfer_state)
    get_bills: Final = ForEach(Reads.get_bills)
    get_bills_history: Final = ForEach(Reads.get_bills_history)
    get_deposit_address: Final = ForEach(Reads.get_deposit_address)
    get_deposit_history: Final = ForEach(Reads.get_deposit_history)
    get_withdrawal_history: Final = ForEach(Reads.get_withdrawal_history)
    get_deposit_withdraw_status: Final = ForEach(Reads.get_deposit_withdraw_status)
    get_exchange_list: Final = ForEach(Reads.get_exchange_list)
    get_monthly_statement: Final = ForEach(Reads.get_monthly_statement)
    get_convert_currencies: Final = ForEach(Reads.get_convert_currencies)
    get_convert_currency_pair: Final = ForEach(Reads.get_convert_currency_pair)
    get_convert_history: Final = ForEach(Reads.get_convert_history)
    get_deposit_payment_methods: Final = ForEach(Reads.get_deposit_payment_methods)
    get_withdrawal_payment_methods: Final = ForEach(Reads.get_withdrawal_payment_methods)
    get_fiat_withdrawal_history: Final = ForEach(Reads.get_fiat_withdrawal_history)
    get_fiat_withdrawal: Final = ForEach(Reads.get_fiat_withdrawal)
    get_fiat_deposit_history: Final = ForEach(Reads.get_fiat_deposit_history)
    get_fiat_deposit: Final = ForEach(Reads.get_fiat_deposit)
    get_buy_sell_currencies: Final = ForEach(Reads.get_buy_sell_currencies)
    get_buy_sell_currency_pair: Final = ForEach(Reads.get_buy_sell_currency_pair)
    get_buy_sell_history: Final = ForEach(Reads.get_buy_sell_history)
    get_subaccount_list: Final = ForEach(Reads.get_subaccount_list)
    get_subaccount_funding_balances: Final = ForEach(Reads.get_subaccount_funding_balances)
    get_subaccount_trading_balances: Final = ForEach(Reads.get_subaccount_trading_balances)
    get_subaccount_max_withdrawal: Final = ForEach(Reads.get_subaccount_max_withdrawal)
    get_subaccount_bills: Final = ForEach(Reads.get_subaccount_bills)
    get_managed_subaccount_bills: Final = ForEach(Reads.get_managed_subaccount_bills)
    get_subaccount_apikeys: Final = ForEach(Reads.get_subaccount_apikeys)
    get_entrust_subaccount_list: Final = ForEach(Reads.get_entrust_subaccount_list)
    get_account_config: Final = ForEach(Reads.get_account_config)
    get_system_time: Final = ForEach(Reads.get_system_time)
    get_user_id: Final = ForEach(FundingClient.get_user_id)

    iter_bills: Final = WalkEach(Reads.iter_bills, _ts)
    iter_bills_history: Final = WalkEach(Reads.iter_bills_history, _ts)
    iter_deposit_history: Final = WalkEach(Reads.iter_deposit_history, _ts)
    iter_withdrawal_history: Final = WalkEach(Reads.iter_withdrawal_history, _ts)
    iter_convert_history: Final = WalkEach(Reads.iter_convert_history, _ts)
    iter_fiat_withdrawal_history: Final = WalkEach(Reads.iter_fiat_withdrawal_history, _c_time)
    iter_fiat_deposit_history: Final = WalkEach(Reads.iter_fiat_deposit_history, _c_time)
    iter_buy_sell_history: Final = WalkEach(Reads.iter_buy_sell_history, _c_time)
    iter_subaccount_bills: Final = WalkEach(Reads.iter_subaccount_bills, _ts)
    iter_managed_subaccount_bills: Final = WalkEach(Reads.iter_managed_subaccount_bills, _ts)
    iter_subaccount_list: Final = WalkEach(Reads.iter_subaccount_list, _ts)

    watch_deposits: Final = WatchEach[Deposit]("watch_deposits")
    watch_withdrawals: Final = WatchEach[Withdrawal]("watch_withdrawals")

    def __repr__(self) -> str:
        return f"<AccountGroup: {', '.join(self.clients) or 'empty'}>"

    def __len__(self) -> int:
        return len(self.clients)

    def add(self, name: str, account: Credentials | FundingClient) -> FundingClient:
        """Add an account while the group lives; gives its client."""
        if self._closed:
            raise ClientClosedError("the group is closed: make a new one")
        if not isinstance(name, str) or not name:
            raise InvalidArgumentError("an account's name must be a str that isn't empty")
        if name in self.clients:
            raise InvalidArgumentError(f"the group has an account {name!r} already")
        if isinstance(account, FundingClient):
            self._given.add(name)
            client = account
        elif isinstance(account, Credentials):
            client = FundingClient(account, session=self._session, **self._options)
        else:
            raise InvalidArgumentError(
                f"account {name!r} must be Credentials or a FundingClient, "
                f"not {type(account).__name__}"
            )
        self.clients[name] = client
        return client

    async def remove(self, name: str) -> None:
        """Take an account out; its client is closed unless it was given. Others go on."""
        if name not in self.clients:
            raise InvalidArgumentError(f"the group has no account {name!r}")
        client = self.clients.pop(name)
        if name in self._given:
            self._given.remove(name)
        else:
            await client.aclose()

    async def stream(
        self, method: str, *args: Any, **kwargs: Any
    ) -> AsyncIterator[tuple[str, Any]]:
        """Ask every account and yield ``(name, result or error)`` as the answers come.

        ``method`` names a read of this group: ``group.stream("get_balances", ["BTC"])``.
        """
        if not isinstance(vars(AccountGroup).get(method), ForEach):
            raise InvalidArgumentError(f"{method!r} is no read of AccountGroup")

        async def ask(name: str, client: FundingClient) -> tuple[str, Any]:
            try:
                return name, await getattr(client, method)(*args, **kwargs)
            except InvalidArgumentError:
                raise  # the same for all accounts, and nothing was sent
            except OKXError as error:
                return name, error

        tasks = [asyncio.ensure_future(ask(*account)) for account in self.clients.items()]
        try:
            for answered in asyncio.as_completed(tasks):
                yield await answered
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def statistics(self) -> dict[str, Statistics]:
        """What each account's client did, and its buckets as they are now."""
        return {name: client.statistics() for name, client in self.clients.items()}

    async def aclose(self) -> None:
        """Close every client that the group made, and its session if none was given."""
        self._closed = True
        own = [client for name, client in self.clients.items() if name not in self._given]
        await asyncio.gather(*(client.aclose() for client in own))
        if self._own:
            await self._session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
