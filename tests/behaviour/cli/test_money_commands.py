"""What moves money or changes something asks first, is sent once, and tells what became of it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from okx_funding import FundingClient, SQLiteJournal
from okx_funding.cli.declared import declared
from okx_funding.money import Intent
from okx_funding.simulator import Fault, SimulatedExchange

from .conftest import KEY, PASSPHRASE, SECRET, Run

TRANSFER = ("transfer", "--ccy", "USDT", "--amt", "1.5", "--from", "funding", "--to", "trading")
CONVERT = (
    "convert-trade", "--base-ccy", "BTC", "--quote-ccy", "USDT", "--side", "buy",
    "--rfq-sz", "30", "--rfq-sz-ccy", "USDT",
)  # fmt: skip
MONEY: dict[str, tuple[str, ...]] = {
    "funds_transfer": TRANSFER,
    "withdrawal": (
        "withdrawal", "--ccy", "USDT", "--amt", "10", "--dest", "4", "--to-addr", "ADDRESS",
        "--chain", "USDT-ERC20",
    ),
    "convert_trade": CONVERT,
    "create_fiat_withdrawal": (
        "fiat-create-withdrawal", "--ccy", "USD", "--amt", "10", "--payment-acct-id", "1",
        "--payment-method", "US_WIRE",
    ),
    "buy_sell_trade": (
        "fiat-buy-sell-trade", "--side", "buy", "--from-ccy", "USD", "--to-ccy", "USDT",
        "--rfq-amt", "30", "--rfq-ccy", "USD",
    ),
    "subaccount_transfer": (
        "subaccount-transfer", "--ccy", "USDT", "--amt", "1", "--from", "funding",
        "--to", "funding", "--from-sub-account", "trading1", "--to-sub-account", "trading2",
        "--acknowledge-no-handle",
    ),
}  # fmt: skip
CHANGES: dict[str, tuple[str, ...]] = {
    "cancel_withdrawal": ("cancel-withdrawal", "--wd-id", "1"),
    "cancel_fiat_withdrawal": ("fiat-cancel-withdrawal", "--ord-id", "1"),
    "set_permission_transfer_out": (
        "users-subaccount-set-transfer-out", "--sub-acct", "trading1", "--no-can-trans-out",
    ),
    "create_subaccount": ("users-subaccount-create-subaccount", "--sub-acct", "trading3"),
    "reset_subaccount_apikey": (
        "users-subaccount-modify-apikey", "--sub-acct", "trading1", "--api-key", "k",
        "--label", "new",
    ),
    "delete_subaccount_apikey": (
        "users-subaccount-delete-apikey", "--sub-acct", "trading1", "--api-key", "k",
    ),
}  # fmt: skip
ALL = {**MONEY, **CHANGES}


@pytest.fixture
def argv(exchange: SimulatedExchange, request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The words of a command, with an address that the user may withdraw to."""
    address = exchange.account().address
    return tuple(address if word == "ADDRESS" else word for word in ALL[request.param])


def posts(exchange: SimulatedExchange, name: str) -> list[bytes]:
    path = next(it.endpoint.path for it in declared() if it.endpoint.name == name)
    return [it.body for it in exchange.log if it.method == "POST" and it.target == path]


def test_each_command_that_moves_or_changes_something_is_tested_here() -> None:
    assert {it.endpoint.name for it in declared() if it.role != "read"} == set(ALL)


@pytest.mark.parametrize(("argv", "name"), [(name, name) for name in ALL], indirect=["argv"])
def test_where_nobody_can_be_asked_nothing_is_sent_without_yes(
    run: Run, exchange: SimulatedExchange, monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...], name: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert "--yes sends without a question" in err
    assert not posts(exchange, name)


@pytest.mark.parametrize(("argv", "name"), [(name, name) for name in ALL], indirect=["argv"])
def test_a_dry_run_shows_the_request_that_would_be_sent(
    run: Run, exchange: SimulatedExchange, argv: tuple[str, ...], name: str
) -> None:
    more = ["--client-id", "c1"] if name in MONEY else []
    code, out, _ = run(*argv, *more, "--dry-run", "--json")
    shown = json.loads(out)
    assert code == 0
    assert not posts(exchange, name)
    run(*argv, *more, "--yes")
    sent = posts(exchange, name)
    assert len(sent) == 1
    body = json.loads(sent[0])
    if "quoteId" in body:  # each run asks for a quote of its own
        body["quoteId"] = shown["body"]["quoteId"]
        body["rfqAmt" if name == "buy_sell_trade" else "sz"] = "30"
    assert shown["body"] == body
    assert shown["method"] == "POST"


def test_a_transfer_is_done_once_and_shown(run: Run, exchange: SimulatedExchange) -> None:
    before = exchange.account().balance("USDT", "trading")
    code, out, err = run(*TRANSFER, "--yes", "--client-id", "mine1")
    assert code == 0
    assert "transId" in out
    assert "Done, once." in out
    assert "client id: mine1" in err
    assert exchange.account().balance("USDT", "trading") == before + Decimal("1.5")
    assert len(posts(exchange, "funds_transfer")) == 1


