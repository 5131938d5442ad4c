"""The judges, each against its definition written out the slow way."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_funding.simulator import (
    JUDGES,
    FixedWindow,
    Judge,
    SlidingLog,
    TokenBucketJudge,
    WeightedWindow,
    make_judge,
)

# Times and periods are multiples of 1/64 s, so that floats and fractions agree to the bit.
times = st.lists(st.integers(0, 640), max_size=60).map(lambda ns: [n / 64 for n in sorted(ns)])
counts = st.integers(1, 7)
periods = st.sampled_from([0.25, 0.5, 1.0, 2.0])
charging = st.booleans()


def verdicts(judge: Judge, arrivals: list[float]) -> list[bool]:
    return [judge.admit(at) for at in arrivals]


def defined(
    arrivals: list[float], charging: bool, admit: Callable[[float, list[float]], bool]
) -> list[bool]:
    """Verdicts of a rule that is told all arrivals that counted so far."""
    counted: list[float] = []
    said = []
    for at in arrivals:
        said.append(admit(at, counted))
        if said[-1] or charging:
            counted.append(at)
    return said


@given(times, counts, periods, charging)
def test_sliding_log_admits_fewer_than_count_in_the_last_period(arrivals, count, period, charging):
    expected = defined(
        arrivals, charging, lambda at, old: sum(at < t + period for t in old) < count
    )
    judge = SlidingLog(count, period, count_refused=charging)
    assert verdicts(judge, arrivals) == expected


@given(times, counts, periods, charging)
def test_clock_window_counts_from_each_multiple_of_the_period(arrivals, count, period, charging):
    expected = defined(
        arrivals, charging, lambda at, old: sum(t // period == at // period for t in old) < count
    )
    judge = FixedWindow(count, period, aligned="clock", count_refused=charging)
    assert verdicts(judge, arrivals) == expected


@given(times, counts, periods, charging)
def test_first_window_counts_from_the_first_arrival_after_the_last_window(
    arrivals, count, period, charging
):
    def admit(at: float, old: list[float]) -> bool:
        start: float | None = None
        used = 0
        for t in [*old, at]:
            if start is None or t >= start + period:
                start, used = t, 0
            used += 1
        return bool(used <= count)

    judge = FixedWindow(count, period, aligned="first", count_refused=charging)
    assert verdicts(judge, arrivals) == defined(arrivals, charging, admit)


@given(times, counts, periods, charging)
def test_token_bucket_refills_continuously_and_never_past_count(arrivals, count, period, charging):
    tokens, last = Fraction(count), Fraction(0)
    expected = []
    for at in map(Fraction, arrivals):
        tokens = min(Fraction(count), tokens + (at - last) * count / Fraction(period))
        last = at
        expected.append(tokens >= 1)
        if tokens >= 1:
            tokens -= 1
        elif charging:
            tokens = Fraction(0)
    judge = TokenBucketJudge(count, period, count_refused=charging)
    assert verdicts(judge, arrivals) == expected


@given(times, counts, periods, charging)
def test_weighted_window_adds_the_last_window_by_its_share(arrivals, count, period, charging):
    def admit(at: float, old: list[float]) -> bool:
        index = at // period
        share = Fraction(at) / Fraction(period) - int(index)
        before = sum(t // period == index - 1 for t in old)
        return bool(before * (1 - share) + sum(t // period == index for t in old) < count)

    judge = WeightedWindow(count, period, count_refused=charging)
    assert verdicts(judge, arrivals) == defined(arrivals, charging, admit)


@given(times, counts, periods)
def test_what_the_sliding_log_admits_fixed_windows_and_token_bucket_admit(arrivals, count, period):
    log = SlidingLog(count, period)
    legal = [at for at in arrivals if log.admit(at)]
    for name in ("fixed", "fixed-first", "token-bucket"):
        assert all(verdicts(make_judge(name, count, period), legal)), name


def test_a_window_is_half_open():
    judge = SlidingLog(1, 1.0)
    assert verdicts(judge, [0.0, 0.999999, 1.0]) == [True, False, True]


def test_aiolimiters_burst_is_refused_by_the_sliding_log():
    drip = [0.0] * 6 + [n / 6 for n in range(1, 6)]
    assert sum(verdicts(SlidingLog(6, 1.0), drip)) == 6
    assert sum(verdicts(TokenBucketJudge(6, 1.0), drip)) == 11


def test_weighted_window_refuses_bursts_that_the_sliding_log_admits():
    bursts = [0.0] * 6 + [1.0] * 6
    assert all(verdicts(SlidingLog(6, 1.0), bursts))
    assert not all(verdicts(WeightedWindow(6, 1.0), bursts))


@pytest.mark.parametrize("count", [1, 2, 6, 20])
def test_weighted_window_admits_requests_spaced_by_a_quarter_more(count):
    spaced = [n * 1.25 / count for n in range(200)]
    assert all(verdicts(WeightedWindow(count, 1.0), spaced))


@pytest.mark.parametrize("name", JUDGES)
def test_every_judge_admits_count_at_once_and_no_more(name):
    assert verdicts(make_judge(name, 3, 1.0), [5.0] * 4) == [True, True, True, False]


def test_an_unknown_judge_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match="'harsh'.*sliding, fixed"):
        make_judge("harsh", 6, 1.0)
