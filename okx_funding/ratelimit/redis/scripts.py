"""The two scripts that Redis runs, and what goes in and comes out of them.

``common.lua`` tells what a bucket looks like in Redis and stands before both, ``take.lua`` takes
slots and ``give.lua`` gives one back. They reckon in microseconds of the server's clock; spans
are seconds everywhere else.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

PREFIX = "okx-funding:"
INBOX = f"{PREFIX}to:"
"""Before the name of a process: the channel on which it is told of earlier slots."""

CLAIM = 60.0
"""Seconds for which a process that doesn't ask is still taken for one that wants its limit."""
HEARTBEAT = 2.0
"""Seconds after which whoever waits shows that it is still there, whatever it was told."""
HEARTBEAT_SLACK = 1.0
"""Seconds by which it may be late before its place in the queue is somebody else's."""


class Script:
    """A script's text, and the name that Redis knows it by once it was loaded."""

    def __init__(self, name: str) -> None:
        here = files(__package__)
        self.text: str = (
            f"{here.joinpath('common.lua').read_text()}\n{here.joinpath(name).read_text()}"
        )
        self.sha: str = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def load(self) -> tuple[str, str]:
        """The command that makes it known."""
        return "SCRIPT LOAD", self.text

    def on(self, bucket: str, ask: dict[str, Any]) -> tuple[str, str, int, str, str]:
        """The command that runs it on ``bucket``."""
        return "EVALSHA", self.sha, 1, bucket, json.dumps(ask)


TAKE = Script("take.lua")
GIVE = Script("give.lua")


@dataclass(frozen=True, slots=True)
class Taken:
    """What Redis answers to an ask."""

    due_in: float
    """Seconds until the next slot at the latest, when fewer were won than wanted."""
    hoped_in: float
    """The same if all slots that are held come back about now."""
    others: int
    """Other processes that wait."""
    count: int
    period: float
    """The limit in force, the guard included."""
    slots: tuple[str, ...]

    @classmethod
    def of(cls, reply: list[Any]) -> Taken:
        """Read a reply."""
        due_in, hoped_in, others, count, period, *slots = reply
        names = tuple(name.decode() for name in slots)
        return cls(seconds(due_in), seconds(hoped_in), others, count, seconds(period), names)


def microseconds(span: float) -> int:
    """What the scripts reckon in."""
    return round(span * 1e6)


def seconds(span: int) -> float:
    """The opposite."""
    return span / 1e6


def hint_of(message: bytes) -> tuple[str, float]:
    """A message in the inbox: the bucket, and the seconds until the slot that is due now."""
    span, _, name = message.decode().partition(" ")
    return name, seconds(int(span))
