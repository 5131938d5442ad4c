"""Sessions of the gate and of every day: ``nox -l`` lists them, ``.ci/run`` runs them all.

Where nox already runs in an environment with everything, as in ``.ci/run``, sessions use that
one (``nox --no-venv``); otherwise each makes its own.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import nox

ROOT = Path(__file__).parent
LARGEST = 500_000
"""Bytes that a file of the repository may have."""

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True


def _install(session: nox.Session, *groups: str) -> None:
    """Install the project with its tests' needs, and the groups of pyproject.toml named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = [need for group in groups for need in project["dependency-groups"][group]]
    if session.virtualenv.is_sandboxed:
        session.install("--quiet", "-e", ".[test]", *needed)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format, and files that are too large."""
    _install(session)
    session.run("ruff", "check", "--no-cache", ".")
    session.run("ruff", "format", "--no-cache", "--check", ".")
    session.run("python", "tests/large_files.py", str(LARGEST))


@nox.session
def types(session: nox.Session) -> None:
    """mypy over everything; what pyright says is among the slow tests."""
    _install(session)
    session.run("mypy", "--cache-dir", str(Path(session.create_tmp()) / "mypy"))


@nox.session
def tests(session: nox.Session) -> None:
    """The quick tests, as ``pytest`` without arguments runs them: 90 s on two cores."""
    _install(session)
    session.run("python", "-m", "pytest", "-p", "no:cacheprovider", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """The long tests: real servers under failure, every step of a call, soaks, releases."""
    _install(session, "types")
    session.run("python", "-m", "pytest", "-p", "no:cacheprovider", "-m", "slow", *session.posargs)


@nox.session
def loops(session: nox.Session) -> None:
    """The quick tests in development mode: on uvloop, and from 3.12 on with eager tasks."""
    _install(session)
    pytest = ("python", "-X", "dev", "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    session.run(*pytest, "tests/behaviour", "tests/faults", env={"OKX_TEST_LOOP": "uvloop"})
    if sys.version_info >= (3, 12):
        files = ["tests/faults/test_lifecycle.py", "tests/behaviour"]
        session.run(*pytest, *files, env={"OKX_TEST_LOOP": "eager"})


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site strictly, in site/: a dead link fails."""
    _install(session, "docs")
    session.run("python", "docs/build.py", "--site")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run the benchmarks, or those named: ``nox -s benchmarks -- call --quick``."""
    _install(session, "benchmarks")
    session.run("python", "-m", "benchmarks", *session.posargs)
