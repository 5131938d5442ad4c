"""Two sessions with one folder in one process, in virtual time: each is as good as a process."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from okx_funding import (
    BucketsUnreachableError,
    DeadlineExceededError,
    FundingClient,
    InvalidArgumentError,
    RateLimit,
    Session,
    WrongLoopError,
)
from okx_funding.ratelimit.bucket import Claim, TokenBucket
from okx_funding.ratelimit.machine import (
    MachineBucket,
    MachineLimits,
    access,
    inspect_machine,
    law,
    layout,
)
from okx_funding.ratelimit.machine import bucket as bucket_module
from okx_funding.ratelimit.machine.file import LimitFile
from okx_funding.ratelimit.registry import BucketKey
from okx_funding.simulator import make_judge
from tests.support import failure_of, now, someone
from tests.wireless import Wireless

pytestmark = [
    pytest.mark.looptime,
    pytest.mark.skipif(os.name != "posix", reason="Linux and macOS only"),
]

KEY = BucketKey("https://www.okx.com", False, "user-of-many", "get_non_tradable_assets")
SIX = Claim(RateLimit(6, 1.0))
SILENT = 1.0 + law.STILL_ON_ITS_WAY + 0.01


class Owner:
    """Lives with a bucket."""


class Sessions:
    """Some sessions with one folder, and what their requests are to the exchange."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.all: list[MachineLimits] = []
        self.owners: list[Owner] = []
        self.judge: Any = make_judge("sliding", 6, 1.0)
        self.refused = 0

    def one(self, claim: Claim = SIX, key: BucketKey = KEY) -> MachineBucket:
        limits = MachineLimits(self.path)
        limits.clock = asyncio.get_running_loop().time
        self.all.append(limits)
        bucket = limits.bucket(key, claim)
        assert isinstance(bucket, MachineBucket)
        self.owners.append(Owner())
        bucket.claim(self.owners[-1], claim, now())
        return bucket

    def send(self, bucket: MachineBucket, *, answer: bool = True) -> bool:
        """Whether a request left; it arrives at once, and the answer is there at once."""
        slot = bucket.take(now())
        if slot is None or not bucket.holds(slot, now()):
            return False
        self.refused += not self.judge.admit(now())
        if answer:
            bucket.answered(slot, now(), warm=False)
        return True

    def burst(self, bucket: MachineBucket) -> int:
        """How many leave now."""
        return sum(self.send(bucket) for _ in range(10))

    @property
    def file(self) -> str:
        (name,) = (name for name in os.listdir(self.path) if name.endswith(".limit"))
        return os.path.join(self.path, name)

    async def close(self) -> None:
        self.owners.clear()
        for limits in self.all:
            limits.abandon()


@pytest.fixture
async def sessions(tmp_path):
    it = Sessions(str(tmp_path / "limits"))
    yield it
    await it.close()


async def ready(sessions: Sessions, *buckets: MachineBucket) -> None:
    """Past the first silent window."""
    for bucket in buckets:
        sessions.burst(bucket)
    await asyncio.sleep(SILENT)


def content(path: str) -> bytes:
    return Path(path).read_bytes()


def set_format(path: str, number: int) -> None:
    data = content(path)
    Path(path).write_bytes(data[:8] + struct.pack("<H", number) + data[10:])


# -- one limit --------------------------------------------------------------------------------


async def test_a_first_start_waits_for_one_window_and_the_next_does_not(sessions):
    one = sessions.one()
    assert sessions.burst(one) == 0
    await asyncio.sleep(1.2)
    assert sessions.burst(one) == 0
    await asyncio.sleep(0.1)
    assert sessions.burst(one) == 6
    await asyncio.sleep(1.1)
    assert sessions.burst(sessions.one()) == 6


async def test_two_sessions_share_one_limit(sessions):
    one, two = sessions.one(), sessions.one()
    await ready(sessions, one)
    assert sessions.burst(one) == 6
    assert sessions.burst(two) == 0
    await asyncio.sleep(0.9)
    assert sessions.burst(two) == 0
    await asyncio.sleep(0.2)
    assert sessions.burst(two) + sessions.burst(one) == 6
    assert not sessions.refused


