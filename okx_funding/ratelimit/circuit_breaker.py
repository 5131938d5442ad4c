"""A key that OKX goes on refusing is not asked any more for a while: hammering earns bans.

Closed, a circuit lets everything through. After ``THRESHOLD`` refusals in a row it opens: whoever
asks gets the last one again, and nothing is sent. When the pause is over it lets one request
through, and whoever asks before its answer is still refused. The answer closes the circuit, or
opens it for twice as long.

There is one for each key, of failures to authenticate, and one for each endpoint that a key asks,
of permissions that it lacks there. Both live in the process, not in a session or client.
"""

from __future__ import annotations

import copy
import math
import weakref

from okx_funding.errors import (
    APIError,
    AuthenticationError,
    InvalidParameterError,
    PermissionDeniedError,
)

THRESHOLD = 5
"""Failures in a row that open the circuit."""
PAUSE = 30.0
"""Seconds for which it stays open at first; each failure of the next try doubles them."""
LONGEST = 480.0
OF_THE_KEY = frozenset({"50110"})
"""Codes of permission errors that concern the key everywhere: its IP addresses."""


class AuthCircuit:
    """The failures in a row of one key at one host, or at one endpoint of it."""

    def __init__(
        self,
        what: str = "this API key",
        ahead: float = 0.0,
        members: weakref.WeakSet[object] | None = None,
    ) -> None:
        self.members: weakref.WeakSet[object] = weakref.WeakSet() if members is None else members
        """Who sends with the key, and has waiting callers that fail when it opens."""
        self.ahead: float = ahead
        """Seconds by which the clock that it goes by is ahead of the machine's."""
        self._what = what
        self.failures: int = 0
        """How many there were in a row."""
        self._pause = PAUSE
        self._open_until = -math.inf
        self._probing = False
        self._last: APIError | None = None
        self._failed_at = -math.inf

    def __repr__(self) -> str:
        return f"<AuthCircuit: {self.failures} failures in a row>"

    def sends(self) -> None:
        """A request leaves."""
        self._probing = self.failures >= THRESHOLD

    def saw(self, error: Exception | None, now: float) -> float:
        """How a request ended: with rows (None) or with an error.

        Gives the seconds for which that opened the circuit, 0 where it didn't.
        """
        self._probing = False
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            self.failures += 1
            self._last = error
            self._failed_at = now
            if self.failures >= THRESHOLD and now >= self._open_until:
                pause, self._pause = self._pause, min(2 * self._pause, LONGEST)
                self._open_until = now + pause
                return pause
        elif error is None or isinstance(error, InvalidParameterError):
            self.failures = 0
            self._pause = PAUSE
            self._open_until = -math.inf
        return 0.0

    def refusal(self, now: float) -> APIError | None:
        """The error for whoever asks while the circuit is open, else None. Nothing is sent."""
        if self._last is None or not (self._probing or now < self._open_until):
            return None
        again = max(0.0, self._open_until - now)
        error = copy.copy(self._last)
        error.sent = False
        error.args = (
            f"nothing was sent: {self.failures} failures in a row of {self._what}, it is asked "
            f"again in {again:.0f} s; new credentials are asked at once. "
            f"The last failure: {self._last}",
        )
        return error

    def over(self, now: float) -> bool:
        """Whether nothing of its history matters any more."""
        return not self.members and now >= self._failed_at + 2 * LONGEST

    def by_clock(self, ahead: float, members: weakref.WeakSet[object] | None = None) -> AuthCircuit:
        """Its history in a circuit that goes by another clock, so far ahead of the machine's."""
        heir, shift = AuthCircuit(self._what, ahead, members), ahead - self.ahead
        heir.failures, heir._pause, heir._last = self.failures, self._pause, self._last
        heir._open_until = self._open_until + shift
        heir._failed_at = self._failed_at + shift
        return heir


class EndpointCircuit:
    """What a request to one endpoint goes through: its key's circuit, and its own.

    Missing permissions shut the endpoint that wants them and no other.
    """

    def __init__(self, key: AuthCircuit | None = None, own: AuthCircuit | None = None) -> None:
        self._key = key or AuthCircuit()
        self._own = own or AuthCircuit()
        self.members: weakref.WeakSet[object] = self._key.members
        """Who sends with the key."""

    def __repr__(self) -> str:
        return f"<EndpointCircuit: {self._key!r}, {self._own!r}>"

    def sends(self) -> None:
        """A request leaves."""
        if self._key.failures or self._own.failures:
            self._key.sends()
            self._own.sends()

    def saw(self, error: Exception | None, now: float) -> float:
        """How a request ended. Gives the seconds for which that opened a circuit, else 0."""
        if error is None and not self._key.failures and not self._own.failures:
            return 0.0
        of_key = of_endpoint = error
        if isinstance(error, PermissionDeniedError) and error.code not in OF_THE_KEY:
            of_key = None  # whom OKX tells what is missing it knows
        elif isinstance(error, AuthenticationError | PermissionDeniedError):
            of_endpoint = _UNDECIDED
        return max(self._key.saw(of_key, now), self._own.saw(of_endpoint, now))

    def refusal(self, now: float) -> APIError | None:
        """The error for whoever asks while a circuit is open, else None. Nothing is sent."""
        if not self._key.failures and not self._own.failures:
            return None
        return self._key.refusal(now) or self._own.refusal(now)


_UNDECIDED = Exception()
"""The end of a request that says nothing of a permission."""