def test_a_convert_asks_for_its_quote_itself(run: Run, exchange: SimulatedExchange) -> None:
    code, out, err = run(*CONVERT, "--yes", "--json")
    assert code == 0
    assert json.loads(out)["state"] == "fullyFilled"
    assert "cnvtPx" in err
    assert len(exchange.account().trades) == 1


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1), ("no\n", 1)])
def test_on_a_terminal_it_asks(
    run: Run, exchange: SimulatedExchange, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    found, _, err = run(*TRANSFER)
    assert found == code
    assert "Send it? [y/N]" in err
    assert len(posts(exchange, "funds_transfer")) == (code == 0)


def test_what_okx_refuses_is_not_done(run: Run, exchange: SimulatedExchange) -> None:
    exchange.fail_next(1, Fault.code("58116"), "funds_transfer")
    code, out, err = run(*TRANSFER, "--yes")
    assert (code, out) == (1, "")
    assert "not done (refused), nothing moved" in err


def test_a_wrong_amount_is_told_by_its_option(run: Run, exchange: SimulatedExchange) -> None:
    argv = list(TRANSFER)
    argv[4] = "1e3"
    code, _, err = run(*argv, "--yes")
    assert code == 2
    assert "--amt must be" in err
    assert not exchange.log


def test_an_unknown_outcome_has_a_code_of_its_own_and_says_what_to_do(
    run: Run, exchange: SimulatedExchange
) -> None:
    exchange.fail_next(1, Fault.reset().after_commit(), "funds_transfer")
    exchange.fail_next(99, Fault.code("50001"), "transfer_state")
    code, out, err = run(*TRANSFER, "--yes", "--timeout", "1.5")
    assert (code, out) == (5, "")
    assert "don't send it again" in err
    exchange.calm()
    intent = err.partition("okx-funding resolve '")[2].rpartition("'")[0]
    code, out, _ = run("resolve", intent, "--json")
    assert code == 0
    assert json.loads(out)["clientId"] == Intent.from_json(intent).client_id
    assert len(exchange.account().transfers) == 1


def test_a_text_that_names_a_payment_is_paid_once_with_a_journal(
    run: Run, exchange: SimulatedExchange, tmp_path: Path
) -> None:
    named = ("--client-id-for", "payout-4711", "--journal", str(tmp_path / "money.db"), "--yes")
    assert run(*TRANSFER, *named)[0] == 0
    code, _, err = run(*TRANSFER, *named)
    assert code == 2
    assert "was used before" in err
    assert len(exchange.account().transfers) == 1


# The journal.


def test_a_journal_shows_what_is_open_and_resolves_it(
    run: Run, exchange: SimulatedExchange, tmp_path: Path
) -> None:
    path = str(tmp_path / "money.db")
    exchange.fail_next(1, Fault.reset().after_commit(), "funds_transfer")
    exchange.fail_next(99, Fault.code("50001"), "transfer_state")
    code, _, err = run(
        *TRANSFER, "--yes", "--timeout", "1.5", "--journal", path, "--client-id", "c4"
    )
    assert code == 5
    assert f"okx-funding journal {path} --resolve" in err
    code, out, _ = run("journal", path)
    assert code == 0
    assert "c4" in out
    assert "1.5 USDT" in out
    exchange.calm()
    code, out, _ = run("journal", path, "--resolve")
    assert code == 0
    assert "done, once" in out
    assert run("journal", path)[1] == "Nothing is open.\n"
    assert len(posts(exchange, "funds_transfer")) == 1


def test_what_stays_unknown_ends_with_5(
    run: Run, exchange: SimulatedExchange, tmp_path: Path
) -> None:
    path = tmp_path / "money.db"

    async def prepare() -> None:
        async with FundingClient() as client:
            intent = client.prepare_transfer("USDT", "1", from_="funding", to="trading")
        journal = SQLiteJournal(path)
        await journal.record(intent)
        await journal.stamp(intent, intent.created_at)
        await journal.aclose()

    asyncio.run(prepare())
    code, out, err = run("journal", str(path), "--resolve", "--json")
    assert code == 5
    assert json.loads(out)[0]["outcome"] == "unknown"
    assert "don't send them again" in err


def test_a_journal_that_is_not_there_is_not_made(run: Run, tmp_path: Path) -> None:
    code, _, err = run("journal", str(tmp_path / "nothing.db"))
    assert code == 2
    assert "there is no journal" in err
    assert not list(tmp_path.iterdir())


def test_what_is_no_journal_is_told_in_a_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    code, _, err = run("journal", str(path))
    assert code == 1
    assert "can't read the journal" in err
    assert err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_after_it_was_sent_is_an_unknown_outcome(exchange: SimulatedExchange) -> None:
    exchange.fail_next(1, Fault.hang(3.0).after_commit(), "funds_transfer")
    environment = {
        **os.environ,
        "OKX_API_KEY": KEY,
        "OKX_SECRET_KEY": SECRET,
        "OKX_PASSPHRASE": PASSPHRASE,
        "OKX_API_BASE_URL": exchange.base_url,
    }
    argv = [sys.executable, "-m", "okx_funding", *TRANSFER, "--yes", "--no-machine-limits"]
    process = subprocess.Popen(
        argv, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    sent = threading.Event()
    while not sent.wait(0.02):
        if posts(exchange, "funds_transfer") or process.poll() is not None:
            sent.set()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (5, ""), err
    assert "don't send it again" in err
    assert "Traceback" not in err
