"""The benchmarks are known, explained and drawn; what they measure is for people to read."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import charts, harness, observers, page
from benchmarks.harness import Benchmark, Report, Table

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures"
PAGE = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
README = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
ALL = (*command.NAMES, *command.TRIALS)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the command; what it writes without ``--out`` is written to a folder of the test."""
    monkeypatch.setattr(command, "FIGURES", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")

    def run(*argv: str) -> None:
        monkeypatch.setattr(sys, "argv", ["benchmarks", *argv])
        command.main()

    return run


@pytest.fixture
def instead(monkeypatch):
    """Puts a report in the place of what ``sign`` would measure."""

    def instead(report: Report) -> None:
        benchmark = Benchmark("sign", "Why?", lambda options: report)
        monkeypatch.setattr(import_module("benchmarks.sign"), "BENCHMARK", benchmark)

    return instead


# What there is.


@pytest.mark.parametrize("name", ALL)
def test_every_name_leads_to_a_benchmark_that_says_its_question(name):
    benchmark = import_module(f"benchmarks.{name}").BENCHMARK
    assert benchmark.name == name
    assert benchmark.question.endswith("?")


def test_the_readme_explains_every_name_and_no_other():
    assert re.findall(r"^\| `(\w+)`", README, re.MULTILINE) == list(ALL)


@pytest.mark.parametrize("name", command.NAMES)
def test_every_comparison_has_its_place_in_the_docs(name):
    assert f"<!-- {name} -->" in PAGE
    assert f"<!-- /{name} -->" in PAGE


@pytest.mark.parametrize("name", [*charts.CHARTS, "arrivals"])
def test_every_picture_is_in_the_docs_for_light_and_for_dark_pages(name):
    assert f'src="figures/{name}.svg"' in PAGE
    assert f'srcset="figures/{name}-dark.svg"' in PAGE


@pytest.mark.parametrize("name", charts.CHARTS)
def test_every_chart_is_made_of_the_figures_and_has_the_same_names_in_all_panels(name):
    chart = charts.CHARTS[name](json.loads((FIGURES / f"{name}.json").read_text("utf-8")))
    first, *others = (list(panel) for panel in chart.panels.values())
    assert first
    assert all(names == first for names in others)


@pytest.mark.parametrize("name", charts.CHARTS)
def test_every_chart_shows_this_project(name):
    chart = charts.CHARTS[name](json.loads((FIGURES / f"{name}.json").read_text("utf-8")))
    assert any("okx_funding" in bar for panel in chart.panels.values() for bar in panel)


def test_a_picture_is_drawn_of_its_figures_alone(run, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="nox -s benchmarks installs it")
    (tmp_path / "sign.json").write_bytes((FIGURES / "sign.json").read_bytes())
    run("sign", "--redraw")
    drawn = {"sign.svg", "sign-dark.svg"}
    assert {path.name for path in tmp_path.iterdir()} == drawn | {"sign.json"}


# What the command does.


def test_without_a_name_all_comparisons_are_run(run, monkeypatch, capsys):
    def quiet(name: str) -> Benchmark:
        return Benchmark(name, "Why?", lambda options: Report())

    for name in command.NAMES:
        monkeypatch.setattr(import_module(f"benchmarks.{name}"), "BENCHMARK", quiet(name))
    run("--quick")
    assert tuple(re.findall(r"^== (\w+): Why\?", capsys.readouterr().out, re.MULTILINE)) == (
        command.NAMES
    )


def test_a_name_that_nobody_knows_is_named(run, capsys):
    with pytest.raises(SystemExit):
        run("nonsense")
    assert "no benchmark is called nonsense" in capsys.readouterr().err


def test_what_was_skipped_leaves_the_old_figures_alone(run, instead, tmp_path, capsys):
    (tmp_path / "sign.json").write_text("{}")
    instead(Report(skipped=["nothing is installed"]))
    run("sign")
    assert "Skipped: nothing is installed" in capsys.readouterr().out
    assert (tmp_path / "sign.json").read_text() == "{}"


def test_without_matplotlib_the_figures_are_written_all_the_same(
    run, instead, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(command, "missing", lambda module: True)
    instead(Report(figures={"answer": 42}))
    run("sign")
    assert "matplotlib isn't installed" in capsys.readouterr().out
    assert json.loads((tmp_path / "sign.json").read_text())["answer"] == 42


def test_a_full_run_renews_the_part_of_its_name(run, instead, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "missing", lambda module: True)
    (tmp_path / "page.md").write_text("<!-- sign -->\nold\n<!-- /sign -->\nkept\n")
    instead(Report([Table("New", ("", "µs"), [("one", "1.00")])], {"one": 1}))
    run("sign")
    text = (tmp_path / "page.md").read_text("utf-8")
    assert "old" not in text
    assert "| one | 1.00 |" in text
    assert text.endswith("kept\n")


def test_a_quick_run_writes_nothing(run, instead, tmp_path):
    instead(Report(figures={"one": 1}))
    run("sign", "--quick")
    assert not list(tmp_path.iterdir())


# What is compared.


def busy(operations: int) -> None:
    """Long enough for any clock."""
    for _ in range(operations):
        sum(range(10_000))


def test_the_control_is_the_first_variant_once_more():
    done: list[str] = []

    def work(name: str) -> harness.Work:
        def once(operations: int) -> None:
            busy(operations)
            done.append(name)

        return once

    harness.compare({"one": work("one"), "two": work("two")}, 5, 3)
    assert done.count("one") == 2 * done.count("two")


def test_the_ratio_of_the_first_variant_is_one():
    costs = harness.compare({"one": busy, "two": busy}, 5, 3)
    assert list(costs) == ["one", "two", harness.CONTROL]
    assert set(costs["one"].ratios) == {1.0}


def test_a_coroutine_is_waited_for():
    waited: list[int] = []

    async def work(operations: int) -> None:
        await asyncio.sleep(0)
        busy(operations)
        waited.append(operations)

    loop = asyncio.new_event_loop()
    harness.compare({"one": work}, 5, 1, loop=loop)
    loop.close()
    assert set(waited) == {5}


@pytest.mark.parametrize("module", ["nonsense", "nonsense.within"])
def test_a_package_that_isnt_installed_is_missing(module):
    assert harness.missing(module)


def test_observers_that_arent_installed_are_skipped_with_a_word(monkeypatch):
    monkeypatch.setattr(observers, "missing", lambda module: True)
    report = Report()
    assert list(observers.watchers(report)) == ["no observer", "one that does nothing"]
    assert len(report.skipped) == 2
