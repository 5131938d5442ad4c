"""What a process's view of a shared bucket decides, told by hand, in virtual time."""

from __future__ import annotations

import asyncio
import json
import math
import weakref

import pytest

from okx_funding import RateLimit
from okx_funding.ratelimit.combined import Combined
from okx_funding.ratelimit.interface import Claim
from okx_funding.ratelimit.redis.bucket import SharedBucket
from okx_funding.ratelimit.redis.messages import Release
from okx_funding.ratelimit.redis.scripts import Message, microseconds

pytestmark = pytest.mark.looptime

LIMIT = RateLimit(6)
WINDOW = 1.002


class Backend:
    """Somebody to talk to, who does nothing."""

    process, prefix, formats, server = "me", "okx-funding", (1,), "run"
    settle = 0.0

    def __init__(self):
        self.unavailable_reason = None
        self.is_fatal = False
        self.asks = []
        self.gave = []
        self.renewals = []

    def ask(self, bucket):
        self.asks.append(bucket)

    def give(self, back):
        self.gave.append(back)

    def renew(self, renewal):
        self.renewals.append(renewal)


class Queue:
    """So many callers, each of whom wants a slot."""

    def __init__(self, bucket, wanted=0):
        self.bucket, self.wanted = bucket, wanted
        self.loop = asyncio.get_running_loop()
        self.slots = []
        self.told = []
        self.soon = False
        bucket.queue = weakref.ref(self)

    def want(self, n=1):
        self.wanted += n
        self.schedule()

    def schedule(self):
        if not self.soon:
            self.soon = True
            self.loop.call_soon(self.assign_slots)

    def assign_slots(self):
        self.soon = False
        while self.wanted:
            slot = self.bucket.take(self.loop.time())
            if slot is None:
                return
            self.wanted -= 1
            self.slots.append(slot)

    def ahead(self):
        return self.wanted

    def fail_waiters(self, reason, *, only_without_deadline):
        self.told.append((reason, only_without_deadline))
        self.wanted = 0


class Owner:
    pass


class Setting:
    def __init__(self, claim=None):
        self.backend = Backend()
        self.bucket = SharedBucket("{b}", claim or Claim(LIMIT), self.backend)  # type: ignore[arg-type]
        self.owner = Owner()
        self.bucket.claim(self.owner, claim or Claim(LIMIT), self.now)
        self.queue = Queue(self.bucket)

    @property
    def now(self):
        return asyncio.get_running_loop().time()

    async def turn(self):
        for _ in range(4):
            await asyncio.sleep(0)

    async def want(self, n=1):
        self.queue.want(n)
        await self.turn()

    def arguments(self):
        """The one question that stands, which leaves now."""
        (bucket,) = self.backend.asks
        self.backend.asks.clear()
        return bucket.arguments("me", "okx-funding", self.now)

    async def reply(self, *slots, wait=0.0, ask_in=0.0, hoped_in=None, others=0):
        span = microseconds(ask_in if hoped_in is None else hoped_in)
        pairs = [part for slot in slots for part in (slot.encode(), microseconds(wait))]
        head = [microseconds(ask_in), span, others, 6, microseconds(WINDOW)]
        self.bucket.on_reply([*head, *pairs], self.now)
        await self.turn()


async def test_it_asks_once_for_all_who_want():
    it = Setting()
    await it.want(3)
    await it.want(1)
    assert it.arguments()["wanted"] == 4
    await it.reply("0", "1", "2", "3")
    assert [slot.name for slot in it.queue.slots] == ["0", "1", "2", "3"]
    assert not it.backend.asks
    assert not it.backend.gave


async def test_it_asks_for_one_more_than_the_limit_so_that_it_stays_in_the_queue():
    it = Setting()
    await it.want(100)
    assert it.arguments()["wanted"] == 7


async def test_what_nobody_takes_any_more_goes_back():
    it = Setting()
    await it.want(2)
    it.arguments()
    it.queue.wanted = 1
    await it.reply("0", "1")
    assert len(it.queue.slots) == 1
    assert [(back.slot.name, back.seen_by) for back in it.backend.gave] == [("1", None)]
    assert not it.backend.asks


