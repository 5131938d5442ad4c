"""The rate limit over all processes of a machine, as pure functions of a state and a time.

The state is a log of the last requests and a list of the processes that share the limit. Nothing
in it depends on a limit: N and W are applied when it is read, so the strictest limit of the
living processes (the smallest N, the largest W) rules at once, and nothing is ever rewritten.

* A request is *in flight* until its process says when the exchange had surely seen it. It counts
  for W after that. A process that died or wasn't heard of for three seconds can't say: its
  requests count as seen a quarter of a second after somebody noticed.
* A process that finds no free slot gets a *ticket* and writes when it will look again. Slots are
  left to living processes with older tickets, unless they are late to look. So a turn is a
  ticket and a time, nobody is sent a message, and nothing has to be taken back.
* A refusal freezes all for a window or more.
* A state that nobody knows (a new file, a damaged one) is one rule: requests may have been seen
  until a quarter of a second from now, so nothing may leave for W and that quarter.

All times are seconds of one clock that all processes of the machine share.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import IntEnum

STILL_ON_ITS_WAY = 0.25
"""Seconds within which a request of which nobody heard may still arrive."""
LOOK_EVERY = 0.25
"""Seconds after which a waiting process looks again at the latest."""
LATE = 0.05
"""Seconds by which a process may be late to look before its turn goes to the next."""
UNHEARD = 3.0
"""Seconds after which a living process that wasn't heard of has lost its slots."""
LONGEST_HOLD = 600.0
"""Seconds for which the slot of a refused request stays out at most."""
SOON = 0.001
"""Seconds after which a process looks again at the earliest."""
MAX_REQUESTS = 1000
MAX_PROCESSES = 1000


class SilenceReason(IntEnum):
    """Why a state began without a history."""

    NEW = 1
    BOOT = 2
    EMPTIED = 3
    DAMAGED = 4
    OLD_FORMAT = 5
    REPLACED = 6

    @property
    def text(self) -> str:
        """What happened, in words."""
        return _REASONS[self]


_REASONS = {
    SilenceReason.NEW: "the file is new",
    SilenceReason.BOOT: "the file is of another boot or another machine",
    SilenceReason.EMPTIED: "the file was deleted or emptied",
    SilenceReason.DAMAGED: "the file is damaged",
    SilenceReason.OLD_FORMAT: "the file is of an older format",
    SilenceReason.REPLACED: "a process stopped while it held the file's lock",
}


@dataclass(slots=True)
class Rule:
    """What one process, or all together, may do: ``count`` requests in any ``window`` seconds.

    ``spacing`` is the least number of seconds between two requests, or 0.
    """

    count: int
    window: float
    spacing: float = 0.0


@dataclass(slots=True)
class LoggedRequest:
    """One request of some process."""

    owner: int
    serial: int
    """Of its process."""
    taken: float
    seen: float = math.inf
    """When the exchange had seen it at the latest; inf while it is in flight."""
    credit: float = 0.0
    """Seconds before ``seen`` at which it surely had."""
    held_until: float = 0.0
    """Until when its slot stays out, because the request was refused."""

    def free_at(self, window: float) -> float:
        """When its slot is free again."""
        return max(self.seen - self.credit + window, self.held_until)


@dataclass(slots=True)
class LoggedProcess:
    """One process that shares the limit."""

    number: int
    rule: Rule
    ticket: int = 0
    """Its place among those that wait; 0 when it doesn't."""
    looks_at: float = 0.0
    """When it will look again."""
    heard: float = 0.0
    """When it was last heard of."""
    shortest: float = 0.0
    """Its shortest round trip of late."""


@dataclass(slots=True)
class State:
    """All that processes know of one limit together."""

    era: int
    """By chance another one each time that a history begins."""
    unknown_until: float = -math.inf
    """Until when requests that nobody knows of may have been seen."""
    frozen_until: float = -math.inf
    silent_since: float = -math.inf
    """When this history began."""
    reason: SilenceReason = SilenceReason.NEW
    next_ticket: int = 1
    changes: int = 0
    requests: list[LoggedRequest] = field(default_factory=list)
    processes: dict[int, LoggedProcess] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Release:
    """What became of a request. Without ``seen`` nothing was sent."""

    owner: int
    serial: int
    taken: float
    seen: float | None
    credit: float = 0.0
    freeze_until: float = -math.inf
    hold_until: float = 0.0


# -- who shares the limit, and how ---------------------------------------------------------------


def begin(now: float, reason: SilenceReason, era: int) -> State:
    """A state of which no history is known."""
    return State(era, unknown_until=now + STILL_ON_ITS_WAY, silent_since=now, reason=reason)


def enter(state: State, number: int, rule: Rule, now: float) -> LoggedProcess:
    """The entry of a process that is heard of now, and wants to obey ``rule``."""
    process = state.processes.get(number)
    if process is None:
        process = state.processes[number] = LoggedProcess(number, rule)
    process.rule = rule
    process.heard = now
    return process


def leave(state: State, number: int) -> None:
    """The process wants nothing more. What it sent still counts."""
    state.processes.pop(number, None)


def strictest(processes: Iterable[LoggedProcess]) -> Rule:
    """What satisfies all: the smallest N in the largest W."""
    count, window, spacing = MAX_REQUESTS, 0.0, 0.0
    for process in processes:
        rule = process.rule
        count = min(count, rule.count)
        window = max(window, rule.window)
        spacing = max(spacing, rule.spacing)
    return Rule(count, window, spacing)


def doubtful(state: State, me: int, now: float) -> list[int]:
    """The processes of which it matters now whether they live."""
    holders = {request.owner for request in state.requests if request.seen == math.inf}
    quiet = {
        number for number, process in state.processes.items() if now - process.heard > LOOK_EVERY
    }
    return [number for number in holders | quiet if number != me]


