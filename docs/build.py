"""Makes ``reference.md`` from the docstrings, and the site from all pages.

    python docs/build.py             the reference
    python docs/build.py --site      the site, in site/ (nox -s docs installs it)

The source is read, not imported: nothing that is optional has to be installed.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PACKAGE = ROOT / "okx_funding"

API = (
    "assets",
    "transfers",
    "bills",
    "deposits",
    "withdrawals",
    "statements",
    "convert",
    "fiat",
    "buy_sell",
    "subaccounts",
    "subaccount_balances",
    "subaccount_bills",
    "subaccount_keys",
    "account",
    "pages",
)
"""The sections of OKX's funding section, in the order of the table."""

SECTIONS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "Clients",
        "",
        {
            "client.funding": "FundingClient",
            "money.client": "Money",
            "money.intents": "Intents",
            "client.watches": "Watches",
            "client.accounts": "AccountGroup AccountResults AccountWalk",
            "client.subaccounts": "SubAccounts EachSubAccount",
            "session": "Session",
            "auth.credentials": "Credentials",
            "scheduler.context": "Policy",
        },
    ),
    (
        "Reads",
        "Methods of `FundingClient`, by section. Structs are in `okx_funding.api`: frozen, with "
        "amounts as `Decimal`, exact to the last digit.",
        {f"api.{module}": "[A-Z]*" for module in API},
    ),
    (
        "Money",
        "",
        {
            "money.intent": "Intent client_id_for",
            "money.outcome": "Done NotDone Unknown",
            "money.journal": "Journal",
            "money.sqlite": "SQLiteJournal",
            "money.postgres": "PostgresJournal",
        },
    ),
    (
        "Limits",
        "",
        {
            "api.spec": "RateLimit Endpoint Options ReadOptions",
            "ratelimit.machine.store": "MachineLimits",
            "ratelimit.redis.store": "SharedLimits",
        },
    ),
    ("Errors", "All are exported by `okx_funding` itself.", {"errors": "*"}),
    (
        "Statistics and events",
        "Events are in `okx_funding.telemetry.events`.",
        {"telemetry.events": "Statistics BucketStatistics Observer *"},
    ),
    (
        "Observers",
        "",
        {
            "telemetry.observers": "together",
            "telemetry.prometheus": "PrometheusObserver",
            "telemetry.opentelemetry": "OpenTelemetryObserver",
        },
    ),
    (
        "The simulated exchange",
        "In `okx_funding.simulator`.",
        {
            "simulator.exchange": "SimulatedExchange",
            "simulator.state": "ExchangeState",
            "simulator.traffic": "Traffic",
            "simulator.accounts": "Account",
            "simulator.auth": "Key",
            "simulator.threads": "in_thread",
            "simulator.books": "Rules",
            "simulator.ledger": "Movement Ledger",
            "simulator.arrivals": "Arrival",
            "simulator.faults": "Fault",
            "simulator.channels": "WebSockets",
        },
    ),
    (
        "Fixtures for pytest",
        "Found without being imported; see [Testing your bot](testing-your-bot.md).",
        {"testing.fixtures": "okx_*", "testing.asynchronous": "okx_*"},
    ),
    (
        "Transports",
        "`FakeTransport` and `SentRequest` are in `okx_funding.testing`.",
        {"wire.transport": "Transport", "testing.fake_transport": "FakeTransport SentRequest"},
    ),
)

TOLD = {"Session": {"aclose", "closed", "statistics"}, "PrometheusObserver": {"track"}}
"""Methods of classes whose others are for other rooms of the house."""

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Function = ast.FunctionDef | ast.AsyncFunctionDef


def reference() -> str:
    """The page, in Markdown."""
    parts = [
        "# Reference",
        "<!-- Made by `python docs/build.py` from the docstrings: change those. -->",
    ]
    for title, intro, modules in SECTIONS:
        parts.append(f"## {title}")
        if intro:
            parts.append(intro)
        for module, names in modules.items():
            for definition in _chosen(module, names.split()):
                parts += _entry(definition)
    return "\n\n".join(parts) + "\n"


def _chosen(module: str, patterns: list[str]) -> Iterator[Definition]:
    path = PACKAGE / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    public = {
        node.name: node
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, Definition) and not node.name.startswith("_")
    }
    for pattern in patterns:
        for name in [name for name in public if re.fullmatch(pattern.replace("*", ".*"), name)]:
            yield public.pop(name)


