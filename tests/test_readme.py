"""The README says what is true."""

from __future__ import annotations

import re
from pathlib import Path

import okx_funding
from okx_funding.auth.settings import SITES
from okx_funding.cli.parser import make_parser

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text("utf-8")


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


def test_the_page_of_keys_names_every_host():
    page = (DOCS / "getting-started.md").read_text("utf-8")
    assert all(host in page for host in SITES.values())


def test_every_error_is_in_the_table():
    page = (DOCS / "errors.md").read_text("utf-8")
    names = [name for name in okx_funding.__all__ if name.endswith("Error")]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_it_fits_one_reading():
    assert len(README.splitlines()) <= 130


def test_every_command_of_its_shell_is_there():
    commands = [
        line.split("#")[0].split() for line in README.splitlines() if ".venv/bin/okx" in line
    ]
    known = make_parser().format_help()
    used = [words[words.index(".venv/bin/okx-funding") + 1] for words in commands]
    assert len(used) >= 4
    assert [name for name in used if f"    {name} " not in known] == []
    scripts = re.findall(r"examples/\w+\.py", README)
    assert scripts
    assert all((ROOT / script).exists() for script in scripts)
