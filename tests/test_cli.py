"""The command line answers people and programs, ends with codes, and shows no secret."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

import okx_funding
from okx_funding import Credentials, FundingClient, RateLimit, errors
from okx_funding.cli import demo, main, outcome, show
from okx_funding.simulator import JUDGES, SimulatedExchange, in_thread

KEY, SECRET, PASSPHRASE = "canary-key-4711", "canary-secret-4712", "canary-phrase-4713"
VARIABLES = ("OKX_API_KEY", "OKX_SECRET_KEY", "OKX_PASSPHRASE")


@pytest.fixture
def exchange() -> Iterator[SimulatedExchange]:
    user = Credentials(KEY, SECRET, PASSPHRASE, user_id="1234")
    with in_thread(SimulatedExchange([user], currencies=30)) as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def environment(exchange, monkeypatch):
    monkeypatch.setattr("okx_funding.cli.connection.machine_limits", lambda args: None)
    for name, value in zip(VARIABLES, (KEY, SECRET, PASSPHRASE), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OKX_API_BASE_URL", exchange.base_url)


@pytest.fixture
def run(capsys):
    """Run a command and give its exit code, its output and its complaint, free of secrets."""

    def run(*argv: str) -> tuple[int, str, str]:
        code = main(argv)
        out, err = capsys.readouterr()
        for secret in (KEY, SECRET, PASSPHRASE):
            assert secret not in out + err
        return code, out, err

    return run


def test_assets_come_in_the_order_they_were_asked_for(run):
    code, out, err = run("non-tradable-assets", "MEME", "CELT", "--json")
    rows = json.loads(out)
    assert (code, err) == (0, "")
    assert list(dict.fromkeys(row["ccy"] for row in rows)) == ["MEME", "CELT"]


def test_json_has_okxs_field_names_and_amounts_as_text(run, exchange):
    (row,) = json.loads(run("non-tradable-assets", "CELT", "--json")[1])
    assert {"logoLink", "canWd", "minWd", "burningFeeRate", "wdTickSz"} <= set(row)
    assert isinstance(row["bal"], str)
    assert isinstance(row["wdTickSz"], int)
    assert row["burningFeeRate"] is None


def test_without_a_currency_all_assets_are_shown(run, exchange):
    rows = json.loads(run("non-tradable-assets", "--json")[1])
    assert {row["ccy"] for row in rows} == set(exchange.currencies)
    assert len(exchange.requests()) == 1


def test_a_comma_list_is_taken_for_several_currencies(run, exchange):
    rows = json.loads(run("non-tradable-assets", "CELT,MEME", "--json")[1])
    assert {row["ccy"] for row in rows} == {"CELT", "MEME"}


def test_people_get_a_table_and_are_told_what_is_missing(run):
    code, out, _ = run("non-tradable-assets", "CELT", "NOSUCH")
    assert code == 0
    assert "CELT-OKTC" in out
    assert "The account has no such assets in NOSUCH." in out


def test_people_are_told_when_there_is_nothing(run):
    assert run("non-tradable-assets", "NOSUCH")[1] == "No non-tradable assets.\n"


def test_a_pipe_gets_neither_colours_nor_cut_lines(run):
    out = run("non-tradable-assets")[1]
    assert "\x1b" not in out
    assert "…" not in out


def test_no_color_is_obeyed_on_a_terminal(run, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[2m" in run("non-tradable-assets")[1] or "\x1b[1m" in run("asset-valuation")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in run("non-tradable-assets")[1]


def test_the_valuation_as_json_is_one_object_in_the_unit_asked_for(run):
    code, out, _ = run("asset-valuation", "--ccy", "USDT", "--json")
    valuation = json.loads(out)
    assert code == 0
    assert valuation["ccy"] == "USDT"
    assert Decimal(valuation["totalBal"]).is_finite()
    assert set(valuation["details"]) == {"funding", "trading", "earn", "classic"}


def test_the_valuation_for_people_names_the_unit_and_the_time(run):
    out = run("asset-valuation", "--ccy", "EUR")[1]
    assert "EUR" in out
    assert "UTC" in out


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["non-tradable-assets", "B TC"], "this isn't a currency: letters"),
        (["non-tradable-assets", "A,,B"], "isn't a currency"),
        (["asset-valuation", "--ccy", "JP"], "JPY"),
        (["asset-valuation", "--base-url", "http://okx.example"], "use https, or --allow-http"),
        (["asset-valuation", "--base-url", "nonsense"], "--base-url must be like"),
    ],
)
def test_a_wrong_argument_ends_with_2_before_anything_is_sent(run, exchange, argv, complaint):
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert complaint in err
    assert not exchange.log


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense"],
        ["asset-valuation", "--timeout", "0"],
        ["asset-valuation", "--timeout", "nan"],
        ["asset-valuation", "--api-key", "x"],
        ["asset-valuation", "--secret-key", "x"],
        ["demo", "--callers", "0"],
        ["simulate", "--port", "65536"],
    ],
)
def test_bad_usage_ends_with_2(capsys, argv):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: okx-funding" in capsys.readouterr().err


def test_no_command_shows_the_help_and_ends_with_2(run):
    code, out, err = run()
    assert (code, out) == (2, "")
    assert "examples:" in err


@pytest.mark.parametrize("missing", [VARIABLES, VARIABLES[2:]])
def test_missing_credentials_end_with_3_and_say_what_to_set(run, monkeypatch, missing):
    for name in missing:
        monkeypatch.delenv(name)
    code, _, err = run("asset-valuation")
    assert code == 3
    assert "set OKX_" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", VARIABLES)
def test_credentials_that_okx_refuses_end_with_3(run, monkeypatch, name):
    monkeypatch.setenv(name, "wrong-wrong-wrong")
    code, _, err = run("asset-valuation")
    assert code == 3
    assert "answered 501" in err
    assert err.count("\n") == 1


def test_a_live_key_in_demo_trading_ends_with_3(run):
    code, _, err = run("asset-valuation", "--demo")
    assert code == 3
    assert "--demo" in err
    assert "demo=True" not in err


def test_the_option_comes_before_the_environment(run, monkeypatch):
    monkeypatch.setenv("OKX_DEMO", "1")
    assert run("asset-valuation")[0] == 3
    assert run("asset-valuation", "--no-demo")[0] == 0


def test_a_profile_is_used(run, monkeypatch, write_profile):
    write_profile(
        f'[profiles.bot]\napi_key="{KEY}"\nsecret_key="{SECRET}"\npassphrase="{PASSPHRASE}"'
    )
    for name in VARIABLES:
        monkeypatch.delenv(name)
    assert run("asset-valuation", "--profile", "bot")[0] == 0
    code, _, err = run("asset-valuation", "--profile", "none")
    assert code == 3
    assert "no profile 'none'" in err


def test_an_answer_that_takes_too_long_ends_with_4(run, exchange):
    exchange.latency = 30.0
    code, _, err = run("asset-valuation", "--timeout", "0.05")
    assert code == 4
    assert err.count("\n") == 1


def test_a_host_that_is_not_there_ends_with_1(run):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        code, _, err = run("asset-valuation", "--base-url", url)
    assert code == 1
    assert err.count("\n") == 1


def test_white_space_in_the_environment_is_told_in_one_line(run, monkeypatch):
    monkeypatch.setenv("OKX_PASSPHRASE", f"{PASSPHRASE}\n")
    code, _, err = run("asset-valuation", "--json")
    assert code == 0
    assert set(err.splitlines()) == {
        "okx-funding: warning: OKX_PASSPHRASE has white space around it, which was stripped"
    }


def test_ctrl_c_ends_with_130_and_without_a_word(run, monkeypatch):
    def interrupt(coroutine):
        coroutine.close()
        raise KeyboardInterrupt

    monkeypatch.setattr("asyncio.run", interrupt)
    assert run("asset-valuation") == (130, "", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.AuthenticationError("50113", "", 401, "x"), 3),
        (errors.PermissionDeniedError("50120", "", 200, "x"), 3),
        (errors.RateLimitError("50011", "", 429, "x"), 4),
        (errors.HTTPStatusError("x", http_status=429, endpoint="x"), 4),
        (errors.HTTPStatusError("x", http_status=502, endpoint="x"), 1),
        (errors.RequestTimeoutError(), 4),
        (errors.DeadlineExceededError("x"), 4),
        (errors.QueueFullError(), 4),
        (errors.InvalidArgumentError(), 2),
        (errors.InvalidParameterError("51000", "", 400, "x"), 1),
        (errors.ConnectError(), 1),
        (errors.DecodeError(), 1),
    ],
)
def test_each_error_has_its_exit_code(error, code):
    assert outcome.exit_code(error) == code


def test_what_a_server_says_can_not_play_with_the_terminal():
    assert outcome.one_line("a\x1b[31mb\r\n\tc\u202ed") == "a [31mb c d"


def test_amounts_are_never_written_with_an_exponent():
    assert show.amount(Decimal("1E-18")) == "0.000000000000000001"
    assert show.amount(Decimal("0E-8")) == "0.00000000"
    assert show.amount(None) == "-"


def test_the_help_teaches(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(f"  {code}" in out for code in outcome.EXIT_CODES)
    assert "OKX_API_KEY" in out


def test_the_version_is_the_packages(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"okx-funding {okx_funding.__version__}\n"


def test_the_help_loads_neither_rich_nor_the_exchange():
    code = (
        "import sys, contextlib, io; from okx_funding.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['--help'])\n"
        "print([name for name in ('rich', 'okx_funding.simulator') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# The demo.


def test_the_demo_shows_what_it_took(run):
    code, out, err = run("demo", "--callers", "60", "--currencies", "40")
    assert (code, err) == (0, "")
    for line in (
        "Calls answered  61 in",
        "Refusals        none",
        "Batches ",
        "Limit ",
        "Total",
    ):
        assert line in out


def test_the_demo_as_json(run):
    report = json.loads(run("demo", "--callers", "60", "--currencies", "40", "--json")[1])
    assert report["calls_answered"] == 61
    assert report["asset_requests"] == 2
    assert report["requests_sent"] == 3
    assert report["refusals"] == 0
    assert report["problems"] == []


def test_the_demo_needs_no_key_and_leaves_yours_alone(run, exchange, monkeypatch):
    monkeypatch.setenv("OKX_DEMO", "1")
    assert run("demo", "--callers", "3", "--currencies", "10")[0] == 0
    assert not exchange.log


def test_a_demo_with_wrong_rows_ends_with_1(run, monkeypatch):
    ask = FundingClient.get_non_tradable_assets

    async def lose_the_last_row(self, ccy):
        return (await ask(self, ccy))[:-1]

    monkeypatch.setattr(FundingClient, "get_non_tradable_assets", lose_the_last_row)
    code, _, err = run("demo", "--callers", "5", "--currencies", "10")
    assert code == 1
    assert "got other rows" in err


def test_a_demo_with_refusals_ends_with_1(run, monkeypatch):
    strict = functools.partial(
        SimulatedExchange, limits={"get_non_tradable_assets": RateLimit(2, 0.2)}
    )
    monkeypatch.setattr(demo, "SimulatedExchange", strict)
    code, _, err = run("demo", "--callers", "60", "--currencies", "60")
    assert code == 1
    assert "refused" in err


# The simulated exchange on its own.


def test_a_judge_that_is_not_known_ends_with_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["simulate", "--port", "0", "--judge", "nonsense"])
    assert "sliding" in capsys.readouterr().err


def test_the_help_names_every_judge(capsys):
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert all(judge in out for judge in JUDGES)


def test_a_port_that_is_taken_ends_with_1(run, exchange):
    code, _, err = run("simulate", "--port", exchange.base_url.rpartition(":")[2])
    assert code == 1
    assert "can't listen at 127.0.0.1:" in err


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_exchange_runs_alone_until_it_is_told_to_stop(run, monkeypatch):
    argv = [sys.executable, "-m", "okx_funding", "simulate", "--port", "0"]
    process = subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    with process, contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").rstrip().partition("=")
                monkeypatch.setenv(name, value)
            if line.startswith("It owns"):
                break
        assert run("asset-valuation", "--json")[0] == 0
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "1 requests came, 0 refused" in out


# Where it is installed, and where its output goes.


@pytest.mark.parametrize("argv", [["limits"], ["completion", "bash"], ["demo"]])
def test_without_the_extra_the_command_says_how_to_get_it(argv):
    program = (
        "import sys\n"
        "sys.modules['rich'] = sys.modules['shtab'] = None\n"
        "from okx_funding.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", program, *argv], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "pip install 'okx-funding[cli]'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_ends_with_1_and_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "okx_funding", "limits", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "okx-funding: can't go on: " in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix")
def test_a_closed_output_is_no_traceback():
    command = f'"{sys.executable}" -m okx_funding limits >&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_unit_may_be_written_in_small_letters(run):
    assert json.loads(run("asset-valuation", "--ccy", "usdt", "--json")[1])["ccy"] == "USDT"


@pytest.mark.parametrize(
    "command",
    ["demo", "doctor", "bills", "watch", "watch deposits", "watch assets", "limits", "transfer"],
)
def test_every_command_has_the_version(capsys, command):
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--version"])
    assert end.value.code == 0
    assert okx_funding.__version__ in capsys.readouterr().out
