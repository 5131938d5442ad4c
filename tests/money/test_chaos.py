"""Many users, several processes, one journal, and a fifth goes wrong: the books balance."""

from __future__ import annotations

import pytest

from benchmarks import money_chaos


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_books_balance_to_the_last_digit_when_a_fifth_goes_wrong():
    """``python -m benchmarks money --chaos`` does the same 10,000 times."""
    result = money_chaos.run(300, users=20, processes=2)

    assert result.problems == []
    assert result.intents == 300
    assert result.faults > 50
    assert result.movements == result.done > 200
