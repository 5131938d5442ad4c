"""What shows the limits: ``watch`` and ``limits``; and ``completion``, which shows the rest."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from okx_funding import Credentials
from okx_funding.api.table import ENDPOINTS
from okx_funding.cli import main
from okx_funding.cli.limits import counted_by, in_words
from okx_funding.cli.own import SHELLS
from okx_funding.cli.parser import make_parser
from okx_funding.simulator import Fault, SimulatedExchange, in_thread

from .support import ASSETS, VALUATION, someone

PARTS = ("canary-key-4711", "canary-secret-4712", "canary-phrase-4713")
VARIABLES = ("OKX_API_KEY", "OKX_SECRET_KEY", "OKX_PASSPHRASE")


@pytest.fixture
def exchange() -> Iterator[SimulatedExchange]:
    user = Credentials(*PARTS, user_id=someone().user_id)
    with in_thread(SimulatedExchange([user], currencies=60)) as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def environment(exchange, monkeypatch):
    monkeypatch.setattr("okx_funding.cli.connection.machine_limits", lambda args: None)
    for name, value in zip(VARIABLES, PARTS, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OKX_API_BASE_URL", exchange.base_url)


@pytest.fixture
def watch(capsys):
    """Watch and give the exit code, the output and the complaint, free of secrets."""

    def watch(*argv: str) -> tuple[int, str, str]:
        code = main(["watch", "assets", *argv])
        out, err = capsys.readouterr()
        assert not [part for part in PARTS if part in out + err]
        return code, out, err

    return watch


def without_times(out: str) -> list[str]:
    lines = out.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in lines)
    return [line.partition(" ")[2] for line in lines]


def test_a_pipe_gets_a_line_for_each_thing(watch):
    code, out, err = watch("CELT", "MEME", "--unit", "USDT", "--count", "1")
    assert (code, err) == (0, "")
    assert without_times(out) == [
        "asset CELT CELT-OKTC 989.84719571",
        "asset MEME MEME-ERC20 0.001",
        "valuation 3790.09 USDT",
        "sent 2, refused 0; get_non_tradable_assets 5 of 6 free; get_asset_valuation 0 of 1 free",
    ]


def test_later_looks_tell_what_is_new_only_and_keep_the_limits(watch, exchange):
    gone = Fault.garbage(b'{"code":"0","data":[],"msg":""}')
    other = Fault(
        "other", lambda answer: answer.with_body(answer.body.replace(b'"bal":"9', b'"bal":"8'))
    )
    exchange.fail_next(1, other, ASSETS)
    exchange.fail_next(1, gone, ASSETS)
    code, out, _ = watch("CELT", "--every", "0.001", "--count", "2")
    assert code == 0
    assert [line for line in without_times(out) if line.startswith("asset")] == [
        "asset CELT CELT-OKTC 889.84719571",
        "asset CELT CELT-OKTC gone",
    ]
    assert not exchange.refused
    assert exchange.busiest_window(VALUATION) == 1


def test_an_error_that_may_pass_is_shown_and_the_next_look_tries_again(watch, exchange):
    exchange.fail_next(3, Fault.html(503), ASSETS)
    code, out, _ = watch("CELT", "--every", "0.001", "--count", "2")
    lines = without_times(out)
    assert code == 0
    assert lines[0].startswith("error GET /api/v5/asset/non-tradable-assets answered HTTP 503")
    assert "asset CELT CELT-OKTC 989.84719571" in lines[1:]


def test_an_error_of_the_last_look_decides_the_exit_code(watch, exchange):
    exchange.fail_next(3, Fault.html(503), ASSETS)
    code, out, err = watch("--count", "1")
    assert code == 1
    assert "error " in out
    assert err.count("\n") == 1


def test_a_currency_that_okx_refuses_hides_no_other(watch, exchange):
    exchange.bad_currencies.add("SCAM")
    _, out, _ = watch("CELT", "SCAM", "--count", "1")
    lines = without_times(out)
    assert lines[0].startswith("error ")
    assert "SCAM" in lines[0]
    assert "asset CELT CELT-OKTC 989.84719571" in lines


@pytest.mark.parametrize(("argv", "code"), [(["--unit", "JP"], 2), (["B TC"], 2), (["--demo"], 3)])
def test_what_can_not_pass_ends_it_at_once(watch, argv, code):
    done, out, err = watch(*argv)
    assert (done, out) == (code, "")
    assert err.count("\n") == 1


def test_without_keys_it_ends_with_3(watch, monkeypatch):
    monkeypatch.delenv("OKX_PASSPHRASE")
    assert watch()[0] == 3


def test_a_terminal_gets_one_screen_that_is_drawn_anew(watch, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "40")
    code, out, _ = watch("--count", "1")
    last = out.rpartition("Update 1, at ")[2]
    assert code == 0
    assert "\x1b[1A\x1b[2K" in out  # up a line, and clear it
    assert out.rstrip().endswith("\x1b[?25h")  # the cursor is back
    for text in (
        "Total",
        "get_non_tradable_assets",
        "6 per 1 s",
        "CELT-OKTC",
        "more; name",
    ):
        assert text in last


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("terminal", [False, True])
def test_ctrl_c_is_its_ordinary_end(terminal):
    import pty

    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "okx_funding", "watch", "assets", "CELT"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "LINES": "40", "COLUMNS": "120"},
    )
    os.close(theirs)
    out = b""
    with process, open(ours, "rb", buffering=0) as reader:
        try:
            while b"989.84719571" not in out:
                out += reader.read(4096)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert process.stderr.read() == b""
            assert process.wait(30) == 0
        finally:
            process.kill()
        if terminal:
            with contextlib.suppress(OSError):  # the end of a terminal
                while rest := reader.read(4096):
                    out += rest
            assert b"\x1b[?25l" in out  # the cursor was hidden,
            assert b"\x1b[?25h" in out  # and is back


# The table of limits.


def test_the_limits_are_those_of_the_table_with_their_source(capsys):
    assert main(["limits", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["limits"], row["source"]) for row in table] == [
        (
            it.name,
            [
                {"count": each.count, "period": each.period, "per": list(each.per)}
                for each in it.limits
            ],
            it.docs,
        )
        for it in ENDPOINTS.values()
    ]


def test_people_see_every_limit_and_what_it_counts_by(capsys, exchange):
    assert main(["limits"]) == 0
    out = capsys.readouterr().out
    lines = [line.rstrip() for line in out.splitlines()]
    for endpoint in ENDPOINTS.values():
        (first,) = [it for it in lines if it.split()[:1] == [endpoint.name]]
        below = lines[lines.index(first) : lines.index(first) + len(endpoint.limits)]
        for limit, line in zip(endpoint.limits, below, strict=True):
            assert in_words(limit) in line
            assert counted_by(limit) in line
    assert not exchange.log


# Completion.


@pytest.fixture
def script(capsys):
    def script(shell: str) -> str:
        assert main(["completion", shell]) == 0
        out: str = capsys.readouterr().out
        return out

    return script


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_knows_every_command_and_option(script, shell):
    text = script(shell)
    for name in re.findall(r"\{(.*?)\}|^    ([a-z-]+) ", make_parser().format_help(), re.MULTILINE):
        assert max(name) in text
    assert ("--find-host" if shell != "fish" else "-l find-host") in text


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_itself_can_read_its_script(script, shell):
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"no {shell}")
    done = subprocess.run([path, "-n"], input=script(shell), text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["wat"], ["watch"]),
        (["doctor", "--find"], ["--find-host"]),
        (["completion", "z"], ["zsh"]),
        (["simulate", "--port", ""], []),
        (["simulate", "--judge", "f"], ["fixed", "fixed-first"]),
        (["--v"], ["--version"]),
        (["watch", "assets", "--vers"], ["--version"]),
        (["bills-his"], ["bills-history"]),
        (["transfer", "--sub"], ["--sub-acct"]),
    ],
)
def test_bash_completes(script, words, completed):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    line = " ".join(f"'{word}'" for word in ("okx-funding", *words))
    commands = (
        f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; "
        f"_shtab_okx_funding okx-funding '{words[-1]}'; echo ${{COMPREPLY[@]}}"
    )
    done = subprocess.run(
        [bash, "-c", f"{script('bash')}\n{commands}"], text=True, capture_output=True, check=True
    )
    assert done.stdout.split() == completed
