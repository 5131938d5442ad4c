"""What every test gets: a bare environment, and a look at what it left behind."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import aioresponses.core
import pytest
from hypothesis import settings

import okx_funding.testing.plugin
from tests.support import LOOP

settings.register_profile("everywhere", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "everywhere")


# Whoever runs the tests in the background of a shell script passes on a Ctrl-C that is ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def aioresponses_needs_help(response: type[aiohttp.ClientResponse]) -> bool:
    """Whether aiohttp's responses want a ``stream_writer``, which aioresponses 0.7.9 lacks."""
    return "stream_writer" in inspect.signature(response.__init__).parameters


if aioresponses_needs_help(aiohttp.ClientResponse):

    class _Response(aiohttp.ClientResponse):
        """Gives aiohttp 3.14 what aioresponses doesn't: a stream_writer, a method in capitals."""

        def __init__(self, method: str, url: Any, **kwargs: Any) -> None:
            kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
            super().__init__(method.upper(), url, **kwargs)

    aioresponses.core.ClientResponse = _Response  # type: ignore[misc]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "anyloop(wanted=True): quick enough in real time as well.")
    config.addinivalue_line("markers", "turns: counts the loop's turns, which eager tasks save.")
    if LOOP not in ("", "eager", "uvloop"):
        raise pytest.UsageError(f"OKX_TEST_LOOP is eager or uvloop, not {LOOP!r}")
    if not config.pluginmanager.has_plugin("okx_funding"):  # a checkout that wasn't installed
        config.pluginmanager.register(okx_funding.testing.plugin, "okx_funding")


def _eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def _runs_on_uvloop(item: pytest.Item) -> bool:
    if item.get_closest_marker("asyncio") is None:
        return False
    wanted = item.get_closest_marker("anyloop")
    if wanted is None:
        wanted = item.get_closest_marker("looptime")
        return wanted is None or wanted.args == (False,)
    return wanted.args != (False,)


if LOOP:

    def pytest_asyncio_loop_factories(
        config: pytest.Config, item: pytest.Item
    ) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
        if LOOP == "eager" and item.get_closest_marker("turns") is None:
            return {"eager": _eager_loop}
        if LOOP == "uvloop":
            return {"uvloop": importlib.import_module("uvloop").new_event_loop}
        return {"asyncio": asyncio.new_event_loop}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if LOOP == "uvloop":
        others = [item for item in items if not _runs_on_uvloop(item)]
        items[:] = [item for item in items if _runs_on_uvloop(item)]
        config.hook.pytest_deselected(items=others)


def pytest_collection_finish() -> None:
    # looptime asks for the current loop even around tests that have none, and the default policy
    # would make one that nobody closes. Once None was set, it makes none any more.
    asyncio.set_event_loop(None)
    # What is loaded by now stays: frozen, it costs the collections after each test nothing.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, empty_home: Path) -> None:
    """No OKX_* variable and no profile of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("OKX_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("COLUMNS", raising=False)  # parallel runs set it
    monkeypatch.setenv("HOME", str(empty_home))
    monkeypatch.setenv("USERPROFILE", str(empty_home))


@pytest.fixture
def dice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every throw of dice shows a half."""
    monkeypatch.setattr("okx_funding.scheduler.dispatcher.random.random", lambda: 0.5)


class _Complaints(logging.Handler):
    """What asyncio reports of exceptions that nobody retrieved."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that leaves a task or an unretrieved exception behind has failed."""
    is_async = any(marker.name == "asyncio" for marker in request.node.iter_markers())
    if not is_async:
        yield
        return
    complaints = _Complaints()
    logger = logging.getLogger("asyncio")
    logger.addHandler(complaints)
    request.getfixturevalue("no_stray_tasks")
    try:
        yield
        gc.collect()
        gc.freeze()  # what lives on, such as modules, needn't be looked through after each test
    finally:
        logger.removeHandler(complaints)
    assert not complaints.texts, "\n".join(complaints.texts)


@pytest.fixture
async def no_stray_tasks() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    for _ in range(3):  # A task cancelled at the very end needs a turn or two to be over.
        await asyncio.sleep(0)
    stray = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not stray, f"left behind: {stray}"


@pytest.fixture
def write_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write ``~/.okx/config.toml`` in a home of the test's own."""

    def write(text: str | bytes) -> Path:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        path = tmp_path / ".okx" / "config.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(0o600)
        return path

    return write