async def test_whoever_came_while_it_asked_is_asked_for_next():
    it = Setting()
    await it.want(1)
    it.arguments()
    await it.want(2)
    await it.reply("0")
    assert it.arguments()["wanted"] == 2


async def test_it_asks_again_when_its_turn_is_due():
    it = Setting()
    await it.want(1)
    it.arguments()
    await it.reply(ask_in=0.7)
    assert it.bucket.next_free(it.now) == pytest.approx(0.7)
    await asyncio.sleep(0.69)
    assert not it.backend.asks
    await asyncio.sleep(0.02)
    assert it.arguments()["wanted"] == 1


async def test_it_leaves_the_queue_at_its_turn_when_nobody_wants_it():
    it = Setting()
    await it.want(1)
    it.arguments()
    await it.reply(ask_in=0.5)
    it.queue.wanted = 0
    await asyncio.sleep(0.51)
    assert it.arguments()["wanted"] == 0
    await it.reply()
    await asyncio.sleep(5)
    assert not it.backend.asks


async def test_a_call_makes_it_ask_earlier():
    it = Setting()
    await it.want(1)
    it.arguments()
    await it.reply(ask_in=16.0)
    it.bucket.on_call(0.1, it.now)
    it.bucket.on_call(0.9, it.now)
    await asyncio.sleep(0.11)
    assert it.arguments()["wanted"] == 1


async def test_a_call_takes_no_hope_away():
    """What is held may come back long before its lease ends: a deadline of 2 s can be met."""
    it = Setting()
    await it.want(1)
    it.arguments()
    await it.reply(ask_in=2.0, hoped_in=0.8)
    it.bucket.on_call(17.0, it.now)
    assert it.bucket.nth_free(0, it.now) == pytest.approx(it.now + 0.8)
    assert it.bucket.next_free(it.now) == pytest.approx(it.now + 0.8)


async def test_a_call_when_nothing_is_wanted_changes_nothing():
    it = Setting()
    it.bucket.on_call(0.1, it.now)
    await asyncio.sleep(1)
    assert not it.backend.asks


async def test_a_slot_that_may_be_used_later_is_used_then():
    it = Setting()
    await it.want(2)
    it.arguments()
    await it.reply("0", "1", wait=0.4)
    assert not it.queue.slots
    assert it.bucket.next_free(it.now) == pytest.approx(0.4)
    assert it.bucket.nth_free(1, it.now) == pytest.approx(0.4)
    await asyncio.sleep(0.39)
    assert not it.queue.slots
    await asyncio.sleep(0.02)
    assert len(it.queue.slots) == 2
    assert not it.backend.gave


async def test_only_what_is_wanted_beyond_the_slots_to_come_is_asked_for():
    it = Setting()
    await it.want(2)
    it.arguments()
    await it.reply("0", "1", wait=0.4)
    await it.want(1)
    assert it.arguments()["wanted"] == 1


async def test_a_slot_to_come_that_nobody_wants_any_more_goes_back():
    it = Setting()
    await it.want(1)
    it.arguments()
    await it.reply("0", wait=0.4)
    it.queue.wanted = 0
    await asyncio.sleep(0.41)
    assert [(back.slot.name, back.seen_by) for back in it.backend.gave] == [("0", None)]


async def test_a_refusal_elsewhere_holds_slots_back():
    it = Setting()
    await it.want(1)
    it.arguments()
    await it.reply("0", wait=0.2)
    it.bucket.on_freeze(1.0, it.now)
    await asyncio.sleep(0.99)
    assert not it.queue.slots
    await asyncio.sleep(0.02)
    assert len(it.queue.slots) == 1


async def test_a_slot_that_is_old_goes_back_and_another_is_asked_for():
    it = Setting()
    await it.want(1)
    it.arguments()
    await asyncio.sleep(2.6)
    await it.reply("0")
    assert not it.queue.slots
    assert [back.slot.name for back in it.backend.gave] == ["0"]
    assert it.arguments()["wanted"] == 1


