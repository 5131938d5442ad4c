"""The doctor finds what is wrong between this machine, its key and OKX, and says what to do."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from okx_funding import Credentials
from okx_funding.auth.settings import SITES
from okx_funding.cli import main
from okx_funding.cli.doctor import machine, network
from okx_funding.simulator import Answer, Fault, SimulatedExchange, in_thread

PARTS = ("canary-key-4711", "canary-secret-4712", "canary-phrase-4713")
VARIABLES = ("OKX_API_KEY", "OKX_SECRET_KEY", "OKX_PASSPHRASE")
CONFIG, TIME = "get_account_config", "get_system_time"


@pytest.fixture
def exchange() -> Iterator[SimulatedExchange]:
    with in_thread(SimulatedExchange([Credentials(*PARTS, user_id="1234")])) as exchange:
        exchange.key().permissions = {"read"}
        yield exchange


@pytest.fixture(autouse=True)
def environment(exchange, monkeypatch):
    monkeypatch.setattr("okx_funding.cli.connection.machine_limits", lambda args: None)
    for name, value in zip(VARIABLES, PARTS, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OKX_API_BASE_URL", exchange.base_url)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def ask(capsys):
    """What the doctor finds, by name, and the exit code; free of secrets."""

    def ask(*argv: str) -> tuple[int, dict[str, dict[str, str]]]:
        code = main(["doctor", "--json", *argv])
        out, err = capsys.readouterr()
        assert not [part for part in PARTS if part in out + err]
        document = json.loads(out)
        assert document["ok"] == (code == 0)
        assert err.count("\n") == (code != 0)
        return code, {finding["name"]: finding for finding in document["findings"]}

    return ask


def config(**changes: object) -> Fault:
    row = {"uid": "1234", "perm": "read_only", "ip": "", **changes}
    body = json.dumps({"code": "0", "data": [row], "msg": ""}).encode()
    return Fault.answer("config", Answer(200, body, "0"))


def test_all_is_well_with_the_simulated_exchange(ask):
    code, found = ask()
    assert code == 0
    assert [finding["status"] for finding in found.values()] == ["ok"] * 10
    assert list(found) == [
        "Versions", "Host", "Credentials", "DNS", "Round trip", "Clock", "Key", "Permissions",
        "Limits", "Machine",
    ]  # fmt: skip
    assert found["Key"]["text"] == "cana...11, live, of User ID 1234"
    assert "get_non_tradable_assets 6 per 1 s, " in found["Limits"]["text"]


def test_people_get_a_line_for_each_finding_as_it_is_found(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == ["ok"] * 10
    assert "\x1b" not in out


def test_advice_stands_below_the_line_it_belongs_to(capsys, exchange):
    exchange.clock_skew = 45
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    index = next(number for number, line in enumerate(lines) if line.startswith("problem"))
    assert "Clock" in lines[index]
    assert lines[index + 1].strip().startswith("-> set this machine's clock")
    assert err == "okx-funding: 1 problem: Clock\n"


def test_it_asks_little_and_nothing_but_time_and_account(ask, exchange):
    ask()
    assert [arrival.endpoint for arrival in exchange.log] == [TIME, TIME, TIME, CONFIG]


@pytest.mark.parametrize(("skew", "status"), [(-20, "warning"), (20, "warning"), (-45, "problem")])
def test_a_wrong_clock_is_told_and_the_key_is_checked_all_the_same(ask, exchange, skew, status):
    exchange.clock_skew = skew
    code, found = ask()
    assert code == (status == "problem")
    assert found["Clock"]["status"] == status
    assert ("ahead of" if skew < 0 else "behind") in found["Clock"]["text"]
    assert found["Key"]["status"] == "ok"


def test_missing_keys_are_a_problem_and_what_needs_none_is_checked_all_the_same(ask, monkeypatch):
    monkeypatch.delenv("OKX_PASSPHRASE")
    code, found = ask()
    assert code == 3
    assert found["Clock"]["status"] == "ok"
    assert "OKX_PASSPHRASE" in found["Credentials"]["text"]
    assert "Key" not in found


def test_missing_keys_are_told_before_the_network_is_tried(ask, monkeypatch):
    monkeypatch.delenv("OKX_PASSPHRASE")
    _, found = ask("--base-url", "https://www.okx.invalid")
    assert [it["status"] for it in found.values()][-2:] == ["problem", "problem"]
    assert list(found)[-2:] == ["Credentials", "DNS"]


def test_it_is_told_where_the_credentials_come_from(ask):
    text = ask()[1]["Credentials"]["text"]
    assert text == "from the environment (OKX_API_KEY, OKX_SECRET_KEY and OKX_PASSPHRASE)"


@pytest.mark.skipif(os.name == "nt", reason="modes of Unix")
def test_a_key_file_that_others_can_read_is_a_finding(ask, write_profile):
    text = '[profiles.bot]\napi_key = "{}"\nsecret_key = "{}"\npassphrase = "{}"'
    write_profile(text.format(*PARTS)).chmod(0o644)
    _, found = ask("--profile", "bot")
    assert found["Credentials"]["text"] == "from profile 'bot' in ~/.okx/config.toml"
    assert found["Key file"]["status"] == "warning"
    assert found["Key file"]["advice"] == "chmod 600 ~/.okx/config.toml"


def test_on_a_narrow_terminal_no_word_is_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    main(["doctor"])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 60
    assert {"OKX_SECRET_KEY", "get_non_tradable_assets", "certificate"} & set(
        re.findall(r"\w+", out)
    ) >= {"OKX_SECRET_KEY", "get_non_tradable_assets"}


def test_a_wrong_secret_is_told_without_showing_it(ask, monkeypatch):
    monkeypatch.setenv("OKX_SECRET_KEY", "canary-wrong-secret")
    code, found = ask()
    assert code == 3
    assert "check the secret key" in found["Key"]["text"]
    assert "canary-wrong-secret" not in str(found)


def test_live_and_demo_mixed_are_told_apart(ask):
    code, found = ask("--demo")
    assert code == 3
    assert "demo keys need --demo" in found["Key"]["text"]


def test_an_address_that_the_key_is_not_bound_to_is_told(ask, exchange):
    exchange.key().ips = {"192.0.2.1"}
    code, found = ask()
    assert code == 3
    assert "IP address" in found["Key"]["text"]


@pytest.mark.parametrize(
    ("row", "status", "advice"),
    [
        ({"perm": "trade"}, "problem", "give the key Read permission"),
        ({"perm": "read_only,withdraw,trade", "ip": "192.0.2.1"}, "warning", "can do no more"),
        ({"perm": "read_only,trade"}, "warning", "bind this one"),
        ({"perm": None}, "warning", "look at OKX's page"),
    ],
)
def test_permissions_are_no_more_and_no_less_than_needed(ask, exchange, row, status, advice):
    exchange.fail_next(1, config(**row), CONFIG)
    code, found = ask()
    assert code == (3 if status == "problem" else 0)
    assert found["Permissions"]["status"] == status
    assert advice in found["Permissions"]["advice"]


def test_a_user_id_that_is_not_the_keys_is_a_warning(ask, monkeypatch):
    monkeypatch.setenv("OKX_USER_ID", "999")
    code, found = ask()
    assert code == 0
    assert found["Key"]["status"] == "warning"
    assert "of User ID 1234, and user_id says 999" in found["Key"]["text"]


def test_a_limit_that_others_spend_ends_with_4(ask, exchange):
    exchange.fail_next(9, Fault.code("50011"), CONFIG)
    code, found = ask("--timeout", "0.5")
    assert code == 4
    assert found["Key"]["status"] == "problem"
    assert "another program" in found["Key"]["advice"]


# A key of another region.


@pytest.fixture
def regions(exchange, monkeypatch) -> Iterator[SimulatedExchange]:
    """OKX's hosts are this exchange, another one that is given, and one that isn't there."""
    with in_thread(SimulatedExchange([Credentials("another-key-0001", "s", "p")])) as other:
        sites = {"global": exchange.base_url, "eea": other.base_url, "us": "http://127.0.0.1:9"}
        monkeypatch.setattr("okx_funding.cli.doctor.account.SITES", sites)
        exchange.fail_next(1, Fault.code("50119"), CONFIG)
        yield other


def test_a_key_that_the_host_does_not_know_is_sent_nowhere_else(ask, regions):
    code, found = ask()
    assert code == 3
    assert f"EEA) set OKX_API_BASE_URL={regions.base_url};" in found["Key"]["advice"]
    assert "http://127.0.0.1:9 (which doesn't answer from here)" in found["Key"]["advice"]
    assert {arrival.endpoint for arrival in regions.log} == {TIME}


def test_when_asked_to_it_finds_the_host_that_knows_the_key(ask, regions):
    regions.add_user(Credentials(*PARTS, user_id="1234"))
    code, found = ask("--find-host")
    assert code == 3
    assert found["Key"]["advice"].startswith(f"{regions.base_url} knows the key")


def test_when_no_host_knows_the_key_it_says_so(ask, regions):
    _, found = ask("--find-host")
    assert "none of OKX's hosts" in found["Key"]["advice"]


@pytest.mark.parametrize("site", SITES)
def test_okxs_hosts_are_known_by_the_accounts_they_serve(site):
    assert machine.host(SITES[site]).status == "ok"


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("https://my.okx.com", "https://eea.okx.com"),
        ("https://app.okx.com", "https://us.okx.com"),
        ("https://okx.example", "trust"),
    ],
)
def test_a_host_that_is_not_the_apis_is_a_warning(url, advice):
    found = machine.host(url)
    assert (found.status, advice in found.advice) == ("warning", True)


# The way.


def test_a_setting_that_is_wrong_ends_with_2(ask):
    code, found = ask("--base-url", "http://okx.example")
    assert code == 2
    assert "https" in found["Settings"]["text"]


def test_a_proxy_that_is_not_used_is_a_warning(ask, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://user:canary-proxy@proxy.example:3128")
    code, found = ask()
    assert code == 0
    assert "OKX_PROXY" in found["Proxy"]["advice"]
    assert "canary-proxy" not in str(found)


def test_a_proxy_is_shown_without_its_password(ask, exchange, monkeypatch):
    address = exchange.base_url.partition("://")[2]
    monkeypatch.setenv("OKX_PROXY", f"http://user:canary-proxy@{address}")
    _, found = ask()
    assert found["Proxy"]["text"] == address
    assert "canary-proxy" not in str(found)


@pytest.mark.parametrize(
    "error",
    [socket.gaierror(socket.EAI_NONAME, "Name or service not known"), UnicodeError("too long")],
)
def test_a_name_that_is_not_found_is_a_problem(ask, monkeypatch, error):
    def not_found(*_args, **_options):
        raise error

    monkeypatch.setattr("socket.getaddrinfo", not_found)
    code, found = ask("--base-url", "https://www.okx.invalid")
    assert code == 1
    assert "www.okx.invalid isn't found" in found["DNS"]["text"]
    assert "Round trip" not in found


def test_a_name_server_that_is_silent_holds_nobody_up(ask, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [over.wait()][:0])
    code, found = ask("--base-url", "https://www.okx.invalid", "--timeout", "0.05")
    over.set()
    assert code == 1
    assert "within 0.05 s" in found["DNS"]["text"]


def test_nobody_at_the_port_is_a_problem(ask):
    code, found = ask("--base-url", "http://127.0.0.1:9")
    assert code == 1
    assert "firewall" in found["Round trip"]["advice"]


def test_a_server_that_is_silent_ends_with_4(ask, exchange):
    exchange.latency = 30.0
    code, found = ask("--timeout", "0.05")
    assert code == 4
    assert "--timeout" in found["Round trip"]["advice"]


@pytest.fixture(scope="session")
def tls(tmp_path_factory) -> tuple[Path, ssl.SSLContext]:
    """A certificate that signed itself, and a server's context with it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("doctor")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    options = ["-subj", "/O=Canaries/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*command.split(), *options, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return certificate, context


@pytest.fixture
def tls_port(tls) -> Iterator[int]:
    """A server that shakes hands and says nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            connection, _ = server.accept()
            connection.settimeout(10)
            try:
                with tls[1].wrap_socket(connection, server_side=True) as wrapped:
                    wrapped.recv(1)
            except OSError:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


async def test_a_certificate_that_nobody_vouches_for_is_a_problem(tls_port):
    found = await network.tls("localhost", tls_port, 10)
    assert found.status == "problem"
    assert "SSL_CERT_FILE" in found.advice


async def test_a_good_certificate_is_told_with_its_issuer(tls, tls_port, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
    found = await network.tls("localhost", tls_port, 10)
    assert found.status == "ok"
    assert "certificate by Canaries, valid until" in found.text


def test_a_package_that_is_too_old_is_a_problem(monkeypatch):
    monkeypatch.setattr(machine, "_version", lambda name: "3.13.9" if name == "aiohttp" else "99")
    found = machine.versions()
    assert (found.status, found.advice) == ("problem", "pip install --upgrade aiohttp")


def test_the_least_versions_are_those_of_the_project():
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8")
    for name, least in machine.NEEDED.items():
        assert f'"{name}>={".".join(map(str, least))}' in text
