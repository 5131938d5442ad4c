"""The examples run, against a simulated exchange, and do what they say."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from okx_funding.simulator import Fault

from .support import ASSETS

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def run(capsys, monkeypatch):
    """Run an example as a script and give what it prints."""

    def run(name: str, *argv: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *argv])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        out, err = capsys.readouterr()
        assert not err
        printed: str = out
        return printed

    return run


def test_every_example_is_in_the_table_and_says_how_to_run_it():
    table = (EXAMPLES / "README.md").read_text("utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"[{path.name}]({path.name})" in table
        assert f"    python examples/{path.name}" in path.read_text("utf-8")


def test_the_bot_s_coroutines_share_requests(run):
    out = run("bot", "--rounds", "2")
    assert "60 of 60 currencies have a balance" in out
    assert "CELT: 989.84719571 could leave by CELT-OKTC, for 2 USDT" in out
    assert "refused: 0" in out


def test_the_bot_asks_the_real_host_when_told_to(run, okx_exchange_in_thread, okx_environment):
    out = run("bot", "--live", "--rounds", "1")
    assert "could leave by" in out
    assert okx_exchange_in_thread.requests(ASSETS)
    assert not okx_exchange_in_thread.refused


def test_sub_accounts_are_asked_at_once_and_a_wrong_key_harms_nobody(run):
    out = run("sub_accounts")
    assert "together: 46364.23 USDT" in out
    assert "answered 50111" in out
    assert "(0 refused" in out


def test_python_okx_gives_the_same(run):
    pytest.importorskip("okx.Funding", reason="pip install python-okx")
    assert run("from_python_okx").endswith("the same\n")


def test_ccxt_gives_the_same(run):
    out = run("from_ccxt")
    if "ccxt isn't installed" in out:
        pytest.skip("pip install ccxt")
    assert out.endswith("the same\n")


def test_the_service_answers_once(run):
    out = run("service", "--once", "--port", "0")
    assert '{"total": "3790.09", "ccy": "USDT"}' in out
    assert '"balance": "989.84719571"' in out
    assert "2 calls (2 answered" in out


@pytest.fixture
async def service(okx_exchange):
    example = runpy.run_path(str(EXAMPLES / "service.py"))
    app = example["make_app"](okx_exchange.credentials, okx_exchange.base_url)
    async with TestClient(TestServer(app)) as browser:
        yield browser


async def test_the_service_shows_a_page_and_all_assets(service, okx_exchange):
    assert "<title>Funding account</title>" in await (await service.get("/")).text()
    rows = await (await service.get("/assets")).json()
    assert {row["ccy"] for row in rows} == set(okx_exchange.currencies)


async def test_browsers_that_come_together_share_a_request(service, okx_exchange):
    for _ in range(5):
        assert (await service.get("/assets?ccy=CELT&ccy=MEME")).status == 200
    assert len(okx_exchange.requests()) == 1


@pytest.mark.parametrize(
    ("path", "fault", "status"),
    [
        ("/assets?ccy=B,TC", None, 400),
        ("/valuation?ccy=JP", None, 400),
        ("/assets?ccy=CELT", Fault.code("51000"), 400),
        ("/assets?ccy=CELT", Fault.code("50113"), 502),
    ],
)
async def test_the_service_turns_errors_into_statuses(service, okx_exchange, path, fault, status):
    if fault:
        okx_exchange.fail_next(1, fault)
    answer = await service.get(path)
    assert answer.status == status
    assert "error" in await answer.json()
