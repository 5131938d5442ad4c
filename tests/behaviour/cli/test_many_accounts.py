"""Several accounts on one screen: profiles by their own keys, sub-accounts by the master's."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from okx_funding.simulator import SimulatedExchange

from .conftest import KEY, PASSPHRASE, SECRET, SUB, Run


@pytest.fixture
def profiles(exchange: SimulatedExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles of the master, of a sub-account, and of a key that the exchange doesn't know."""
    exchange.account().add_sub_account("bot1", SUB)
    lines = []
    for name, parts in (
        ("main", (KEY, SECRET, PASSPHRASE)),
        ("bot1", SUB.reveal()),
        ("lost", ("nobody-knows-it", "secret-of-nobody", "phrase-of-nobody")),
    ):
        lines += [f"[profiles.{name}]"]
        lines += [
            f'{field} = "{value}"'
            for field, value in zip(("api_key", "secret_key", "passphrase"), parts, strict=True)
        ]
    folder = tmp_path / ".okx"
    folder.mkdir()
    file = folder / "config.toml"
    file.write_text("\n".join(lines))
    file.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("OKX_API_KEY", "OKX_SECRET_KEY", "OKX_PASSPHRASE"):
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("profiles")
def test_each_profile_gets_a_line_and_a_failing_one_says_why(run: Run) -> None:
    code, out, _ = run("accounts")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "BTC" in lines["main"]
    assert "balances" in lines["main"]
    assert "failed: " in lines["lost"]
    assert "2 accounts, " in out
    assert "1 failed." in out


@pytest.mark.usefixtures("profiles")
def test_accounts_as_json_have_okxs_text_for_amounts(run: Run) -> None:
    code, out, _ = run("accounts", "--json", "--unit", "usdt")
    rows = {row["account"]: row for row in json.loads(out)}
    assert code == 0
    assert list(rows) == ["main", "bot1", "lost"]
    assert rows["main"]["ccy"] == "USDT"
    assert isinstance(rows["main"]["balances"]["BTC"], str)
    assert rows["lost"]["valuation"] is None
    assert rows["lost"]["error"]


@pytest.mark.usefixtures("profiles")
def test_accounts_as_csv_have_a_line_for_each_currency(run: Run) -> None:
    out = run("accounts", "main", "--csv")[1]
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {row["account"] for row in rows} == {"main"}
    assert {"BTC", "ETH", "USDT"} <= {row["balanceCcy"] for row in rows}


@pytest.mark.usefixtures("profiles")
def test_where_all_accounts_fail_the_command_fails(run: Run) -> None:
    code, _, err = run("accounts", "lost")
    assert code == 3
    assert "all 1 accounts failed" in err


@pytest.mark.usefixtures("profiles")
def test_a_profile_that_is_not_there_is_told(run: Run) -> None:
    code, _, err = run("accounts", "nosuch")
    assert code == 3
    assert "nosuch" in err


# Sub-accounts.


def test_sub_accounts_get_a_line_each(run: Run, exchange: SimulatedExchange) -> None:
    exchange.account().add_sub_account("bot2")
    code, out, _ = run("sub-accounts")
    assert code == 0
    assert "trading1" in out
    assert "bot2" in out
    assert "2 sub-accounts." in out


def test_it_says_beforehand_how_long_it_takes(run: Run, exchange: SimulatedExchange) -> None:
    for n in range(6):
        exchange.account().add_sub_account(f"bot{n}")
    code, out, err = run("sub-accounts", "--json")
    assert code == 0
    assert [row["error"] for row in json.loads(out)] == [None] * 7
    assert "7 sub-accounts take about 1 s" in err


@pytest.mark.parametrize("what", ["--trading", "--max-withdrawals"])
def test_trading_accounts_and_maximum_withdrawals_are_asked_for(run: Run, what: str) -> None:
    code, out, _ = run("sub-accounts", "trading1", what, "--json")
    (row,) = json.loads(out)
    assert code == 0
    assert row["error"] is None


def test_a_sub_account_that_is_not_there_says_so_in_its_line(run: Run) -> None:
    code, out, _ = run("sub-accounts", "trading1", "nosuch")
    assert code == 0
    assert "failed: " in out
    assert "2 sub-accounts, 1 failed." in out
