"""Token buckets that many processes and machines share, kept in Redis 6.2 or later, or Valkey.

The law is that of `okx_funding.ratelimit.bucket`: N slots, each held over the round trip and a window
longer. Here a slot is a moment at which it is free again, by the server's clock, in one hash for
each bucket. Two scripts take slots and give them back, so nobody sees half of a change.

* **Who is next.** A process that finds no slot gets a place in the queue and is told when its
  turn is due. It asks again then, or earlier when a message says so, and shows every two
  seconds that it still waits. Slots are left for those who wait longer, and who has won some
  goes behind the others: of k waiting processes each gets every k-th slot.
* **Who dies in flight.** A slot that is taken is written down as free after its lease, which is
  longer than a request can last; giving it back moves that forward. Nothing is lost for good,
  and neither is what Redis gave while nobody heard it: each ask has a number, and the next one
  says from which number on nothing was heard.
* **A missing key is unknown history**: a bucket begins with one silent window. So it does when
  another server answers than before, as after a restart.
* **Redis lost.** ``closed``: nobody sends. ``share``: each process sends by its part of the
  limit, after a silent window that begins when all others must have noticed. Coming back is
  another such window. It never fails open.

The rooms: ``scripts`` (and the Lua beside it) is the law, ``bucket`` decides what one process
wants of one bucket and never waits, ``link`` is the way to Redis and back, ``store`` holds the
buckets of a session together, ``live`` shows the state of all users' buckets.
"""

from __future__ import annotations

from .bucket import SharedBucket
from .inspect import LiveBucket, inspect_buckets
from .store import OnLoss, RedisBuckets, name_of
from .messages import SharedSlot

__all__ = [
    "LiveBucket",
    "OnLoss",
    "RedisBuckets",
    "SharedBucket",
    "SharedSlot",
    "inspect_buckets",
    "name_of",
]
