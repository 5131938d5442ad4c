"""Every endpoint of the table is a command; what reads answers as table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from okx_funding.api import ENDPOINTS, NonTradableAsset
from okx_funding.cli.declared import Declared, command_of, declared
from okx_funding.cli.parser import OWN_GROUPS
from okx_funding.cli.rows import names_of
from okx_funding.simulator import Fault, SimulatedExchange
from okx_funding.simulator.table import ROUTES

from .conftest import Run

COMMANDS = {it.endpoint.name: it for it in declared()}
READS = [name for name, it in COMMANDS.items() if it.role == "read"]
WALKS = [name for name, it in COMMANDS.items() if it.walk]

ARGUMENTS: dict[str, list[str]] = {
    "transfer_state": ["--trans-id", "1"],
    "get_deposit_address": ["--ccy", "USDT"],
    "get_deposit_withdraw_status": ["--wd-id", "1"],
    "get_monthly_statement": ["--month", "Jan"],
    "get_convert_currency_pair": ["--from-ccy", "USDT", "--to-ccy", "BTC"],
    "estimate_quote": [
        "--base-ccy", "BTC", "--quote-ccy", "USDT", "--side", "buy", "--rfq-sz", "30",
        "--rfq-sz-ccy", "USDT",
    ],
    "get_deposit_payment_methods": ["--ccy", "USD"],
    "get_withdrawal_payment_methods": ["--ccy", "USD"],
    "get_fiat_withdrawal": ["--ord-id", "1"],
    "get_fiat_deposit": ["--ord-id", "1"],
    "get_buy_sell_currency_pair": ["--from-ccy", "USD", "--to-ccy", "USDT"],
    "buy_sell_quote": [
        "--side", "buy", "--from-ccy", "USD", "--to-ccy", "USDT", "--rfq-amt", "30",
        "--rfq-ccy", "USD",
    ],
    "get_subaccount_funding_balances": ["--sub-acct", "trading1"],
    "get_subaccount_trading_balances": ["--sub-acct", "trading1"],
    "get_subaccount_max_withdrawal": ["--sub-acct", "trading1"],
    "get_subaccount_apikeys": ["--sub-acct", "trading1"],
}  # fmt: skip
"""What a read can't be asked without."""
NOTHING_THERE = {"transfer_state", "get_deposit_withdraw_status", "get_monthly_statement",
                 "get_fiat_withdrawal", "get_fiat_deposit"}  # fmt: skip
"""Reads of one thing by its id, which a fresh user doesn't have: OKX answers an error."""


def test_every_endpoint_is_a_command_but_the_one_whose_answer_is_a_secret() -> None:
    assert set(ENDPOINTS) - set(COMMANDS) == {"create_subaccount_apikey"}
    names = [it.name for it in COMMANDS.values()]
    assert len(names) == len(set(names))


def test_a_command_is_named_by_the_end_of_the_path() -> None:
    assert command_of(ENDPOINTS["get_bills_history"]) == "bills-history"
    assert command_of(ENDPOINTS["get_monthly_statement"]) == "monthly-statement"
    assert command_of(ENDPOINTS["apply_monthly_statement"]) == "apply-monthly-statement"


@pytest.mark.parametrize("name", READS)
def test_a_read_answers_with_json(run: Run, exchange: SimulatedExchange, name: str) -> None:
    command = COMMANDS[name]
    code, out, err = run(command.name, *ARGUMENTS.get(name, ()), "--json")
    sent = [it for it in exchange.log if it.target.partition("?")[0] == command.endpoint.path]
    assert sent
    if name in NOTHING_THERE:
        assert (code, out) == (1, "")
        assert err.startswith("okx-funding: ")
    else:
        assert (code, err, len(sent)) == (0, "", 1)
        answer = json.loads(out)
        assert isinstance(answer, list | dict)


@pytest.mark.parametrize("name", [name for name in READS if name not in NOTHING_THERE])
def test_csv_has_a_column_for_each_field_of_the_struct(run: Run, name: str) -> None:
    command = COMMANDS[name]
    code, out, _ = run(command.name, *ARGUMENTS.get(name, ()), "--csv")
    head, *lines = csv.reader(io.StringIO(out))
    assert code == 0
    assert head == names_of(command.endpoint.row)
    assert all(len(line) == len(head) for line in lines)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_says_what_it_takes_and_what_okxs_page_is(run: Run, name: str) -> None:
    command = COMMANDS[name]
    code, out, _ = run(command.name, "--help")
    assert code == 0
    assert command.endpoint.docs in "".join(out.split())
    for each in command.parameters:
        assert each.option in out or each.name == command.endpoint.batch_by


