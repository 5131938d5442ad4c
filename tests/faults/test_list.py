"""The list of faults, and that none of its rows was forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROWS = {"N": 15, "H": 19, "O": 11, "R": 8, "C": 16, "I": 10, "X": 4, "M": 7}
"""Network, HTTP, OKX, rate and time, cancelling and closing, input, resources; money."""

HERE = Path(__file__).parent


def names(folder):
    return {
        name
        for path in folder.glob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }


NAMES = " ".join(names(HERE))


@pytest.mark.parametrize(
    "number",
    [f"{letter}{number}" for letter, last in ROWS.items() for number in range(1, last + 1)],
)
def test_every_row_of_the_list_has_a_test_of_its_name(number):
    assert f"_{number}_" in NAMES


def test_the_list_is_as_long_as_it_was():
    assert sum(ROWS.values()) - ROWS["M"] == 83
