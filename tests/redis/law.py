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
from okx_funding.ratelimit.interface import strictest
from okx_funding.ratelimit.redis.scripts import GIVE, RENEW, TAKE, Script, bucket_keys

CLOCK = "redis.call('TIME')"
SECOND = 1_000_000
GUARD = 2_000
LEASE = 3_250_000
Ask = dict[str, Any]


class Scripts:
    """The scripts on a real server, at a time of one's choice."""

    def __init__(self, url: str, tag: str = "{law}") -> None:
        self.redis = redis.Redis.from_url(url, decode_responses=True)
        self.keys = bucket_keys("okx-funding", tag, 1)
        self.name = self.keys[0]
        self._run = {script: self._prepared(script) for script in (TAKE, GIVE, RENEW)}

    def _prepared(self, script: Script) -> Any:
        assert script.text.count(CLOCK) == 1
        then = "{math.floor(ask.now / 1000000), ask.now % 1000000}"
        return self.redis.register_script(script.text.replace(CLOCK, then))

    def _call(self, script: Script, ask: Ask, now: int) -> Any:
        return self._run[script](keys=self.keys, args=[json.dumps({**ask, "now": now})])

    def take(self, ask: Ask, now: int) -> Any:
        return self._call(TAKE, ask, now)

    def give(self, ask: Ask, now: int) -> Any:
        return self._call(GIVE, {**CALLING, **ask}, now)

    def renew(self, ask: Ask, now: int) -> Any:
        return self._call(RENEW, ask, now)

    def hash(self) -> dict[str, str]:
        return self.redis.hgetall(self.name)  # type: ignore[return-value]

    def queue(self) -> list[str]:
        return self.redis.zrange(self.keys[1], 0, -1)  # type: ignore[return-value]

    def claims(self) -> dict[str, str]:
        return self.redis.hgetall(self.keys[2])  # type: ignore[return-value]

    def forget(self) -> None:
        self.redis.delete(*self.keys)

    def listen(self, *processes: str) -> Any:
        """Be all these processes' ears."""
        inbox = self.redis.pubsub(ignore_subscribe_messages=True)
        inbox.subscribe(*(f"okx-funding:to:{name}" for name in processes))
        for _ in processes:
            inbox.get_message(timeout=1)
        return inbox

    def close(self) -> None:
        self.redis.close()


CALLING = {"ahead": 0, "slack": SECOND, "channel": "okx-funding:to:"}


def ask(me: str, serial: int = 1, **more: Any) -> Ask:
    """An ask for one slot of six a second; none is given before it may be used."""
    return {
        "me": me,
        "serial": serial,
        "lost": serial,
        "count": 6,
        "period": 1.0,
        "guard": GUARD,
        "pace": 0,
        "format": 1,
        "speaks": 1,
        "server": "",
        "wanted": 1,
        "lease": LEASE,
        "silent": False,
        "settle": 250_000,
        "long": 60 * SECOND,
        "claim": 60 * SECOND,
        "heartbeat": 10**12,
        "leaves": False,
        **CALLING,
        **more,
    }


@dataclass
class Held:
    free: float
    by: tuple[str, int] | None = None
    usable: float = 0


