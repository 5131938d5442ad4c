"""The floors of the house: who may import whom, and what every room owes its visitors."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import okx_funding
import okx_funding.simulator
from okx_funding import FundingClient
from okx_funding.api.table import ENDPOINTS

HOUSE = Path(okx_funding.__file__).parent

# A room may import from lower floors, and from rooms further left on its own.
FLOORS = {
    "words": "telemetry errors events models api auth",
    "rules": "endpoints inquest retry circuit counters callers batching deadlines arguments hints",
    "world": "wire hosts slots buckets registry buckets_redis ratelimit",
    "meeting": "telling flights line dispatcher lane session",
    "face": "client",
    "doors": "__init__ observers testing cli __main__",
}
ORDER = [room for floor in FLOORS.values() for room in floor.split()]
NEXT_DOOR = {"endpoints": None, "models": None, "auth": {"Credentials"}}
"""What the simulated exchange may take from here, lest it share our mistakes; None takes all."""

THIRD_PARTIES = {
    "aiohttp": {"wire"},
    "yarl": {"wire"},
    "aiolimiter": {"slots", "buckets"},
    "msgspec": {"api", "models", "wire"},
    "redis": {"buckets_redis"},
    "filelock": {"ratelimit"},
    "rich": {"cli"},
    "shtab": {"cli"},
    "pytest": {"testing"},
    "pytest_asyncio": {"testing"},
    "prometheus_client": {"observers"},
    "opentelemetry": {"observers"},
}

LONG = 350
LONG_FOR_A_REASON = {
    "buckets": "the law of the limit, in one piece of state",
    "buckets_redis.bucket": "all that can happen to one process's view of a shared bucket",
    "batching": "who waits for what, in one piece of state",
    "session": "who opens, shares, counts and closes what: one life from bind to drain",
    "dispatcher": "where batch, slot and wire meet: one road for all requests and retries",
}

FILES = sorted(HOUSE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(HOUSE).with_suffix("").parts)


def room_of(path: Path) -> str:
    return path.relative_to(HOUSE).with_suffix("").parts[0]


def for_typing_only(tree: ast.AST) -> set[ast.AST]:
    """What stands under ``if TYPE_CHECKING``."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }


def imports(path: Path, *, typing: bool = True) -> Iterator[tuple[str, str | None]]:
    """Module and name of each import, wherever it stands; the name is None for a whole module."""
    package = ["okx_funding", *path.relative_to(HOUSE).parent.parts]
    left_out = set() if typing else for_typing_only(TREES[path])
    for node in ast.walk(TREES[path]):
        if node in left_out:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                if (HOUSE.parent / Path(*module.split("."), f"{alias.name}.py")).exists():
                    yield f"{module}.{alias.name}", None
                else:
                    yield module, alias.name


def rooms_seen_from(path: Path) -> Iterator[tuple[str, str | None]]:
    """Rooms of this house that a file imports from, and what it takes."""
    for module, name in imports(path):
        parts = module.split(".")
        if parts[0] == "okx_funding":
            yield (parts[1] if len(parts) > 1 else "__init__"), name


INSIDE = [path for path in FILES if room_of(path) != "simulator"]


def test_every_room_has_its_floor():
    assert {room_of(path) for path in FILES} <= {*ORDER, "simulator"}


@pytest.mark.parametrize("path", INSIDE, ids=name_of)
def test_imports_go_downward_only(path):
    here = room_of(path)
    for there, name in rooms_seen_from(path):
        if there == here:
            continue
        if here in FLOORS["doors"].split():
            assert there == "simulator" or ORDER.index(there) <= ORDER.index(here)
        else:
            assert there != "simulator", f"{here} is helped by the other side of the wire"
            assert ORDER.index(there) < ORDER.index(here), f"{here} imports {name} from {there}"


@pytest.mark.parametrize(
    "path", [path for path in FILES if room_of(path) == "simulator"], ids=name_of
)
def test_the_exchange_next_door_borrows_little(path):
    for there, name in rooms_seen_from(path):
        if there != "simulator":
            assert there in NEXT_DOOR, f"the exchange must not lean on {there}"
            allowed = NEXT_DOOR[there]
            assert allowed is None or name in allowed


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_each_third_party_has_its_room(path):
    for module, _ in imports(path, typing=False):
        top = module.split(".")[0]
        if top == "okx_funding" or top in sys.stdlib_module_names:
            continue
        assert top in THIRD_PARTIES, f"nobody said that {top} may be used"
        assert room_of(path) in THIRD_PARTIES[top], f"{top} isn't at home in {name_of(path)}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nobody_takes_what_another_room_keeps_to_itself(path):
    for there, name in rooms_seen_from(path):
        private = name is not None and name.startswith("_") and not name.startswith("__")
        assert not private or there == room_of(path), f"{name} is private to {there}"


