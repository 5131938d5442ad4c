"""FundingClient: one account of OKX, by one API key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from okx_funding.api.params import count, seconds
from okx_funding.api.spec import DOCS, Endpoint, RateLimit
from okx_funding.api.table import ENDPOINTS, Reads
from okx_funding.api.table import rate_limits as checked_limits
from okx_funding.auth.credentials import Credentials, resolve
from okx_funding.auth.settings import origin_of
from okx_funding.errors import InvalidArgumentError
from okx_funding.money import Journal, Money, MoneyProtocol
from okx_funding.money.resolver import AbsenceRules
from okx_funding.scheduler.context import Context, Policy
from okx_funding.session import Session
from okx_funding.telemetry.events import Observer, Statistics

from . import hints
from .calls import Calls
from .port import ClientPort
from .push_url import push_url
from .watches import Watches

LIVE = "https://www.okx.com"


class FundingClient(Reads, Money, Watches):
    """OKX's funding account, for one API key. Safe to await from any number of coroutines.

    What isn't given comes from the environment, then from the profile, then from the defaults.

    credentials: whose account; see `Credentials`. profile: a profile of ``~/.okx/config.toml``.
    session: a `Session` shared with other clients; without one the client opens its own on
    first use and closes it. base_url: ``https://www.okx.com``, ``https://eea.okx.com``,
    ``https://us.okx.com`` or ``https://tr.okx.com``; plain http is refused unless the host is
    loopback or ``allow_http``. ws_url: the whole URL of the WebSocket, which follows from the host
    otherwise. demo: demo trading (``x-simulated-trading: 1``).
    request_timeout: seconds for one attempt on the wire. max_retries: further attempts of a read
    for a fault that may pass. rate_limits: other limits than OKX's published ones, by method name:
    ``{"get_balances": RateLimit(12)}`` where OKX raised yours; of several clients of one user the
    strictest rules, and ``RateLimit(6, spread=True)`` spaces requests evenly.
    read_only: refuse whatever moves money. journal: where each movement of money is written down
    before it is sent; see `SQLiteJournal`. absence_proves_after: see `resolve`.
    policy: what few programs need to set; see `Policy`. observer: see
    `okx_funding.telemetry.events`.

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
        ws_url: str | None = None,
        demo: bool | None = None,
        allow_http: bool = False,
        request_timeout: float = 10.0,
        max_retries: int = 2,
        rate_limits: Mapping[str, RateLimit] | None = None,
        read_only: bool = False,
        journal: Journal | None = None,
        absence_proves_after: float | AbsenceRules | None = None,
        policy: Policy | None = None,
        observer: Observer | None = None,
    ) -> None:
        if credentials is not None and not isinstance(credentials, Credentials):
            raise InvalidArgumentError("credentials must be okx_funding.Credentials")
        if session is not None and not isinstance(session, Session):
            raise InvalidArgumentError("session must be an okx_funding.Session")
        for name, flag in (("demo", demo), ("read_only", read_only)):
            if flag is not None and not isinstance(flag, bool):
                raise InvalidArgumentError(f"{name} must be True or False")
        if observer is not None and not callable(observer):
            raise InvalidArgumentError(
                f"observer must be a function of one event, not {type(observer).__name__}"
            )
        if policy is not None and not isinstance(policy, Policy):
            raise InvalidArgumentError("policy must be an okx_funding.Policy")
        credentials, settings = resolve(credentials, profile)
        url = base_url if base_url is not None else settings.base_url
        if demo is None:
            demo = settings.demo or False
        context = Context(
            credentials=credentials,
            origin=origin_of(url if url is not None else LIVE, allow_http),
            demo=demo,
            request_timeout=seconds("request_timeout", request_timeout),
            max_retries=count("max_retries", max_retries, 0),
            policy=policy or Policy(),
            observer=observer,
        )
        limits = checked_limits(rate_limits or {})
        if session is not None:
            session.check(limits)
        mode = "demo" if demo else "live"
        self._name = f"<FundingClient {credentials!r} {mode} at {context.origin}"
        self._calls = Calls(context, limits, session, settings.proxy, f"{self._name}>")
        self._port = ClientPort(self._calls, read_only=read_only)
        self._protocol = MoneyProtocol(
            self._port, journal=journal, absence_proves_after=absence_proves_after
        )
        self._push_url = push_url(ws_url, context.origin, demo, allow_http=allow_http)

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
        if not hasattr(self, "_push_url"):  # a traceback asks while __init__ is still at work
            return "<FundingClient>"
        state = ", closed" if self._calls.closed else ""
        queues = "".join(f"; {lane.queue}" for lane in self._calls.lanes.values())
        return f"{self._name}{state}{queues}>"

    def _money(self) -> MoneyProtocol:
        return self._protocol

    async def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        limit: RateLimit | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> list[dict[str, Any]]:
        """Ask any path of OKX that has no method here, such as ``/api/v5/account/bills``.

        It is signed, waits for its limit and fails as all reads do; rows are plain dicts with
        OKX's names, and text as OKX sends it. ``limit`` is OKX's published one; a path that has
        a method shares that method's limit and needs none. Only "GET": money has its own methods.

        https://www.okx.com/docs-v5/en/#overview
        """
        if method != "GET":
            raise InvalidArgumentError(
                f"request() sends GET only, not {method!r}: what moves money has its own methods"
            )
        if not isinstance(path, str) or not path.startswith("/api/v5/") or set(path) & set("?# %"):
            raise InvalidArgumentError("path must be like /api/v5/asset/balances, without a query")
        for name, value in (params or {}).items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise InvalidArgumentError(f"params[{name!r}] must be a str, as OKX takes text")
        known = [row for row in ENDPOINTS.values() if row.path == path and row.method == "GET"]
        if known:
            name, limits = known[0].name, known[0].limits
        elif limit is None:
            raise InvalidArgumentError(f"limit is missing: OKX's rate limit for {path}")
        else:
            name, limits = f"GET {path}", (limit,)
        endpoint: Endpoint[Any] = Endpoint(name, "GET", path, dict, limits, DOCS)
        return await self._calls.ask(
            endpoint, dict(params or {}), timeout=timeout, priority=priority
        )

    async def get_user_id(self, *, timeout: float | None = None) -> str:
        """The User ID by which OKX counts this key's limits; asked of OKX once.

        From then on every client whose key is of this user shares one limit with this one, in
        this process. What the key has sent already is counted on.

        https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration
        """
        return await self._calls.get_user_id(timeout)

    def statistics(self) -> Statistics:
        """The calls of this client, its buckets and its connections as they are now."""
        return self._calls.statistics()

    async def aclose(self, *, drain: bool = False, timeout: float | None = None) -> None:
        """Close. A session that was given stays open.

        Whoever waits gets a ClientClosedError now, and what is on the wire may finish within a
        second; money that may have left is waited for, for ten seconds at most, and what stays
        open is logged. With ``drain`` those who wait are answered first, within ``timeout``
        seconds if it is given; new calls are refused meanwhile.
        """
        session = self._calls.session
        if session is not None:
            session.must_be_here()
        self._port.close()
        await self._protocol.aclose(min(10.0, math.inf if timeout is None else timeout))
        self._close_watches()
        await self._calls.aclose(drain=drain, timeout=timeout)
