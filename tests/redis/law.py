"""The law of a shared bucket a second time, in plain Python, and a way to run the scripts.

Redis's clock can't be set, so the scripts run with their one line about it replaced.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import redis

from okx_funding import RateLimit
from okx_funding.ratelimit.bucket import strictest
from okx_funding.ratelimit.redis.scripts import GIVE, TAKE, Script

CLOCK = "redis.call('TIME')"
SECOND = 1_000_000
GUARD = 2_000
Ask = dict[str, Any]


class Scripts:
    """The scripts on a real server, at a time of one's choice."""

    def __init__(self, url: str, name: str = "okx-funding:{law}") -> None:
        self.redis = redis.Redis.from_url(url, decode_responses=True)
        self.name = name
        self._run = {script: self._prepared(script) for script in (TAKE, GIVE)}

    def _prepared(self, script: Script) -> Any:
        assert script.text.count(CLOCK) == 1
        then = "{math.floor(ask.now / 1000000), ask.now % 1000000}"
        return self.redis.register_script(script.text.replace(CLOCK, then))

    def take(self, ask: Ask, now: int) -> Any:
        return self._run[TAKE](keys=[self.name], args=[json.dumps({**ask, "now": now})])

    def give(self, ask: Ask, now: int) -> Any:
        return self._run[GIVE](keys=[self.name], args=[json.dumps({**ask, "now": now})])

    def hash(self) -> dict[str, str]:
        return self.redis.hgetall(self.name)  # type: ignore[return-value]

    def forget(self) -> None:
        self.redis.delete(self.name)

    def close(self) -> None:
        self.redis.close()


def ask(me: str, serial: int = 1, **more: Any) -> Ask:
    """An ask for one slot of six a second."""
    return {
        "me": me,
        "serial": serial,
        "lost": serial,
        "count": 6,
        "period": 1.0,
        "guard": GUARD,
        "pace": 0,
        "wanted": 1,
        "lease": 16 * SECOND,
        "silent": False,
        "settle": 250_000,
        "claim": 60 * SECOND,
        "look": 2 * SECOND,
        "grace": SECOND,
        "bye": False,
        **more,
    }


@dataclass
class Place:
    since: int
    due: float
    expires: float


@dataclass
class Held:
    free: float
    by: tuple[str, int] | None = None


