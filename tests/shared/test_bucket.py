"""What a process's view of a shared bucket decides, told by hand, in virtual time."""

from __future__ import annotations

import asyncio
import math
import weakref

import pytest

from okx_funding import RateLimit
from okx_funding.ratelimit.interface import Claim
from okx_funding.ratelimit.redis.bucket import SharedBucket
from okx_funding.ratelimit.redis.scripts import Taken, hint_of
from okx_funding.ratelimit.redis.words import Return

pytestmark = pytest.mark.looptime

LIMIT = RateLimit(6)
WINDOW = 1.002


class Post:
    """Somebody to talk to, who does nothing."""

    process = "me"
    settle, fresh, lease = 0.0, 1.5, 20.0

    def __init__(self):
        self.unavailable_reason = None
        self.is_fatal = False
        self.asks = []
        self.gave = []

    def ask(self, bucket):
        self.asks.append(bucket)

    def give(self, back):
        self.gave.append(back)


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

    def fail_waiters(self, reason, *, patient):
        self.told.append((reason, patient))
        self.wanted = 0


class Owner:
    pass


class Setting:
    def __init__(self, claim=None):
        self.post = Post()
        self.bucket = SharedBucket("b", claim or Claim(LIMIT), self.post)
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

    def question(self):
        """The one question that stands, which leaves now."""
        (bucket,) = self.post.asks
        self.post.asks.clear()
        return bucket.question(self.now)

    async def tell(self, *slots, due_in=0.0, hoped_in=None, others=0):
        hoped_in = due_in if hoped_in is None else hoped_in
        self.bucket.told(Taken(due_in, hoped_in, others, 6, WINDOW, slots), self.now)
        await self.turn()


async def test_it_asks_once_for_all_who_want():
    it = Setting()
    await it.want(3)
    await it.want(1)
    assert it.question()["wanted"] == 4
    await it.tell("0", "1", "2", "3")
    assert [slot.name for slot in it.queue.slots] == ["0", "1", "2", "3"]
    assert not it.post.asks
    assert not it.post.gave


async def test_it_asks_for_no_more_than_the_limit():
    it = Setting()
    await it.want(100)
    assert it.question()["wanted"] == 6


async def test_what_nobody_takes_any_more_goes_back():
    it = Setting()
    await it.want(2)
    it.question()
    it.queue.wanted = 1
    await it.tell("0", "1")
    assert len(it.queue.slots) == 1
    assert [(back.slot.name, back.seen_by) for back in it.post.gave] == [("1", None)]
    assert not it.post.asks


async def test_whoever_came_while_it_asked_is_asked_for_next():
    it = Setting()
    await it.want(1)
    it.question()
    await it.want(2)
    await it.tell("0")
    assert it.question()["wanted"] == 2


async def test_it_asks_again_when_its_turn_is_due():
    it = Setting()
    await it.want(1)
    it.question()
    await it.tell(due_in=0.7)
    assert it.bucket.next_free(it.now) == pytest.approx(0.7)
    await asyncio.sleep(0.69)
    assert not it.post.asks
    await asyncio.sleep(0.02)
    assert it.question()["wanted"] == 1


async def test_it_shows_every_two_seconds_that_it_still_waits():
    it = Setting()
    await it.want(1)
    it.question()
    await it.tell(due_in=16.0)
    await asyncio.sleep(1.99)
    assert not it.post.asks
    await asyncio.sleep(0.02)
    assert it.question()["wanted"] == 1


async def test_it_leaves_the_queue_at_its_turn_when_nobody_wants_it():
    it = Setting()
    await it.want(1)
    it.question()
    await it.tell(due_in=0.5)
    it.queue.wanted = 0
    await asyncio.sleep(0.51)
    assert it.question()["wanted"] == 0
    await it.tell()
    await asyncio.sleep(5)
    assert not it.post.asks


async def test_a_message_brings_its_turn_forward():
    it = Setting()
    await it.want(1)
    it.question()
    await it.tell(due_in=16.0)
    it.bucket.hint(0.1, it.now)
    it.bucket.hint(0.9, it.now)
    await asyncio.sleep(0.11)
    assert it.question()["wanted"] == 1


async def test_a_message_that_overtakes_the_answer_counts():
    """They come on two connections."""
    it = Setting()
    await it.want(1)
    it.question()
    it.bucket.hint(0.3, it.now)
    await it.tell(due_in=16.0)
    await asyncio.sleep(0.31)
    assert it.question()["wanted"] == 1
    await it.tell(due_in=1.0)
    await asyncio.sleep(0.5)
    assert not it.post.asks, "and counts once"


