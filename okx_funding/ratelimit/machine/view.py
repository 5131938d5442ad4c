"""What one session holds of one limit, and what it still has to tell the file.

Each change of the file first tells it all that it doesn't know yet, then does what is asked for.
Where the file can't be changed now, because its lock isn't free or it can't be used, all that is
to be told waits until `retry_at`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from . import law
from .access import Access, Place
from .alive import Lives
from .law import LoggedProcess, LoggedRequest, Release, Rule, State
from .layout import NewerFormatError

AGAIN = 0.25
"""Seconds after which a file that can't be used is tried again."""
LOOK_FOR_DEAD = 0.05
"""Seconds after which it is worth while to ask again who lives."""
PATIENCE = 60.0
"""Seconds of trouble after which even callers without a deadline are told."""

Act = Callable[[State, LoggedProcess, float], LoggedRequest | None]


class MachinePlace(Place, Protocol):
    """Where the files of a session are."""

    def next_serial(self) -> int:
        """Another one for each slot of the session."""

    def explain(self, error: Exception) -> tuple[str, bool]:
        """What is wrong, and whether waiting is of no use."""


class FileView:
    """One session's side of one file. Times are the loop's where nothing else is said."""

    def __init__(
        self, access: Access, place: MachinePlace, rule: Rule, fail_waiters: Callable[[bool], None]
    ) -> None:
        self.access = access
        self.rule = rule
        self.unavailable_reason: str | None = None
        """Why the file can't be used, if that is so."""
        self.number: int = 0
        """Under which the file knows this session; 0 before the first change."""
        self.in_flight: dict[int, float] = {}
        """When each slot in hand was taken, by serial; by the machine's clock."""
        self.returns: list[Release] = []
        """What wasn't given back yet."""
        self.returns_due: float = math.inf
        """When `returns` are told at the latest."""
        self.adopted: list[LoggedRequest] = []
        """Requests of another file that count here from now on."""
        self.silent: bool = False
        """Whether something was sent that no file knows of."""
        self.shortest: float = 0.0
        self.reduced_credit: float | None = None
        """The most that may be credited for a round trip, when it became less."""
        self.retry_at: float = -math.inf
        """When to try again, where the file couldn't be changed."""
        self.heard: float = -math.inf
        """When the file last heard of this session."""
        self._place = place
        self._fail_waiters = fail_waiters
        self._looked_for_dead = -math.inf
        self._failing_since: float | None = None

    def change(self, act: Act, now: float) -> LoggedRequest | None:
        """Tell the file all that it doesn't know yet, then ``act``.

        Gives the request that ``act`` logged, unless that is void.
        """

        def make(state: State, number: int, lives: Lives, at: float) -> LoggedRequest | None:
            me = self._tell(state, number, lives, at)
            result = act(state, me, at)
            law.prune(state, at)
            return result

        try:
            change = self.access.change(make)
        except (OSError, NewerFormatError) as error:
            self._failed(error, now)
            return None
        if change is None:
            self.retry_at = now + self.access.wait
            return None
        self.retry_at, self.returns_due = -math.inf, math.inf
        self.returns.clear()
        self.adopted.clear()
        self.silent, self.reduced_credit = False, None
        self.number, self.heard = change.number, now
        self.unavailable_reason = self.access.unavailable_reason
        if self.unavailable_reason is None:
            self._failing_since = None
        taken = change.result
        if taken is None:
            return None
        if change.valid:
            self.in_flight[taken.serial] = taken.taken
            return taken
        # This process was stopped, or its file was replaced: nothing is sent for this slot.
        self.returns.append(Release(taken.owner, taken.serial, taken.taken, None))
        self.retry_at = self.returns_due = now + law.SOON
        return None

    def tell(self, now: float) -> None:
        """Tell the file what it doesn't know yet, and that this session lives."""
        self.change(_nothing_more, now)

    def holds(self, owner: int, taken: float, within: float) -> bool:
        """Whether a slot taken then, by the machine's clock, is this session's still."""
        return (
            owner == self.number and self._place.clock() - taken < within and self.access.has_name()
        )

    def _tell(self, state: State, number: int, lives: Lives, at: float) -> LoggedProcess:
        if number != self.number:  # after a fork the slots in hand are the parent's
            self.in_flight.clear()
        me = law.enter(state, number, self.rule, at)
        me.shortest = self.shortest
        for request in self.adopted:
            law.adopt(state, request)
        for back in self.returns:
            law.give_back(state, back)
        law.reconcile(state, number, self.in_flight, at)
        if at - self._looked_for_dead > LOOK_FOR_DEAD:
            self._looked_for_dead = at
            doubtful = law.doubtful(state, number, at)
            if dead := [each for each in doubtful if not lives.is_alive(each)]:
                law.remove_dead(state, dead, at)
        law.release_unheard(state, number, at)
        if self.reduced_credit is not None:
            law.reduce_credit(state, number, self.reduced_credit)
        if self.silent:
            state.unknown_until = max(state.unknown_until, at)
        return me

    def _failed(self, error: Exception, now: float) -> None:
        """The file can't be used: nothing is sent until it can."""
        self._place.drop(self.access.name)
        self.unavailable_reason, is_fatal = self._place.explain(error)
        self.retry_at = now + AGAIN
        if self._failing_since is None:
            self._failing_since = now
        impatient = now - self._failing_since > PATIENCE
        if impatient:
            self._failing_since = now
        if is_fatal or impatient:
            self._fail_waiters(not is_fatal)


def _nothing_more(_state: State, _me: LoggedProcess, _at: float) -> None:
    """Telling is all."""
