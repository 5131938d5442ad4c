"""``python -m benchmarks [NAME ...] [--quick | --redraw] [--real] [--out DIR | --no-files]``."""

from __future__ import annotations

import argparse
import time
from importlib import import_module
from pathlib import Path

from . import charts, page
from .harness import Benchmark, Options, missing, tell

NAMES = (
    "trace",
    "buckets",
    "call",
    "observers",
    "sign",
    "decode",
    "thousand_callers",
    "coalescing",
    "imports",
    "shared",
    "money",
)
TRIALS = ("sockets", "chaos", "soak", "machine")
"""Run only when they are named: they are trials, and compare nothing. ``--real`` adds sockets."""
FIGURES = Path(__file__).parent.parent / "docs" / "figures"


def main() -> None:
    """Run the benchmarks that were named, or all; full runs renew docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="a look, not a measurement")
    parser.add_argument("--redraw", action="store_true", help="pictures only, of the JSON files")
    parser.add_argument("--real", action="store_true", help="after buckets: 40 s over sockets")
    parser.add_argument("--out", type=Path, help="where JSON and pictures go (docs/figures)")
    parser.add_argument("--no-files", action="store_true", help="print only; --quick implies it")
    parser.add_argument("--calls", type=int, help="soak: how many (a million)")
    parser.add_argument(
        "--chaos", action="store_true", help="money: 10,000 movements that go wrong"
    )
    args = parser.parse_args()
    names = list(args.names or NAMES)
    if args.real and "buckets" in names:
        names.insert(names.index("buckets") + 1, "sockets")
    if unknown := set(names) - {*NAMES, *TRIALS}:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    if args.redraw:
        for name in (name for name in names if name in charts.CHARTS):
            _draw(name, args.out or FIGURES)
        return
    out = args.out or (None if args.quick or args.no_files else FIGURES)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    options = Options(quick=args.quick, out=out, calls=args.calls, chaos=args.chaos)
    for name in names:
        benchmark: Benchmark = import_module(f".{name}", __package__).BENCHMARK
        print(f"== {name}: {benchmark.question}\n", flush=True)
        began = time.monotonic()
        report = benchmark.run(options)
        found = (
            out if report.figures and not args.chaos else None
        )  # what was skipped leaves the old figures alone
        tell(benchmark, report, found)
        if found is not None and name in charts.CHARTS:
            _draw(name, found)
        if found == FIGURES and not args.quick:
            page.renew(name, report)
        print(f"({name}: {time.monotonic() - began:.0f} s)\n", flush=True)


def _draw(name: str, folder: Path) -> None:
    if missing("matplotlib"):
        print("Skipped: the picture: matplotlib isn't installed (the group benchmarks has it)\n")
        return
    for path in charts.draw(name, folder):
        print(f"Drawn: {path}")


if __name__ == "__main__":
    main()
