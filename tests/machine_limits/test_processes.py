"""Real processes, one limit, and a judge who counts arrivals."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from okx_funding.ratelimit.machine import inspect_machine

pytestmark = pytest.mark.slow

W = 1.0
SILENT = W + 0.25


@pytest.mark.parametrize("processes", [1, 2, 4])
async def test_processes_keep_one_limit_and_use_it(machine, processes):
    await machine.start(processes)
    await machine.came(36)
    reports = await asyncio.gather(*(process.stop() for process in machine.all))
    assert not machine.exchange.refused
    assert machine.arrivals[-1] - machine.arrivals[0] < 35 / 6 + 1.5
    all_here = max(each["times"][0] for each in reports)
    answers = [sum(at > all_here for at in each["times"]) for each in reports]
    assert max(answers) - min(answers) <= 4, answers
    assert not any(each["errors"] for each in reports)


async def test_commands_in_a_row_wait_once(machine):
    for _ in range(4):
        (process,) = await machine.start(calls=1, callers=1)
        report = await process.stop()
        if len(machine.all) > 1:
            assert report["longest"] < 0.5, "there is a slot, so nobody waits for a window"
    assert not machine.exchange.refused


async def test_a_restart_within_a_window_is_not_refused(machine):
    (first,) = await machine.start()
    await machine.came(6)
    await first.stop()
    ended = machine.arrivals[-1]
    await machine.start()
    await machine.came(len(machine.arrivals) + 6)
    assert not machine.exchange.refused
    assert machine.silence(ended) < 2.5


async def test_what_a_killed_process_held_comes_back(machine):
    machine.exchange.latency = 0.4
    (victim,) = await machine.start(callers=6)
    await machine.start()
    await machine.came(6)
    victim.signal(signal.SIGKILL)
    killed = machine.arrivals[-1]
    await machine.came(len(machine.arrivals) + 8)
    assert not machine.exchange.refused
    assert machine.silence(killed) < 0.5 + W + 0.8 + 0.5


async def test_who_stops_with_the_lock_in_hand_costs_a_second_and_a_silent_window(machine):
    await machine.start(2)
    await machine.came(6)
    (stopped,) = await machine.start(hook=["stop_in_lock", 8])
    await asyncio.sleep(0.5)
    before = len(machine.arrivals)
    await machine.came(before + 14)
    stopped.signal(signal.SIGCONT)
    await machine.came(len(machine.arrivals) + 12)
    assert not machine.exchange.refused
    assert machine.silence(machine.arrivals[5]) < 1.0 + SILENT + W + 0.8


@pytest.mark.parametrize("step", ["encode", "write", "unlock"])
async def test_a_kill_between_lock_and_send_leads_to_no_refusal(machine, step):
    await machine.start(1)
    for nth in (5, 6, 7):
        await machine.start(hook=["kill_at", step, nth])
    for process in machine.all[1:]:
        await process.ended()
    await machine.came(len(machine.arrivals) + 8)
    assert not machine.exchange.refused


def rubbish(path: str) -> None:
    Path(path).write_bytes(os.urandom(300))


DAMAGES = {
    "deleted": os.unlink,
    "emptied": lambda path: os.truncate(path, 0),
    "rubbish": rubbish,
    "folder": lambda path: shutil.rmtree(os.path.dirname(path)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_file_costs_a_silent_window(machine, damage):
    await machine.start(3)
    await machine.came(12)
    damage(machine.file)
    damaged = machine.arrivals[-1]
    await machine.came(len(machine.arrivals) + 8)
    assert not machine.exchange.refused
    assert machine.silence(damaged) < SILENT + W + 0.5


async def test_a_storm_of_kills_and_stops_leads_to_no_refusal(machine):
    await machine.start(4)
    await machine.came(4)
    for turn in range(12):
        victim = machine.all[turn % 4]
        if turn % 3 == 0:
            await victim.end()
            (machine.all[turn % 4],) = await machine.start()
            machine.all.pop()
        else:
            victim.signal(signal.SIGSTOP)
            await asyncio.sleep(0.3)
            victim.signal(signal.SIGCONT)
    await machine.came(len(machine.arrivals) + 6)
    assert not machine.exchange.refused


async def test_a_process_that_was_stopped_for_long_is_not_refused_when_it_goes_on(machine):
    victims = await machine.start(3)
    await machine.came(6)
    victims[0].signal(signal.SIGSTOP)
    await machine.came(len(machine.arrivals) + 24)
    victims[0].signal(signal.SIGCONT)
    await machine.came(len(machine.arrivals) + 6)
    assert not machine.exchange.refused


async def test_whoever_operates_it_sees_all_processes(machine):
    await machine.start(3)
    await machine.came(8)
    (limit,) = inspect_machine(machine.path).limits
    assert limit.processes == 3
    for process in machine.all:
        await process.stop()
    (limit,) = inspect_machine(machine.path).limits
    assert limit.processes == 0
