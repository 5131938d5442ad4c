"""Everything at once: what `okx-funding demo --chaos` promises, in virtual time."""

from __future__ import annotations

import asyncio
import json

import pytest

from okx_funding import FundingClient
from okx_funding.cli import chaos, main
from okx_funding.ratelimit.bucket import TokenBucket
from tests.support import virtually

pytestmark = pytest.mark.looptime


def total(happened):
    return happened.answered + happened.left + sum(happened.errors.values())


@pytest.mark.slow
async def test_ten_thousand_callers_come_through_all_faults_there_are():
    happened = await chaos.run(10_000, 500)
    assert happened.problems == ()
    assert total(happened) == happened.callers == 10_000
    assert happened.answered > 5000
    assert len(happened.faults) == happened.kinds
    assert len(happened.mishaps) == 5
    assert happened.busiest_window == 6
    assert happened.slots_free == happened.slots == 40 * 7
    assert happened.arrived <= happened.requests


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.slow
async def test_so_do_fewer_of_them_whatever_chance_decides(seed):
    happened = await chaos.run(600, 100, seed=seed)
    assert happened.problems == ()
    assert total(happened) == 600


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_demo_tells_what_happened(form, capsys, monkeypatch):
    monkeypatch.setattr(asyncio, "run", virtually)
    assert main(["demo", "--chaos", "--callers", "200", "--currencies", "40", *form]) == 0
    out = capsys.readouterr().out
    if form:
        assert json.loads(out)["callers"] == 200
    else:
        for word in ("200 of 4 users", "of 30 ways", "6 per 1 s", "are free again"):
            assert word in out


def test_wrong_rows_are_noticed(capsys, monkeypatch):
    async def wrong(self, ccy):
        return []

    monkeypatch.setattr(asyncio, "run", virtually)
    monkeypatch.setattr(FundingClient, "get_non_tradable_assets", wrong)
    assert main(["demo", "--chaos", "--callers", "60", "--currencies", "10"]) == 1
    assert "got other rows" in capsys.readouterr().err


async def test_a_slot_that_is_missing_is_noticed(monkeypatch):
    answered = TokenBucket.answered
    lost: list[object] = []

    def forget(self, slot, now, **how):
        if lost or self.limit.count == 1:
            answered(self, slot, now, **how)
        else:
            lost.append(slot)

    monkeypatch.setattr(TokenBucket, "answered", forget)
    happened = await chaos.run(100, 50)
    assert "1 slots are missing" in happened.problems


async def test_a_caller_who_hears_nothing_is_noticed(monkeypatch):
    async def never(self, ccy):
        await asyncio.Event().wait()

    monkeypatch.setattr(FundingClient, "get_non_tradable_assets", never)
    with pytest.raises(Exception, match=r"it hung: \d+ callers waited for 90 s"):
        await chaos.run(10, 10)