async def test_a_message_to_whom_nothing_is_wanted_of_changes_nothing():
    it = Setting()
    it.bucket.hint(0.1, it.now)
    await asyncio.sleep(1)
    assert not it.post.asks


async def test_a_slot_too_old_goes_back_and_another_is_asked_for():
    it = Setting()
    await it.want(1)
    it.question()
    await asyncio.sleep(1.6)
    await it.tell("0")
    assert not it.queue.slots
    assert [back.slot.name for back in it.post.gave] == ["0"]
    assert it.question()["wanted"] == 1


async def test_an_answer_says_when_its_request_was_surely_seen():
    it = Setting()
    await it.want(3)
    it.question()
    await it.tell("0", "1", "2")
    sent_at = it.now
    await asyncio.sleep(0.1)
    for each, slot in zip(("answered", "lost", "unsent"), it.queue.slots, strict=True):
        getattr(it.bucket, each)(slot, it.now)
    answered, lost, unsent = it.post.gave
    assert answered.seen_by == pytest.approx(sent_at + 0.1)
    assert lost.seen_by == pytest.approx(sent_at + 0.1 + 0.25)
    assert unsent.seen_by is None
    assert it.bucket.in_flight == 0
    assert it.bucket.sent == 2


async def test_half_the_shortest_round_trip_is_credited_once_it_is_known():
    it = Setting()
    for _ in range(20):
        await it.want(1)
        it.question()
        await it.tell("0")
        await asyncio.sleep(0.08)
        it.bucket.answered(it.queue.slots.pop(), it.now)
    assert it.post.gave[0].seen_by == pytest.approx(0.08, abs=1e-3)
    assert it.post.gave[-1].seen_by == pytest.approx(it.now - 0.04, abs=1e-3)


async def test_what_is_late_tells_by_how_much():
    """Redis learns when the request was seen, not when the return was delivered."""
    it = Setting()
    await it.want(1)
    it.question()
    await it.tell("0")
    (slot,) = it.queue.slots
    it.bucket.answered(slot, it.now)
    await asyncio.sleep(3)
    asked = it.post.gave[0].question("me", it.now)
    assert asked["seen"] == pytest.approx(-3_000_000, abs=1000)
    assert (asked["me"], asked["id"], asked["serial"]) == ("me", "0", 1)


async def test_a_refusal_freezes_and_the_next_withholds_a_slot():
    it = Setting()
    for _ in range(2):
        await asyncio.sleep(5)
        await it.want(1)
        it.question()
        await it.tell("0")
        pause = it.bucket.refused(it.queue.slots.pop(), it.now, 3.0)
    first, back = it.post.gave
    assert pause == pytest.approx(3.002)
    assert back.freeze_until == pytest.approx(it.now + 3.002)
    assert (first.bench_until, back.bench_until) == (None, pytest.approx(it.now + 15))
    assert it.bucket.slots_free(it.now) == 0
    assert it.bucket.nth_free(0, it.now) == pytest.approx(it.now + 3.002)


async def test_what_was_asked_but_not_heard_is_asked_back():
    it = Setting()
    await it.want(1)
    assert it.question()["serial"] == 1
    it.post.unavailable_reason = "gone"
    it.queue.wanted = 0
    it.bucket.lose(0, it.now)
    await it.turn()
    assert not it.post.asks
    it.post.unavailable_reason = None
    it.bucket.find(silent=False)
    asked = it.question()
    assert (asked["serial"], asked["lost"], asked["wanted"]) == (2, 1, 0)
    await it.tell()
    await it.want(1)
    assert it.question()["lost"] == 3


async def test_silence_is_asked_for_until_it_was_heard():
    it = Setting()
    it.bucket.find(silent=True)
    await it.want(1)
    assert it.question()["silent"]
    it.bucket.lose(0, it.now)
    await it.turn()
    it.bucket.find(silent=False)
    await it.turn()
    assert it.question()["silent"], "nobody heard the first time"
    await it.tell(due_in=1.0)
    await asyncio.sleep(1.1)
    assert not it.question()["silent"]


