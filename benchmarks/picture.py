"""The pictures: arrivals against the window, and what calls cost. Needs matplotlib."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import buckets
from .harness import Cost, optional
from .road import Jitter, Road
from .strategies import Run, Strategy

_JITTER = Jitter(0.100)
_SHOWN = 6.0
_LONGEST = 2.6


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
        "font.family": ["DejaVu Sans"],
        "font.size": 9,
        "svg.hashsalt": "okx_funding",
    }
    matplotlib = optional("matplotlib")
    matplotlib.use("Agg")
    plt = optional("matplotlib.pyplot")
    with matplotlib.rc_context(style):
        yield plt
        plt.close("all")


def _save(figure: Any, stem: Path) -> list[Path]:
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    for path in paths:
        undated: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, dpi=160, metadata=undated)
    return paths


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


def ratios(panels: Mapping[str, Mapping[str, Cost]], title: str, stem: Path) -> list[Path]:
    """Bars of ratios to the first variant, a panel for each setting; light and dark."""
    return [path for palette in (LIGHT, DARK) for path in _bars(panels, title, stem, palette)]


def _bars(
    panels: Mapping[str, Mapping[str, Cost]], title: str, stem: Path, palette: Palette
) -> list[Path]:
    names = list(next(iter(panels.values())))
    with _drawing(palette) as plt:
        height = 0.9 + 0.24 * len(names)
        figure, grid = plt.subplots(
            (len(panels) + 1) // 2, 2, figsize=(9, height * ((len(panels) + 1) // 2)), sharey=True
        )
        for axes, (heading, costs) in zip(grid.flat, panels.items(), strict=False):
            values = [costs[name].ratio for name in names]
            ours = [palette.good if "okx_funding" in name else palette.grey for name in names]
            axes.barh(names, [min(value, _LONGEST) for value in values], color=ours, height=0.66)
            for place, value in enumerate(values):
                text = f"{value:.2f}" if value <= _LONGEST else f"→ {value:.2f}"
                axes.text(min(value, _LONGEST) + 0.04, place, text, va="center", fontsize=8)
            axes.axvline(1.0, color=palette.text, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
            axes.set_title(heading, loc="left", fontsize=9.5, fontweight="bold", pad=4)
            axes.set_xlim(0, _LONGEST + 0.4)
            axes.tick_params(length=0)
            for side in ("top", "right", "bottom", "left"):
                axes.spines[side].set_visible(False)
        grid.flat[0].invert_yaxis()
        figure.suptitle(title, x=0.012, y=0.99, ha="left", fontsize=11, fontweight="bold")
        figure.tight_layout(rect=(0, 0, 1, 0.985))
        return _save(figure, stem.with_name(stem.name + palette.suffix))
