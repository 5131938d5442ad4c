"""What a watch tells, against a plain history of records, with gaps, doubles and restarts."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okx_funding.client.tracker import OVERLAP, Bookmark, Tracker
from okx_funding.errors import InvalidArgumentError

FINAL = {"2", "-1"}


@dataclass(frozen=True)
class Row:
    key: str
    ts: int
    state: str
    p_time: int
    tx_id: str = ""


def row(state, ts=1_000_000, p_time=None, key="a"):
    return Row(key, ts, state, ts if p_time is None else p_time)


def told(tracker, *rows, pushed=True):
    return [
        each.state for each in rows if tracker.accept(each.key, each, each.p_time, pushed=pushed)
    ]


def test_a_state_is_told_once():
    tracker = Tracker("deposit-info", FINAL)
    assert told(tracker, row("0"), row("0"), row("1", p_time=1_000_005), row("0")) == ["0", "1"]


def test_nothing_follows_a_final_state():
    tracker = Tracker("deposit-info", FINAL)
    assert told(tracker, row("2"), row("1", p_time=2_000_000)) == ["2"]


def test_a_late_push_of_an_earlier_state_is_dropped():
    tracker = Tracker("deposit-info", FINAL)
    assert told(tracker, row("1", p_time=1_000_009), row("0", p_time=1_000_001)) == ["1"]


def test_a_final_state_is_told_however_late_it_comes():
    tracker = Tracker("deposit-info", FINAL)
    assert told(tracker, row("1", p_time=1_000_009), row("2", p_time=1_000_001)) == ["1", "2"]


def test_details_tell_a_change_of_confirmations():
    tracker = Tracker("deposit-info", FINAL, details=True)
    assert tracker.accept("a", row("0"), 1, pushed=True, detail="0")
    assert not tracker.accept("a", row("0"), 2, pushed=True, detail="0")
    assert tracker.accept("a", row("0"), 3, pushed=True, detail="1")


def test_what_was_there_before_is_told_when_its_state_changes():
    tracker = Tracker("deposit-info", FINAL, since=2_000_000)
    tracker.know("a", row("0"))
    assert told(tracker, row("0"), pushed=False) == []
    assert told(tracker, row("2", p_time=2_000_001), pushed=False) == ["2"]


def test_an_older_record_that_nobody_knew_is_told_by_a_push_and_by_no_read():
    tracker = Tracker("deposit-info", FINAL, since=2_000_000)
    assert told(tracker, row("2"), pushed=False) == []
    assert told(tracker, row("2")) == ["2"]


def test_a_bookmark_is_text_both_ways():
    tracker = Tracker("deposit-info", FINAL)
    told(tracker, row("0"), row("2", key="b"))
    mark = tracker.bookmark()
    assert Bookmark.parse(str(mark), "deposit-info") == mark


@pytest.mark.parametrize(
    "text", ["", "{}", "x", "[]", '{"v":1}', "1" * 5000, '{"v":1,"channel":"c"']
)
def test_what_is_no_bookmark_is_refused(text):
    with pytest.raises(InvalidArgumentError, match="bookmark"):
        Bookmark.parse(text, "deposit-info")


def test_a_bookmark_of_the_other_channel_is_refused():
    mark = Tracker("deposit-info", FINAL).bookmark()
    with pytest.raises(InvalidArgumentError, match="withdrawal-info"):
        Bookmark.parse(str(mark), "withdrawal-info")


class World:
    """Records that walk through their states, and a listener that is cut off now and then."""

    def __init__(self, seed):
        dice = random.Random(seed)
        self.changes = []
        for number in range(dice.randint(1, 30)):
            ts = 10_000_000 + dice.randrange(0, 900_000)
            at, states = ts, ["0", "1", "2"][: dice.randint(1, 3)]
            if dice.random() < 0.2:
                states.append("-1")
            states = [*(state for state in states if state not in FINAL), states[-1]]
            if dice.random() < 0.8 and not FINAL & set(states):
                states.append("2")
            for state in dict.fromkeys(states):
                self.changes.append(Row(f"r{number}", ts, state, at))
                at += dice.randrange(1, 400_000)
        self.changes.sort(key=lambda change: change.p_time)
        self.dice = dice

    def history(self, now):
        """What a read at ``now`` sees: each record as it is, the newest first."""
        rows = {}
        for change in self.changes:
            if change.p_time <= now:
                rows[change.key] = change
        return sorted(rows.values(), key=lambda each: -each.ts)


def watch(world):
    """Everything that is told, with losses, doubles, late copies, reconnects and restarts."""
    dice, events = world.dice, []
    tracker = Tracker("deposit-info", FINAL, since=9_000_000)
    connected, late = True, []

    def fill(now):
        horizon = tracker.horizon
        rows = [each for each in world.history(now) if each.ts >= horizon][::-1]
        known = {each.key: each for each in world.history(now)}
        rows = [known[key] for key in tracker.open_before(horizon)] + rows
        for each in rows:
            if tracker.accept(each.key, each, now, pushed=False):
                events.append(each)

    for change in world.changes:
        if connected:
            for each in [change, *([change] if dice.random() < 0.2 else [])]:
                if dice.random() < 0.1:
                    late.append(each)
                if tracker.accept(each.key, each, each.p_time, pushed=True):
                    events.append(each)
        if late and dice.random() < 0.3:
            each = late.pop()
            if connected and tracker.accept(each.key, each, each.p_time, pushed=True):
                events.append(each)
        if dice.random() < 0.15:
            connected = False
        if not connected and dice.random() < 0.4:
            connected = True
            if dice.random() < 0.3:
                mark = Bookmark.parse(str(tracker.bookmark()), "deposit-info")
                tracker, late = Tracker("deposit-info", FINAL, bookmark=mark), []
            fill(change.p_time)
    fill(world.changes[-1].p_time + 1)
    return events


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**9))
def test_no_record_and_no_final_state_is_lost_or_told_twice(seed):
    world = World(seed)
    events = watch(world)
    last = {change.key: change.state for change in world.changes}
    finals = [event.key for event in events if event.state in FINAL]
    assert sorted(finals) == sorted(key for key, state in last.items() if state in FINAL)
    told = [(event.key, event.state) for event in events]
    assert len(set(told)) == len(told)
    assert {event.key for event in events} == set(last)
    for key in last:
        states = [event.state for event in events if event.key == key]
        assert not FINAL & set(states[:-1])


def test_the_read_goes_back_beyond_the_last_moment():
    tracker = Tracker("deposit-info", FINAL)
    told(tracker, row("0", ts=10_000_000))
    assert tracker.horizon == 10_000_000 - OVERLAP
