"""The README says what is true."""

from __future__ import annotations

import re
from pathlib import Path

import okx_funding
from okx_funding.auth.settings import SITES
from okx_funding.cli import outcome

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_the_example_runs(capsys):
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "main" in block
    )
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    out = capsys.readouterr().out
    assert "CELT CELT-OKTC " in out
    assert "assets; all accounts:" in out


def test_the_first_two_commands_are_the_ones_promised():
    commands = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)[0].splitlines()
    assert commands == [
        "python3 -m venv .venv && .venv/bin/python -m pip install -e '.[test]' "
        "&& .venv/bin/okx-funding demo",
        ".venv/bin/python -m pytest",
    ]


def test_exit_codes_and_hosts_are_the_commands_own():
    assert all(f"| {code} | {meaning} |" in README for code, meaning in outcome.EXIT_CODES.items())
    assert all(host in README for host in SITES.values())


def test_every_error_is_in_the_table():
    names = [name for name in okx_funding.__all__ if name.endswith("Error")]
    assert [name for name in names if f"`{name}`" not in README] == []