def _entry(node: Definition) -> Iterator[str]:
    yield f"### {node.name}"
    if isinstance(node, Function):
        fixture = any("fixture" in ast.unparse(it) for it in node.decorator_list)
        yield f"`{node.name}: {_given(node)}`" if fixture else _code(_signature(node))
        yield _prose(node)
        return
    init = next((it for it in node.body if _named(it, "__init__")), None)
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    if isinstance(init, Function):
        yield _code(_signature(init, node.name, method=True))
    elif bases and bases not in ("Row", "Protocol"):
        yield f"`{node.name}({bases})`"
    names = {arg.arg for arg in init.args.kwonlyargs} if isinstance(init, Function) else set()
    yield _listed(_prose(node), names | {"credentials"})
    if fields := list(_fields(node)):
        yield "\n".join(fields)
    for method in node.body:
        if isinstance(method, Function) and not method.name.startswith("_"):
            told = TOLD.get(node.name, {method.name})
            if ast.get_docstring(method) is None or method.name not in told:
                continue
            yield f"#### {node.name}.{method.name}"
            decorators = {ast.unparse(it) for it in method.decorator_list}
            if "property" in decorators:
                assert method.returns is not None
                yield f"`{method.name}: {ast.unparse(method.returns)}`"
            else:
                static = "staticmethod" in decorators
                yield _code(_signature(method, method=not static))
            yield _prose(method)


def _given(fixture: Function) -> str:
    assert fixture.returns is not None
    return re.sub(r"^(?:Async)?Iterator\[(.*)\]$", r"\1", ast.unparse(fixture.returns))


def _named(node: ast.stmt, name: str) -> bool:
    return isinstance(node, Function) and node.name == name


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """Attributes, with the text below each of them."""
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        name = field.target.id
        if name.startswith("_"):
            continue
        line = f"* `{name}: {ast.unparse(field.annotation)}"
        if field.value is not None:
            line += f" = {ast.unparse(field.value)}"
        line += "`"
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            line += f": {_inline(str(after.value.value))}"
        yield line


def _inline(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split())


def _prose(node: Definition) -> str:
    text = ast.get_docstring(node) or ""
    return re.sub(r"(?<![<(`])(https?://[^\s)`]+)(?=[\s.)]|$)", r"<\1>", text)


def _listed(text: str, names: set[str]) -> str:
    """A paragraph that explains parameters, one sentence after the other, becomes a list."""
    start = re.compile(rf"(?:^|(?<=[.;]) |(?<=[.;])\n)({'|'.join(names)}): ", re.MULTILINE)

    def listed(paragraph: str) -> str:
        if not start.match(paragraph):
            return paragraph
        items = start.sub(r"\0`\1`: ", paragraph).split("\0")
        return "\n".join(f"* {' '.join(item.split())}" for item in items if item)

    return "\n\n".join(map(listed, text.split("\n\n")))


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _signature(node: Function, name: str | None = None, *, method: bool = False) -> str:
    arguments = _arguments(node.args, method=method)
    head = name or f"{'async ' * isinstance(node, ast.AsyncFunctionDef)}def {node.name}"
    tail = "" if name or node.returns is None else f" -> {ast.unparse(node.returns)}"
    line = f"{head}({', '.join(arguments)}){tail}"
    if len(line) <= 88:
        return line
    rows = "".join(f"    {argument},\n" for argument in arguments)
    return f"{head}(\n{rows}){tail}"


def _arguments(args: ast.arguments, *, method: bool) -> list[str]:
    positional = [*args.posonlyargs, *args.args][method:]
    defaults: Iterable[ast.expr | None] = [
        *[None] * (len(positional) - len(args.defaults)),
        *args.defaults,
    ]
    texts = [_argument(arg, default) for arg, default in zip(positional, defaults, strict=True)]
    if args.vararg:
        texts.append(f"*{_argument(args.vararg, None)}")
    elif args.kwonlyargs:
        texts.append("*")
    texts += [
        _argument(arg, default)
        for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ]
    return texts


def _argument(arg: ast.arg, default: ast.expr | None) -> str:
    text = f"{arg.arg}: {ast.unparse(arg.annotation)}" if arg.annotation else arg.arg
    return text if default is None else f"{text} = {ast.unparse(default)}"


def site(out: Path) -> None:
    """Build the site, from a copy that holds what the pages link to beside them as well."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        pages = copy / "docs"
        shutil.copy(ROOT / "mkdocs.yml", copy)
        shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        (pages / "reference.md").write_text(reference(), "utf-8")
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "examples", pages / "examples", ignore=ignored)
        shutil.copy(ROOT / "benchmarks" / "README.md", pages / "questions.md")
        for page in pages.rglob("*.md"):
            text = page.read_text("utf-8")
            text = re.sub(r"\]\(\.\./((?:\.\./)?examples/)", r"](\1", text)
            text = text.replace("](../benchmarks/README.md)", "](questions.md)")
            text = text.replace("](../docs/", "](../" if page.parent.name == "examples" else "](")
            page.write_text(text, "utf-8")
        subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--strict"], cwd=copy, check=True
        )
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(copy / "site", out)


def main() -> None:
    """Write the reference, or build the site with a reference of its own."""
    parser = argparse.ArgumentParser(description="Build the documentation.")
    parser.add_argument(
        "--site", nargs="?", type=Path, const=ROOT / "site", help="build the site (in site/)"
    )
    options = parser.parse_args()
    if options.site is None:
        (DOCS / "reference.md").write_text(reference(), "utf-8")
    else:
        site(options.site)


if __name__ == "__main__":
    main()