async def test_leases_are_renewed_while_requests_are_out():
    it = Setting()
    await it.want(2)
    it.arguments()
    await it.reply("0", "1")
    quick, slow = it.queue.slots
    await asyncio.sleep(1)
    it.bucket.answered(quick, it.now)
    assert not it.backend.renewals, "most requests need none"
    for _ in range(10):
        await asyncio.sleep(1.25)
        renewal = it.backend.renewals.pop()
        command = renewal.command("me", "okx-funding", it.now)
        assert command[3] == "okx-funding:1:{b}"
        assert renewal.slots == [slow]
        renewal.on_reply([1], it.now)
        assert it.bucket.holds(slow, it.now + 2.9)
    it.bucket.answered(slow, it.now)
    await asyncio.sleep(5)
    assert not it.backend.renewals


async def test_a_slot_whose_lease_ended_may_not_be_used():
    it = Setting()
    await it.want(1)
    it.arguments()
    await it.reply("0")
    (slot,) = it.queue.slots
    assert it.bucket.holds(slot, it.now + 2.9)
    assert not it.bucket.holds(slot, it.now + 3.1)
    await asyncio.sleep(1.3)
    it.backend.renewals[0].command("me", "okx-funding", it.now)
    it.backend.renewals[0].on_reply([0], it.now)
    assert not it.bucket.holds(slot, it.now)


async def test_a_request_that_counts_for_two_limits_gets_a_slot_of_each():
    """However their answers come: what one gives is kept until the other does."""
    first, further = Setting(), Setting()
    first.queue.take = Combined((first.bucket, further.bucket)).take  # type: ignore[attr-defined]
    both = []

    def assign():
        first.queue.soon = False
        slots = first.queue.take(first.now) if first.queue.wanted else None  # type: ignore[attr-defined]
        if slots is not None:
            first.queue.wanted -= 1
            both.append(slots)
        elif first.queue.wanted:
            at = max(first.bucket.next_free(first.now), further.bucket.next_free(first.now))
            if at < math.inf:
                first.queue.loop.call_at(at, assign)

    first.queue.assign_slots = assign  # type: ignore[method-assign]
    asks = 0
    first.queue.want()
    for _ in range(40):
        await asyncio.sleep(0.01)
        for it, delay in ((first, 0.01), (further, 0.05)):
            if it.backend.asks:
                asks += 1
                it.arguments()
                asyncio.get_running_loop().call_later(
                    delay, it.bucket.on_reply, [0, 0, 0, 6, 1_002_000, b"0", 0], it.now
                )
    assert len(both) == 1
    assert asks <= 4
    assert not further.backend.gave


async def test_an_error_is_its_own_and_asked_about_once_a_minute():
    it = Setting()
    await it.want(1)
    it.arguments()
    it.bucket.on_error("something else is kept there", it.now)
    await it.turn()
    reason = "the shared limit okx-funding:1:{b} can't be used: something else is kept there"
    assert it.queue.told == [(reason, False)]
    assert it.bucket.unavailable_reason == reason
    await it.want(1)
    assert len(it.queue.told) == 2
    assert not it.backend.asks
    await asyncio.sleep(61)
    await it.want(1)
    it.arguments()
    await it.reply("0")
    assert it.bucket.unavailable_reason is None
    assert len(it.queue.slots) == 1  # type: ignore[unreachable]


async def test_a_format_of_a_newer_version_is_silence_and_a_reason():
    it = Setting()
    await it.want(1)
    it.arguments()
    it.bucket.on_reply([-1, 2], it.now)
    await it.turn()
    ((reason, _),) = it.queue.told
    assert "okx-funding:1:{b}" in reason
    assert "a newer version keeps it in format 2" in reason


async def test_a_format_that_is_understood_is_moved_to():
    it = Setting()
    it.backend.formats = (1, 2)  # type: ignore[assignment]
    await it.want(1)
    assert it.arguments()["speaks"] == 2
    it.bucket.on_reply([-1, 2], it.now)
    await it.turn()
    command = it.bucket.command("me", "okx-funding", it.now)
    assert command[2:7] == (
        4,
        "okx-funding:2:{b}",
        "okx-funding:2:{b}:queue",
        "okx-funding:2:{b}:claims",
        "okx-funding:1:{b}",
    )


async def test_an_answer_says_when_its_request_was_surely_seen():
    it = Setting()
    await it.want(3)
    it.arguments()
    await it.reply("0", "1", "2")
    sent_at = it.now
    await asyncio.sleep(0.1)
    for each, slot in zip(("answered", "lost", "unsent"), it.queue.slots, strict=True):
        getattr(it.bucket, each)(slot, it.now)
    answered, lost, unsent = it.backend.gave
    assert answered.seen_by == pytest.approx(sent_at + 0.1)
    assert lost.seen_by == pytest.approx(sent_at + 0.1 + 0.25)
    assert unsent.seen_by is None
    assert it.bucket.in_flight == 0
    assert it.bucket.sent == 2


