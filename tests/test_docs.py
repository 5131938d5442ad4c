"""The documentation says what is true: its links lead somewhere, and its examples run."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import logging
import re
import runpy
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import looptime
import pytest

from okx_funding import Credentials, FundingClient
from okx_funding.cli import outcome
from okx_funding.simulator import SimulatedExchange, in_thread

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
RUN_ELSEWHERE = {"testing-your-bot.md", "README.md", "reference.md"}
USERS = [
    Credentials("key-of-alice", "secret", "passphrase", user_id="446672"),
    Credentials("second-key-of-alice", "secret", "passphrase", user_id="446672"),
    Credentials("key-of-bob", "secret", "passphrase", user_id="446673"),
]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)


def anchors(path: Path) -> set[str]:
    """What GitHub and MkDocs make of the headings."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def links(path: Path) -> Iterator[str]:
    text = re.sub(r"`[^`]*`", "", prose(path))
    yield from re.findall(r"\]\(([^)\s]+)\)", text)
    yield from re.findall(r"(?:src|srcset|href)=\"([^\"]+)\"", text)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_no_link_is_dead(path):
    for link in links(path):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), f"{link}: there is no such file"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{link}: there is no such heading"


def test_every_page_is_in_the_navigation_and_the_other_way_round():
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(
        path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")
    )


def test_the_reference_is_made_of_the_docstrings_as_they_are():
    build = runpy.run_path(str(DOCS / "build.py"))
    written = (DOCS / "reference.md").read_text("utf-8")
    assert written == build["reference"](), "run: python docs/build.py"


def test_the_exit_codes_are_the_commands_own():
    page = (DOCS / "command-line.md").read_text("utf-8")
    assert all(f"| {code} | {meaning} |" in page for code, meaning in outcome.EXIT_CODES.items())


def test_every_metric_is_in_the_table():
    source = (ROOT / "okx_funding" / "telemetry" / "prometheus.py").read_text("utf-8")
    page = (DOCS / "how-to" / "observability.md").read_text("utf-8")
    names = re.findall(r"(counter|histogram)\(\s*\"(\w+)\"", source)
    names += [("gauge", name) for name in re.findall(r"^    \"(\w+)\": \(", source, re.MULTILINE)]
    assert len(names) == 18
    for kind, name in names:
        assert f"`okx_funding_{name}{'_total' * (kind == 'counter')}`" in page


# The examples in the pages.


class Block(NamedTuple):
    code: types.CodeType
    runs: bool


def blocks(path: Path) -> list[Block]:
    """The Python of a page, compiled; top-level ``await`` is allowed, as in a notebook."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    found = []
    text = path.read_text("utf-8")
    for match in re.finditer(r"(?:<!-- (.*?) -->\n)?```python\n(.*?)```", text, re.DOTALL):
        condition, code = match[1] or "", match[2]
        runs = condition != "not run"
        if condition.startswith("needs "):
            runs = importlib.util.find_spec(condition.removeprefix("needs ")) is not None
        found.append(Block(compile(code, name_of(path), "exec", flags), runs))
    return found


@pytest.fixture
def alice(monkeypatch):
    """The environment has Alice's key for an exchange."""

    def settings(exchange: SimulatedExchange) -> None:
        key, secret, passphrase = USERS[0].reveal()
        monkeypatch.setenv("OKX_API_BASE_URL", exchange.base_url)
        monkeypatch.setenv("OKX_API_KEY", key)
        monkeypatch.setenv("OKX_SECRET_KEY", secret)
        monkeypatch.setenv("OKX_PASSPHRASE", passphrase)

    return settings


@pytest.fixture
def same_log_level() -> Iterator[None]:
    logger = logging.getLogger("okx_funding")
    level = logger.level
    yield
    logger.setLevel(level)


WITH_CODE = [path for path in PAGES if "```python" in path.read_text("utf-8")]


@pytest.mark.parametrize(
    "path", [path for path in WITH_CODE if path.name not in RUN_ELSEWHERE], ids=name_of
)
def test_the_examples_of_a_page_run_one_after_the_other(path, alice, same_log_level):
    if "asyncio.run(" in path.read_text("utf-8"):
        with in_thread(SimulatedExchange(USERS)) as exchange:
            alice(exchange)
            names: dict[str, Any] = {"__name__": "page", "exchange": exchange}
            for block in blocks(path):
                if block.runs:
                    exec(block.code, names)
        return

    async def run() -> None:
        async with SimulatedExchange(USERS) as exchange:
            alice(exchange)
            async with FundingClient() as client:
                names = {"__name__": "page", "exchange": exchange, "client": client}
                for block in blocks(path):
                    if block.runs:
                        result = types.FunctionType(block.code, names)()
                        if inspect.iscoroutine(result):
                            await result
            assert not exchange.refused

    # A journal in a file works in a thread of its own, whose time doesn't jump.
    real = "SQLiteJournal(" in path.read_text("utf-8")
    factory = asyncio.new_event_loop if real else looptime.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())


@pytest.mark.timeout(120)
def test_the_site_is_built_without_a_warning(tmp_path):
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("nox -s docs installs it")
    command = [sys.executable, str(DOCS / "build.py"), "--site", str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()
    page = (tmp_path / "site" / "concepts" / "index.html").read_text("utf-8")
    assert "concepts.svg" in page
    assert not re.findall(r'(?:src|href)="https?://[^"]*\.(?:js|css|woff2?)', page)
