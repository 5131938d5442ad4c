"""What the repository holds: no large files, and a gate that runs every session there is."""

from __future__ import annotations

import re
from pathlib import Path

from tests import large_files

ROOT = Path(__file__).parent.parent
NOXFILE = (ROOT / "noxfile.py").read_text("utf-8")
GATE = (ROOT / ".ci" / "run").read_text("utf-8")


def largest() -> int:
    found = re.search(r"^LARGEST = ([\d_]+)$", NOXFILE, re.MULTILINE)
    assert found
    return int(found[1])


def test_no_file_is_too_large():
    assert largest() == 500_000
    assert list(large_files.too_large(largest())) == []


def test_a_file_that_is_too_large_is_named(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "wheel.whl").write_bytes(b"x" * 500_001)
    (tmp_path / "README.md").write_bytes(b"x" * 500_000)
    assert list(large_files.too_large(500_000, tmp_path)) == [
        "docs/wheel.whl has 500,001 bytes, at most 500,000"
    ]


def test_the_gate_runs_every_session_but_the_benchmarks():
    sessions = re.findall(r"^@nox\.session\ndef (\w+)", NOXFILE, re.MULTILINE)
    run = re.findall(r"^(?:if .*then )?nox \d+ (\w+)", GATE, re.MULTILINE)
    assert run == [name for name in sessions if name != "benchmarks"]


def test_contributing_is_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()) <= 66
