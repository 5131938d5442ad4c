"""What the two scripts do, at times of the tests' choice, on a real server."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from okx_funding import RateLimit
from okx_funding.ratelimit.interface import Claim
from tests.redis.law import GUARD, LEASE, SECOND, Scripts, ask
from tests.redis.servers import RedisServer

WINDOW = SECOND + GUARD
UNKNOWN = WINDOW + 250_000
START = 1_700_000_000 * SECOND


@pytest.fixture
def scripts(redis_server: RedisServer) -> Iterator[Scripts]:
    it = Scripts(redis_server.url)
    inbox = it.listen("a", "b", "c", "frozen", "wide", "strict", "slow", "few")
    yield it
    inbox.close()
    it.close()


def give(me, serial, slot, seen=0, **more):
    return {"me": me, "serial": serial, "id": slot, "seen": seen, **more}


class Process:
    """Asks with rising numbers, and remembers what it won."""

    def __init__(self, scripts, name, **settings):
        self.scripts, self.name, self.settings = scripts, name, settings
        self.serial = 0
        self.held = []

    def take(self, now, wanted=1, **more):
        self.serial += 1
        asked = ask(self.name, self.serial, **{"wanted": wanted, **self.settings, **more})
        due, self.hoped, self.others, self.count, self.period, *won = self.scripts.take(
            asked, START + now
        )
        self.held += [(self.serial, slot) for slot in won[::2]]
        self.waits = won[1::2]
        return len(won) // 2, due

    def give(self, now, seen=0, **more):
        serial, slot = self.held.pop(0)
        return self.scripts.give(give(self.name, serial, slot, seen, **more), START + now)

    def begin(self):
        """Known history: all slots are free at 0."""
        self.take(-2 * UNKNOWN, 0)
        return self


def test_a_new_bucket_begins_with_one_silent_window(scripts):
    a = Process(scripts, "a")
    assert a.take(0) == (0, UNKNOWN)
    assert a.take(UNKNOWN - 5000) == (0, 5000)
    assert a.take(UNKNOWN, 6) == (6, 0)


def test_a_slot_is_free_a_window_after_its_request_was_seen(scripts):
    a = Process(scripts, "a").begin()
    assert a.take(0, 6)[0] == 6
    assert [a.give(50_000, seen=-20_000) for _ in range(6)] == [1] * 6
    assert a.take(60_000) == (0, 30_000 + WINDOW - 60_000)
    assert a.take(30_000 + WINDOW, 6)[0] == 6


def test_who_dies_with_slots_in_hand_holds_them_for_its_lease_and_no_longer(scripts):
    dead, b = Process(scripts, "dead").begin(), Process(scripts, "b")
    assert dead.take(0, 6)[0] == 6
    assert b.take(SECOND) == (0, LEASE + WINDOW - SECOND)
    assert b.take(LEASE + WINDOW, 6)[0] == 6
    assert dead.give(LEASE + WINDOW + 1) == 0, "what it gives back later is not its own any more"


def test_estimates_hope_that_what_is_held_comes_back(scripts):
    a, b, c = (Process(scripts, name, count=2).begin() for name in "abc")
    a.take(0, 2)
    b.take(10)
    assert (b.hoped, c.take(20)[1], c.hoped) == (WINDOW, LEASE + WINDOW - 20, WINDOW)
    a.give(50_000, freeze=5 * SECOND)
    b.take(60_000)
    assert b.hoped == 5 * SECOND - 10_000, "and no more than that"


def test_a_slot_is_given_back_once(scripts):
    a = Process(scripts, "a").begin()
    a.take(0)
    ((serial, slot),) = a.held
    assert a.give(0) == 1
    assert scripts.give(give("a", serial, slot, 5 * SECOND), START) == 0


def test_a_return_that_comes_twice_leaves_a_later_turn_alone(scripts):
    a = Process(scripts, "a", count=1).begin()
    a.take(0)
    ((serial, slot),) = a.held
    a.give(0)
    assert a.take(WINDOW)[0] == 1
    assert scripts.give(give("a", serial, slot), START + WINDOW) == 0
    assert a.take(2 * WINDOW)[0] == 0, "it holds it"


def test_an_answer_that_was_lost_costs_no_slot(scripts):
    a, b = Process(scripts, "a").begin(), Process(scripts, "b")
    assert a.take(0, 6)[0] == 6
    a.held.clear()
    first = a.serial
    assert a.take(SECOND, 0, lost=first) == (0, 0)
    assert b.take(SECOND, 6)[0] == 6
    assert scripts.hash()["sent"] == "6"


def test_what_was_heard_is_kept_when_a_later_answer_was_lost(scripts):
    a, b = Process(scripts, "a").begin(), Process(scripts, "b")
    assert a.take(0, 2)[0] == 2
    assert a.take(0, 2)[0] == 2
    a.take(SECOND, 0, lost=a.serial)
    assert b.take(SECOND, 6)[0] == 4
    assert a.give(SECOND) == 1


def test_an_ask_that_its_process_gave_up_takes_nothing(scripts):
    """A frozen server executes what stood in its buffers when it thaws."""
    a = Process(scripts, "a").begin()
    late = ask("a", a.serial + 1, wanted=6)
    a.serial += 1
    a.take(0, 0, lost=a.serial)
    before = scripts.hash()
    assert scripts.take(late, START + SECOND) == []
    assert scripts.hash() == before


def test_slots_are_left_for_those_who_wait_longer(scripts):
    a, b, c = (Process(scripts, name).begin() for name in "abc")
    assert a.take(0, 6)[0] == 6
    assert b.take(100)[0] == 0
    assert c.take(200)[0] == 0
    for _ in range(2):
        a.give(300)
    assert a.take(300 + WINDOW)[0] == 0, "both are b's and c's"
    assert c.take(300 + WINDOW)[0] == 1
    assert b.take(300 + WINDOW)[0] == 1


def test_who_has_won_goes_behind_the_others(scripts):
    a, b = Process(scripts, "a", count=1).begin(), Process(scripts, "b", count=1)
    assert a.take(0, 5)[0] == 1
    assert b.take(10, 5)[0] == 0
    order, now = [], 0
    for _ in range(6):
        (a if a.held else b).give(now)
        now += WINDOW
        for each in (a, b):
            if each.take(now, 5)[0]:
                order.append(each.name)
    assert order == list("ababab")


def test_free_slots_are_parted_among_those_who_wait(scripts):
    a, b, c = (Process(scripts, name).begin() for name in "abc")
    for each in (a, b, c):
        each.take(-UNKNOWN, 6, silent=True)
    won = [each.take(now, 6)[0] for now, each in enumerate((a, b, c, a, b, c))]
    assert won == [2, 1, 1, 1, 1, 0]


def messages(inbox):
    """All that came, as who was told what."""
    told = []
    while (message := inbox.get_message(timeout=0.05)) is not None:
        told.append((message["channel"].rpartition(":")[2], message["data"].split()[:2]))
    return told


def test_who_gives_a_slot_back_has_the_next_one_called_and_nobody_else(scripts):
    inbox = scripts.listen("b", "c")
    a, b, c = (Process(scripts, name, count=2).begin() for name in "abc")
    assert a.take(0, 2)[0] == 2
    b.take(10)
    c.take(20)
    assert messages(inbox) == []
    a.give(1000, ahead=500_000)
    assert messages(inbox) == [("b", ["call", str(WINDOW - 500_000)])]
    a.give(2000, ahead=500_000)
    assert messages(inbox) == [("c", ["call", str(WINDOW - 500_000)])]
    inbox.close()


def test_who_does_not_listen_any_more_is_passed_over_at_once(scripts):
    inbox = scripts.listen("c")
    a, dead, c = (Process(scripts, name, count=1).begin() for name in ("a", "dead", "c"))
    a.take(0)
    assert dead.take(10)[0] == c.take(20)[0] == 0
    assert scripts.queue() == ["dead", "c"]
    a.give(30)
    assert messages(inbox) == [("c", ["call", str(WINDOW)])]
    assert scripts.queue() == ["c"]
    inbox.close()


def test_a_slot_is_given_before_it_may_be_used(scripts):
    a, b = Process(scripts, "a", count=1, ahead=500_000).begin(), Process(scripts, "b", count=1)
    a.take(0)
    a.give(0)
    assert b.take(WINDOW - 500_001, ahead=500_000)[0] == 0
    assert b.take(WINDOW - 400_000, ahead=500_000)[0] == 1
    assert b.waits == [400_000]
    assert a.take(WINDOW - 300_000)[0] == 0, "it is taken"
    b.give(WINDOW - 200_000, unsent=True)
    assert a.take(WINDOW - 100_000, ahead=500_000)[0] == 1
    assert a.waits == [100_000], "it is as free as it was, not freer"


def test_an_unheard_answer_makes_no_slot_freer_than_it_was(scripts):
    a, b = (Process(scripts, name, count=1, ahead=500_000).begin() for name in "ab")
    a.take(0)
    a.give(0)
    a.take(WINDOW - 400_000)
    a.take(WINDOW - 300_000, 0, lost=a.serial)
    assert b.take(WINDOW - 200_000)[0] == 1
    assert b.waits == [200_000]


def test_a_refusal_is_told_to_those_who_have_a_slot_and_did_not_use_it_yet(scripts):
    inbox = scripts.listen("b")
    a, b = Process(scripts, "a").begin(), Process(scripts, "b").begin()
    a.take(0, 2)
    b.take(0, 2)
    a.give(10, freeze=SECOND)
    assert messages(inbox) == [("b", ["freeze", str(SECOND)])]
    inbox.close()


def test_a_lease_is_renewed_while_it_lives(scripts):
    a, b = (Process(scripts, name, count=1).begin() for name in "ab")
    a.take(0)
    ((serial, slot),) = a.held
    for second in range(1, 30):
        renewal = {"me": "a", "slots": [[slot, serial]], "lease": LEASE}
        assert scripts.renew(renewal, START + second * SECOND) == [1]
        assert b.take(second * SECOND)[0] == 0
    over = 29 * SECOND + LEASE + WINDOW
    assert b.take(over)[0] == 1
    assert scripts.renew({"me": "a", "slots": [[slot, serial]], "lease": LEASE}, START + over) == [
        0
    ]


def test_another_server_begins_with_a_silent_window(scripts):
    """It may have missed the last of what the one before it knew."""
    a, b = (Process(scripts, name, server="one").begin() for name in "ab")
    a.take(0)
    assert b.take(10, server="two") == (0, UNKNOWN)
    assert a.take(20, server="two") == (0, UNKNOWN - 10), "and only once"
    assert b.take(10 + UNKNOWN, server="two")[0] == 1
    assert a.take(20 + UNKNOWN, server="")[0] == 1, "one that can't tell which server it is"


MONTH = 30 * 86400


def test_unknown_history_of_a_long_window_forbids_no_month(scripts):
    a = Process(scripts, "a", count=20, period=float(MONTH), settle=0)
    assert a.take(0) == (0, 60 * SECOND)
    assert a.take(60 * SECOND, 20)[0] == 1
    a.take(60 * SECOND + 1)
    assert a.hoped == pytest.approx(MONTH / 20 * SECOND, rel=1e-6), "then one after the other"


def test_a_failover_in_a_long_window_forbids_no_month(scripts):
    a = Process(scripts, "a", count=20, period=float(MONTH), settle=0, server="one")
    a.take(0)
    assert a.take(10 * 86400 * SECOND, 3)[0] == 3
    assert a.take(10 * 86400 * SECOND + 1, server="two")[1] == 60 * SECOND


def test_keys_of_a_user_who_is_gone_expire(scripts):
    a = Process(scripts, "a", count=1)
    a.take(0)
    assert [scripts.redis.ttl(key) // 3600 for key in scripts.keys[:3]] == [24, 24, 24]


def test_a_claim_that_needs_no_older_format_moves_the_bucket(scripts):
    old, new = Process(scripts, "a"), Process(scripts, "b", speaks=2)
    old.take(0, 0)
    new.take(10, 0)
    assert new.count == 6, "as long as somebody needs it everybody keeps to it"
    asked = ask("b", 5, speaks=2)
    assert scripts.take({**asked, "serial": 5, "me": "b"}, START + 61 * SECOND) == [-1, 2]
    old.serial += 1
    assert scripts.take(ask("a", old.serial), START + 62 * SECOND) == [-1, 2]
    assert 0 < scripts.redis.ttl(scripts.name) <= 120


def test_whoever_leaves_the_queue_makes_room(scripts):
    a, b, c = (Process(scripts, name, count=1).begin() for name in "abc")
    a.take(0)
    assert b.take(10)[0] == c.take(20)[0] == 0
    a.give(30)
    b.take(40, 0)
    assert c.take(30 + WINDOW)[0] == 1
    assert "b" not in scripts.queue()


def test_whoever_does_not_come_when_called_loses_its_place(scripts):
    a, frozen, c = (Process(scripts, name, count=1).begin() for name in ("a", "frozen", "c"))
    a.take(0)
    assert frozen.take(10)[0] == c.take(20)[0] == 0
    a.give(30)
    assert c.take(30 + WINDOW)[0] == 0
    assert c.take(30 + WINDOW + SECOND)[0] == 0
    assert c.take(31 + WINDOW + SECOND)[0] == 1
    assert "frozen" not in scripts.queue()


def test_claims_of_the_dead_are_cleared_away(scripts):
    for number in range(50):
        Process(scripts, f"p{number}", count=1).take(number)
    assert len(scripts.claims()) == 50
    Process(scripts, "last", count=1).take(61 * SECOND)
    assert list(scripts.claims()) == ["last"]
    assert len(scripts.hash()) < 16


def test_the_strictest_living_claim_rules(scripts):
    wide = Process(scripts, "wide", count=6).begin()
    strict = Process(scripts, "strict", count=2).begin()
    assert wide.take(0, 6)[0] == 2
    assert (wide.count, wide.period) == (2, WINDOW)
    strict.take(0, 0, leaves=True)
    assert wide.take(1, 6)[0] == 0, "the slots that come back have an unknown history"
    assert wide.count == 6
    assert wide.take(1 + UNKNOWN, 6)[0] == 4


def test_a_claim_lasts_a_minute(scripts):
    wide = Process(scripts, "wide", count=6)
    strict = Process(scripts, "strict", count=2)
    strict.take(0, 0)
    wide.take(60 * SECOND, 0)
    assert wide.count == 2
    wide.take(60 * SECOND + 1, 0)
    assert wide.count == 6


def test_a_thousand_sets_of_claims_get_what_one_process_would_give_them(scripts):
    draw = random.Random(4711)
    for _ in range(1000):
        limits = [
            RateLimit(draw.randint(1, 12), draw.choice([0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 7.3]))
            for _ in range(draw.randint(2, 5))
        ]
        wanted = Claim.strictest([Claim(limit) for limit in limits]).limit
        scripts.forget()
        for number, limit in enumerate(limits):
            last = Process(scripts, f"p{number}", count=limit.count, period=limit.period)
            last.take(0, 0)
        assert last.count == wanted.count, limits
        assert last.period - GUARD == pytest.approx(wanted.period * SECOND, abs=1), limits


def test_a_burst_that_fits_no_window_of_another_is_cut(scripts):
    """6 in 1 s beside 10 in 2 s is 5 in 1 s: 10 in 2 s alone would let 10 go at once."""
    Process(scripts, "a", count=6, period=1.0).take(0, 0)
    other = Process(scripts, "b", count=10, period=2.0)
    other.take(0, 0)
    assert (other.count, other.period) == (5, WINDOW)


def test_equal_rates_are_held_by_the_smaller_burst(scripts):
    Process(scripts, "a", count=6, period=1.0).take(0, 0)
    big = Process(scripts, "b", count=12, period=2.0)
    big.take(0, 0)
    assert (big.count, big.period) == (6, WINDOW)


def test_a_longer_window_holds_longer(scripts):
    a = Process(scripts, "a", count=1).begin()
    a.take(0)
    a.give(0)
    slow = Process(scripts, "slow", count=1, period=2.0)
    assert slow.take(10) == (0, 2 * SECOND + GUARD - 10)


def test_a_smaller_limit_waits_for_what_is_held(scripts):
    a = Process(scripts, "a").begin()
    assert a.take(0, 6)[0] == 6
    few = Process(scripts, "few", count=2)
    assert few.take(10)[0] == 0
    for number in range(4):
        assert a.give(20 + number) == 1
        assert few.take(20 + number + WINDOW)[0] == 0, f"{5 - number} are still held"
    assert a.give(5 * WINDOW) == 1
    assert few.take(6 * WINDOW)[0] == 1
    assert len([name for name in scripts.hash() if name.startswith("slot:")]) == 2


def test_smooth_pacing_leaves_the_same_time_between_all_processes(scripts):
    a = Process(scripts, "a", pace=1.25).begin()
    b = Process(scripts, "b").begin()
    spacing = round(1.25 * WINDOW / 6)
    assert a.take(0, 6)[0] == 1
    won, due = b.take(0, 6)
    assert won == 0, "one smooth client paces all"
    assert due == spacing + spacing, "a is before it in the queue"
    assert b.take(spacing)[0] == 0
    assert a.take(spacing, 6)[0] == 1
    assert b.take(2 * spacing, 6)[0] == 1


def test_a_refusal_freezes_everybody_and_withholds_the_slot(scripts):
    a, b = Process(scripts, "a").begin(), Process(scripts, "b").begin()
    assert a.take(0, 2)[0] == 2
    a.give(1000, freeze=WINDOW, cooldown=15 * SECOND)
    assert b.take(2000, 6) == (0, WINDOW - 1000)
    assert b.take(1000 + WINDOW, 6)[0] == 4
    assert a.give(1000 + WINDOW) == 1
    assert scripts.hash()["refused"] == "1"
    assert b.take(1000 + 2 * WINDOW, 6)[0] == 1, "one slot stays out"
    assert b.take(15 * SECOND, 6)[0] == 5, "leases are over, and it is out still"
    assert b.take(1000 + 15 * SECOND, 6)[0] == 1


def test_one_slot_is_never_withheld(scripts):
    a = Process(scripts, "a", count=3).begin()
    assert a.take(0, 3)[0] == 3
    for _ in range(3):
        a.give(0, freeze=WINDOW, cooldown=100 * SECOND)
    assert a.take(WINDOW, 3)[0] == 1


def test_a_refusal_freezes_even_when_the_slot_is_not_its_own_any_more(scripts):
    a = Process(scripts, "a").begin()
    a.take(0)
    scripts.forget()
    assert a.give(0, freeze=5 * SECOND) == 0
    assert a.take(0)[1] == 5 * SECOND


def test_silence_freezes_for_a_window(scripts):
    a = Process(scripts, "a").begin()
    assert a.take(0, silent=True) == (0, UNKNOWN)
    assert a.take(UNKNOWN)[0] == 1


def test_what_was_never_sent_frees_its_slot_at_once(scripts):
    a = Process(scripts, "a", count=1).begin()
    a.take(0)
    assert a.give(10, unsent=True) == 1
    assert a.take(10)[0] == 1
    assert scripts.hash()["sent"] == "1"


@pytest.mark.parametrize("back", [1, SECOND, 3600 * SECOND])
def test_a_clock_that_is_set_back_holds_nothing_longer(scripts, back):
    a = Process(scripts, "a", count=1).begin()
    a.take(0)
    a.give(0)
    won, due = a.take(500_000 - back)
    assert (won, due) == (0, WINDOW - (500_000 - back if back < 500_000 else 0))
    assert a.take(500_000 - back + due)[0] == 1


def test_moments_far_in_the_future_keep_their_microseconds(scripts):
    century = 200 * 366 * 24 * 3600 * SECOND
    a = Process(scripts, "a").begin()
    a.take(century)
    assert a.take(century + 1, 0) == (0, 0)
    assert scripts.hash()["clock"] == str(START + century + 1)