def remove_dead(state: State, dead: Collection[int], now: float) -> None:
    """These processes are dead: what they had in flight may arrive a moment longer."""
    for request in state.requests:
        if request.seen == math.inf and request.owner in dead:
            request.seen, request.credit = now + STILL_ON_ITS_WAY, 0.0
    for number in dead:
        state.processes.pop(number, None)


def release_unheard(state: State, me: int, now: float) -> None:
    """Free the slots of processes that live and weren't heard of for too long."""
    for request in state.requests:
        if request.seen == math.inf and request.owner != me:
            owner = state.processes.get(request.owner)
            if owner is None or now - owner.heard > UNHEARD:
                request.seen, request.credit = now + STILL_ON_ITS_WAY, 0.0


def reconcile(state: State, me: int, in_flight: dict[int, float], now: float) -> None:
    """Make the log say what ``me`` knows: ``in_flight`` is when it took each of its slots.

    They are missing in a history that began after them. What is in the log and not in hand was
    taken by a call that was interrupted.
    """
    logged = set()
    for request in state.requests:
        if request.owner == me:
            logged.add(request.serial)
            if request.seen == math.inf and request.serial not in in_flight:
                request.seen, request.credit = now + STILL_ON_ITS_WAY, 0.0
    for serial, taken in in_flight.items():
        if serial not in logged:
            state.requests.append(LoggedRequest(me, serial, taken))


# -- slots ---------------------------------------------------------------------------------------


def gate(state: State, rule: Rule) -> float:
    """The moment before which nobody may send."""
    until = max(state.frozen_until, state.unknown_until + rule.window)
    if rule.spacing and state.requests:
        until = max(until, max(request.taken for request in state.requests) + rule.spacing)
    return until


def free_slots(state: State, rule: Rule, now: float) -> int:
    """How many slots are free, whoever they are left to."""
    used = sum(request.free_at(rule.window) > now for request in state.requests)
    return max(0, min(rule.count, MAX_REQUESTS) - used)


def tickets_ahead(state: State, me: LoggedProcess, now: float) -> int:
    """Processes whose turn comes first, and that aren't late to look."""
    mine = me.ticket or math.inf
    return sum(
        0 < process.ticket < mine and now <= process.looks_at + LATE
        for process in state.processes.values()
    )


def take(state: State, me: LoggedProcess, serial: int, now: float) -> LoggedRequest | None:
    """A slot for a request that leaves now; without one a ticket, and a time to look again."""
    rule = strictest(state.processes.values())
    not_before = gate(state, rule)
    ahead = tickets_ahead(state, me, now)
    if now >= not_before and free_slots(state, rule, now) > ahead:
        me.ticket = 0
        request = LoggedRequest(me.number, serial, now)
        state.requests.append(request)
        return request
    if not me.ticket:
        me.ticket = state.next_ticket
        state.next_ticket += 1
    at = max(not_before, _nth_release(state, rule, ahead, now))
    me.looks_at = min(max(at, now + SOON), now + LOOK_EVERY)
    return None


def releases(state: State, rule: Rule, now: float) -> list[float]:
    """When each of the N slots is free at the earliest, in order."""
    times = []
    for request in state.requests:
        if request.seen < math.inf:
            at = request.free_at(rule.window)
        else:
            owner = state.processes.get(request.owner)
            shortest = owner.shortest if owner is not None else 0.0
            at = max(now, request.taken + shortest) - shortest + rule.window
        if at > now:
            times.append(at)
    times.sort()
    count = min(rule.count, MAX_REQUESTS)
    return [now] * (count - len(times)) + times[max(0, len(times) - count) :]


def _nth_release(state: State, rule: Rule, n: int, now: float) -> float:
    times = releases(state, rule, now)
    return times[n] if n < len(times) else math.inf


def give_back(state: State, back: Release) -> None:
    """A request is answered, lost, refused or was never sent."""
    for request in state.requests:
        if request.owner == back.owner and request.serial == back.serial:
            break
    else:  # it was taken in a history that is lost
        if back.seen is None:
            return
        request = LoggedRequest(back.owner, back.serial, back.taken)
        state.requests.append(request)
    if back.seen is None:
        state.requests.remove(request)
        return
    request.seen, request.credit = back.seen, back.credit
    state.frozen_until = max(state.frozen_until, back.freeze_until)
    if back.hold_until:
        rule = strictest(state.processes.values())
        held = sum(other.held_until > back.seen for other in state.requests)
        if held < rule.count - 1:
            request.held_until = back.hold_until


def adopt(state: State, request: LoggedRequest) -> None:
    """Count a request of another log here too."""
    ident = (request.owner, request.serial)
    if all((other.owner, other.serial) != ident for other in state.requests):
        state.requests.append(request)


def reduce_credit(state: State, me: int, credit: float) -> None:
    """A shorter round trip was seen: what the process returned was credited too much."""
    for request in state.requests:
        if request.owner == me and request.credit > credit:
            request.credit = credit


def prune(state: State, now: float) -> None:
    """Forget requests that no limit asks for: keep what counts, and the last N anyway.

    Where no process is left nobody knows what the next one will ask for.
    """
    if not state.processes:
        return
    keep = max(process.rule.count for process in state.processes.values())
    surplus = len(state.requests) - min(keep, MAX_REQUESTS)
    if surplus <= 0:
        return
    rule = strictest(state.processes.values())
    state.requests.sort(key=lambda request: request.seen)
    old = 0
    while old < surplus and state.requests[old].free_at(rule.window) <= now:
        old += 1
    del state.requests[:old]
