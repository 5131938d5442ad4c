"""A key that OKX goes on refusing is not asked any more for a while: hammering earns bans."""

from __future__ import annotations

import copy
import math

from .errors import APIError, AuthenticationError, InvalidParameterError, PermissionDeniedError

THRESHOLD = 5
"""Failures in a row that open the circuit."""
PAUSE = 30.0
"""Seconds for which it stays open at first; each failure of the next try doubles them."""
LONGEST = 480.0


class AuthCircuit:
    """The authentication and permission failures in a row of one key at one host."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause = PAUSE
        self._open_until = -math.inf
        self._last: APIError | None = None

    def saw(self, error: Exception | None, now: float) -> None:
        """How a request ended: with rows (None) or with an error."""
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            self._failures += 1
            self._last = error
            if self._failures >= THRESHOLD and now >= self._open_until:
                self._open_until = now + self._pause
                self._pause = min(2 * self._pause, LONGEST)
        elif error is None or isinstance(error, InvalidParameterError):
            self._failures = 0
            self._pause = PAUSE
            self._open_until = -math.inf

    def refusal(self, now: float) -> APIError | None:
        """The error for whoever asks while the circuit is open, else None. Nothing is sent."""
        if now >= self._open_until or self._last is None:
            return None
        error = copy.copy(self._last)
        error.sent = False
        error.args = (
            f"nothing was sent: {self._failures} failures in a row of this API key, it is asked "
            f"again in {self._open_until - now:.0f} s; new credentials are asked at once. "
            f"The last failure: {self._last}",
        )
        return error