@dataclass
class Model:
    """What the hash should say."""

    slots: dict[str, Held] = field(default_factory=dict)
    queue: dict[str, Place] = field(default_factory=dict)
    claims: dict[str, tuple[int, float, float, int, int]] = field(default_factory=dict)
    count: int = 0
    period: int = 0
    pace: float = 0
    frozen: float = 0
    paced: float = 0
    sent: int = 0
    refused: int | None = None
    clock: float = 0
    offset: float = 0
    hints: list[str] = field(default_factory=list)

    def at(self, now: float) -> float:
        now += self.offset
        if now < self.clock:
            self.offset += self.clock - now
            now = self.clock
        return now

    def gate(self) -> float:
        return max(self.frozen, self.paced) if self.pace else self.frozen

    def sorted(self) -> list[tuple[float, str]]:
        return sorted((slot.free, name) for name, slot in self.slots.items())

    def due(self, before: int, now: float, *, hopefully: bool = False) -> float:
        frees = sorted(
            min(slot.free, now + self.period) if hopefully and slot.by else slot.free
            for slot in self.slots.values()
        )
        rounds, place = divmod(before, len(frees))
        return max(
            max(frees[place], now) + rounds * self.period,
            self.gate() + before * self.pace * self.period / self.count,
        )

    def tell(self, now: float) -> None:
        for place, (name, it) in enumerate(
            sorted(self.queue.items(), key=lambda pair: (pair[1].since, pair[0]))
        ):
            due = self.due(place, now)
            if due < it.due - 1000 and it.expires >= now:
                it.due = due
                self.hints.append(name)

    def take(self, ask: Ask, now: float) -> list[Any]:
        me = ask["me"]
        self.hints = []
        now = self.at(now)
        if me in self.claims and ask["serial"] <= self.claims[me][4]:
            return []
        self.clock = now
        self.queue = {n: it for n, it in self.queue.items() if it.expires >= now}
        self.claims = {n: it for n, it in self.claims.items() if n == me or it[3] >= now}
        self.claims[me] = (
            ask["count"], ask["period"], ask["pace"], now + ask["claim"], ask["serial"]
        )  # fmt: skip
        before = self.period
        limit = strictest([RateLimit(it[0], it[1]) for it in self.claims.values()])
        self.count = limit.count
        self.period = math.ceil(limit.period * SECOND - 0.001) + ask["guard"]
        self.pace = max(it[2] for it in self.claims.values())
        if ask["bye"]:
            del self.claims[me]

        for slot in self.slots.values():
            if slot.by is not None and slot.by[0] == me and slot.by[1] >= ask["lost"]:
                slot.free, slot.by = now, None
                self.sent -= 1
        if before and self.period > before:
            for slot in self.slots.values():
                slot.free += self.period - before
        excess = len(self.slots) - self.count
        for number in range(self.count):
            if len(self.slots) < self.count and str(number) not in self.slots:
                self.slots[str(number)] = Held(now + self.period + ask["settle"])
        for _, name in self.sorted():
            slot = self.slots[name]
            if excess > 0 and not (slot.by and slot.free > now):
                del self.slots[name]
                excess -= 1
        if ask["silent"]:
            self.frozen = max(self.frozen, now + self.period + ask["settle"])

        mine = self.queue.pop(me, None)
        since = mine.since if mine else now
        older = sum((it.since, n) < (since, me) for n, it in self.queue.items())
        free = [name for at, name in self.sorted() if at <= now] if now >= self.gate() else []
        part = max(1, math.floor((len(free) - older) / (len(self.queue) + 1)))
        if self.pace:
            part = 1 if older == 0 else 0
        won = max(0, min(ask["wanted"], part, len(free) - older))
        reply: list[Any] = [0, 0, len(self.queue), self.count, self.period]
        names = free[older : older + won]
        for name in names:
            self.slots[name] = Held(now + ask["lease"] + self.period, (me, ask["serial"]))
        if won and self.pace:
            self.paced = now + self.pace * self.period / self.count
        self.sent += won
        if won < ask["wanted"]:
            if won:
                since, older = int(now), len(self.queue)
            due = self.due(older, now)
            hoped = self.due(older, now, hopefully=True)
            reply[:2] = math.ceil(due - now), math.ceil(hoped - now)
            expires = now + min(due - now, ask["look"]) + ask["grace"]
            self.queue[me] = Place(int(since), due, expires)
        self.tell(now)
        return [*reply, *names]

    def give(self, ask: Ask, now: float) -> int:
        self.hints = []
        now = self.at(now)
        slot = self.slots.get(ask["id"])
        mine = slot is not None and slot.by == (ask["me"], ask["serial"])
        if not mine and "freeze" not in ask:
            return 0
        self.clock = now
        benched = sum(
            other is not slot and other.by is None and other.free > now + self.period + SECOND
            for other in self.slots.values()
        )
        if slot is not None and mine:
            slot.by = None
            if ask.get("unsent"):
                slot.free = now
                self.sent -= 1
            else:
                slot.free = now + ask["seen"] + self.period
            if "bench" in ask and benched < self.count - 1:
                slot.free = max(slot.free, now + ask["bench"])
        if "freeze" in ask:
            self.frozen = max(self.frozen, now + ask["freeze"])
            self.refused = (self.refused or 0) + mine
        if self.slots:
            self.tell(now)
        return int(mine)


def shown(model: Model) -> dict[str, str]:
    """The hash that says what the model knows."""

    def text(number: float) -> str:
        return f"{number:.0f}"

    fields = {}
    for name, slot in model.slots.items():
        by = f" {slot.by[0]} {slot.by[1]}" if slot.by else ""
        fields[f"slot:{name}"] = text(slot.free) + by
    for name, it in model.queue.items():
        fields[f"queue:{name}"] = " ".join(map(text, (it.since, it.due, it.expires)))
    for name, (count, period, pace, expires, serial) in model.claims.items():
        fields[f"claim:{name}"] = f"{count} {period:.17g} {pace:g} {text(expires)} {serial}"
    if model.count:
        fields |= {"count": text(model.count), "period": text(model.period)}
        fields |= {"pace": f"{model.pace:g}", "frozen": text(model.frozen)}
        fields |= {"paced": text(model.paced), "sent": text(model.sent)}
    if model.refused is not None:
        fields |= {"refused": text(model.refused), "frozen": text(model.frozen)}
    if model.clock:
        fields["clock"] = text(model.clock)
    if model.offset:
        fields["offset"] = text(model.offset)
    return fields
