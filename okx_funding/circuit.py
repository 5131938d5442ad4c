"""A key that OKX goes on refusing is not asked any more for a while: hammering earns bans.

Closed, it lets everything through. After ``THRESHOLD`` refusals in a row it opens: whoever asks
is told the last one again, and nothing is sent. When the pause is over it lets one request
through, and whoever asks before its answer is still told no. The answer closes the circuit, or
opens it for twice as long.
"""

from __future__ import annotations

import copy
import math
import weakref

from .errors import APIError, AuthenticationError, InvalidParameterError, PermissionDeniedError

THRESHOLD = 5
"""Failures in a row that open the circuit."""
PAUSE = 30.0
"""Seconds for which it stays open at first; each failure of the next try doubles them."""
LONGEST = 480.0


class AuthCircuit:
    """The authentication and permission failures in a row of one key at one host."""

    def __init__(self) -> None:
        self.members: weakref.WeakSet[object] = weakref.WeakSet()
        """Who sends with the key, and has waiting callers to be told when it opens."""
        self._failures = 0
        self._pause = PAUSE
        self._open_until = -math.inf
        self._probing = False
        self._last: APIError | None = None

    def __repr__(self) -> str:
        return f"<AuthCircuit: {self._failures} failures in a row>"

    def sends(self) -> None:
        """A request leaves."""
        self._probing = self._failures >= THRESHOLD

    def saw(self, error: Exception | None, now: float) -> float:
        """How a request ended: with rows (None) or with an error.

        Gives the seconds for which that opened the circuit, 0 where it didn't.
        """
        self._probing = False
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            self._failures += 1
            self._last = error
            if self._failures >= THRESHOLD and now >= self._open_until:
                pause, self._pause = self._pause, min(2 * self._pause, LONGEST)
                self._open_until = now + pause
                return pause
        elif error is None or isinstance(error, InvalidParameterError):
            self._failures = 0
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
            f"nothing was sent: {self._failures} failures in a row of this API key, it is asked "
            f"again in {again:.0f} s; new credentials are asked at once. "
            f"The last failure: {self._last}",
        )
        return error
