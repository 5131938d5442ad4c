"""``okx-funding limits --buckets URL``: the limits that processes share, as they are in use now."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

from okx_funding.api.spec import RateLimit
from okx_funding.errors import OKXError

from . import show
from .outcome import USAGE, Failure, exit_code, one_line

_NEXT = 5

if TYPE_CHECKING:
    from okx_funding.ratelimit.redis import LiveBucket


def shared_limits(args: argparse.Namespace) -> None:
    """Show every user's buckets in the Redis of ``args.buckets``, or of ``OKX_BUCKETS``."""
    try:
        from okx_funding.ratelimit.redis import inspect_buckets
    except ImportError:
        raise Failure("--buckets needs redis-py: pip install redis", USAGE) from None
    try:
        buckets = asyncio.run(inspect_buckets(args.buckets or None))
    except OKXError as error:
        raise Failure(str(error), exit_code(error)) from None
    if args.json:
        show.print_json([_words(bucket) for bucket in buckets])
        return
    console = show.console()
    if not buckets:
        console.print("No process has asked for a limit there yet.")
        return
    names = ("Host", "User", "Method", "Limit", "Free", "Next in", "In flight", "Waiting", "Alive")
    table = show.table_of(*names, "Sent", "Refused")
    for column in table.columns[4:]:
        column.justify = "right"
    for bucket in [bucket for bucket in buckets if bucket.problem is None]:
        table.add_row(
            one_line(bucket.host + (" (demo)" if bucket.demo else "")),
            one_line(bucket.user),
            one_line(bucket.endpoint),
            str(RateLimit(bucket.count, bucket.period)),
            str(bucket.slots_free),
            f"{bucket.next_slot_in:.1f} s",
            str(bucket.in_flight),
            str(bucket.waiting),
            str(bucket.processes),
            str(bucket.requests_sent),
            str(bucket.requests_refused),
        )
    console.print(table)
    console.print("Waiting: processes that wait for a slot. Alive: those that asked of late.")
    for bucket in buckets:
        said = _said_of(bucket)
        if said:
            console.print(one_line(f"{bucket.user} {bucket.endpoint}: {said}"), soft_wrap=True)


def _said_of(bucket: LiveBucket) -> str:
    """Who holds its slots and who waits, or what is wrong with it."""
    if bucket.problem is not None:
        return bucket.problem
    parts = [f"held by {', '.join(sorted(set(bucket.holders)))}"] if bucket.holders else []
    if bucket.waiters:
        parts.append(f"next: {', '.join(bucket.waiters[:_NEXT])}")
    return "; ".join(parts)


def camel(name: str) -> str:
    """A field's name as JSON has it here."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _words(bucket: LiveBucket) -> dict[str, object]:
    return {camel(name): value for name, value in asdict(bucket).items()}
