"""Deposits and withdrawals as they happen: lines in a pipe, JSON for scripts, a live screen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from okx_funding.simulator import SimulatedExchange

from .conftest import KEY, PASSPHRASE, SECRET, Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@contextmanager
def started(exchange: SimulatedExchange, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A command of its own, connected to the exchange; SIGTERM ends it."""
    environment = {
        **os.environ,
        "OKX_API_KEY": KEY,
        "OKX_SECRET_KEY": SECRET,
        "OKX_PASSPHRASE": PASSPHRASE,
        "OKX_API_BASE_URL": exchange.base_url,
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "okx_funding", *argv, "--no-machine-limits"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def when_listening(exchange: SimulatedExchange, do: Callable[[], object]) -> None:
    """Do it once a WebSocket is open and what was there before was read."""
    never = threading.Event()
    for _ in range(600):
        if exchange.websockets.open and any("-history" in it.target for it in exchange.log):
            break
        never.wait(0.05)
    do()


@pytest.mark.parametrize(
    "argv",
    [
        ("watch", "deposits", "--json"),
        ("deposit-history", "--follow", "--json"),
    ],
)
def test_a_deposit_is_a_line_of_json_with_a_bookmark(
    exchange: SimulatedExchange, argv: tuple[str, ...]
) -> None:
    with started(exchange, *argv) as process:
        assert process.stdout is not None
        when_listening(exchange, lambda: exchange.account().deposit("BTC", "0.25"))
        events = [json.loads(process.stdout.readline())]
        while events[-1]["state"] != "2":
            events.append(json.loads(process.stdout.readline()))
        assert {(it["ccy"], it["amt"], it["depId"]) for it in events} == {
            ("BTC", "0.25", events[0]["depId"])
        }
        assert all(it["bookmark"] for it in events)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_in_a_pipe_people_get_a_line_for_each_event(exchange: SimulatedExchange) -> None:
    with started(exchange, "watch", "deposits", "--ccy", "ETH") as process:
        assert process.stdout is not None
        when_listening(exchange, lambda: exchange.account().deposit("ETH", "2"))
        line = process.stdout.readline()
        while "(final)" not in line:
            assert " 2 ETH " in line
            line = process.stdout.readline()
        assert line.endswith("state 2 (final)\n")


def test_a_bookmark_goes_on_where_it_ended(run: Run, exchange: SimulatedExchange) -> None:
    code, _, err = run("watch", "deposits", "--since", "not a bookmark", "--json")
    assert code == 2
    assert "bookmark" in err


def test_following_wants_json(run: Run) -> None:
    code, _, err = run("withdrawal-history", "--follow")
    assert code == 2
    assert "--follow needs --json" in err


def test_following_takes_no_other_filter(run: Run) -> None:
    code, _, err = run("deposit-history", "--follow", "--json", "--state", "2")
    assert code == 2
    assert "--state doesn't go with --follow" in err