async def test_half_the_shortest_round_trip_is_credited_once_it_is_known():
    it = Setting()
    for _ in range(20):
        await it.want(1)
        it.arguments()
        await it.reply("0")
        await asyncio.sleep(0.08)
        it.bucket.answered(it.queue.slots.pop(), it.now)
    assert it.backend.gave[0].seen_by == pytest.approx(0.08, abs=1e-3)
    assert it.backend.gave[-1].seen_by == pytest.approx(it.now - 0.04, abs=1e-3)


async def test_what_is_late_tells_by_how_much():
    """Redis learns when the request was seen, not when the return was delivered."""
    it = Setting()
    await it.want(1)
    it.arguments()
    await it.reply("0")
    (slot,) = it.queue.slots
    it.bucket.answered(slot, it.now)
    await asyncio.sleep(3)
    asked = json.loads(it.backend.gave[0].command("me", "okx-funding", it.now)[-1])
    assert asked["seen"] == pytest.approx(-3_000_000, abs=1000)
    assert (asked["me"], asked["id"], asked["serial"]) == ("me", "0", 1)


async def test_a_refusal_freezes_and_the_next_withholds_a_slot():
    it = Setting()
    for _ in range(2):
        await asyncio.sleep(5)
        await it.want(1)
        it.arguments()
        await it.reply("0")
        pause = it.bucket.refused(it.queue.slots.pop(), it.now, 3.0)
    first, back = it.backend.gave
    assert pause == pytest.approx(3.002)
    assert back.freeze_until == pytest.approx(it.now + 3.002)
    assert (first.cooldown_until, back.cooldown_until) == (None, pytest.approx(it.now + 15))
    assert it.bucket.slots_free(it.now) == 0
    assert it.bucket.nth_free(0, it.now) == pytest.approx(it.now + 3.002)


async def test_what_was_asked_but_not_heard_is_asked_back():
    it = Setting()
    await it.want(1)
    assert it.arguments()["serial"] == 1
    it.backend.unavailable_reason = "gone"
    it.queue.wanted = 0
    it.bucket.on_lost(0, it.now)
    await it.turn()
    assert not it.backend.asks
    it.backend.unavailable_reason = None
    it.bucket.on_restored(silent=False)
    asked = it.arguments()
    assert (asked["serial"], asked["lost"], asked["wanted"]) == (2, 1, 0)
    await it.reply()
    await it.want(1)
    assert it.arguments()["lost"] == 3


async def test_silence_is_asked_for_until_it_was_heard():
    it = Setting()
    it.bucket.on_restored(silent=True)
    await it.want(1)
    assert it.arguments()["silent"]
    it.bucket.on_lost(0, it.now)
    await it.turn()
    it.bucket.on_restored(silent=False)
    await it.turn()
    assert it.arguments()["silent"], "nobody heard the first time"
    await it.reply(ask_in=1.0)
    await asyncio.sleep(1.1)
    assert not it.arguments()["silent"]


async def test_slots_in_hand_go_back_when_redis_is_lost():
    it = Setting()
    await it.want(2)
    it.arguments()
    it.bucket.on_reply([0, 0, 0, 6, 1_002_000, b"0", 0, b"1", 0], it.now)
    it.bucket.on_lost(0, it.now)
    await it.turn()
    assert [back.slot.name for back in it.backend.gave] == ["1", "0"]
    assert not it.queue.slots


async def test_a_share_begins_when_others_must_have_noticed_and_what_is_on_its_way_is_over():
    it = Setting()
    await it.want(1)
    it.arguments()
    await it.reply("0")
    it.bucket.on_lost(2, it.now + 2.5)
    await it.want(9)
    began = it.now
    await asyncio.sleep(3)
    it.bucket.answered(it.queue.slots.pop(), it.now)  # the one that Redis gave
    assert it.bucket.next_free(it.now) == pytest.approx(began + 3 + WINDOW)
    await asyncio.sleep(WINDOW + 0.01)
    it.queue.schedule()
    await it.turn()
    assert len(it.queue.slots) == 2
    assert it.bucket.unavailable_reason is None
    it.bucket.on_restored(silent=True)
    for slot in it.queue.slots:
        it.bucket.answered(slot, it.now)
    assert len(it.backend.gave) == 1, "Redis knows nothing of the share"
    assert it.bucket.in_flight == 0


