"""The house: who imports whom, where third parties live, and how large a room may be.

The floors stand in pyproject.toml, as import-linter's contracts.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import okx_funding

HOUSE = Path(okx_funding.__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))
LONGEST_MODULE, LONGEST_CLASS, MOST_METHODS = 350, 250, 20
FACADES = {"SimulatedExchange"}
"""Classes that may be larger: what tests of users' own programs hold in their hands."""
STILL_TOO_LARGE = set(
    """auth.credentials client.accounts errors ratelimit.machine.bucket ratelimit.redis.bucket
    ratelimit.redis.store scheduler.dispatcher scheduler.push scheduler.single session
    simulator.accounts simulator.channels simulator.faults""".split()
)
"""Modules that are to be divided; nothing joins this list."""

THIRD_PARTIES = {
    "aiohttp": {"wire", "session"},  # there as the type of an argument only
    "yarl": {"wire"},
    "aiolimiter": {"ratelimit", "scheduler", "session"},
    "redis": {"ratelimit"},
    "filelock": {"ratelimit"},
    "psycopg": {"money"},
    "rich": {"cli"},
    "shtab": {"cli"},
    "pytest": {"testing"},
    "pytest_asyncio": {"testing"},
    "prometheus_client": {"telemetry"},
    "opentelemetry": {"telemetry"},
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(HOUSE).with_suffix("").parts)


def test_imports_go_downward_only():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(
        command, cwd=HOUSE.parent, capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_the_list_of_rooms_is_short():
    rooms = [each for each in HOUSE.iterdir() if not each.name.startswith("__pycache__")]
    assert len(rooms) <= 16, sorted(each.name for each in rooms)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_each_third_party_has_its_room(path):
    room = path.relative_to(HOUSE).with_suffix("").parts[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            rooms = THIRD_PARTIES.get(name.partition(".")[0])
            assert rooms is None or room in rooms, f"{name} in {room}"


SMALL = [path for path in FILES if name_of(path) not in STILL_TOO_LARGE]


@pytest.mark.parametrize("path", SMALL, ids=name_of)
def test_no_room_grows_too_large(path):
    text = path.read_text("utf-8")
    assert text.count("\n") <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.name not in FACADES:
            assert (node.end_lineno or 0) - node.lineno < LONGEST_CLASS, node.name
            methods = [
                each
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
            assert len(methods) <= MOST_METHODS, node.name
