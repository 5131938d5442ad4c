"""``imports``: what ``import okx_funding`` costs before the first call."""

from __future__ import annotations

import statistics
import subprocess
import sys

from .harness import Benchmark, Options, Report, Table, missing

_PROBE = """
import sys, time
began = time.process_time()
{statement}
seconds = time.process_time() - began
try:
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak //= 1024 if sys.platform == "darwin" else 1
print(seconds, peak, len(sys.modules))
"""
_OPTIONAL = ("redis", "orjson", "uvloop", "rich", "ccxt", "okx", "prometheus_client", "matplotlib")


def _probe(statement: str) -> tuple[float, float, int]:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE.format(statement=statement)],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, peak, modules = done.stdout.split()
    return 1000 * float(seconds), int(peak) / 1024, int(modules)


def _optional_loaded() -> list[str]:
    code = f"import okx_funding, sys; print(*(set({_OPTIONAL!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()


def run(options: Options) -> Report:
    """A fresh interpreter for each import, in turns."""
    statements = {
        "nothing": "pass",
        "okx_funding": "import okx_funding",
        "aiohttp and msgspec": "import aiohttp, msgspec",
        "aiohttp and msgspec, once more": "import aiohttp, msgspec",
        "okx_funding, its FundingClient": "from okx_funding import FundingClient",
        "okx_funding, all its structs": (
            "from okx_funding import FundingClient; import okx_funding.api"
        ),
        "okx_funding.cli": "import okx_funding.cli",
    }
    if not missing("ccxt"):
        statements["ccxt.async_support"] = "import ccxt.async_support"
    if not missing("okx"):
        statements["okx.Funding (python-okx)"] = "import okx.Funding"
    probes: dict[str, list[tuple[float, float, int]]] = {name: [] for name in statements}
    for _ in range(options.pick(11, 3)):
        for name, statement in statements.items():
            probes[name].append(_probe(statement))
    table = Table(
        "Importing, in a fresh interpreter", ("", "CPU ms", "peak MiB", "more MiB", "modules")
    )
    report = Report([table])
    bare = statistics.median(peak for _, peak, _ in probes["nothing"])
    for name, found in probes.items():
        time, peak, modules = (statistics.median(column) for column in zip(*found, strict=True))
        row = (name, f"{time:.0f}", f"{peak:.1f}", f"{peak - bare:.1f}", f"{modules:.0f}")
        table.rows.append(row)
        report.figures[name] = {"cpu_ms": round(time, 1), "peak_mib": round(peak, 2)}
    ratio = statistics.median(
        ours[0] / bare[0]
        for ours, bare in zip(
            probes["okx_funding, its FundingClient"], probes["aiohttp and msgspec"], strict=True
        )
    )
    report.figures["FundingClient against aiohttp and msgspec"] = round(ratio, 3)
    optional = _optional_loaded()
    loaded = ", ".join(sorted(optional)) or "none"
    table.note = (
        f"FundingClient costs {ratio:.2f} times aiohttp and msgspec. Optional packages that "
        f"okx_funding loads: {loaded}."
    )
    report.figures["optional_loaded"] = optional
    return report


BENCHMARK = Benchmark("imports", "What does it cost to have this project at all?", run)
