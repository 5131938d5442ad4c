"""When slots come free again: pure arithmetic of turns."""

from __future__ import annotations

import math


def nth_slot_at(times: list[float], n: int, cycle: float) -> float:
    """Tell when the n-th turn comes, counted from 0, of slots first free at ``times``, rising.

    Each is free again ``cycle`` seconds after its last turn.
    """
    turning: list[float] = []
    if times[-1] - times[0] <= cycle:
        turning = times
    else:
        for late in times:
            turns = [math.ceil((late - at) / cycle) for at in turning]
            if n < sum(turns):
                break
            n -= sum(turns)
            turning = [at + cycle * k for at, k in zip(turning, turns, strict=True)]
            turning = sorted([*turning, late])
    return turning[n % len(turning)] + n // len(turning) * cycle
