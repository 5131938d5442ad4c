"""Which bytes are a state, and that all others aren't."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_funding.ratelimit.machine import layout
from okx_funding.ratelimit.machine.law import (
    LoggedProcess,
    LoggedRequest,
    Rule,
    SilenceReason,
    State,
)

BOOT = bytes(range(16))
NOW = 5000.0
numbers = st.integers(1, 2**32 - 1)
times = st.floats(0, NOW + 60)
seconds = st.floats(0, 60)
processes = st.builds(
    LoggedProcess,
    numbers,
    st.builds(Rule, st.integers(1, 2**32 - 1), st.floats(0.01, 60), seconds),
    st.integers(0, 2**63),
    times,
    times,
    seconds,
)
requests = st.builds(
    LoggedRequest, numbers, numbers, times, times | st.just(math.inf), seconds, times
)
states = st.builds(
    State,
    st.integers(0, 2**63),
    times,
    times | st.just(-math.inf),
    times,
    st.sampled_from(SilenceReason),
    st.integers(1, 2**63),
    st.integers(0, 2**63),
    st.lists(requests, max_size=8),
    st.lists(processes, max_size=8).map(lambda all_: {it.number: it for it in all_}),
)


def a_state() -> State:
    state = State(7, silent_since=NOW, reason=SilenceReason.NEW)
    state.processes[3] = LoggedProcess(3, Rule(6, 1.002), 1, NOW, NOW, 0.02)
    state.requests.append(LoggedRequest(3, 9, NOW))
    return state


@given(states, st.text(max_size=60))
def test_what_is_written_is_read(state, label):
    assert layout.decode(layout.encode(state, BOOT, label), BOOT, NOW)[0] == state


def test_what_was_there_before_and_was_longer_does_not_matter():
    data = layout.encode(a_state(), BOOT, "an endpoint")
    assert layout.decode(data + b"rubbish", BOOT, NOW) == (a_state(), "an endpoint")


def test_every_damaged_byte_is_noticed():
    data = layout.encode(a_state(), BOOT, "label")
    for place in range(len(data)):
        if place in (10, 11):  # unused
            continue
        damaged = bytearray(data)
        damaged[place] ^= 0x01
        with pytest.raises((layout.UnknownHistoryError, layout.NewerFormatError)):
            layout.decode(bytes(damaged), BOOT, NOW)


def test_every_shortened_file_is_noticed():
    data = layout.encode(a_state(), BOOT)
    for length in range(len(data)):
        with pytest.raises(layout.UnknownHistoryError):
            layout.decode(data[:length], BOOT, NOW)


@given(st.binary(max_size=500))
def test_rubbish_is_no_state(data):
    with pytest.raises(layout.UnknownHistoryError):
        layout.decode(data, BOOT, NOW)


def reason_of(data: bytes, boot: bytes = BOOT) -> SilenceReason:
    with pytest.raises(layout.UnknownHistoryError) as caught:
        layout.decode(data, boot, NOW)
    return caught.value.reason


def test_each_kind_of_loss_has_its_reason():
    data = layout.encode(a_state(), BOOT)
    older = data[:8] + struct.pack("<H", layout.FORMAT - 1) + data[10:]
    assert reason_of(b"") is SilenceReason.EMPTIED
    assert reason_of(bytes(4096)) is SilenceReason.EMPTIED
    assert reason_of(b"rubbish") is SilenceReason.DAMAGED
    assert reason_of(data, bytes(16)) is SilenceReason.BOOT
    assert reason_of(older) is SilenceReason.OLD_FORMAT


def test_a_newer_format_is_an_error_that_names_it():
    data = layout.encode(a_state(), BOOT)
    newer = data[:8] + struct.pack("<H", 9) + data[10:]
    with pytest.raises(layout.NewerFormatError, match="format 9"):
        layout.decode(newer, BOOT, NOW)


@pytest.mark.parametrize("absurd", [NOW + 1000, math.nan])
@pytest.mark.parametrize("field", ["unknown_until", "frozen_until", "silent_since"])
def test_a_time_that_is_too_far_ahead_is_damage(field, absurd):
    state = a_state()
    setattr(state, field, absurd)
    assert reason_of(layout.encode(state, BOOT)) is SilenceReason.DAMAGED


@pytest.mark.parametrize("absurd", [NOW + 1000, math.nan])
def test_so_is_a_request_that_was_seen_too_far_ahead(absurd):
    state = a_state()
    state.requests[0].seen = absurd
    assert reason_of(layout.encode(state, BOOT)) is SilenceReason.DAMAGED
