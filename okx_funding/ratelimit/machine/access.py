"""One change of one limit file: lock, read, change, write, unlock; never waiting for the lock.

What makes a stopped process harmless: others take the lock away after a second, by an empty file
in the old one's place. So whoever took a slot looks once more, after the write, whether its file
still has its name and its lock was young.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from . import law, layout
from .alive import Lives
from .file import LimitFile
from .law import SilenceReason, State

logger: logging.Logger = logging.getLogger("okx_funding.limits")

YOUNG = 0.1
"""Seconds after it got the lock within which a process may use what it took."""
STUCK = 1.0
"""Seconds after which a lock whose file doesn't change is held by a process that stopped."""
OTHER_MACHINE = (
    "another machine, or a container with a clock of its own, writes this file: network file "
    "systems can't be used for it"
)
_BACKOFF = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01)
_OFTEN = 3
_PER = 60.0

T = TypeVar("T")


class Place(Protocol):
    """The folder, and who uses it; common to the files of one session."""

    clock: Callable[[], float]
    """The clock that all processes of the machine share."""

    def enter(self) -> tuple[int, Lives, bytes]:
        """This session's number, who else lives, and the boot's name. Raises OSError."""

    def file(self, name: str) -> LimitFile:
        """The open file of that name. Raises OSError."""

    def drop(self, name: str) -> None:
        """Close it; it is opened anew when it is needed again."""


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One that was made."""

    result: T
    at: float
    """When the lock was got, by the machine's clock."""
    number: int
    """This session's."""
    valid: bool
    """Whether the file still had its name afterwards, and the lock was young."""


class Access:
    """The way to one file."""

    def __init__(self, name: str, label: str, place: Place) -> None:
        self.name = name
        self.label = label
        self.wait: float = 0.0
        """Seconds after which to try again, when the lock wasn't free."""
        self._place = place
        self._state = State(0)
        """What this session wrote last, ..."""
        self._written = self._boot = b""
        """... and its bytes, which are quicker to compare than to read."""
        self._known = False
        """Whether a history was seen there before."""
        self._tries = 0
        self._locked_since: float | None = None
        self._locked_changes = b""
        self._replaced = False
        self._other_boots: deque[float] = deque(maxlen=_OFTEN + 1)

    def change(self, make: Callable[[State, int, Lives, float], T]) -> Change[T] | None:
        """Make one change; None where somebody else has the lock: try again after `wait`.

        Raises OSError, layout.NewerFormatError.
        """
        place = self._place
        number, lives, boot = place.enter()
        file = place.file(self.name)
        if not file.has_name():  # it was deleted or replaced: begin with what stands there now
            place.drop(self.name)
            file = place.file(self.name)
        if not file.lock():
            self._contended(file)
            return None
        try:
            if not file.has_name():  # at this very moment
                self.wait = law.SOON
                return None
            at = place.clock()
            state, fresh = self._read(file, boot, at)
            self._written = b""  # the state isn't what was written until it is written
            result = make(state, number, lives, at)
            state.changes += 1
            data = layout.encode(state, boot, self.label)
            file.write(data, fresh=fresh)
            self._state, self._written, self._boot = state, data, boot
        finally:
            file.unlock()
        self._known, self._replaced = True, False
        self._tries, self._locked_since = 0, None
        valid = file.has_name() and place.clock() - at < YOUNG
        return Change(result, at, number, valid)

    def peek(self) -> tuple[State, float] | None:
        """The state and the time, read without the lock; None where that can't be done."""
        try:
            _, _, boot = self._place.enter()
            data = self._place.file(self.name).read()
            at = self._place.clock()
            return layout.decode(data, boot, at)[0], at
        except (OSError, layout.UnknownHistoryError, layout.NewerFormatError):
            return None

    def has_name(self) -> bool:
        """Whether the file that was changed last is still there."""
        try:
            return self._place.file(self.name).has_name()
        except OSError:
            return False

    @property
    def unavailable_reason(self) -> str | None:
        """Why no history can be kept here, if that is so."""
        boots = self._other_boots
        if len(boots) > _OFTEN and self._place.clock() - boots[0] < _PER:
            return OTHER_MACHINE
        return None

    def _read(self, file: LimitFile, boot: bytes, at: float) -> tuple[State, bool]:
        data = file.read()
        if self._written and self._boot == boot and data.startswith(self._written):
            return self._state, False  # nobody has written since
        try:
            return layout.decode(data, boot, at)[0], False
        except layout.UnknownHistoryError as unknown:
            reason = unknown.reason
        if reason is SilenceReason.EMPTIED:
            if self._replaced:
                reason = SilenceReason.REPLACED
            elif not self._known:
                reason = SilenceReason.NEW
        if reason is SilenceReason.BOOT:
            self._other_boots.append(at)
        if reason is not SilenceReason.NEW:
            logger.warning(
                "what was sent for %s of late isn't known: %s; nothing is sent for one window (%s)",
                self.label,
                self.unavailable_reason or reason.text,
                file.path,
            )
        return law.begin(at, reason, random.getrandbits(63)), True

    def _contended(self, file: LimitFile) -> None:
        """Somebody else has the lock: wait a moment; if it stopped, take the lock away from it."""
        at, changes = self._place.clock(), file.changes()
        if self._locked_since is None or changes != self._locked_changes:
            self._locked_since, self._locked_changes = at, changes
        self.wait = _BACKOFF[min(self._tries, len(_BACKOFF) - 1)] * random.uniform(0.5, 1.0)
        self._tries += 1
        if at - self._locked_since > STUCK:
            if file.has_name():
                file.replace()
                self._replaced = True
            self._place.drop(self.name)
            self._locked_since = None