SOCKETS = ("pool", "transport")
WIRE = [path for path in FILES if room_of(path) == "wire" and path.stem not in SOCKETS]
RULES = [path for path in FILES if room_of(path) in FLOORS["rules"].split()] + WIRE
WORDS = set(FLOORS["words"].split()) - {"api"}  # its methods are what callers await
PURE = [path for path in FILES if room_of(path) in WORDS] + RULES


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_words_and_rules_never_await(path):
    awaiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [node.lineno for node in ast.walk(TREES[path]) if isinstance(node, awaiting)]


@pytest.mark.parametrize("path", RULES, ids=name_of)
def test_rules_have_no_clock_no_dice_and_no_sockets(path):
    used = {module.split(".")[0] for module, _ in imports(path)}
    assert not used & {"time", "random", "os", "socket", "threading", "secrets", "logging"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_room_grows_without_a_reason(path):
    lines = len(path.read_text().splitlines())
    if name_of(path) not in LONG_FOR_A_REASON:
        assert lines <= LONG, f"{name_of(path)} has {lines} lines: split it, or say why not"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_room_says_what_it_is_for(path):
    assert ast.get_docstring(TREES[path]) or path.name == "__main__.py"


def public_names() -> Iterator[tuple[str, object]]:
    for module in (okx_funding, okx_funding.simulator):
        for name in module.__all__:
            thing = getattr(module, name)
            if not callable(thing):
                continue
            yield f"{module.__name__}.{name}", thing
            for attribute, value in vars(thing).items() if inspect.isclass(thing) else ():
                if not attribute.startswith("_") and (
                    inspect.isfunction(value)
                    or isinstance(value, property | classmethod | staticmethod)
                ):
                    yield f"{module.__name__}.{name}.{attribute}", getattr(thing, attribute)


PUBLIC = dict(public_names())


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_explained(name):
    if name.endswith((".admit", ".cancel")):
        return  # what the class is for
    assert inspect.getdoc(PUBLIC[name]), f"{name} has no docstring"


def test_what_is_exported_is_sorted_and_complete():
    imported = {
        alias.asname or alias.name
        for node in for_typing_only(TREES[HOUSE / "__init__.py"])
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert okx_funding.__all__ == sorted(imported)
    names = okx_funding.simulator.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), name.islower(), name))


def test_the_door_has_no_logic_but_to_open_when_somebody_knocks():
    body = TREES[HOUSE / "__init__.py"].body
    ifs = [ast.unparse(node.test) for node in body if isinstance(node, ast.If)]
    assert ifs == ["TYPE_CHECKING", "not TYPE_CHECKING"]
    kinds = {type(node) for node in body}
    assert kinds <= {ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.If}


def test_every_public_name_is_found_where_type_checkers_look_for_it():
    for node in for_typing_only(TREES[HOUSE / "__init__.py"]):
        if isinstance(node, ast.ImportFrom):
            home = importlib.import_module(f"okx_funding.{node.module}")
            for alias in node.names:
                assert getattr(okx_funding, alias.name) is getattr(home, alias.name)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        okx_funding.Nonsense  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=str)
def test_every_endpoint_links_its_page(endpoint):
    assert endpoint.docs.startswith("https://www.okx.com/docs-v5/en/#")
    method = getattr(FundingClient, endpoint.name, None)
    if method is not None:
        assert endpoint.docs in (method.__doc__ or "")


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=str)
def test_the_row_of_every_endpoint_links_a_page(endpoint):
    assert "https://www.okx.com/docs-v5/en/#" in (endpoint.row.__doc__ or "")


def test_the_table_is_keyed_by_name():
    assert [endpoint.name for endpoint in ENDPOINTS.values()] == list(ENDPOINTS)
    assert len({endpoint.path for endpoint in ENDPOINTS.values()}) == len(ENDPOINTS)


def test_the_command_line_is_not_loaded_with_the_library():
    code = "import sys; from okx_funding import *; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"rich", "redis", "argparse", "okx_funding.cli", "okx_funding.simulator"} & {*loaded}
