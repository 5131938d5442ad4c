"""What becomes of a request: authentication, limit, parameters, service. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import answers, params
from .accounts import Account
from .answers import Answer, Refused
from .arrivals import Arrival
from .auth import Key, Request, refusal
from .books import Books, Processing
from .faults import Fault
from .limits import Limits
from .services import SERVICES, ServiceRequest
from .table import BY_PATH, PATHS, Route

_NOTHING = answers.success(b"")
"""The answer to a request that isn't carried out, or not yet: the fault replaces it."""
_WITH_SECRETS = "create_subaccount_apikey"


def endpoint_name(request: Request) -> str:
    """The endpoint's name in the table; the path where it isn't there."""
    found = BY_PATH.get((request.method, request.path))
    return request.path if found is None else found.name


class Handler:
    """Decides on requests by what the exchange knows of users, limits and rules."""

    def __init__(self, books: Books, limits: Limits, account: Callable[[str], Account]) -> None:
        self._books = books
        self._limits = limits
        self._account = account

    def decide(
        self, request: Request, now: float, wall: float, fault: Fault | None
    ) -> tuple[Answer, Arrival]:
        """The answer to a request that arrives at ``now``, changed by its fault, and the record.

        ``now`` is in seconds of the loop's clock, ``wall`` in seconds since the epoch.
        """
        row = BY_PATH.get((request.method, request.path))
        given: dict[str, Any] = {}
        unread: Refused | None = None
        try:
            given = params.read(request) if row else {}
        except Refused as refused:
            unread = refused
        if fault is not None and fault.before_okx:
            answer, counted = _NOTHING, False
        elif row is None:
            known = request.path in PATHS
            answer, counted = answers.WRONG_METHOD if known else answers.NOT_FOUND, False
        else:
            answer, counted = self._handle(request, row, given, unread, now, wall, fault)
        refused_by_limit = answer is answers.TOO_MANY_REQUESTS
        if fault is not None:
            answer = fault.change(answer)
        key = self._books.users.keys.get(request.headers.get("ok-access-key", ""))
        secret = row is not None and row.name == _WITH_SECRETS
        arrival = Arrival(
            at=now,
            endpoint=row.name if row else request.path,
            user=key.user_id if key else None,
            keys=tuple(it for it in str(given.get("ccy") or "").split(",") if it),
            status=answer.status,
            code=answer.code,
            counted=counted,
            refused=refused_by_limit,
            fault=fault.name if fault else None,
            method=request.method,
            target=request.target,
            body=b"" if secret else request.body,
        )
        return answer, arrival

    def _handle(
        self,
        request: Request,
        row: Route,
        given: Mapping[str, Any],
        unread: Refused | None,
        now: float,
        wall: float,
        fault: Fault | None,
    ) -> tuple[Answer, bool]:
        """The answer, and whether the request was counted against a limit."""
        key: Key | None = None
        if not row.by_address:
            refused = refusal(request, self._books.users.keys, wall)
            if refused is not None:
                return refused, False
            key = self._books.users.keys[request.headers["ok-access-key"]]
        who = key.user_id if key else request.peer
        if not self._limits.admit(who, row, given, now, self._books.clock.advanced):
            return answers.TOO_MANY_REQUESTS, True
        if key is not None and row.permission not in key.permissions:
            return answers.NO_PERMISSION, True
        try:
            if unread is not None:
                raise unread
            checked = params.check(
                row, given, self._books.unexpected, strict=self._books.rules.strict
            )
        except Refused as refused_:
            return refused_.answer, True
        return self._carry_out(row, checked, key, wall, request.peer, fault), True

    def _carry_out(
        self,
        row: Route,
        checked: Mapping[str, Any],
        key: Key | None,
        wall: float,
        peer: str,
        fault: Fault | None,
    ) -> Answer:
        books = self._books
        asked = ServiceRequest(
            checked,
            books,
            wall,
            peer,
            books.users.by_uid[key.user_id] if key else None,
            key,
            self._account(key.user_id) if key else None,
            fault.processing if fault else Processing(),
        )
        if fault is not None and row.method == "POST":
            if not fault.commits:
                return _NOTHING
            if fault.commit_delay:
                books.agenda.after(fault.commit_delay, lambda: _serve_late(row, asked))
                return _NOTHING
        return _serve(row, asked)


def _serve(row: Route, asked: ServiceRequest) -> Answer:
    try:
        answer = SERVICES[row.name](asked)
    except Refused as refused:
        return refused.answer
    return answer if isinstance(answer, Answer) else answers.rows(answer)


def _serve_late(row: Route, asked: ServiceRequest) -> None:
    """Carry out an order whose answer nobody hears."""
    _serve(row, asked)
