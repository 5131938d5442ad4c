"""What becomes of a request that has arrived: the door, the limit, the service. No I/O."""

from __future__ import annotations

from okx_funding.endpoints import ENDPOINTS, Endpoint

from . import answers
from .answers import Answer
from .arrivals import Arrival
from .auth import Request, refusal
from .directory import Directory
from .faults import Fault
from .limits import Limits
from .services import SERVICES, Question, Rules, keys_of

_ROUTES = {endpoint.path: endpoint for name, endpoint in ENDPOINTS.items() if name in SERVICES}
_UNREAD = Answer(502, b"")
"""The answer to a request that never got to OKX, which the fault replaces."""


def endpoint_name(request: Request) -> str:
    """The endpoint's name in the table; the path where it isn't there."""
    endpoint = _ROUTES.get(request.path)
    return request.path if endpoint is None else endpoint.name


class Desk:
    """Decides on requests by what the exchange knows of users, limits and rules."""

    def __init__(self, directory: Directory, limits: Limits, rules: Rules) -> None:
        self._directory = directory
        self._limits = limits
        self._rules = rules

    def decide(
        self, request: Request, now: float, wall: float, fault: Fault | None
    ) -> tuple[Answer, Arrival]:
        """The answer to a request that arrives at ``now``, changed by its fault, and the record.

        ``now`` is in seconds of the loop's clock, ``wall`` in seconds since the epoch.
        """
        keys = keys_of(request.query)
        if fault is not None and fault.swallowed:
            answer, counted = _UNREAD, False
        else:
            answer, counted = self._judge(request, keys, now, wall)
        refused = answer is answers.TOO_MANY_REQUESTS
        if fault is not None:
            answer = fault.change(answer)
        key = self._directory.keys.get(request.headers.get("ok-access-key", ""))
        arrival = Arrival(
            at=now,
            endpoint=endpoint_name(request),
            user=key.user_id if key else None,
            keys=keys,
            status=answer.status,
            code=answer.code,
            counted=counted,
            refused=refused,
            fault=fault.name if fault else None,
            method=request.method,
            target=request.target,
        )
        return answer, arrival

    def _judge(
        self, request: Request, keys: tuple[str, ...], now: float, wall: float
    ) -> tuple[Answer, bool]:
        """The answer, and whether the request was counted against a limit."""
        endpoint = _ROUTES.get(request.path)
        if endpoint is None:
            return answers.NOT_FOUND, False
        if request.method != endpoint.method:
            return answers.WRONG_METHOD, False
        if endpoint.permission == "none":
            return self._serve(endpoint, Question(None, request.peer, keys, wall, self._rules), now)
        refused = refusal(request, self._directory.keys, wall)
        if refused is not None:
            return refused, False
        key = self._directory.keys[request.headers["ok-access-key"]]
        account = self._directory.accounts[key.user_id]
        question = Question(account, key.user_id, keys, wall, self._rules)
        return self._serve(
            endpoint, question, now, permitted=endpoint.permission in key.permissions
        )

    def _serve(
        self, endpoint: Endpoint, question: Question, now: float, *, permitted: bool = True
    ) -> tuple[Answer, bool]:
        who = question.who
        if not self._limits.admit(who, endpoint, now):
            return answers.TOO_MANY_REQUESTS, True
        if not permitted:
            return answers.NO_PERMISSION, True
        return SERVICES[endpoint.name](question), True
