"""What whoever operates it sees: the machine's limits, drift of fields, a simulated exchange."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from okx_funding import FundingClient, Session
from okx_funding.api import ENDPOINTS
from okx_funding.cli import main, show
from okx_funding.cli.limits import counted_by, in_words
from okx_funding.cli.simulate import set_faults
from okx_funding.ratelimit.machine import MachineLimits
from okx_funding.simulator import Fault, SimulatedExchange
from okx_funding.testing import unknown_fields

from .conftest import Run

# Limits.


def test_limits_are_told_in_words() -> None:
    quotes = ENDPOINTS["estimate_quote"].limits
    assert [in_words(it) for it in quotes] == ["10 per 1 s", "1 per 5 s"]
    assert counted_by(quotes[0]) == "User ID"
    assert "pair of baseCcy and quoteCcy" in counted_by(quotes[1])
    (quota,) = ENDPOINTS["apply_monthly_statement"].limits
    assert in_words(quota).endswith("a quota: never waited out")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands share their limits in a folder of this test."""
    folder = tmp_path / "limits"
    monkeypatch.setattr(
        "okx_funding.cli.connection.machine_limits", lambda args: MachineLimits(folder)
    )
    return folder


def test_commands_in_a_row_share_the_limits_of_the_machine(
    run: Run, exchange: SimulatedExchange, machine: Path
) -> None:
    for _ in range(3):
        assert run("asset-valuation", "--json")[0] == 0
    assert len(exchange.requests()) == 3
    assert not exchange.refused


def test_the_machines_limits_show_processes_tickets_and_silence(
    run: Run, exchange: SimulatedExchange, machine: Path
) -> None:
    assert "No process has asked" in run("limits", "--folder", str(machine))[1]
    found: dict[str, Any] = {}

    async def look() -> None:
        async with (
            Session(limits=MachineLimits(machine)) as session,
            FundingClient(session=session) as client,
        ):
            asking = asyncio.create_task(client.get_balances())
            await asyncio.sleep(0.2)  # within the silent window of a new file
            found["table"] = run("limits", "--folder", str(machine))[1]
            found["json"] = json.loads(run("limits", "--folder", str(machine), "--json")[1])
            await asking

    asyncio.run(look())
    assert str(machine) in found["table"]
    assert "silent for" in found["table"]
    (limit,) = found["json"]["limits"]
    assert (limit["processes"], limit["waiting"]) == (1, 1)
    assert limit["silentFor"] > 0
    assert sum(found["json"]["silences"].values()) == 1


# Drift of fields.


def reports(**options: Any) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with FundingClient() as client:
            return {it.endpoint: it async for it in unknown_fields(client, **options)}

    return asyncio.run(ask())


def test_every_read_is_asked_once_or_it_is_said_why_not(exchange: SimulatedExchange) -> None:
    found = reports()
    assert set(found) == {name for name, it in ENDPOINTS.items() if it.method == "GET"}
    asked = [it for it in found.values() if not it.not_asked]
    assert len(asked) > 25
    assert not [it for it in asked if it.unknown]
    assert "it needs transId" in found["transfer_state"].not_asked
    assert "ordId" in found["get_fiat_deposit"].not_asked


def test_a_field_that_nobody_knows_is_named_without_its_value(
    run: Run, exchange: SimulatedExchange
) -> None:
    def changed(rows: list[Any]) -> list[Any]:
        rows = [dict(row, newField="value-nobody-may-see") for row in rows]
        for row in rows:
            del row["frozenBal"]
        return rows

    exchange.fail_next(1, Fault.rows("drift", changed), "get_balances")
    report = reports(names=["get_balances"])["get_balances"]
    assert (report.unknown, report.missing) == (("newField",), ("frozenBal",))
    exchange.fail_next(1, Fault.rows("drift", changed), "get_balances")
    code, out, _ = run("doctor", "--fields")
    assert code == 0
    assert "get_balances" in out
    assert "nobody knows here: newField" in out
    assert "documented and missing: frozenBal" in out
    assert "value-nobody-may-see" not in out


def test_what_the_key_may_not_read_is_said(exchange: SimulatedExchange) -> None:
    exchange.fail_next(1, Fault.code("50120"), "get_balances")
    report = reports(names=["get_balances"])["get_balances"]
    assert "50120" in report.not_asked


# A simulated exchange.


def test_faults_are_drawn_by_their_shares() -> None:
    exchange = SimulatedExchange()
    set_faults(exchange, [("reset", 0.3), ("50011", 0.1)])
    drawn = [exchange._injector.next("get_balances") for _ in range(4000)]
    names = [str(it) for it in drawn if it is not None]
    assert 0.36 < len(names) / 4000 < 0.44
    assert 0.2 < sum("50011" in name for name in names) / len(names) < 0.3


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--fault", "nonsense"], "--fault: no 'nonsense'; there are all, money"),
        (["--fault", "reset:0.8", "--fault", "close:0.8"], "make 1.6 together"),
        (["--fault", "reset:2"], "a share up to 1"),
        (["--balance", "USDT"], "a currency and an amount"),
        (["--users", "0"], "a whole number from 1"),
    ],
)
def test_what_can_not_be_simulated_is_told(run: Run, argv: list[str], complaint: str) -> None:
    code, _, err = run("simulate", "--port", "0", *argv)
    assert code == 2
    assert complaint in err


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_simulated_exchange_has_users_and_balances_of_choice(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = (
        "simulate",
        "--port",
        "0",
        "--users",
        "2",
        "--seed",
        "7",
        "--balance",
        "BTC=3",
        "--json",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "okx_funding", *argv],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert len(told["users"]) == 2
        known = SimulatedExchange(seed=7).credentials  # what programs beside it reckon with
        assert told["users"][0]["OKX_API_KEY"] == known.api_key
        for name, value in told["users"][1].items():
            monkeypatch.setenv(name, value)
        assert main(["balances", "BTC", "--csv"]) == 0
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


# Output that ends early.


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("argv", [["currencies", "--csv"], ["bills", "--all", "--json"]])
def test_a_full_disk_is_told_in_one_line(exchange: SimulatedExchange, argv: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "okx_funding", *argv, "--no-machine-limits"],
            stdout=full, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        )  # fmt: skip
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_ends_a_walk_without_a_traceback(exchange: SimulatedExchange) -> None:
    exchange.account().add_bills(400, "BTC")
    words = f"{sys.executable} -m okx_funding bills --all --csv --no-machine-limits | head -n 1"
    done = subprocess.run(
        ["sh", "-c", words], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert done.stdout.startswith("ts,")
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


# On a terminal.


def test_a_walk_shows_on_a_terminal_how_far_it_is(
    run: Run, exchange: SimulatedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange.account().add_bills(250, "BTC")
    made = show.console

    def console(*, stderr: bool = False) -> Any:
        return Console(stderr=True, force_terminal=True) if stderr else made()

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(show, "console", console)
    code, out, err = run("bills", "--ccy", "BTC", "--all", "--csv")
    assert code == 0
    assert len(out.splitlines()) == 251
    assert "pages, " in err
    assert "rows" in err
