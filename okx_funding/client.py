"""The face: one short method for each endpoint."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from .buckets import WITHDRAW, Claim, Pacing
from .callers import Key, Tally, Ticket
from .configuration import resolve
from .credentials import Credentials
from .endpoints import (
    ENDPOINTS,
    GET_ACCOUNT_CONFIG,
    GET_ASSET_VALUATION,
    GET_NON_TRADABLE_ASSETS,
    VALUATION_UNITS,
    Endpoint,
    RateLimit,
)
from .errors import ClientClosedError, DecodeError, InvalidArgumentError
from .events import Observer, Statistics
from .models import AssetValuation, NonTradableAsset
from .scheduler import Lane, Policy
from .session import Profile, Session, snapshot

LIVE = "https://www.okx.com"


class FundingClient:
    """OKX's funding account, for one API key. Safe to await from any number of coroutines.

    What isn't given comes from the environment, then from the profile, then from the defaults.

    credentials: whose account; see `Credentials`. profile: a profile of ``~/.okx/config.toml``.
    session: a `Session` shared with other clients; without one the client opens its own on
    first use and closes it. base_url: ``https://www.okx.com``, ``https://eea.okx.com`` or
    ``https://us.okx.com``; plain http is refused unless the host is loopback or ``allow_http``.
    demo: demo trading (``x-simulated-trading: 1``).
    request_timeout: seconds for one attempt on the wire. max_retries: further attempts for a
    fault that may pass. max_refusals: refusals for the rate limit in a row after which a call
    gets `RateLimitError`. max_queue: callers that may wait for one endpoint at a time.
    rate_limits: other limits than OKX's published ones, by method name:
    ``{"get_non_tradable_assets": RateLimit(6, 1.0)}``; of several clients of one user the
    strictest rules. pacing: "burst" uses a free limit at once, "smooth" spaces requests evenly.
    withdraw: seconds that a refused request's share of the limit stays unused, in case
    another program spends it; 0 turns it off. silent_start: wait one window before the first
    request, for a process that may follow close upon another of the same user.
    promote_above: with more than so many full batches of currencies waiting, ask once for all
    there are and serve everybody from it. That rests on the assumption that OKX's answer
    without ``ccy`` holds every currency's rows; off by default. observer: see `okx_funding.events`.

    Raises InvalidArgumentError, a ValueError, for an argument that can't be used.
    """

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
        pacing: Pacing = "burst",
        withdraw: float = WITHDRAW,
        silent_start: bool = False,
        promote_above: int | None = None,
        observer: Observer | None = None,
    ) -> None:
        if credentials is not None and not isinstance(credentials, Credentials):
            raise InvalidArgumentError("credentials must be okx_funding.Credentials")
        credentials, settings = resolve(credentials, profile)
        url = base_url if base_url is not None else settings.base_url
        if demo is None:
            demo = settings.demo or False
        self._profile = Profile(
            credentials=credentials,
            origin=_origin(url if url is not None else LIVE, allow_http),
            demo=demo,
            request_timeout=_seconds("request_timeout", request_timeout),
            policy=Policy(
                max_retries=_count("max_retries", max_retries, 0),
                max_refusals=_count("max_refusals", max_refusals, 1),
                max_queue=_count("max_queue", max_queue, 1),
                promote_above=(
                    None if promote_above is None else _count("promote_above", promote_above, 0)
                ),
            ),
            observer=observer,
        )
        if pacing not in ("burst", "smooth"):
            raise InvalidArgumentError(f"pacing must be 'burst' or 'smooth', not {pacing!r}")
        if withdraw != 0:
            _seconds("withdraw", withdraw)
        self._limits = _limits(rate_limits or {})
        self._pacing: Pacing = pacing
        self._withdraw = withdraw
        self._silent_start = silent_start
        self._proxy = settings.proxy
        self._given = session
        self._session = session
        self._tally: Tally | None = None
        self._lanes: dict[str, Lane] = {}
        self._work = Tally()
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
        mode = "demo" if self._profile.demo else "live"
        state = ", closed" if self._closed else ""
        lines = "".join(f"; {lane.line}" for lane in self._lanes.values())
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
        an answer was asked after the call; ``max_age`` accepts one asked so many seconds ago.

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
        rows = await self._ask(GET_ASSET_VALUATION, (unit,), timeout, priority, max_age)
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
    ) -> Ticket:
        lane = self._lanes.get(endpoint.name)
        if lane is None:
            lane = self._open(endpoint)
        if timeout is not None:
            timeout = _number("timeout", timeout)
            if timeout > 1e9:
                timeout = None  # some thirty years: no deadline, and no timer that can't be set
        if max_age is not None:
            max_age = _number("max_age", max_age)
        if type(priority) is not int or not -100 <= priority <= 100:
            raise InvalidArgumentError(f"priority must be an int from -100 to 100: {priority!r}")
        assert self._tally is not None
        return lane.ask(keys, self._tally, timeout=timeout, priority=priority, max_age=max_age)

    def _started(self) -> Session:
        if self._closed:
            raise ClientClosedError(f"{self!r} is closed: make a new one")
        if self._session is None:
            self._session = Session(proxy=self._proxy)
            self._session.name = repr(self)
        if self._tally is None:
            self._tally = self._session.tally()
        return self._session

    def _open(self, endpoint: Endpoint) -> Lane:
        session = self._started()
        limit = self._limits.get(endpoint.name, endpoint.limit)
        claim = Claim(limit, self._pacing, self._withdraw, self._silent_start)
        lane = self._lanes[endpoint.name] = session.lane(endpoint, self._profile, claim)
        return lane

    def statistics(self) -> Statistics:
        """The calls of this client, and its buckets as they are now."""
        work = Tally()
        for lane in self._lanes.values():
            work.include(lane.tally)
        work.include(self._work)
        return snapshot(self._tally or Tally(), work, list(self._lanes.values()))

    async def aclose(self, *, drain: bool = False, timeout: float | None = None) -> None:
        """Close. A session that was given stays open.

        Whoever waits gets a ClientClosedError now, and what is on the wire may finish within a
        second. With ``drain`` those who wait are answered first, within ``timeout`` seconds if
        it is given; new calls are refused meanwhile.
        """
        self._closed = True
        lanes, tally = list(self._lanes.values()), self._tally
        own = self._session if self._session is not self._given else None
        if drain and tally is not None and self._session is not None:
            await self._session.drained(lanes, tally, timeout)
        if own is not None:
            await own.aclose()
        elif tally is not None:
            for lane in lanes:
                lane.close(tally)
        for lane in self._lanes.values():
            self._work.include(lane.tally)
        self._lanes.clear()


# -- what callers may give -------------------------------------------------------------------

_CURRENCY = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII).fullmatch
_ALL: tuple[Key, ...] = (None,)
_MANY = 4096
_single: dict[str, tuple[Key, ...]] = {}
"""The keys of calls for one currency: made and checked once, shared by all callers."""


def currencies(ccy: str | Iterable[str] | None) -> tuple[Key, ...]:
    """The currencies to ask for, each once, in their order; ``(None,)`` stands for all."""
    if ccy is None:
        return _ALL
    if isinstance(ccy, str):
        keys = _single.get(ccy)
        if keys is None:
            keys = (_currency(ccy, ""),)
            if len(_single) < _MANY:
                _single[ccy] = keys
        return keys
    if isinstance(ccy, bytes | Mapping) or not isinstance(ccy, Iterable):
        raise InvalidArgumentError(
            f"ccy must be a str, an iterable of str, or None, not {type(ccy).__name__}"
        )
    given = tuple(ccy)
    for index, each in enumerate(given):
        _currency(each, f"[{index}]")
    if len(given) > 1 and len(set(map(str.upper, given))) < len(given):
        first: dict[str, str] = {}
        for each in given:
            first.setdefault(each.upper(), each)
        return tuple(first.values())
    return given


def _currency(ccy: object, index: str) -> str:
    if isinstance(ccy, str):
        if _CURRENCY(ccy):
            return ccy
        if "," in ccy:
            raise InvalidArgumentError(
                f"ccy{index} is a comma list: pass a list of currencies, such as ccy=['BTC', 'ETH']"
            )
        raise InvalidArgumentError(
            f"ccy{index} isn't a currency: letters, digits, '.', '_' and '-', 1 to 32 of them, "
            f"not {ccy[:40]!r}"
        )
    raise InvalidArgumentError(f"ccy{index} must be a str, not {type(ccy).__name__}")


def valuation_unit(ccy: str | None) -> str | None:
    """The unit to send, None for BTC: OKX's default, and so the same question."""
    if ccy is None or ccy == "BTC":
        return None
    if not isinstance(ccy, str) or ccy not in VALUATION_UNITS:
        hint = "; the yen is JPY" if ccy == "JP" else ""
        raise InvalidArgumentError(
            f"ccy must be one of {', '.join(sorted(VALUATION_UNITS))}{hint}, "
            f"not {ccy[:40] if isinstance(ccy, str) else type(ccy).__name__!r}"
        )
    return ccy