async def test_slots_in_hand_go_back_when_redis_is_lost():
    it = Setting()
    await it.want(2)
    it.question()
    it.bucket.told(Taken(0, 0, 0, 6, WINDOW, ("0", "1")), it.now)
    it.bucket.lose(0, it.now)
    await it.turn()
    assert [back.slot.name for back in it.post.gave] == ["0", "1"]
    assert not it.queue.slots


async def test_a_share_begins_when_others_must_have_noticed_and_what_is_on_its_way_is_over():
    it = Setting()
    await it.want(1)
    it.question()
    await it.tell("0")
    it.bucket.lose(2, it.now + 2.5)
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
    it.bucket.find(silent=True)
    for slot in it.queue.slots:
        it.bucket.answered(slot, it.now)
    assert len(it.post.gave) == 1, "Redis knows nothing of the share"
    assert it.bucket.in_flight == 0


async def test_hopeless_trouble_is_told_to_all_at_once():
    it = Setting()
    it.post.unavailable_reason, it.post.is_fatal = "wrong password", True
    await it.want(5)
    assert it.queue.told == [("wrong password", False)]
    assert not it.post.asks


async def test_estimates_reckon_with_those_who_wait_elsewhere():
    it = Setting()
    assert it.bucket.nth_free(0, it.now) == it.now
    assert it.bucket.nth_free(6, it.now) == pytest.approx(it.now + WINDOW)
    await it.want(1)
    it.question()
    await it.tell(due_in=0.5, others=3)
    assert it.bucket.nth_free(0, it.now) == pytest.approx(it.now + 0.5)
    assert it.bucket.nth_free(3, it.now) == pytest.approx(it.now + 0.5 + 2 * WINDOW)
    assert it.bucket.nth_free(0, it.now, it.now + 9) == it.now + 9


async def test_a_lease_that_somebody_holds_is_no_estimate():
    it = Setting()
    await it.want(1)
    it.question()
    await it.tell(due_in=17.0, hoped_in=1.0)
    assert it.bucket.next_free(it.now) == pytest.approx(it.now + 1.0)
    assert it.bucket.nth_free(0, it.now) == pytest.approx(it.now + 1.0)
    began = it.now
    await asyncio.sleep(1.9)
    assert not it.post.asks
    assert it.bucket.nth_free(0, it.now) == it.now
    assert it.bucket.next_free(it.now) == pytest.approx(began + 2.0), "until then asking is idle"


async def test_closing_says_goodbye_and_gives_back_what_comes_later():
    it = Setting()
    await it.want(1)
    it.question()
    it.queue.wanted = 0
    it.bucket.close()
    await it.tell("0")
    assert [back.slot.name for back in it.post.gave] == ["0"]
    it = Setting()
    await it.want(1)
    it.question()
    await it.tell(due_in=5.0)
    it.bucket.close()
    asked = it.question()
    assert asked["bye"]
    assert asked["wanted"] == 0


async def test_who_never_asked_says_nothing_when_it_closes():
    it = Setting()
    it.bucket.close()
    assert not it.post.asks


async def test_the_strictest_living_claim_is_asked_for():
    it = Setting()
    strict = Owner()
    it.bucket.claim(strict, Claim(RateLimit(2, 3.0, spread=True)), it.now)
    await it.want(9)
    asked = it.question()
    assert (asked["count"], asked["period"], asked["pace"]) == (2, 3_002_000, 1.25)
    assert asked["wanted"] == 2
    del strict
    await it.tell(due_in=0.1)
    await asyncio.sleep(0.2)
    asked = it.question()
    assert (asked["count"], asked["pace"]) == (6, 0)


async def test_it_shows_itself():
    it = Setting()
    assert repr(it.bucket) == (
        "<SharedBucket b: 6 per 1 s; resting, 0 in flight, 0 sent, 0 refused>"
    )
    await it.want(1)
    assert "asking" in repr(it.bucket)
    assert it.bucket.next_free(it.now) == math.inf
    assert not it.bucket.idle()
    assert it.bucket.slots_free(it.now) == 6
    it.question()
    await it.tell("0")
    assert it.bucket.slots_free(it.now) == 5
    assert it.bucket.utilisation(it.now) == pytest.approx(1 / 6)


def test_a_message_names_its_bucket():
    assert hint_of(b"1500000 okx-funding:{host:8080:a user:rule}") == (
        "okx-funding:{host:8080:a user:rule}",
        1.5,
    )


def test_a_return_is_frozen_words():
    with pytest.raises(AttributeError):
        Return("b", None, None).seen_by = 1  # type: ignore[arg-type, misc]