async def test_who_came_within_a_window_of_an_ended_process_waits_for_it(sessions):
    one = sessions.one()
    await ready(sessions, one)
    assert sessions.burst(one) == 6
    sessions.owners.clear()
    await sessions.all[0].aclose()
    two = sessions.one()
    assert sessions.burst(two) == 0
    await asyncio.sleep(1.01)
    assert sessions.burst(two) == 6
    assert not sessions.refused


async def test_a_request_in_flight_holds_its_slot_however_long_it_takes(sessions):
    one, two = sessions.one(Claim(RateLimit(1, 1.0))), sessions.one(Claim(RateLimit(1, 1.0)))
    await ready(sessions, one)
    slot = one.take(now())
    assert slot is not None
    for _ in range(20):
        await asyncio.sleep(0.5)
        assert two.take(now()) is None
    one.answered(slot, now())
    await asyncio.sleep(1.02)
    assert two.take(now()) is not None


async def test_a_dead_holder_gives_its_slots_back_after_half_a_second_and_a_window(sessions):
    one, two = sessions.one(), sessions.one()
    await ready(sessions, one)
    for _ in range(6):
        assert sessions.send(one, answer=False)
    one.stop_timer()
    sessions.all[0]._part()
    died = now()
    while not sessions.send(two):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    assert 1.25 <= now() - died <= 1.55


async def test_a_refusal_of_one_freezes_all(sessions):
    one, two = sessions.one(), sessions.one()
    await ready(sessions, one)
    slot = one.take(now())
    assert slot is not None
    assert one.refused(slot, now(), 4.0) == pytest.approx(4.0, abs=0.01)
    await asyncio.sleep(3.9)
    assert sessions.burst(two) == 0
    await asyncio.sleep(0.2)
    assert sessions.burst(two) == 6
    assert one.shared_with_others(now())


async def test_unsent_requests_leave_their_slot_as_free_as_it_was(sessions):
    one = sessions.one()
    await ready(sessions, one)
    slot = one.take(now())
    assert slot is not None
    one.unsent(slot, now())
    assert sessions.burst(one) == 6


async def test_a_turn_goes_from_one_to_the_other(sessions):
    single = Claim(RateLimit(1, 1.0))
    two = [sessions.one(single), sessions.one(single)]
    await ready(sessions, *two)
    got, due = [0, 0], [0.0, 0.0]
    for _ in range(400):
        for place in (0, 1):
            if now() >= due[place]:
                while sessions.send(two[place]):
                    got[place] += 1
                due[place] = two[place].next_free(now())
        await asyncio.sleep(0.02)
    assert abs(got[0] - got[1]) <= 2, "one turn at the beginning, one at the end"
    assert sum(got) >= 7


async def test_whoever_gives_up_keeps_its_place_for_a_quarter_of_a_second(sessions):
    one = sessions.one()
    assert one.take(now()) is None
    await asyncio.sleep(law.LOOK_EVERY + bucket_module.KEEP - 0.01)
    assert logged(sessions).processes[one._view.number].ticket == 1
    assert one.take(now()) is None
    await asyncio.sleep(law.LOOK_EVERY)
    assert logged(sessions).processes[one._view.number].ticket == 1
    await asyncio.sleep(bucket_module.KEEP + 0.01)
    assert logged(sessions).processes[one._view.number].ticket == 0


def logged(sessions: Sessions) -> law.State:
    with open(sessions.file, "rb") as file:
        return layout.decode(file.read(), sessions.all[0]._boot, now())[0]


async def test_an_idle_session_has_no_timer(sessions):
    one = sessions.one()
    await ready(sessions, one)
    assert sessions.burst(one) == 6
    await asyncio.sleep(2)
    assert one._timer is None


async def test_windows_above_a_minute_stay_within_the_process(sessions):
    limits = MachineLimits(sessions.path)
    bucket = limits.bucket(KEY, Claim(RateLimit(20, 30 * 86400.0)))
    assert isinstance(bucket, TokenBucket)
    assert limits.bucket(KEY, SIX) is bucket
    assert not inspect_machine(sessions.path).limits


