"""The limit from any distance: how much of it is used, and which sudden shortening it survives."""

from __future__ import annotations

import pytest

from benchmarks.buckets import drive
from benchmarks.road import FOUR, Jitter, Road, alternating, steady
from benchmarks.strategies import Ours

USE = {
    (0.044, 0.0): 98.9,
    (0.044, 0.010): 97.8,
    (0.044, 0.030): 95.6,
    (0.044, 0.100): 89.3,
    (0.190, 0.0): 95.0,
    (0.190, 0.010): 94.0,
    (0.190, 0.030): 92.5,
    (0.190, 0.100): 86.0,
    (0.300, 0.0): 93.0,
    (0.300, 0.010): 92.0,
    (0.300, 0.030): 90.0,
    (0.300, 0.100): 84.0,
}
"""Percent of the limit, by the round trip and the jitter of each way. A learning phase counts."""


def refused(run):
    return {name: run.exchange.refused[name] for name in FOUR}


@pytest.mark.parametrize(("round_trip", "jitter"), USE)
def test_most_of_the_limit_is_used_from_any_distance_and_nothing_is_refused(round_trip, jitter):
    way = steady(round_trip / 2)
    run = drive(Ours(), Road(Jitter(jitter), out=way, back=way), 1500)
    assert not any(refused(run).values())
    assert 100 * run.exchange.utilisation() >= USE[round_trip, jitter]


def changing(round_trip, out, back):
    """A network whose ways are so much shorter in turns, every 40 s."""
    half = round_trip / 2
    return Road(
        out=alternating((half, half - out * round_trip), 40),
        back=alternating((half, half - back * round_trip), 40),
    )


@pytest.mark.parametrize("round_trip", [0.010, 0.044, 0.190, 0.300])
@pytest.mark.parametrize(("out", "back"), [(0.2, 0.0), (0.0, 0.2), (0.1, 0.1), (0.2, 0.2)])
def test_a_route_that_shrinks_by_a_fifth_in_each_direction_costs_nothing(round_trip, out, back):
    run = drive(Ours(), changing(round_trip, out, back), 1000)
    assert not any(refused(run).values())
    assert not run.errors


@pytest.mark.parametrize("round_trip", [0.044, 0.190, 0.300])
def test_a_route_that_shrinks_by_half_costs_two_refusals_a_change_and_no_caller_an_error(
    round_trip,
):
    run = drive(Ours(), changing(round_trip, 0.5, 0.0), 1500)
    changes = run.exchange.arrivals[-1] // 40
    assert 0 < refused(run)["sliding"] <= 2 * changes
    assert not run.errors
