"""The try-out of the documentation: a server, the exchange, two bots, one limit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from okx_funding.cli import main
from tests.redis.servers import RedisServer, free_port

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "many-processes.md").read_text("utf-8")


def start(*command: str) -> subprocess.Popen[str]:
    there = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=there, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_two_bots_keep_one_limit(redis_server: RedisServer, capsys):
    port = str(free_port())
    exchange = start("-m", "okx_funding", "simulate", "--port", port)
    assert exchange.stdout is not None
    assert "A simulated exchange at" in exchange.stdout.readline()
    settings = ("--buckets", redis_server.url, "--base-url", f"http://127.0.0.1:{port}")
    bots = [start("examples/shared_bot.py", *settings, "--seconds", "5") for _ in range(2)]
    try:
        told = [bot.communicate(timeout=30)[0] for bot in bots]
        assert main(["limits", "--buckets", redis_server.url]) == 0
    finally:
        exchange.send_signal(signal.SIGINT)
        for bot in bots:
            bot.kill()
        last = exchange.communicate(timeout=20)[0].strip().splitlines()[-1]
    counted = re.fullmatch(r"(\d+) requests came, (\d+) refused for the rate limit\.", last)
    assert counted, last
    requests, refused = map(int, counted.groups())
    assert refused == 0
    assert 9 <= requests <= 30, "after a silent window of 1.75 s"
    for each in told:
        assert re.search(r"sent \d+ \(\d\.\d/s\), refused 0; all bots: \d+", each)
    assert " 6 per 1 s " in capsys.readouterr().out


def test_the_page_says_the_commands_of_this_test():
    commands = re.findall(r"^```sh\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)[0]
    assert [line.split("  #")[0].rstrip() for line in commands.splitlines()] == [
        "redis-server --save ''",
        ".venv/bin/okx-funding simulate",
        ".venv/bin/python examples/shared_bot.py",
    ]
    assert (
        "simulate"
        in subprocess.run(
            [sys.executable, "-m", "okx_funding", "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
