"""The state of all users' buckets in one Redis, for whoever operates it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from okx_funding.errors import BucketsUnreachableError
from okx_funding.ratelimit.slot import GUARD

from .connector import Connector, RedisCredentials, close_quietly
from .diagnosis import diagnosis
from .scripts import FORMATS, PREFIX, seconds

_NAME = re.compile(
    r"(?P<format>\d+):\{(?P<host>\[[^]]*\](?::\d+)?|[^:/]*(?::\d+(?=[:/]))?)(?P<demo>/demo)?"
    r":(?P<user>.*):(?P<rule>[^:]*)\}",
    re.DOTALL,
)
_SCAN_COUNT = 5000
_PACKET = 200


@dataclass(frozen=True, slots=True)
class LiveBucket:
    """One bucket as it is in Redis now."""

    host: str
    demo: bool
    user: str
    """The User ID, or the masked API key where nobody told it."""
    endpoint: str
    count: int
    period: float
    """The limit in force: so many requests in so many seconds."""
    slots_free: int
    next_slot_in: float
    """Seconds until a slot may be taken; 0 when one may now."""
    in_flight: int
    """Slots that requests hold, or are about to."""
    waiting: int
    """Processes that wait for one."""
    processes: int
    """Processes that asked within the last minute."""
    requests_sent: int
    requests_refused: int
    holders: tuple[str, ...] = ()
    """The process that holds each slot in flight: its host, number and a random part."""
    waiters: tuple[str, ...] = ()
    """The processes that wait, the next one first."""
    problem: str | None = None
    """What is wrong with its keys, if something is: then the numbers are all 0."""

    @classmethod
    def of(
        cls,
        name: str,
        fields: Mapping[str, str],
        waiters: Sequence[str],
        claims: Iterable[str],
        server_time: int,
    ) -> Self | None:
        """What the keys of a bucket say, its name without the prefix; None where it is none."""
        named = _NAME.fullmatch(name)
        if named is None:
            return None
        if int(named["format"]) not in FORMATS:
            return cls.broken(name, f"format {named['format']} isn't known to this version")
        if "count" not in fields:
            return None
        try:
            return cls._read(named, fields, waiters, claims, server_time)
        except (ValueError, KeyError, IndexError):
            return cls.broken(name, "something else is kept under its name")

    @classmethod
    def broken(cls, name: str, problem: str) -> Self | None:
        """A bucket that can't be read."""
        named = _NAME.fullmatch(name)
        if named is None:
            return None
        return cls(*_whose(named), 0, 0.0, 0, 0.0, 0, 0, 0, 0, 0, problem=problem)

    @classmethod
    def _read(
        cls,
        named: re.Match[str],
        fields: Mapping[str, str],
        waiters: Sequence[str],
        claims: Iterable[str],
        server_time: int,
    ) -> Self:
        now, period = server_time + int(fields.get("offset", 0)), int(fields["period"])
        slots = [text.split() for field, text in fields.items() if field.startswith("slot:")]
        held = [slot for slot in slots if len(slot) > 1 and int(slot[0]) - period > now]
        free = sorted(int(slot[0]) for slot in slots)
        gate = int(fields["frozen"])
        if float(fields["pace"]):
            gate = max(gate, int(fields["paced"]))
        return cls(
            *_whose(named),
            count=int(fields["count"]),
            period=round(seconds(period) - GUARD, 6),
            slots_free=sum(max(at, gate) <= now for at in free),
            next_slot_in=seconds(max(0, max(free[0], gate) - now)),
            in_flight=len(held),
            waiting=len(waiters),
            processes=sum(int(claim.split()[4]) >= now for claim in claims),
            requests_sent=int(fields["sent"]),
            requests_refused=int(fields.get("refused", 0)),
            holders=tuple(sorted(slot[1] for slot in held)),
            waiters=tuple(waiters),
        )


def _whose(named: re.Match[str]) -> tuple[str, bool, str, str]:
    return named["host"], named["demo"] is not None, named["user"], named["rule"]


async def inspect_buckets(
    url: str | None = None, *, prefix: str = PREFIX, credentials: RedisCredentials | None = None
) -> list[LiveBucket]:
    """All buckets there, by host, user and endpoint.

    Raises InvalidArgumentError for a URL that can't be used, and BucketsUnreachableError.
    """
    connector = Connector(url, credentials)
    try:
        connection = await connector.connect()
        try:
            found = await _look(connector, connection, prefix)
        finally:
            await close_quietly(connection)
    except (exceptions.RedisError, OSError, TimeoutError) as error:
        reason, _ = diagnosis(error)
    else:
        return sorted(found, key=lambda it: (it.host, it.demo, it.user, it.endpoint))
    raise BucketsUnreachableError(
        f"the shared buckets at {connector.where} can't be used: {reason}"
    )


async def _look(
    connector: Connector, connection: AbstractConnection, prefix: str
) -> list[LiveBucket]:
    names: set[bytes] = set()
    cursor = b"0"
    while True:
        scan = ("SCAN", cursor, "MATCH", f"{prefix}:*:{{*}}", "COUNT", _SCAN_COUNT)
        (answer,) = await connector.ask(connection, [scan])
        if isinstance(answer, Exception):
            raise answer
        cursor, found = answer
        names.update(found)
        if cursor == b"0":
            break
    buckets: list[LiveBucket] = []
    todo = sorted(names)
    for start in range(0, len(todo), _PACKET):
        buckets += await _read_some(connector, connection, prefix, todo[start : start + _PACKET])
    return buckets


async def _read_some(
    connector: Connector, connection: AbstractConnection, prefix: str, names: Sequence[bytes]
) -> list[LiveBucket]:
    commands: list[tuple[Any, ...]] = [("TIME",)]
    for name in names:
        commands += [
            ("HGETALL", name),
            ("ZRANGE", name + b":queue", 0, -1),
            ("HGETALL", name + b":claims"),
        ]
    time, *answers = await connector.ask(connection, commands)
    if isinstance(time, Exception):
        raise time
    now = int(time[0]) * 1_000_000 + int(time[1])
    buckets = []
    for name, *parts in zip(names, answers[::3], answers[1::3], answers[2::3], strict=True):
        short = name.decode(errors="replace").removeprefix(f"{prefix}:")
        failure = next((part for part in parts if isinstance(part, Exception)), None)
        if failure is not None:
            bucket = LiveBucket.broken(short, diagnosis(failure)[0])
        else:
            fields, queue, claims = (_text(part) for part in parts)
            bucket = LiveBucket.of(short, fields, queue, claims.values(), now)
        if bucket is not None:
            buckets.append(bucket)
    return buckets


def _text(part: Any) -> Any:
    if isinstance(part, dict):
        return {_text(key): _text(value) for key, value in part.items()}
    return (
        [_text(each) for each in part] if isinstance(part, list) else part.decode(errors="replace")
    )
