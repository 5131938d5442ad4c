"""The face: one short method for each endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from okx_funding.arguments import (
    count,
    currencies,
    limits,
    number,
    origin_of,
    seconds,
    valuation_unit,
)
from okx_funding.auth.credentials import Credentials, resolve
from okx_funding.endpoints import (
    GET_ACCOUNT_CONFIG,
    GET_ASSET_VALUATION,
    GET_NON_TRADABLE_ASSETS,
    Endpoint,
    RateLimit,
)
from okx_funding.errors import ClientClosedError, DecodeError, InvalidArgumentError
from okx_funding.models import AssetValuation, NonTradableAsset
from okx_funding.ratelimit.bucket import Claim
from okx_funding.ratelimit.slot import REFUSAL_COOLDOWN
from okx_funding.scheduler.calls import Key, keys_of
from okx_funding.scheduler.dispatcher import Policy
from okx_funding.scheduler.lane import Lane
from okx_funding.session import Profile, Session, snapshot
from okx_funding.telemetry.counters import Counters
from okx_funding.telemetry.events import Observer, Statistics

from . import hints

LIVE = "https://www.okx.com"


class FundingClient:
    """OKX's funding account, for one API key. Safe to await from any number of coroutines.

    What isn't given comes from the environment, then from the profile, then from the defaults.

    credentials: whose account; see `Credentials`. profile: a profile of ``~/.okx/config.toml``.
    session: a `Session` shared with other clients; without one the client opens its own on
    first use and closes it. base_url: ``https://www.okx.com`` (or OKX's newer
    ``https://openapi.okx.com``), ``https://eea.okx.com``, ``https://us.okx.com`` or
    ``https://tr.okx.com``; plain http is refused unless the host is loopback or ``allow_http``.
    demo: demo trading (``x-simulated-trading: 1``).
    request_timeout: seconds for one attempt on the wire. max_retries: further attempts for a
    fault that may pass. max_refusals: refusals for the rate limit in a row after which a call
    gets `RateLimitError`. max_queue: callers that may wait for one endpoint at a time.
    rate_limits: other limits than OKX's published ones, by method name:
    ``{"get_non_tradable_assets": RateLimit(6, 1.0)}``; of several clients of one user the
    strictest rules. A lower rate keeps the published limit too; ``RateLimit(6, spread=True)``
    spaces requests evenly.
    refusal_cooldown: seconds that a refused request's share of the limit stays unused, in case
    another program spends it; 0 turns it off. silent_start: wait one window before the first
    request, for a process that may follow close upon another of the same user.
    observer: see `okx_funding.telemetry.events`.

    Raises InvalidArgumentError, a ValueError, for an argument that can't be used.
    """

    if not TYPE_CHECKING:  # type checkers see __init__ alone

        def __new__(cls, *positional: object, **options: object) -> Self:
            """Refuse what other libraries take, with a word on what to write instead."""
            hint = None
            if cls.__init__ is FundingClient.__init__:
                known = ("credentials", *cls.__init__.__kwdefaults__)
                hint = hints.of_constructor(positional, options, known)
            if hint is not None:
                del positional, options  # they may be keys, and a traceback may show them
                raise InvalidArgumentError(hint)
            return super().__new__(cls)

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        profile: str | None = None,
        session: Session | None = None,
        base_url: str | None = None,
        demo: bool | None = None,
        allow_http: bool = False,
        request_timeout: float = 10.0,
        max_retries: int = 2,
        max_refusals: int = 10,
        max_queue: int = 200_000,
        rate_limits: Mapping[str, RateLimit] | None = None,
        refusal_cooldown: float = REFUSAL_COOLDOWN,
        silent_start: bool = False,
        observer: Observer | None = None,
    ) -> None:
        if credentials is not None and not isinstance(credentials, Credentials):
            raise InvalidArgumentError("credentials must be okx_funding.Credentials")
        if session is not None and not isinstance(session, Session):
            raise InvalidArgumentError("session must be an okx_funding.Session")
        if demo is not None and not isinstance(demo, bool):
            raise InvalidArgumentError("demo must be True, False or None")
        if observer is not None and not callable(observer):
            raise InvalidArgumentError(
                f"observer must be a function of one event, not {type(observer).__name__}"
            )
        credentials, settings = resolve(credentials, profile)
        url = base_url if base_url is not None else settings.base_url
        if demo is None:
            demo = settings.demo or False
        self._profile = Profile(
            credentials=credentials,
            origin=origin_of(url if url is not None else LIVE, allow_http),
            demo=demo,
            request_timeout=seconds("request_timeout", request_timeout),
            policy=Policy(
                max_retries=count("max_retries", max_retries, 0),
                max_refusals=count("max_refusals", max_refusals, 1),
                max_queue=count("max_queue", max_queue, 1),
            ),
            observer=observer,
        )
        if refusal_cooldown != 0:
            seconds("refusal_cooldown", refusal_cooldown)
        self._limits = limits(rate_limits or {})
        if session is not None:
            session.check(self._limits)
        self._refusal_cooldown = refusal_cooldown
        self._silent_start = silent_start
        self._proxy = settings.proxy
        self._given = session
        self._session = session
        self._counters: Counters | None = None
        self._lanes: dict[str, Lane] = {}
        self._work = Counters()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if not hasattr(self, "_closed"):  # a traceback asks while __init__ is still at work
            return "<FundingClient>"
        mode = "demo" if self._profile.demo else "live"
        state = ", closed" if self._closed else ""
        lines = "".join(f"; {lane.queue}" for lane in self._lanes.values())
        return (
            f"<FundingClient {self._profile.credentials!r} {mode} at "
            f"{self._profile.origin}{state}{lines}>"
        )

    # -- endpoints -------------------------------------------------------------------------

    async def get_non_tradable_assets(
        self,
        ccy: str | Iterable[str] | None = None,
        *,
        timeout: float | None = None,
        priority: int = 0,
        max_age: float | None = None,
    ) -> list[NonTradableAsset]:
        """Non-tradable assets: those of ``ccy`` in its order, or all of them.

        ``ccy`` is a currency, any iterable of them (each counts once, an empty one asks
        nothing), or None for all in one request. Concurrent calls share requests of up to 20
        currencies, 6 requests per second and User ID. A currency without such assets gives no
        row, one on several chains gives several, in OKX's order.

        ``timeout`` is seconds for the whole call, waiting included. The higher ``priority``,
        the earlier a call's turn: a step weighs as much as ten seconds of waiting. By default
        an answer is to a request sent after the call; ``max_age`` accepts one to a request sent
        up to that many seconds before it.

        Raises an OKXError; `InvalidParameterError` names the currencies that OKX refuses and
        holds the rows of the others.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-non-tradable-assets
        """
        if not (keys := currencies(ccy)):
            return []
        return await self._ask(GET_NON_TRADABLE_ASSETS, keys, timeout, priority, max_age)

    async def get_asset_valuation(
        self,
        ccy: str | None = None,
        *,
        timeout: float | None = None,
        priority: int = 0,
        max_age: float | None = None,
    ) -> AssetValuation:
        """What all accounts are worth, in ``ccy``: BTC (the default), USDT, USD, EUR, JPY, ...

        One request per second and User ID; concurrent calls for one unit share a request.

        ``timeout``, ``priority`` and ``max_age`` are those of `get_non_tradable_assets`.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-account-asset-valuation
        """
        unit = valuation_unit(ccy)
        rows = await self._ask(
            GET_ASSET_VALUATION,
            keys_of(GET_ASSET_VALUATION, {"ccy": unit}),
            timeout,
            priority,
            max_age,
        )
        if not rows:
            raise DecodeError(f"{GET_ASSET_VALUATION} answered no row")
        valuation: AssetValuation = rows[0]
        return valuation if unit is None else valuation.in_unit(unit)

    async def identify(self, *, timeout: float | None = None) -> str:
        """The User ID by which OKX counts this key's limits; asked of OKX once.

        From then on every client whose key is of this user shares one limit with this one, in
        this process. What the key has sent already is counted on.

        https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration
        """
        session = self._started()
        known = session.user_of(self._profile)
        if known is None:
            rows = await self._ask(GET_ACCOUNT_CONFIG, (None,), timeout, 0, None)
            if not rows or not rows[0].uid:
                raise DecodeError(f"{GET_ACCOUNT_CONFIG} answered no uid")
            known = rows[0].uid
            session.identify(self._profile, known)
        return known

    # -- the road --------------------------------------------------------------------------

    def _ask(
        self,
        endpoint: Endpoint,
        keys: tuple[Key, ...],
        timeout: float | None,
        priority: int,
        max_age: float | None,
    ) -> Awaitable[list[Any]]:
        lane = self._lanes.get(endpoint.name)
        if lane is None:
            lane = self._open(endpoint)
        if timeout is not None:
            timeout = number("timeout", timeout)
            if timeout > 1e9:
                timeout = None  # some thirty years: no deadline, and no timer that can't be set
        if max_age is not None:
            max_age = number("max_age", max_age)
        if type(priority) is not int or not -100 <= priority <= 100:
            raise InvalidArgumentError(f"priority must be an int from -100 to 100: {priority!r}")
        assert self._counters is not None
        return lane.ask(keys, self._counters, timeout, priority, max_age)

    def _started(self) -> Session:
        if self._closed:
            raise ClientClosedError(f"{self!r} is closed: make a new one")
        if self._session is None:
            self._session = Session(proxy=self._proxy)
            self._session.name = repr(self)
        if self._counters is None:
            self._counters = self._session.counters()
        return self._session

    def _open(self, endpoint: Endpoint) -> Lane:
        session = self._started()
        limit = self._limits.get(endpoint.name, endpoint.limit)
        claim = Claim(limit, self._refusal_cooldown, self._silent_start)
        lane = self._lanes[endpoint.name] = session.lane(endpoint, self._profile, claim)
        return lane

    def statistics(self) -> Statistics:
        """The calls of this client, and its buckets as they are now."""
        work = Counters()
        for lane in self._lanes.values():
            work.include(lane.counters)
        work.include(self._work)
        return snapshot(self._counters or Counters(), work, list(self._lanes.values()))

    async def aclose(self, *, drain: bool = False, timeout: float | None = None) -> None:
        """Close. A session that was given stays open.

        Whoever waits gets a ClientClosedError now, and what is on the wire may finish within a
        second. With ``drain`` those who wait are answered first, within ``timeout`` seconds if
        it is given; new calls are refused meanwhile.
        """
        if self._session is not None:
            self._session.must_be_here()
        self._closed = True
        lanes, counters = list(self._lanes.values()), self._counters
        own = self._session if self._session is not self._given else None
        try:
            if counters is not None and self._session is not None:
                counters.shut = True
                if drain:
                    await self._session.drained(lanes, counters, timeout)
        finally:
            if own is not None:
                await own.aclose()
            elif counters is not None and self._session is not None:
                await self._session.dismiss(lanes, counters)
            for lane in self._lanes.values():
                self._work.include(lane.counters)
            self._lanes.clear()
