"""About when the n-th request of a process gets its slot: what callers with a deadline are told."""

from __future__ import annotations

from . import law
from .law import LoggedProcess, State


def nth_slot_at(state: State, me: LoggedProcess, n: int, longer: float, now: float) -> float:
    """About when the n-th request of ``me`` from now, counted from 0, gets its slot.

    Processes that wait take turns. ``longer``: seconds that a slot is out above its window.
    """
    rule = law.strictest(state.processes.values())
    others = sum(
        process.ticket > 0 and process is not me and now <= process.looks_at + law.LATE
        for process in state.processes.values()
    )
    place = law.tickets_ahead(state, me, now) + n * (others + 1)
    start = max(now, law.gate(state, rule))
    times = [max(start, at) for at in law.releases(state, rule, now)]
    rounds, place_in_round = divmod(place, len(times))
    at = times[place_in_round] + rounds * (rule.window + longer)
    return max(at, start + place * rule.spacing)