def _origin(url: str, allow_http: bool) -> str:
    if not isinstance(url, str):
        raise InvalidArgumentError("base_url must be a str, such as https://www.okx.com")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidArgumentError(
            "base_url isn't a URL; give one like https://www.okx.com"
        ) from None
    if parts.scheme not in ("https", "http") or not host or not url.isascii():
        raise InvalidArgumentError("base_url must be like https://www.okx.com")
    if parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/"):
        raise InvalidArgumentError(
            "base_url is scheme and host only, such as https://www.okx.com: no path, query or user"
        )
    if parts.scheme == "http" and not allow_http and not _loopback(host):
        raise InvalidArgumentError(
            f"http://{host} would send the passphrase in clear: use https, or allow_http=True"
        )
    shown = f"[{host}]" if ":" in host else host
    default = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, default) else "")


def _loopback(host: str) -> bool:
    return (
        host == "localhost" or host == "::1" or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None
    )


def _limits(limits: Mapping[str, RateLimit]) -> dict[str, RateLimit]:
    for name, limit in limits.items():
        if name not in ENDPOINTS:
            raise InvalidArgumentError(
                f"rate_limits knows no {name!r}; its keys are {', '.join(sorted(ENDPOINTS))}"
            )
        if not isinstance(limit, RateLimit):
            raise InvalidArgumentError(
                f"rate_limits[{name!r}] must be a RateLimit, such as RateLimit(6, 1.0)"
            )
    return dict(limits)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise InvalidArgumentError(f"{name} must be seconds, not {value!r}")
    return math.inf if value > sys.float_info.max else float(value)


def _seconds(name: str, value: object) -> float:
    seconds = _number(name, value)
    if not 0 < seconds < math.inf:
        raise InvalidArgumentError(f"{name} must be seconds above zero, not {value!r}")
    return seconds


def _count(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidArgumentError(f"{name} must be a whole number from {least} on, not {value!r}")
    return value
