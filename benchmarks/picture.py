"""How pictures are drawn: bars of ratios, and arrivals against the window. Needs matplotlib."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import buckets
from .harness import optional
from .road import Jitter, Road
from .strategies import Run, Strategy

_JITTER = Jitter(0.100)
_SHOWN = 6.0


@dataclass(frozen=True)
class Palette:
    """Colours of a page."""

    suffix: str
    page: str
    text: str
    faint: str
    good: str
    bad: str
    grey: str


LIGHT = Palette("", "#ffffff", "#1f2328", "#d1d9e0", "#0969da", "#cf222e", "#a5aeb8")
DARK = Palette("-dark", "#0d1117", "#e6edf3", "#30363d", "#4493f8", "#ff7b72", "#5b636d")


def arrivals(strategies: Sequence[Strategy], folder: Path) -> list[Path]:
    """Write ``arrivals``, for light and dark pages, as PNG and SVG."""
    runs = [(strategy.name, _run(strategy)) for strategy in strategies]
    return [path for palette in (LIGHT, DARK) for path in _draw(runs, folder, palette)]


def _run(strategy: Strategy) -> Run:
    return buckets.drive(strategy, Road(_JITTER), int(_SHOWN * 7 * 20))


def _draw(runs: Sequence[tuple[str, Run]], folder: Path, palette: Palette) -> list[Path]:
    with _drawing(palette) as plt:
        figure, strips = plt.subplots(
            len(runs), 1, figsize=(9, 0.55 + 1.12 * len(runs)), sharex=True, sharey=True
        )
        for strip, (name, run) in zip(strips, runs, strict=True):
            _strip(strip, name, run, palette)
        strips[-1].set_xlabel("seconds since the first request arrived")
        figure.suptitle(
            f"Requests in the last second, as the exchange sees them: {buckets.LIMIT} allowed,\n"
            f"round trip 44 ms, up to {1000 * _JITTER.scale:g} ms of jitter each way",
            x=0.065,
            y=0.99,
            ha="left",
            fontsize=11,
            fontweight="bold",
        )
        figure.tight_layout(rect=(0, 0, 1, 0.985), h_pad=0.7)
        return _save(figure, folder / f"arrivals{palette.suffix}")


@contextlib.contextmanager
def _drawing(palette: Palette) -> Iterator[Any]:
    """pyplot, in the colours of a page."""
    style: dict[str, Any] = {
        "figure.facecolor": palette.page,
        "axes.facecolor": palette.page,
        "axes.edgecolor": palette.faint,
        "text.color": palette.text,
        "axes.labelcolor": palette.text,
        "xtick.color": palette.text,
        "ytick.color": palette.text,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
        "font.size": 9,
        "svg.fonttype": "none",  # text stays text: a quarter of the size
        "svg.hashsalt": "okx_funding",
    }
    matplotlib = optional("matplotlib")
    matplotlib.use("Agg")
    plt = optional("matplotlib.pyplot")
    with matplotlib.rc_context(style):
        yield plt
        plt.close("all")


def _save(figure: Any, stem: Path) -> list[Path]:
    """An SVG without a date, so that the same figures make the same file."""
    svg = stem.with_name(f"{stem.name}.svg")
    figure.savefig(svg, metadata={"Date": None})
    return [svg]


def _strip(strip: Any, name: str, run: Run, palette: Palette) -> None:
    exchange = run.exchange
    limit, window = exchange.limit.count, exchange.limit.period
    first = exchange.arrivals[0]
    times = [at - first for at in exchange.arrivals]
    shown = [at for at in times if at <= _SHOWN]
    moments = sorted({0.0, *shown, *(at + window for at in shown), _SHOWN})
    counts = [sum(at <= moment < at + window for at in shown) for moment in moments]
    strip.fill_between(
        moments, counts, step="post", color=palette.good, alpha=0.22, linewidth=0, zorder=1
    )
    over = [max(count, limit) for count in counts]
    strip.fill_between(
        moments, over, limit, step="post", color=palette.bad, alpha=0.45, linewidth=0, zorder=2
    )
    strip.step(moments, counts, where="post", color=palette.good, linewidth=1.1, zorder=3)
    strip.axhline(limit, color=palette.text, linewidth=0.9, linestyle=(0, (4, 3)), zorder=4)
    refused = set(exchange.refused_at)
    for colour, wanted, marker, size in (
        (palette.good, False, "|", 30),
        (palette.bad, True, "x", 26),
    ):
        numbered = enumerate(times[: len(shown)])
        dots = [at for number, at in numbered if (number in refused) is wanted]
        strip.scatter(
            dots, [-1.1] * len(dots), marker=marker, s=size, color=colour, linewidths=1.2, zorder=5
        )
    share = exchange.per_mille("sliding")
    verdict = "none refused" if not share else f"{share / 10:.0f} % refused"
    strip.set_title(name, loc="left", fontsize=9.5, fontweight="bold", pad=3)
    strip.set_title(
        f"{verdict}, {exchange.utilisation():.0%} of the limit used",
        loc="right",
        fontsize=9,
        pad=3,
        color=palette.bad if share else palette.text,
    )
    strip.set_xlim(-0.05, _SHOWN)
    strip.set_ylim(-2.2, 13)
    strip.set_yticks([0, limit, 2 * limit])
    strip.tick_params(length=0)
    for side in ("top", "right", "left"):
        strip.spines[side].set_visible(False)


# -- bars --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """One ratio."""

    ratio: float
    text: str
    """What stands at its end."""
    spread: tuple[float, float] | None = None
    """Quartiles, where it was measured many times."""
    bad: bool = False
    """Something is wrong with it, whatever its length."""


@dataclass(frozen=True)
class Chart:
    """Bars of ratios, a panel for each setting, with the same names in all."""

    title: str
    reading: str
    """What to know for reading it: what 1 is, and which end is better."""
    panels: Mapping[str, Mapping[str, Bar]]
    longest: float
    """Where a bar is cut."""


def bars(chart: Chart, stem: Path) -> list[Path]:
    """Draw it for light and for dark pages, as PNG and SVG."""
    return [path for palette in (LIGHT, DARK) for path in _bars(chart, stem, palette)]


def _bars(chart: Chart, stem: Path, palette: Palette) -> list[Path]:
    columns = min(2, len(chart.panels))
    rows = -(-len(chart.panels) // columns)
    names = list(next(iter(chart.panels.values())))
    height = 0.6 + (0.4 + 0.25 * len(names)) * rows
    with _drawing(palette) as plt:
        figure, grid = plt.subplots(
            rows, columns, figsize=(9, height), sharex=True, sharey=True, squeeze=False
        )
        for axes in grid.flat[len(chart.panels) :]:
            axes.set_visible(False)
        for axes, (heading, panel) in zip(grid.flat, chart.panels.items(), strict=False):
            for place, name in enumerate(names):
                _bar(axes, place, name, panel[name], chart.longest, palette)
            axes.axvline(1.0, color=palette.text, linewidth=0.9, linestyle=(0, (4, 3)), zorder=2)
            axes.set_title(heading, loc="left", fontsize=9.5, fontweight="bold", pad=4)
            axes.set_yticks(range(len(names)), names)
            axes.tick_params(length=0, labelbottom=False)
            for side in ("top", "right", "bottom", "left"):
                axes.spines[side].set_visible(False)
        grid.flat[0].set_xlim(0, chart.longest * (1.25 if columns == 1 else 1.4))
        grid.flat[0].set_ylim(len(names) - 0.5, -0.5)
        top = 1 - 0.1 / height
        figure.text(0.012, top, chart.title, va="top", fontsize=11, fontweight="bold")
        figure.text(0.012, top - 0.21 / height, chart.reading, va="top", fontsize=9)
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.45 / height))
        return _save(figure, stem.with_name(stem.name + palette.suffix))


def _bar(axes: Any, place: int, name: str, bar: Bar, longest: float, palette: Palette) -> None:
    colour = palette.good if "okx_funding" in name else palette.grey
    end = min(bar.ratio, longest)
    axes.barh(place, end, color=palette.bad if bar.bad else colour, height=0.66)
    text = bar.text if bar.ratio <= longest else f"→ {bar.text}"
    if bar.spread is not None and bar.ratio <= longest:
        low, high = (min(it, longest) for it in bar.spread)
        axes.plot((low, high), (place, place), color=palette.text, linewidth=1.0, zorder=3)
        end = max(end, high)
    ground = {"facecolor": palette.page, "edgecolor": "none", "pad": 0.6}
    axes.text(end + longest / 80, place, text, va="center", fontsize=8, bbox=ground, zorder=4)
