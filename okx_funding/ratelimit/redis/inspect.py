"""The state of all users' buckets in one Redis, for whoever operates it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from okx_funding.errors import BucketsUnreachableError
from okx_funding.ratelimit.slot import GUARD

from .diagnosis import diagnosis
from .connection import Connector, close_quietly
from .scripts import PREFIX, seconds

_NAME = re.compile(
    r"\{(?P<host>\[[^]]*\](?::\d+)?|[^:/]*(?::\d+(?=[:/]))?)(?P<demo>/demo)?"
    r":(?P<user>.*):(?P<rule>[^:]*)\}",
    re.DOTALL,
)
_SCAN_COUNT = 500


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
    """Slots that requests hold."""
    waiting: int
    """Processes that wait for one."""
    processes: int
    """Processes that asked within the last minute."""
    requests_sent: int
    requests_refused: int

    @classmethod
    def of(cls, name: str, fields: Mapping[str, str], server_time: int) -> Self | None:
        """What a hash of this name says; None where it is no bucket."""
        named = _NAME.fullmatch(name.removeprefix(PREFIX))
        if named is None or "count" not in fields:
            return None
        now = server_time + int(fields.get("offset", 0))
        words = {
            kind: [text.split() for field, text in fields.items() if field.startswith(kind)]
            for kind in ("slot:", "queue:", "claim:")
        }
        free = sorted(int(slot[0]) for slot in words["slot:"])
        gate = int(fields["frozen"])
        if float(fields["pace"]):
            gate = max(gate, int(fields["paced"]))
        return cls(
            host=named["host"],
            demo=named["demo"] is not None,
            user=named["user"],
            endpoint=named["rule"],
            count=int(fields["count"]),
            period=round(seconds(int(fields["period"])) - GUARD, 6),
            slots_free=sum(max(at, gate) <= now for at in free),
            next_slot_in=seconds(max(0, max(free[0], gate) - now)),
            in_flight=sum(len(slot) > 1 and int(slot[0]) > now for slot in words["slot:"]),
            waiting=sum(int(waiter[2]) >= now for waiter in words["queue:"]),
            processes=sum(int(claim[3]) >= now for claim in words["claim:"]),
            requests_sent=int(fields["sent"]),
            requests_refused=int(fields.get("refused", 0)),
        )


async def inspect_buckets(url: str) -> list[LiveBucket]:
    """All buckets there, by host, user and endpoint.

    Raises InvalidArgumentError for a URL that can't be used, and BucketsUnreachableError.
    """
    connector = Connector(url)
    try:
        connection = await connector.connect()
        try:
            found = await _look(connector, connection)
        finally:
            await close_quietly(connection)
    except (exceptions.RedisError, OSError, TimeoutError) as error:
        words, _ = diagnosis(error)
    else:
        return sorted(found, key=lambda it: (it.host, it.demo, it.user, it.endpoint))
    raise BucketsUnreachableError(f"the shared buckets at {connector.where} can't be used: {words}")


async def _look(connector: Connector, connection: AbstractConnection) -> list[LiveBucket]:
    async def ask(*commands: tuple[Any, ...]) -> list[Any]:
        packed = connection.pack_commands(commands)
        await connection.send_packed_command(packed, check_health=False)
        return [await connector.answer(connection) for _ in commands]

    found: dict[str, LiveBucket] = {}
    cursor = b"0"
    while True:
        [[cursor, names]] = await ask(("SCAN", cursor, "MATCH", f"{PREFIX}{{*", "COUNT", _SCAN_COUNT))
        (now, micros), *hashes = await ask(("TIME",), *(("HGETALL", name) for name in names))
        for raw, flat in zip(names, hashes, strict=True):
            text = [each.decode(errors="replace") for each in flat]
            name, fields = (
                raw.decode(errors="replace"),
                dict(zip(text[::2], text[1::2], strict=True)),
            )
            bucket = LiveBucket.of(name, fields, int(now) * 1_000_000 + int(micros))
            if bucket is not None:
                found[name] = bucket
        if cursor == b"0":
            return list(found.values())
