"""The pytest plugin: what users' tests get without importing anything."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from okx_funding import FundingClient
from okx_funding.scheduler.context import Policy
from okx_funding.testing import asynchronous, fixtures

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "testing-your-bot.md"
LOOPTIME = [
    option
    for point in entry_points(group="pytest11")
    if point.dist is not None and point.dist.name == "looptime"
    for option in ("-p", point.name)
]


@pytest.fixture
def pytest_on(tmp_path):
    """Run pytest, in a process of its own, on a file outside of this project."""

    def run(code: str, *argv: str, ini: str = "") -> str:
        (tmp_path / "test_bot.py").write_text(code, "utf-8")
        (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = --strict-markers\n{ini}")
        environment = {name: value for name, value in os.environ.items() if name[:4] != "OKX_"}
        environment |= {"PYTHONPATH": str(HERE.parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        options = ["-p", "okx_funding.testing.plugin", "-p", "no:cacheprovider", *argv]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=50,
        )
        return done.stdout + done.stderr

    return run


def test_every_recipe_of_the_documentation_works(pytest_on):
    code = "\n\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    written = len(re.findall(r"^(?:async )?def test_", code, re.MULTILINE))
    out = pytest_on(
        code,
        "-W", "error", "-q", "-p", "asyncio", *LOOPTIME,
        ini="asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function",
    )  # fmt: skip
    assert f"{written} passed" in out.splitlines()[-1], out


@pytest.mark.slow
def test_it_works_in_strict_mode_as_well(pytest_on):
    code = """
import pytest

@pytest.mark.asyncio
async def test_one(okx_client):
    assert await okx_client.get_non_tradable_assets("CELT")
"""
    out = pytest_on(code, "-p", "asyncio", ini="asyncio_mode = strict")
    assert "1 passed" in out, out


@pytest.mark.slow
def test_without_pytest_asyncio_it_says_what_is_missing_and_the_rest_works(pytest_on):
    code = """
import asyncio
from okx_funding import FundingClient

def test_asynchronous(okx_client):
    pass

async def ask():
    async with FundingClient() as client:
        return await client.get_non_tradable_assets("CELT")

def test_synchronous(okx_exchange_in_thread, okx_environment):
    assert asyncio.run(ask())
"""
    out = pytest_on(code)
    assert "1 passed, 1 error" in out, out
    assert "the fixture okx_client needs pytest-asyncio: pip install pytest-asyncio" in out


def test_to_load_it_costs_nothing(pytest_on):
    code = """
import sys

def test_what_is_loaded():
    ours = sorted(name for name in sys.modules if name.startswith("okx_funding"))
    assert ours == ["okx_funding"] + ["okx_funding.testing"] + [
        f"okx_funding.testing.{name}" for name in ("fixtures", "missing", "plugin")
    ]
    assert not {"aiohttp", "aiolimiter", "msgspec", "rich", "yarl"} & set(sys.modules)
"""
    out = pytest_on(code)
    assert "1 passed" in out, out


def test_every_fixture_is_explained_and_its_name_is_ours():
    page = PAGE.read_text("utf-8")
    for module in (fixtures, asynchronous):
        for name, value in vars(module).items():
            if type(value).__name__ == "FixtureFunctionDefinition":
                assert name.startswith("okx_")
                assert value.__doc__
                assert f"`{name}`" in page


async def test_each_test_has_a_user_of_its_own(okx_exchange, okx_client, okx_credentials):
    assert okx_exchange.users == [okx_credentials]
    assert await okx_client.get_user_id() == okx_credentials.user_id


@pytest.fixture
def okx_exchange_options():
    return {"currencies": 5, "latency": 0.001}


@pytest.mark.okx_exchange(currencies=7)
async def test_options_come_from_the_fixture_and_then_from_the_nearest_marker(okx_exchange):
    assert len(okx_exchange.currencies) == 7
    assert okx_exchange.latency == 0.001


@pytest.mark.okx_client(policy=Policy(max_queue=1))
async def test_the_client_has_options_of_its_own(okx_client):
    assert "max_queue=1" in repr(
        await asyncio.gather(
            okx_client.get_asset_valuation(),
            okx_client.get_asset_valuation(),
            return_exceptions=True,
        )
    )


async def test_the_environment_is_the_exchanges_alone(okx_exchange, okx_environment, monkeypatch):
    assert {name: os.environ[name] for name in okx_environment} == okx_environment
    async with FundingClient() as client:
        assert len(await client.get_non_tradable_assets()) >= 5
    assert len(okx_exchange.log) == 1


@pytest.fixture
def somebodys_environment(monkeypatch):
    monkeypatch.setenv("OKX_SECRET", "somebody's own")
    monkeypatch.setenv("OKX_PROXY", "http://127.0.0.1:9")


async def test_what_was_in_the_environment_is_out_of_the_way(
    somebodys_environment, okx_exchange, okx_client, okx_environment
):
    assert await okx_client.get_non_tradable_assets("CELT")
    async with FundingClient() as client:
        assert await client.get_non_tradable_assets("CELT")


@pytest.mark.parametrize(
    ("marker", "advice"),
    [
        ("okx_client(max_retires=0)", "okx_client has no option 'max_retires': did you mean max_r"),
        ("okx_exchange(latenzy=1)", "okx_exchange has no option 'latenzy': did you mean latency?"),
        ("okx_exchange(zzz=1)", "okx_exchange has no option 'zzz'; it takes users"),
    ],
)
@pytest.mark.slow
def test_a_wrong_option_of_a_marker_is_told_in_a_line(pytest_on, marker, advice):
    code = f"import pytest\n@pytest.mark.{marker}\nasync def test_it(okx_client): pass\n"
    out = pytest_on(code, "-p", "asyncio", ini="asyncio_mode = auto\n")
    assert advice in out
    assert "Traceback" not in out
    assert "okx_funding/testing" not in out
