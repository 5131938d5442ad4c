"""Which pictures there are: each is made of the JSON file of its benchmark, so nothing is run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from . import buckets, picture
from .picture import Bar, Chart

Figures = Mapping[str, Any]

_TO_THE_FIRST = (
    "Ratios to the first bar (dashed). Blue: this project. Shorter is better; thin: quartiles."
)


def draw(name: str, folder: Path) -> list[Path]:
    """The pictures of a benchmark, beside its JSON file."""
    figures = json.loads((folder / f"{name}.json").read_text("utf-8"))
    drawn = picture.bars(CHARTS[name](figures), folder / name)
    if name == "buckets":  # in virtual time, where a second run is the same run
        drawn += picture.arrivals(buckets.strategies(), folder)
    return drawn


def _settings(figures: Figures) -> dict[str, dict[str, dict[str, Any]]]:
    """Settings, variants and their costs, without what else is in a file."""
    return {
        setting: {name: cost for name, cost in costs.items() if isinstance(cost, dict)}
        for setting, costs in figures.items()
        if isinstance(costs, dict)
    }


def _measured(title: str, longest: float) -> Callable[[Figures], Chart]:
    """The ratios of `harness.compare`, a panel for each setting."""

    def chart(figures: Figures) -> Chart:
        panels = {
            setting: {
                name: Bar(cost["ratio"], f"{cost['ratio']:.2f}", tuple(cost["quartiles"]))
                for name, cost in costs.items()
            }
            for setting, costs in _settings(figures).items()
        }
        return Chart(title, _TO_THE_FIRST, panels, longest)

    return chart


def _coalescing(figures: Figures) -> Chart:
    panels = {}
    for count in (1_000, 10_000):
        cost = figures[f"caller at {count}"]
        caller = cost["caller_us"] / cost["bare_us"]
        ratios = {
            "a task that does nothing": 1.0,
            "okx_funding": caller,
            "okx_funding, timeout=60": caller * cost["timeout_ratio"],
        }
        panels[f"{count:,} callers at once"] = {
            name: Bar(ratio, f"{ratio:.2f}, {ratio * cost['bare_us']:.1f} µs")
            for name, ratio in ratios.items()
        }
    reading = "Dashed: an asyncio task that does nothing. Blue: this project. Shorter is better."
    return Chart("CPU of a caller whose request is shared", reading, panels, 5.0)


def _thousand_callers(figures: Figures) -> Chart:
    bars = {
        name: Bar(it["seconds"] / it["floor"], f"{it['seconds']:.3g} s, {it['requests']} requests")
        for name, it in figures["seconds"].items()
    }
    return Chart(
        "1000 callers at once want some of 400 currencies: seconds until all are answered",
        "Dashed: the least for 20 requests. The first two were measured, the others are computed.",
        {"": bars},
        max(bar.ratio for bar in bars.values()),
    )


def _used(
    runs: Iterable[Figures], who: str, used: str, headings: Mapping[tuple[float, str], str]
) -> Mapping[str, Mapping[str, Bar]]:
    """Panels of the share of the limit that was used, red where requests were refused."""
    panels: dict[str, dict[str, Bar]] = {heading: {} for heading in headings.values()}
    for it in runs:
        heading = headings.get((it["jitter_ms"], it.get("shape", "uniform")))
        if heading is None:
            continue
        refused = it["refused"][it["worst"]] if "worst" in it else it["refused"]
        share = refused / max(1, it["requests"])
        text = f"{it[used]:.0%}" + (f", {share:.1%} refused" if refused else "")
        panels[heading][it[who]] = Bar(it[used], text, bad=bool(refused))
    return {heading: panel for heading, panel in panels.items() if panel}


_LONGER = "Dashed: all of it. Blue: this project. Longer is better. Red: requests were refused."


def _buckets(figures: Figures) -> Chart:
    headings = {
        (0.0, "uniform"): "no jitter",
        (10.0, "uniform"): "up to 10 ms of jitter each way",
        (100.0, "uniform"): "up to 100 ms of jitter each way",
        (100.0, "heavy"): "heavy-tailed jitter with the same median",
    }
    panels = _used(figures["strategies"], "strategy", "utilisation", headings)
    return Chart("Use of a limit of 6 per second, in virtual time", _LONGER, panels, 1.0)


def _shared(figures: Figures) -> Chart:
    headings = {
        (0.0, "uniform"): "no jitter",
        (5.0, "uniform"): "up to 5 ms of jitter each way",
        (30.0, "uniform"): "up to 30 ms of jitter each way",
    }
    panels = _used(figures["together"], "limiter", "used", headings)
    return Chart("Use of one limit of 6 per second by four processes", _LONGER, panels, 1.0)


def _imports(figures: Figures) -> Chart:
    told = {name: it for name, it in figures.items() if isinstance(it, dict)}
    yardstick = told["aiohttp alone"]
    panels = {
        heading: {
            name: Bar(it[key] / yardstick[key], f"{it[key]:.0f} {unit}")
            for name, it in told.items()
        }
        for heading, key, unit in (("CPU", "cpu_ms", "ms"), ("memory", "peak_mib", "MiB"))
    }
    reading = "Dashed: importing aiohttp alone. Blue: this project. Shorter is better."
    return Chart("Importing, in a fresh interpreter", reading, panels, 3.6)


CHARTS: Mapping[str, Callable[[Figures], Chart]] = {
    "buckets": _buckets,
    "call": _measured("CPU of one call", 2.6),
    "observers": _measured("CPU of a call that is watched", 6.0),
    "sign": _measured("CPU of timestamp, signature and headers", 1.2),
    "decode": _measured("CPU of decoding an answer", 2.6),
    "thousand_callers": _thousand_callers,
    "coalescing": _coalescing,
    "imports": _imports,
    "shared": _shared,
}