async def test_smooth_pacing_holds_over_all_sessions(sessions):
    one, two = sessions.one(Claim(RateLimit(6, 1.0, spread=True))), sessions.one()
    await ready(sessions, one)
    assert sessions.send(one)
    assert not sessions.send(two)
    await asyncio.sleep(1.25 / 6 + 0.001)
    assert sessions.send(two)


async def test_a_key_whose_user_becomes_known_brings_along_what_it_sent(sessions):
    one = sessions.one(key=BucketKey(KEY.origin, False, "a-key", KEY.rule))
    await ready(sessions, one, sessions.one())
    assert sessions.burst(one) == 6
    limits = sessions.all[0]
    old = limits.forget(limits.keys_of("a-key")[0])
    heir = limits.bucket(KEY, SIX)
    assert isinstance(heir, MachineBucket)
    heir.inherit(old, now())
    old.close()
    assert sessions.burst(heir) == 0
    await asyncio.sleep(1.01)
    assert sessions.burst(heir) == 6
    assert heir.sent == 12
    assert not sessions.refused


async def test_the_answer_of_a_request_that_left_before_counts_for_the_user(sessions):
    one = sessions.one(key=BucketKey(KEY.origin, False, "a-key", KEY.rule))
    await ready(sessions, one)
    slot = one.take(now())
    limits = sessions.all[0]
    heir = limits.bucket(KEY, SIX)
    heir.inherit(limits.forget(limits.keys_of("a-key")[0]), now())
    await asyncio.sleep(SILENT)
    heir.answered(slot, now())
    assert heir.in_flight == 0
    assert sessions.burst(heir) == 5


# -- what is unknown --------------------------------------------------------------------------