@dataclass
class Model:
    """The law in plain words, with everybody listening: what the keys should say."""

    slots: dict[str, Held] = field(default_factory=dict)
    queue: dict[str, float] = field(default_factory=dict)
    called: dict[str, float] = field(default_factory=dict)
    claims: dict[str, tuple[int, float, float, float, int]] = field(default_factory=dict)
    count: int = 0
    period: int = 0
    pace: float = 0
    frozen: float = 0
    paced: float = 0
    sent: int = 0
    refused: int | None = None
    clock: float = 0
    offset: float = 0
    review: float = 0
    calls: list[str] = field(default_factory=list)

    def at(self, now: float) -> float:
        now += self.offset
        if now < self.clock:
            self.offset += self.clock - now
            now = self.clock
        return now

    def gate(self) -> float:
        return max(self.frozen, self.paced) if self.pace else self.frozen

    def held(self, slot: Held, now: float) -> bool:
        return slot.by is not None and slot.free - self.period > now

    def idle(self, now: float) -> list[str]:
        rows = [(slot.free, name) for name, slot in self.slots.items() if not self.held(slot, now)]
        return [name for _, name in sorted(rows)]

    def order(self) -> list[str]:
        return [name for _, name in sorted((since, name) for name, since in self.queue.items())]

    def due(self, before: int, now: float, *, hopefully: bool = False) -> float:
        frees = sorted(
            min(slot.free, max(now, slot.usable) + self.period)
            if hopefully and self.held(slot, now)
            else slot.free
            for slot in self.slots.values()
        )
        rounds, place = divmod(before, len(frees))
        return max(
            max(frees[place], now) + rounds * self.period,
            self.gate() + before * self.pace * self.period / self.count,
        )

    def leave(self, name: str) -> None:
        self.queue.pop(name, None)
        self.called.pop(name, None)

    def call_next(self, ask: Ask, now: float) -> None:
        if not self.slots:
            return
        place, idle = 0, self.idle(now)
        while place < len(idle) and place < len(self.queue):
            name = self.order()[place]
            gate = self.gate() + place * self.pace * self.period / self.count
            usable = max(self.slots[idle[place]].free, gate, now)
            latest = now + max(0, usable - now - ask["ahead"]) + ask["slack"]
            until = self.called.get(name)
            if until is not None and until < now:
                self.leave(name)
                continue
            if until is None or until > latest + 1000:
                self.called[name] = latest
                self.calls.append(name)
            place += 1

    def take(self, ask: Ask, now: float) -> list[Any]:
        me, claim = ask["me"], (ask["count"], ask["period"], ask["pace"])
        self.calls = []
        now = self.at(now)
        last = self.claims.get(me)
        if last and ask["serial"] <= last[4]:
            return []
        before = self.period
        if ask["leaves"]:
            self.claims.pop(me, None)
        else:
            self.claims[me] = (*claim, now + ask["claim"], ask["serial"])
        changed = ask["leaves"] or not last or last[:3] != claim
        if changed or not self.count or now >= self.review:
            self.claims = {name: it for name, it in self.claims.items() if it[3] >= now}
            wanted = list(self.claims.values()) or [(*claim, 0, 0)]
            limit = strictest([RateLimit(it[0], it[1]) for it in wanted])
            self.count = limit.count
            self.period = math.ceil(limit.period * SECOND - 0.001) + ask["guard"]
            self.pace = max(it[2] for it in wanted)
            self.review = min([it[3] for it in self.claims.values()] + [now + ask["claim"]])
        self.clock = now

        for slot in self.slots.values():
            if slot.by is not None and slot.by[0] == me and slot.by[1] >= ask["lost"]:
                slot.free, slot.by = slot.usable, None
                self.sent -= 1
        if before and self.period > before:
            for slot in self.slots.values():
                slot.free += self.period - before
                slot.usable += self.period - before
        excess = len(self.slots) - self.count
        for number in range(self.count):
            if len(self.slots) < self.count and str(number) not in self.slots:
                self.slots[str(number)] = Held(now + self.period + ask["settle"])
        for name in self.idle(now):
            if excess > 0:
                del self.slots[name]
                excess -= 1
        if ask["silent"]:
            self.frozen = max(self.frozen, now + self.period + ask["settle"])

        for name in [it for it, until in self.called.items() if until < now and it != me]:
            self.leave(name)
        self.called.pop(me, None)
        since = self.queue.get(me)
        order = self.order()
        older = order.index(me) if since is not None else len(order)
        others = len(order) - (since is not None)
        free = [name for name in self.idle(now) if self.slots[name].free <= now + ask["ahead"]]
        if self.gate() > now + ask["ahead"]:
            free = []
        part = max(1, math.floor((len(free) - older) / (others + 1)))
        if self.pace:
            part = 1 if older == 0 else 0
        won = max(0, min(ask["wanted"], part, len(free) - older))
        reply: list[Any] = [0, 0, others, self.count, self.period]
        for name in free[older : older + won]:
            was = self.slots[name].free
            usable = max(was, self.gate(), now)
            self.slots[name] = Held(now + ask["lease"] + self.period, (me, ask["serial"]), was)
            if self.pace:
                self.paced = usable + self.pace * self.period / self.count
            reply += [name, math.ceil(usable - now)]
        self.sent += won
        if won < ask["wanted"]:
            if won or since is None:
                self.queue[me] = now
            rank = self.order().index(me)
            ask_in = max(self.due(rank, now) - now - ask["ahead"], 5000)
            ask_in = min(ask_in, ask["heartbeat"] * (1 + rank // len(self.slots)))
            reply[:2] = math.ceil(ask_in), math.ceil(self.due(rank, now, hopefully=True) - now)
            if rank < len(self.idle(now)):
                self.called[me] = now + ask_in + ask["slack"]
        else:
            self.queue.pop(me, None)
        self.call_next(ask, now)
        return reply

    def give(self, ask: Ask, now: float) -> int:
        self.calls = []
        now = self.at(now)
        slot = self.slots.get(ask["id"])
        mine = slot is not None and slot.by == (ask["me"], ask["serial"])
        if not mine and "freeze" not in ask:
            return 0
        self.clock = now
        cooling = sum(
            other is not slot and other.by is None and other.free > now + self.period + SECOND
            for other in self.slots.values()
        )
        if slot is not None and mine:
            slot.by = None
            if ask.get("unsent"):
                slot.free = slot.usable
                self.sent -= 1
            else:
                slot.free = now + ask["seen"] + self.period
            if "cooldown" in ask and cooling < self.count - 1:
                slot.free = max(slot.free, now + ask["cooldown"])
        if "freeze" in ask:
            self.frozen = max(self.frozen, now + ask["freeze"])
            self.refused = (self.refused or 0) + mine
        self.call_next({**CALLING, **ask}, now)
        return int(mine)

    def renew(self, ask: Ask, now: float) -> list[int]:
        now = self.at(now)
        reply = []
        for name, serial in ask["slots"]:
            slot = self.slots.get(name)
            mine = slot is not None and slot.by == (ask["me"], serial)
            if slot is not None and mine:
                slot.free = max(slot.free, now + ask["lease"] + self.period)
            reply.append(int(mine))
        return reply


def shown(model: Model) -> dict[str, str]:
    """The hash that says what the model knows."""

    def text(number: float) -> str:
        return f"{number:.0f}"

    fields = {}
    for name, slot in model.slots.items():
        by = f" {slot.by[0]} {slot.by[1]} {text(slot.usable)}" if slot.by else ""
        fields[f"slot:{name}"] = text(slot.free) + by
    for name, until in model.called.items():
        fields[f"called:{name}"] = text(until)
    if model.count:
        fields |= {"count": text(model.count), "period": text(model.period), "server": ""}
        fields |= {"pace": f"{model.pace:g}", "frozen": text(model.frozen)}
        fields |= {"paced": text(model.paced), "sent": text(model.sent)}
        fields["review"] = text(model.review)
    if model.refused is not None:
        fields |= {"refused": text(model.refused), "frozen": text(model.frozen)}
    if model.clock:
        fields["clock"] = text(model.clock)
    if model.offset:
        fields["offset"] = text(model.offset)
    return fields


def shown_claims(model: Model) -> dict[str, str]:
    return {
        name: f"{count} {period:.17g} {pace:g} 1 {expires:.0f} {serial}"
        for name, (count, period, pace, expires, serial) in model.claims.items()
    }