def test_the_help_shows_each_command_once_below_its_group(run: Run) -> None:
    out = run("--help")[1]
    shown = [line.split()[0] for line in out.splitlines() if line[:4] == "    " != line[:5]]
    for command in COMMANDS.values():
        assert shown.count(command.name) == 1
    assert "  bills:\n    bills  " in out


def test_currencies_may_be_typed_with_and_without_the_option(
    run: Run, exchange: SimulatedExchange
) -> None:
    code, out, _ = run("balances", "BTC", "--ccy", "USDT,ETH", "--json")
    assert code == 0
    assert [row["ccy"] for row in json.loads(out)] == ["BTC", "USDT", "ETH"]
    assert len(exchange.requests()) == 1


def test_a_wrong_value_is_told_by_its_option(run: Run, exchange: SimulatedExchange) -> None:
    code, out, err = run("bills", "--client-id", "not-one", "--limit", "5")
    assert (code, out) == (2, "")
    assert "--client-id must be 1 to 32" in err
    assert "client_id" not in err
    assert not exchange.log


def test_a_moment_may_be_a_date_or_some_time_ago(run: Run, exchange: SimulatedExchange) -> None:
    assert run("bills", "--after", "2026-01-01", "--json")[0] == 0
    assert run("bills", "--after", "7d", "--json")[0] == 0
    assert "after=1767225600000" in exchange.log[0].target
    assert run("bills", "--after", "yesterday")[0] == 2


def test_one_row_is_shown_with_all_its_fields(run: Run) -> None:
    code, out, _ = run("account-config")
    assert code == 0
    assert "uid" in out
    assert "1234" in out


def test_many_rows_are_a_table(run: Run, exchange: SimulatedExchange) -> None:
    exchange.account().add_bills(3, "BTC")
    code, out, _ = run("bills", "--ccy", "BTC")
    assert code == 0
    assert "billId" in out
    assert out.count("BTC") == 3


# Walks.


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_gives_every_row_once_as_csv(
    run: Run, exchange: SimulatedExchange, name: str
) -> None:
    command = COMMANDS[name]
    exchange.account().add_rows(_route(command), 130, same_millisecond=3)
    code, out, err = run(command.name, "--all", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, err) == (0, "")
    assert len(rows) >= 130
    assert len({tuple(row.items()) for row in rows}) == len(rows)


def _route(command: Declared) -> str:
    """What the exchange calls it: by path."""
    for route in ROUTES:
        if route.path == command.endpoint.path and route.method == command.endpoint.method:
            return route.name
    raise KeyError(command.name)


def test_a_walk_ends_where_it_was_told(run: Run, exchange: SimulatedExchange) -> None:
    exchange.account().add_bills(20, "BTC")
    rows = json.loads(run("bills", "--ccy", "BTC", "--since", "10s", "--json")[1])
    assert 5 < len(rows) < 15


def test_a_walk_takes_no_parameter_of_a_page(run: Run, exchange: SimulatedExchange) -> None:
    code, _, err = run("bills", "--since", "7d", "--limit", "5")
    assert code == 2
    assert "--limit belongs to a single page" in err
    assert not exchange.log


def test_a_since_before_all_that_okx_keeps_names_the_command_that_reaches_further(
    run: Run,
) -> None:
    code, _, err = run("bills", "--since", "400d")
    assert code == 2
    assert "bills-history reaches further" in err


def test_a_broken_walk_says_where_to_go_on(run: Run, exchange: SimulatedExchange) -> None:
    exchange.account().add_bills(250, "BTC")
    everything = run("bills", "--ccy", "BTC", "--all", "--csv")[1].splitlines()
    exchange.fail_next(1, Fault.slow(), "get_bills")
    exchange.fail_next(20, Fault.code("50030"), "get_bills")  # no permission any more
    code, out, err = run("bills", "--ccy", "BTC", "--all", "--csv")
    assert code == 3
    exchange.calm()
    cursor = err.partition("--cursor ")[2].split()[0]
    code, rest, _ = run("bills", "--ccy", "BTC", "--cursor", cursor, "--csv")
    assert code == 0
    assert out.splitlines() + rest.splitlines()[1:] == everything


def test_non_tradable_assets_keep_their_own_table(run: Run) -> None:
    out = run("non-tradable-assets", "CELT")[1]
    assert "Minimum withdrawal" in out
    assert names_of(NonTradableAsset)[0] == "ccy"


def test_the_docs_name_every_command() -> None:
    page = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text()
    tables = [line for line in page.splitlines() if line.startswith("| `")]
    documented = set(re.findall(r"`([a-z-]+)[ `]", "\n".join(tables)))
    names = {it.name for it in COMMANDS.values()} | set(OWN_GROUPS)
    assert names <= documented