DAMAGES = {
    "deleted": lambda path: os.unlink(path),
    "emptied": lambda path: os.truncate(path, 0),
    "cut": lambda path: os.truncate(path, 30),
    "rubbish": lambda path: Path(path).write_bytes(b"rubbish" * 50),
    "folder": lambda path: shutil.rmtree(os.path.dirname(path)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_file_is_one_silent_window_and_one_warning(sessions, damage, caplog):
    one, two = sessions.one(), sessions.one()
    await ready(sessions, one, two)
    assert sessions.burst(one) == 6
    damage(sessions.file)
    with caplog.at_level(logging.WARNING):
        for _ in range(12):
            assert sessions.burst(one) + sessions.burst(two) == 0
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.1)
    assert sessions.burst(two) == 6
    assert len(caplog.records) == 1
    assert not sessions.refused


async def test_without_the_silent_window_the_exchange_refuses(sessions, monkeypatch):
    """The control: the test above sees a law without it."""
    monkeypatch.setattr(
        "okx_funding.ratelimit.machine.access.law.begin",
        lambda _now, reason, era: law.State(era, reason=reason),
    )
    one = sessions.one()
    assert sessions.burst(one) == 6
    os.unlink(sessions.file)
    await asyncio.sleep(0.3)
    assert sessions.burst(one) == 6
    assert sessions.refused == 6


async def test_requests_in_flight_are_told_to_a_file_that_began_anew(sessions):
    one, two = sessions.one(), sessions.one()
    await ready(sessions, one)
    slots = [one.take(now()) for _ in range(6)]
    os.unlink(sessions.file)
    two.take(now())
    for _ in range(40):
        await asyncio.sleep(0.1)
    assert sessions.burst(two) == 0
    for slot in slots:
        one.answered(slot, now())
    await asyncio.sleep(SILENT)
    assert sessions.burst(two) == 6


async def test_another_boot_is_a_silent_window(sessions, monkeypatch):
    one = sessions.one()
    await ready(sessions, one)
    monkeypatch.setattr("okx_funding.ratelimit.machine.store.boot_id", lambda: bytes(16))
    assert sessions.burst(sessions.one()) == 0


async def test_a_file_that_another_machine_writes_says_so(sessions, monkeypatch):
    one = sessions.one()
    assert sessions.burst(one) == 0
    monkeypatch.setattr("okx_funding.ratelimit.machine.store.boot_id", lambda: bytes(16))
    two = sessions.one()
    for _ in range(30):
        sessions.burst(one)
        sessions.burst(two)
        await asyncio.sleep(0.3)
    assert sessions.judge.admit(now()), "nothing was sent"
    assert "another machine" in str(one.unavailable_reason)
    assert not one.sent


async def test_a_newer_format_is_an_error_with_its_name_and_the_file_stays(tmp_path):
    async with at_limits(tmp_path) as (client, limits):
        task = asyncio.ensure_future(client.get_non_tradable_assets("BTC"))
        await asyncio.sleep(0.1)
        (name,) = (it for it in os.listdir(limits.path) if it.endswith(".limit"))
        path = os.path.join(limits.path, name)
        set_format(path, 99)
        error = await failure_of(task, BucketsUnreachableError)
        assert "format 99" in str(error)
        assert not error.sent
        assert content(path)[8:10] == struct.pack("<H", 99)


# -- stopped processes ------------------------------------------------------------------------


def stops_in_lock(monkeypatch: pytest.MonkeyPatch, meanwhile: Any) -> None:
    """The next change of a file is interrupted, with the lock in hand, by what happens then."""
    encode = layout.encode

    def stopping(*args: Any) -> bytes:
        monkeypatch.setattr(layout, "encode", encode)
        meanwhile()
        return encode(*args)

    monkeypatch.setattr(layout, "encode", stopping)


async def test_who_was_stopped_with_the_lock_in_hand_sends_nothing(sessions, monkeypatch):
    one, two = sessions.one(), sessions.one()
    await ready(sessions, one)
    sent = others_go_on_while_one_is_stopped(sessions, one, two, monkeypatch)
    assert sent == (6, False)
    assert one.in_flight == 0, "the slot is void at once"
    assert not sessions.refused


async def test_without_the_checks_the_exchange_refuses(sessions, monkeypatch):
    """The control: the test above sees a process that doesn't look again."""
    one, two = sessions.one(), sessions.one()
    await ready(sessions, one)
    monkeypatch.setattr(access, "YOUNG", float("inf"))
    monkeypatch.setattr(bucket_module, "VALID", float("inf"))
    monkeypatch.setattr(access.Access, "has_name", lambda _: True)
    names = LimitFile.has_name
    sent = others_go_on_while_one_is_stopped(
        sessions,
        one,
        two,
        monkeypatch,
        after=lambda: monkeypatch.setattr(LimitFile, "has_name", lambda _: True),
    )
    monkeypatch.setattr(LimitFile, "has_name", names)
    assert sent == (6, True)
    assert sessions.refused == 1


def others_go_on_while_one_is_stopped(
    sessions: Sessions,
    one: MachineBucket,
    two: MachineBucket,
    monkeypatch: pytest.MonkeyPatch,
    after: Any = lambda: None,
) -> tuple[int, bool]:
    """What the others sent, and whether who was stopped sent something."""
    clock = sessions.all[0].clock
    ahead = 0.0
    sent = 0

    def later() -> float:
        return clock() + ahead

    for limits in sessions.all:
        limits.clock = later
    sessions.judge = make_judge("sliding", 6, 1.0)

    def meanwhile() -> None:
        nonlocal ahead, sent
        for _ in range(60):
            ahead += 0.05
            two._view.retry_at = two._look_at = float("-inf")
            slot = two.take(now())
            while slot is not None:
                sessions.refused += not sessions.judge.admit(later())
                sent += 1
                slot = two.take(now())
            if sent:
                break
        after()

    stops_in_lock(monkeypatch, meanwhile)
    slot = one.take(now())
    left = slot is not None and one.holds(slot, now())
    if left:
        sessions.refused += not sessions.judge.admit(later())
    return sent, left


async def test_a_slot_that_was_not_used_in_time_is_void(sessions):
    one = sessions.one()
    await ready(sessions, one)
    slot = one.take(now())
    assert slot is not None
    assert one.holds(slot, now())
    await asyncio.sleep(1.1)
    assert not one.holds(slot, now())


async def test_a_request_whose_slot_is_void_is_sent_with_another_one(tmp_path, monkeypatch):
    async with at_limits(tmp_path) as (client, _):
        held = MachineBucket.holds
        asked: list[bool] = []

        def once_void(*args: Any) -> bool:
            asked.append(held(*args) and bool(asked))
            return asked[-1]

        monkeypatch.setattr(MachineBucket, "holds", once_void)
        assert await client.get_non_tradable_assets("BTC")
        assert asked == [False, True]
        statistics = client.statistics()
        assert (statistics.requests, statistics.buckets[0].requests_sent) == (1, 1)


async def test_a_busy_lock_is_tried_again_and_never_waited_for(sessions):
    one = sessions.one()
    await ready(sessions, one)
    holder = LimitFile(sessions.path, os.path.basename(sessions.file))
    assert holder.lock()
    assert one.take(now()) is None
    assert now() < one.next_free(now()) <= now() + 0.01
    holder.close()
    await asyncio.sleep(0.01)
    assert sessions.burst(one) == 6


# -- trouble ----------------------------------------------------------------------------------


class at_limits:  # noqa: N801 -- reads like at_exchange
    """A client whose requests never leave the process, and its limits."""

    def __init__(self, tmp_path: Any, path: str = "limits", **options: Any) -> None:
        self.path = str(tmp_path / path)
        self.options = options

    async def __aenter__(self) -> tuple[FundingClient, MachineLimits]:
        limits = MachineLimits(self.path)
        limits.clock = asyncio.get_running_loop().time
        self.session = Wireless()
        self.session._store = limits
        await self.session.__aenter__()
        self.client = self.session.client(credentials=someone(), **self.options)
        return self.client, limits

    async def __aexit__(self, *_: object) -> None:
        await self.session.aclose()


async def test_a_full_disk_sends_nothing_and_callers_hear_it_at_their_deadline(
    tmp_path, monkeypatch
):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with at_limits(tmp_path) as (client, _):
        monkeypatch.setattr(os, "pwrite", full)
        began = now()
        error = await failure_of(
            client.get_non_tradable_assets("BTC", timeout=3.0), BucketsUnreachableError
        )
        assert now() - began == pytest.approx(3.0)
        assert "No space left" in str(error)
        assert not error.sent
        monkeypatch.undo()
        assert await client.get_non_tradable_assets("BTC")
        assert now() - began >= 3.0 + 1.25, "what was sent meanwhile isn't known"


async def test_a_caller_without_a_deadline_hears_of_trouble_after_a_minute(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with at_limits(tmp_path) as (client, _):
        monkeypatch.setattr(os, "pwrite", full)
        began = now()
        await failure_of(client.get_non_tradable_assets("BTC"), BucketsUnreachableError)
        assert 60 < now() - began < 62


async def test_a_caller_with_a_deadline_is_told_the_truth_by_the_tickets_ahead(tmp_path):
    single = {"get_non_tradable_assets": RateLimit(1, 1.0)}
    async with at_limits(tmp_path, rate_limits=single) as (client, limits):
        await client.get_non_tradable_assets("BTC")
        other = MachineLimits(limits.path)
        other.clock = limits.clock
        (key,) = limits._buckets
        ahead = other.bucket(key, Claim(RateLimit(1, 1.0)))
        owner = Owner()
        ahead.claim(owner, Claim(RateLimit(1, 1.0)), now())
        await asyncio.sleep(0.8)
        assert ahead.take(now()) is None
        error = await failure_of(
            client.get_non_tradable_assets("ETH", timeout=0.9), DeadlineExceededError
        )
        assert error.estimated_wait == pytest.approx(1.2, abs=0.1)
        assert not error.sent
        other.abandon()


async def test_a_folder_that_must_not_be_used_is_an_error_at_once(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "link")
    async with at_limits(tmp_path, "link") as (client, _):
        error = await failure_of(
            client.get_non_tradable_assets("BTC", timeout=30), BucketsUnreachableError
        )
        assert "links aren't followed" in str(error)
        assert now() < 1


@pytest.mark.parametrize("wrong", ["redis://localhost", 5, True])
def test_limits_must_be_machine_limits(wrong):
    with pytest.raises(InvalidArgumentError, match="MachineLimits"):
        Session(limits=wrong)


def test_limits_and_buckets_are_two_ways(tmp_path):
    with pytest.raises(InvalidArgumentError, match="beside"):
        Session(limits=MachineLimits(tmp_path), buckets="redis://localhost")


@pytest.mark.parametrize("wrong", ["", 5])
def test_the_path_must_be_one(wrong):
    with pytest.raises(InvalidArgumentError, match="path"):
        MachineLimits(wrong)


# -- several sessions, loops, threads --------------------------------------------------------


async def test_one_object_serves_two_sessions_of_one_loop(tmp_path):
    limits = MachineLimits(tmp_path / "limits")
    one, two = Session(limits=limits), Session(limits=limits)
    owner = Owner()
    bucket = limits.bucket(KEY, SIX)
    bucket.claim(owner, SIX, now())
    await one.__aenter__()
    await one.aclose()
    assert limits.bucket(KEY, SIX) is bucket
    bucket.release(owner, now())
    await two.__aenter__()
    await two.aclose()
    assert limits.bucket(KEY, SIX) is not bucket


async def test_another_loop_is_told_to_make_its_own(tmp_path):
    limits = MachineLimits(tmp_path / "limits")
    limits.bucket(KEY, SIX)
    errors: list[BaseException] = []

    def elsewhere() -> None:
        async def use() -> None:
            limits.bucket(KEY, SIX)

        try:
            asyncio.run(use())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert isinstance(errors[0], WrongLoopError)


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


async def test_few_descriptors_serve_many_limits(sessions):
    limits = MachineLimits(sessions.path)
    before = descriptors()
    for number in range(400):
        bucket = limits.bucket(BucketKey(KEY.origin, False, f"{number}", KEY.rule), SIX)
        assert bucket.take(now()) is None
    assert descriptors() - before <= 130
    limits.abandon()


def test_a_forked_child_is_another_process_with_the_same_limit(tmp_path):
    """In real time: a child has its parent's clock, and no virtual one."""
    claim, path = Claim(RateLimit(2, 0.3)), tmp_path / "limits"

    async def take(wait: float) -> int:
        limits, owner = MachineLimits(path), Owner()
        bucket = limits.bucket(KEY, claim)
        bucket.claim(owner, claim, now())
        taken = 0
        for _ in range(2):
            slot = bucket.take(now())
            if slot is None:
                await asyncio.sleep(wait)
                slot = bucket.take(now())
            taken += slot is not None
        return taken

    def in_a_child() -> int:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, b"%d" % asyncio.run(take(0.0)))
            os._exit(0)
        os.waitpid(child, 0)
        taken = int(os.read(reader, 1))
        os.close(reader)
        os.close(writer)
        return taken

    async def parent() -> tuple[int, int]:
        return await take(0.6), in_a_child()

    assert asyncio.run(parent()) == (2, 0)


def test_limits_that_were_used_before_a_fork_have_another_number_after_it(tmp_path):
    limits = MachineLimits(tmp_path / "limits")
    mine, _, _ = limits.enter()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        number, lives, _ = limits.enter()
        os.write(writer, b"y" if number != mine and lives.is_alive(mine) else b"n")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"y"
    os.close(reader)
    os.close(writer)
    assert limits.enter()[0] == mine
    limits.abandon()


# -- looking in -------------------------------------------------------------------------------


async def test_whoever_operates_it_sees_processes_tickets_and_silent_windows(sessions):
    one, two = sessions.one(), sessions.one()
    assert inspect_machine(sessions.path).limits == ()
    await ready(sessions, one)
    one.take(now())
    for _ in range(6):
        two.take(now())
    report = inspect_machine(sessions.path, clock=now)
    (limit,) = report.limits
    assert report.path == sessions.path
    assert limit.label == "get_non_tradable_assets at www.okx.com"
    assert (limit.count, limit.period, limit.processes) == (6, 1.0, 2)
    assert (limit.in_flight, limit.waiting, limit.slots_free) == (6, 1, 0)
    assert report.silences == {"the file is new": 1}
    assert limit.silent_for == 0


async def test_files_show_neither_user_nor_key(sessions):
    one = sessions.one()
    await ready(sessions, one)
    assert KEY.user.encode() not in content(sessions.file)
    assert KEY.user not in sessions.file


async def test_a_bucket_tells_how_it_fares(sessions):
    one = sessions.one()
    await ready(sessions, one)
    assert one.slots_free(now()) == 6
    assert sessions.burst(one) == 6
    assert one.slots_free(now()) == 0
    assert repr(one).endswith("waiting, 0 in flight, 6 sent, 0 refused>")
    assert one.utilisation(now()) == 1.0
