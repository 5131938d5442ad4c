"""A simulated exchange, its key in the environment, and commands run in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from okx_funding import Credentials
from okx_funding.cli import main
from okx_funding.simulator import SimulatedExchange, in_thread

KEY, SECRET, PASSPHRASE = "canary-key-5711", "canary-secret-5712", "canary-phrase-5713"
SUB = Credentials("canary-sub-5714", "canary-sub-5715", "canary-sub-5716", user_id="777")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def exchange() -> Iterator[SimulatedExchange]:
    user = Credentials(KEY, SECRET, PASSPHRASE, user_id="1234")
    with in_thread(SimulatedExchange([user], currencies=30, strict=True)) as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def environment(exchange: SimulatedExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange as OKX; limits of this process only, so that tests share nothing."""
    monkeypatch.setenv("OKX_API_KEY", KEY)
    monkeypatch.setenv("OKX_SECRET_KEY", SECRET)
    monkeypatch.setenv("OKX_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("OKX_API_BASE_URL", exchange.base_url)
    monkeypatch.setattr("okx_funding.cli.connection.machine_limits", lambda args: None)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command and give its exit code, output and complaint, free of secrets."""

    def run(*argv: str) -> tuple[int, str, str]:
        try:
            code = main(argv)
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        for secret in (KEY, SECRET, PASSPHRASE):
            assert secret not in out + err
        return code, out, err

    return run
