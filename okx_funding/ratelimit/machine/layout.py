"""The bytes of a limit file, and which bytes are none.

    magic, format number, checksum | head | label | processes | requests

Whatever isn't exactly what this machine wrote since its last boot is an unknown history.
"""

from __future__ import annotations

import struct
import zlib
from itertools import chain

from .law import (
    MAX_PROCESSES,
    MAX_REQUESTS,
    LoggedProcess,
    LoggedRequest,
    Rule,
    SilenceReason,
    State,
)

MAGIC = b"okxlimit"
FORMAT = 1
PAGE = 4096
"""A new file is this long, so that it needs no more room later, as long as few processes use it."""
MAX_BYTES = 1 << 18
MAX_AHEAD = 660.0
"""Seconds that any time may be ahead: a freeze lasts eight windows at most, a window a minute."""
_IN_FLIGHT = float("inf")
_NEVER = float("-inf")

_PREFIX = struct.Struct("<8sHHI")
_HEAD = struct.Struct("<Q16sQdddQHHHH")
_PROCESS = struct.Struct("<IIddQddd")
_REQUEST = struct.Struct("<IIdddd")
_LABEL = 200
CHANGES = struct.Struct("<Q")
CHANGES_AT = _PREFIX.size
"""Where the number of changes stands."""


class UnknownHistoryError(Exception):
    """The bytes say nothing of what was sent."""

    def __init__(self, reason: SilenceReason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class NewerFormatError(Exception):
    """The file is of a later release of this package, which may count on what we don't know."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"it has format {number}, and this release of okx_funding knows formats up to "
            f"{FORMAT}: upgrade it, or end the processes of the later release"
        )


def encode(state: State, boot: bytes, label: str = "") -> bytes:
    """The bytes of a state. ``boot`` is 16 bytes that name this boot of this machine."""
    text = label.encode()[:_LABEL]
    processes, requests = state.processes.values(), state.requests
    body = b"".join(
        chain(
            (
                _HEAD.pack(
                    state.changes,
                    boot,
                    state.era,
                    state.unknown_until,
                    state.frozen_until,
                    state.silent_since,
                    state.next_ticket,
                    state.reason,
                    len(text),
                    len(processes),
                    len(requests),
                ),
                text,
            ),
            [
                _PROCESS.pack(
                    it.number,
                    it.rule.count,
                    it.rule.window,
                    it.rule.spacing,
                    it.ticket,
                    it.looks_at,
                    it.heard,
                    it.shortest,
                )
                for it in processes
            ],
            [
                _REQUEST.pack(it.owner, it.serial, it.taken, it.seen, it.credit, it.held_until)
                for it in requests
            ],
        )
    )
    return _PREFIX.pack(MAGIC, FORMAT, 0, zlib.crc32(body)) + body


def decode(data: bytes, boot: bytes, now: float) -> tuple[State, str]:
    """The state and the label.

    Raises UnknownHistoryError, and NewerFormatError for a file of a later release.
    """
    if len(data) < _PREFIX.size + _HEAD.size or not data.startswith(MAGIC):
        empty = not data.strip(b"\0")
        raise UnknownHistoryError(SilenceReason.EMPTIED if empty else SilenceReason.DAMAGED)
    _, number, _, checksum = _PREFIX.unpack_from(data)
    if number > FORMAT:
        raise NewerFormatError(number)
    if number < FORMAT:
        raise UnknownHistoryError(SilenceReason.OLD_FORMAT)
    head = _HEAD.unpack_from(data, _PREFIX.size)
    changes, its_boot, era, unknown, frozen, since, ticket, reason, label, n, m = head
    at = _PREFIX.size + _HEAD.size
    processes_at = at + label
    requests_at = processes_at + n * _PROCESS.size
    end = requests_at + m * _REQUEST.size
    if n > MAX_PROCESSES or m > MAX_REQUESTS + MAX_PROCESSES or end > len(data):
        raise UnknownHistoryError(SilenceReason.DAMAGED)
    if zlib.crc32(memoryview(data)[_PREFIX.size : end]) != checksum:
        raise UnknownHistoryError(SilenceReason.DAMAGED)
    if its_boot != boot:
        raise UnknownHistoryError(SilenceReason.BOOT)
    processes = {
        it[0]: LoggedProcess(it[0], Rule(it[1], it[2], it[3]), it[4], it[5], it[6], it[7])
        for it in _PROCESS.iter_unpack(data[processes_at:requests_at])
    }
    requests = [LoggedRequest(*it) for it in _REQUEST.iter_unpack(data[requests_at:end])]
    try:
        why = SilenceReason(reason)
    except ValueError:
        raise UnknownHistoryError(SilenceReason.DAMAGED) from None
    state = State(era, unknown, frozen, since, why, ticket, changes, requests, processes)
    if not _plausible(state, now + MAX_AHEAD):
        raise UnknownHistoryError(SilenceReason.DAMAGED)
    return state, data[at:processes_at].decode(errors="replace")


def _plausible(state: State, latest: float) -> bool:
    """Whether no time is absurd. A comparison with NaN is False."""
    return (
        state.unknown_until <= latest
        and state.frozen_until <= latest
        and state.silent_since <= latest
        and all(
            process.rule.count >= 1
            and 0 < process.rule.window <= latest
            and 0 <= process.rule.spacing <= latest
            and process.looks_at <= latest
            and process.heard <= latest
            and 0 <= process.shortest < _IN_FLIGHT
            for process in state.processes.values()
        )
        and all(
            request.taken <= latest
            and (request.seen <= latest or request.seen == _IN_FLIGHT)
            and 0 <= request.credit < _IN_FLIGHT
            and request.held_until <= latest
            for request in state.requests
        )
    )