async def test_fatal_trouble_is_told_to_all_at_once():
    it = Setting()
    it.backend.unavailable_reason, it.backend.is_fatal = "wrong password", True
    await it.want(5)
    assert it.queue.told == [("wrong password", False)]
    assert not it.backend.asks


async def test_estimates_reckon_with_those_who_wait_elsewhere():
    it = Setting()
    assert it.bucket.nth_free(0, it.now) == it.now
    assert it.bucket.nth_free(6, it.now) == pytest.approx(it.now + WINDOW)
    await it.want(1)
    it.arguments()
    await it.reply(ask_in=0.5, others=3)
    assert it.bucket.nth_free(0, it.now) == pytest.approx(it.now + 0.5)
    assert it.bucket.nth_free(3, it.now) == pytest.approx(it.now + 0.5 + 2 * WINDOW)
    assert it.bucket.nth_free(0, it.now, it.now + 9) == it.now + 9


async def test_a_lease_that_somebody_holds_is_no_estimate():
    it = Setting()
    await it.want(1)
    it.arguments()
    await it.reply(ask_in=2.0, hoped_in=1.0)
    assert it.bucket.next_free(it.now) == pytest.approx(it.now + 1.0)
    assert it.bucket.nth_free(0, it.now) == pytest.approx(it.now + 1.0)
    began = it.now
    await asyncio.sleep(1.9)
    assert not it.backend.asks
    assert it.bucket.nth_free(0, it.now) == it.now
    assert it.bucket.next_free(it.now) == pytest.approx(began + 2.0), "until then asking is idle"


async def test_closing_leaves_and_gives_back_what_comes_later():
    it = Setting()
    await it.want(1)
    it.arguments()
    it.queue.wanted = 0
    it.bucket.close()
    await it.reply("0")
    assert [back.slot.name for back in it.backend.gave] == ["0"]
    it = Setting()
    await it.want(1)
    it.arguments()
    await it.reply(ask_in=5.0)
    it.bucket.close()
    asked = it.arguments()
    assert asked["leaves"]
    assert asked["wanted"] == 0


async def test_who_never_asked_says_nothing_when_it_closes():
    it = Setting()
    it.bucket.close()
    assert not it.backend.asks


async def test_the_strictest_living_claim_is_asked_for():
    it = Setting()
    strict = Owner()
    it.bucket.claim(strict, Claim(RateLimit(2, 3.0, spread=True)), it.now)
    await it.want(9)
    asked = it.arguments()
    assert (asked["count"], asked["period"], asked["pace"]) == (2, 3.0, 1.25)
    assert asked["wanted"] == 3
    del strict
    await it.reply(ask_in=0.1)
    await asyncio.sleep(0.2)
    asked = it.arguments()
    assert (asked["count"], asked["pace"]) == (6, 0)


async def test_it_shows_itself():
    it = Setting()
    assert repr(it.bucket) == (
        "<SharedBucket okx-funding:1:{b}: 6 per 1 s; resting, 0 in flight, 0 sent, 0 refused>"
    )
    await it.want(1)
    assert "asking" in repr(it.bucket)
    assert it.bucket.next_free(it.now) == math.inf
    assert not it.bucket.idle()
    assert it.bucket.slots_free(it.now) == 6
    it.arguments()
    await it.reply("0")
    assert it.bucket.slots_free(it.now) == 5
    assert it.bucket.utilisation(it.now) == pytest.approx(1 / 6)


def test_a_message_names_its_bucket():
    message = Message.of(b"call 1500000 okx-funding:1:{host:8080:a user:rule}")
    assert (message.kind, message.after) == ("call", 1.5)
    assert message.tag == "{host:8080:a user:rule}"


def test_a_release_does_not_change():
    with pytest.raises(AttributeError):
        Release(None, None).seen_by = 1  # type: ignore[arg-type, misc]
