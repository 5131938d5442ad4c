"""What is released builds, installs, runs and is typed, and loads no more than it needs."""

from __future__ import annotations

import ast
import email
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import okx_funding

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "okx_funding"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OPTIONAL = {"rich", "redis", "prometheus_client", "opentelemetry", "pytest", "uvloop", "orjson"}
BROUGHT_ALONG = {"yarl": "aiohttp"}
"""What a dependency can't do without."""


def run(*argv: str | Path, cwd: Path, **environment: str) -> str:
    """Run it outside of this project, and give what it prints."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OKX_", "PYTHON", "COV_"))
    }
    done = subprocess.run(
        list(map(str, argv)), cwd=cwd, env=clean | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def dist(tmp_path_factory) -> Path:
    """A folder with a source distribution, and a wheel that was built from it."""
    pytest.importorskip("hatchling", reason="pip install hatchling")
    folder: Path = tmp_path_factory.mktemp("dist")
    build = "import sys; from hatchling.build import {0}; {0}(sys.argv[1])"
    run(sys.executable, "-c", build.format("build_sdist"), folder, cwd=ROOT)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    run(sys.executable, "-c", build.format("build_wheel"), folder, cwd=unpacked)
    return folder


@pytest.fixture(scope="session")
def wheel(dist) -> Path:
    (wheel,) = dist.glob("*.whl")
    return Path(wheel)


@pytest.fixture(scope="session")
def empty(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel and, by a side door, its dependencies; not this checkout."""
    folder: Path = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    paths = {"base": str(folder), "platbase": str(folder), "installed_base": sys.base_prefix}
    packages = Path(sysconfig.get_path("purelib", "venv", paths))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = scripts / "python"
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        python,
    ]
    if importlib.util.find_spec("pip") is None:
        pytest.skip("no pip")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder)
    return scripts


def test_the_version_is_in_one_place(wheel):
    assert "version" in PROJECT["dynamic"]
    text = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    assert len(re.findall(r"^__version__ =", text, re.MULTILINE)) == 1
    assert wheel.name == f"okx_funding-{okx_funding.__version__}-py3-none-any.whl"


def test_the_changelog_leads_to_this_version():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    first = re.findall(r"^## \[(.*?)\]", text, re.MULTILINE)[0]
    assert first in ("Unreleased", okx_funding.__version__)


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "okx_funding",
        f"okx_funding-{okx_funding.__version__}.dist-info",
    }
    kinds = ("*.py", "*.html", "*.css", "*.js")
    there = {it.relative_to(ROOT).as_posix() for kind in kinds for it in PACKAGE.rglob(kind)}
    assert "okx_funding/simulator/page/static/index.html" in there
    assert there <= set(names)
    assert "okx_funding/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_says_what_it_needs(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
    metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])


def test_the_source_holds_what_the_tests_need(dist):
    (unpacked,) = (dist / "unpacked").iterdir()
    for name in (
        "tests/conftest.py",
        "docs/index.md",
        "examples/bot.py",
        "mkdocs.yml",
        "README.md",
    ):
        assert (unpacked / name).exists()


def test_every_package_that_is_imported_is_declared():
    def name_of(requirement: str) -> str:
        return re.split(r"[^\w.-]", requirement)[0].lower().replace("-", "_")

    declared = {name_of(it) for it in PROJECT["dependencies"]}
    extras = {name_of(it) for many in PROJECT["optional-dependencies"].values() for it in many}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                if top in sys.stdlib_module_names or top == "okx_funding":
                    continue
                top = BROUGHT_ALONG.get(top, "opentelemetry_api" if top == "opentelemetry" else top)
                assert top in declared | extras, f"{path.name} imports {name}"
                if {name, name.split(".")[0]} & OPTIONAL - {"rich"}:
                    assert top in extras


def test_the_wheel_runs_in_an_empty_environment(empty, tmp_path):
    where = run(
        empty / "python", "-c", "import okx_funding as it; print(it.__file__)", cwd=tmp_path
    )
    assert Path(where.strip()).is_relative_to(empty.parent)
    version = run(empty / "okx-funding", "--version", cwd=tmp_path)
    assert version == f"okx-funding {okx_funding.__version__}\n"
    out = run(empty / "okx-funding", "demo", "--callers", "9", "--json", cwd=tmp_path)
    assert json.loads(out)["problems"] == []


def test_the_wheel_brings_its_fixtures_along(empty, tmp_path):
    code = "from importlib.metadata import entry_points as e; print(e(group='pytest11').names)"
    assert "'okx_funding'" in run(empty / "python", "-c", code, cwd=tmp_path)


# What is loaded.


def loaded(code: str) -> set[str]:
    out = run(
        sys.executable,
        "-c",
        f"{code}\nimport sys; print(*sys.modules)",
        cwd=ROOT,
        PYTHONPATH=str(ROOT),
    )
    return set(out.split())


def test_to_import_the_package_loads_nothing_of_others():
    assert not loaded("import okx_funding") & (OPTIONAL | {"aiohttp", "aiolimiter", "msgspec"})


def test_to_use_the_client_loads_nothing_that_is_optional():
    code = (
        "import asyncio\nfrom okx_funding import *\n"
        "async def main():\n"
        "    async with FundingClient(Credentials('k', 's', 'p')) as client:\n"
        "        client.statistics()\n"
        "asyncio.run(main())"
    )
    modules = loaded(code)
    assert "aiohttp" in modules
    assert not modules & (OPTIONAL | {"aiohttp.web", "argparse", "okx_funding.simulator"})


# What type checkers see.


@pytest.fixture
def outside(tmp_path) -> Path:
    """A folder outside of this project, with a program that uses all of the public API."""
    folder: Path = tmp_path
    shutil.copy(ROOT / "tests" / "typing" / "public_api.py", folder / "program.py")
    return folder


def test_mypy_agrees_with_the_public_api(outside, empty):
    options = ["--strict", "--warn-unreachable", "--cache-dir", outside / "cache"]
    python = ["--python-executable", empty / "python"]
    out = run(sys.executable, "-m", "mypy", *options, *python, "program.py", cwd=outside)
    assert out.startswith("Success")


@pytest.mark.timeout(120)
def test_pyright_agrees_with_the_public_api(outside, empty):
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("nox -s slow installs pyright")
    settings = {
        "include": ["program.py"],
        "typeCheckingMode": "strict",
        "enableTypeIgnoreComments": False,
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    (outside / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--pythonpath", empty / "python"]
    out = run(*command, cwd=outside, PYRIGHT_PYTHON_IGNORE_WARNINGS="1")  # asks no network
    assert "0 errors, 0 warnings" in out


@pytest.mark.timeout(120)
def test_pyright_need_not_guess_any_type(empty, tmp_path):
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("nox -s slow installs pyright")
    path = os.pathsep.join([str(empty), os.environ["PATH"]])  # --verifytypes looks for python there
    command = [sys.executable, "-m", "pyright", "--verifytypes", "okx_funding", "--ignoreexternal"]
    out = run(*command, cwd=tmp_path, PATH=path, PYRIGHT_PYTHON_IGNORE_WARNINGS="1")
    assert "Type completeness score: 100%" in out
