"""What is worth another request, and how soon: the rules at their very bounds."""

from __future__ import annotations

import pytest

from okx_funding import (
    APIError,
    AuthenticationError,
    HTTPStatusError,
    InvalidParameterError,
    ProtocolError,
)
from okx_funding.scheduler.retry import RetryBudget, delay, may_have_worked, may_pass


def page(status):
    """What a gateway says without OKX's envelope."""
    return HTTPStatusError("page", http_status=status, endpoint="GET /")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(428, None), (429, "throttle"), (430, None), (499, None), (500, "fault"), (599, "fault")],
)
def test_of_a_gateways_pages_429_and_whatever_begins_with_5_may_pass(status, kind):
    assert may_pass(page(status), 0) == kind


@pytest.mark.parametrize(("status", "kind"), [(499, None), (500, "fault"), (501, "fault")])
def test_a_code_that_nobody_knows_may_pass_where_its_status_says_so(status, kind):
    assert may_pass(APIError("99999", "", status, "GET /"), 0) == kind


@pytest.mark.parametrize("kind", [AuthenticationError, InvalidParameterError])
def test_what_is_known_not_to_pass_does_not_whatever_its_status(kind):
    assert may_pass(kind("50111", "", 500, "GET /"), 0) is None


@pytest.mark.parametrize("status", [299, 408, 429, 500])
def test_what_a_gateway_may_have_let_through_may_have_worked(status):
    assert may_have_worked(page(status))


@pytest.mark.parametrize("status", [300, 407, 409, 428, 430, 499])
def test_what_a_gateway_turned_away_has_not_worked(status):
    assert not may_have_worked(page(status))


@pytest.mark.parametrize(("status", "may"), [(499, False), (500, True)])
def test_what_okx_failed_at_may_have_worked(status, may):
    assert may_have_worked(APIError("99999", "", status, "GET /")) is may


def test_a_stale_connection_lets_the_second_attempt_start_at_once_and_no_other():
    error = ProtocolError("reset")
    error.stale = True
    assert [delay(error, "fault", failures, 1.0) for failures in range(3)] == [0.0, 0.2, 0.4]


# -- the budget -------------------------------------------------------------------------------


def retries_after(firsts):
    """How many retries in a row so many first attempts allow, and the budget that is left."""
    budget, retries = RetryBudget(), 0
    for _ in range(firsts):
        budget.first()
    while budget.spend():
        retries += 1
    return retries, budget


@pytest.mark.parametrize(("firsts", "retries"), [(0, 5), (59, 5), (60, 6), (990, 99)])
def test_a_tenth_is_counted_from_the_first_attempt_on(firsts, retries):
    assert retries_after(firsts)[0] == retries


def test_four_first_attempts_that_succeed_earn_a_retry():
    _, budget = retries_after(0)
    earned = []
    for _ in range(8):
        budget.succeeded(again=False)
        earned.append(budget.spend())
    assert earned == [False, False, False, True] * 2


def test_a_long_good_time_does_not_pay_for_a_storm():
    retries, budget = retries_after(100_000)
    assert retries <= budget.SHARE * budget.MEMORY


def test_retries_of_long_ago_are_forgotten_like_first_attempts():
    _, budget = retries_after(1000)
    budget.first()
    assert (budget.firsts, budget.retries) == (500.5, 50)
