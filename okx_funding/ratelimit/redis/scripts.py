"""The scripts that Redis runs, and what goes in and comes out of them.

``common.lua`` tells what a bucket looks like in Redis and stands before all, ``take.lua`` takes
slots, ``give.lua`` gives one back, ``renew.lua`` holds some for longer. They reckon in microseconds
of the server's clock; spans are seconds everywhere else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

PREFIX = "okx-funding"
FORMATS = (1,)
"""The formats of a bucket that this version understands, rising. All processes use the lowest that
everybody understands: a new format begins when the last old process is gone."""

LEASE = 3.0
"""Seconds for which a slot is held; renewed while its request is out."""
CLAIM = 60.0
"""Seconds for which a process that doesn't ask is still taken for one that wants its limit."""
HEARTBEAT = 2.0
"""Seconds after which whoever is next asks again, though it was told nothing; the further back in
the queue, the later."""
HEARTBEAT_SLACK = 1.0
"""Seconds by which a process that was called may be late before its turn is somebody else's."""
AHEAD = 0.5
"""Seconds before it may be used at which a slot is given: so a far Redis loses no time."""
LONG_WINDOW = 60.0
"""The longest window in seconds that is waited for where history is unknown."""


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

    def on(self, keys: Sequence[str], ask: dict[str, Any]) -> tuple[str | int, ...]:
        """The command that runs it on the keys of a bucket."""
        return ("EVALSHA", self.sha, len(keys), *keys, json.dumps(ask))


TAKE = Script("take.lua")
GIVE = Script("give.lua")
RENEW = Script("renew.lua")


@dataclass(frozen=True, slots=True)
class Taken:
    """What Redis answers to an ask."""

    ask_in: float
    """Seconds after which to ask again, when fewer were won than wanted."""
    hoped_in: float
    """Seconds until the next slot, if all slots that are held come back about now."""
    others: int
    """Other processes that wait."""
    count: int
    period: float
    """The limit in force, the guard included."""
    slots: tuple[tuple[str, float], ...]
    """The slots won, and the seconds until each may be used."""
    moved: int = 0
    """The format in which the bucket is kept now, if that is another one."""

    @classmethod
    def of(cls, reply: list[Any]) -> Taken:
        """Read a reply."""
        if reply[0] == -1:
            return cls(0.0, 0.0, 0, 0, 0.0, (), int(reply[1]))
        ask_in, hoped_in, others, count, period, *rest = reply
        names = [name.decode() for name in rest[::2]]
        slots = tuple(zip(names, map(seconds, rest[1::2]), strict=True))
        return cls(seconds(ask_in), seconds(hoped_in), others, count, seconds(period), slots)


def bucket_keys(prefix: str, tag: str, number: int) -> list[str]:
    """The keys of a bucket in one format, and of the format before, if that is understood too."""
    name = f"{prefix}:{number}:{tag}"
    keys = [name, f"{name}:queue", f"{name}:claims"]
    return [*keys, f"{prefix}:{number - 1}:{tag}"] if number > FORMATS[0] else keys


def inbox(prefix: str, process: str = "") -> str:
    """The channel on which a process is told; without one, what all such names begin with."""
    return f"{prefix}:to:{process}"


def microseconds(span: float) -> int:
    """What the scripts reckon in."""
    return round(span * 1e6)


def seconds(span: int) -> float:
    """The opposite."""
    return span / 1e6


@dataclass(frozen=True, slots=True)
class Message:
    """What a process is told of a bucket."""

    kind: str
    """``call``: ask in so many seconds, you are next. ``freeze``: nobody sends for so long."""
    after: float
    tag: str
    """The bucket's name without prefix and format."""

    @classmethod
    def of(cls, data: bytes) -> Message:
        """Read one."""
        kind, span, name = data.decode().split(" ", 2)
        return cls(kind, seconds(int(span)), name[name.index("{") :])
