"""The limits of this machine as they are now, for whoever operates it. Nothing is changed."""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from okx_funding.ratelimit.slot import GUARD

from . import law, layout
from .alive import NAME, Lives, lives_in
from .file import boot_id, default_folder, limit_files
from .law import State

_TRIES = 5


@dataclass(frozen=True, slots=True)
class MachineLimit:
    """One limit as it is in its file now. Seconds are from now on."""

    name: str
    """The name of the file."""
    label: str
    """Which endpoint, and where."""
    problem: str | None = None
    """Why the file can't be read, if that is so; then the rest means nothing."""
    count: int = 0
    period: float = 0.0
    """The limit in force: at most so many requests in any so many seconds. 0 where no process
    lives with it."""
    slots_free: int = 0
    next_slot_in: float = 0.0
    in_flight: int = 0
    waiting: int = 0
    """Processes that hold a ticket."""
    processes: int = 0
    """Processes that live with it."""
    silent_for: float = 0.0
    """Seconds for which nothing is sent, because what was sent before isn't known."""
    silent_reason: str = ""
    """Why the file began without a history."""
    silent_ago: float = 0.0
    """Seconds since it did."""
    frozen_for: float = 0.0
    """Seconds for which nothing is sent, because OKX refused a request."""


@dataclass(frozen=True, slots=True)
class MachineReport:
    """The folder and all limits in it."""

    path: str
    problem: str | None
    """Why the folder can't be used, if that is so."""
    limits: tuple[MachineLimit, ...]

    @property
    def silences(self) -> dict[str, int]:
        """How many files began without a history, by reason."""
        counts: dict[str, int] = {}
        for limit in self.limits:
            if limit.silent_reason:
                counts[limit.silent_reason] = counts.get(limit.silent_reason, 0) + 1
        return counts


def inspect_machine(
    path: str | os.PathLike[str] | None = None, clock: Callable[[], float] = time.monotonic
) -> MachineReport:
    """What `MachineLimits` of the same ``path`` share now.

    Raises InvalidArgumentError on systems other than Linux and macOS.
    """
    folder = default_folder() if path is None else str(Path(path).absolute())
    try:
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode):
            return MachineReport(folder, f"{folder} is no folder (links aren't followed)", ())
        names = limit_files(folder)
        boot = boot_id()
        lives = lives_in(folder) if os.path.exists(os.path.join(folder, NAME)) else None
    except FileNotFoundError:
        return MachineReport(folder, None, ())
    except OSError as error:
        return MachineReport(folder, error.strerror or str(error), ())
    looks = (_look(Path(folder, name), boot, lives, clock) for name in names)
    return MachineReport(folder, None, tuple(looks))


def _look(path: Path, boot: bytes, lives: Lives | None, clock: Callable[[], float]) -> MachineLimit:
    problem = ""
    for _ in range(_TRIES):  # it may be written at this very moment
        try:
            now = clock()
            state, label = layout.decode(path.read_bytes(), boot, now)
            return _described(path.name, label, state, lives, now)
        except OSError as error:
            problem = error.strerror or str(error)
        except (layout.UnknownHistoryError, layout.NewerFormatError) as error:
            problem = str(error)
    return MachineLimit(path.name, "", problem)


def _described(
    name: str, label: str, state: State, lives: Lives | None, now: float
) -> MachineLimit:
    dead = {each for each in state.processes if lives is None or not lives.is_alive(each)}
    in_flight = sum(
        request.seen == math.inf and request.owner not in dead for request in state.requests
    )
    law.remove_dead(state, dead, now)
    rule = law.strictest(state.processes.values())
    limited = bool(state.processes)
    gate = law.gate(state, rule) if limited else now
    first = law.releases(state, rule, now)[0] if limited else now
    return MachineLimit(
        name,
        label,
        count=rule.count if limited else 0,
        period=round(rule.window - GUARD, 6) if limited else 0.0,
        slots_free=law.free_slots(state, rule, now) if limited and now >= gate else 0,
        next_slot_in=max(0.0, max(first, gate) - now),
        in_flight=in_flight,
        waiting=sum(process.ticket > 0 for process in state.processes.values()),
        processes=len(state.processes),
        silent_for=max(0.0, state.unknown_until + rule.window - now) if limited else 0.0,
        silent_reason=state.reason.text,
        silent_ago=max(0.0, now - state.silent_since),
        frozen_for=max(0.0, state.frozen_until - now),
    )
