"""Token buckets that many processes and machines share, kept in Redis 6.2 or later, or Valkey.

The law is that of `okx_funding.ratelimit.bucket`: N slots, each held over the round trip and a
window longer. Here a slot is a moment at which it is free again, by the server's clock, in one hash
for each bucket. Scripts take slots and give them back, so nobody sees half of a change.

* **Who is next.** A slot that nobody holds is given up to half a second before it may be used, so
  that a far Redis loses no time. A process that finds none gets a place in the queue; whoever gives
  a slot back has the next in the queue called by a message, and nobody else. Slots are left for
  those who wait longer, and who has won some goes behind the others: of k waiting processes each
  gets every k-th slot.
* **Who dies in flight.** A slot is held on a lease of 3 s, which is renewed while its request is
  out; giving it back ends it. Nothing is lost for good, and neither is what Redis gave while nobody
  heard it: each ask has a number, and the next one says from which number on nothing was heard.
* **A missing key is unknown history**: a bucket begins with one silent window. So it does when
  another server answers than the one that wrote it, as after a failover: its run id is kept in it.
* **Redis lost.** ``closed``: nobody sends. ``share``: each process sends by its part of the
  limit, after a silent window that begins when all others must have noticed. Coming back is
  another such window. It never fails open.

The rooms: ``scripts`` (and the Lua beside it) is the law, ``bucket`` decides what one process
wants of one bucket and never waits, ``leases`` renews what it holds, ``connector`` and
``connection`` are the way to Redis and back, ``store`` holds the buckets of a session together,
``inspect`` shows the state of all users' buckets.
"""

from __future__ import annotations

from .bucket import SharedBucket
from .inspect import LiveBucket, inspect_buckets
from .messages import SharedSlot
from .store import OnLoss, RedisBuckets, SharedLimits, tag_of

__all__ = [
    "LiveBucket",
    "OnLoss",
    "RedisBuckets",
    "SharedBucket",
    "SharedLimits",
    "SharedSlot",
    "inspect_buckets",
    "tag_of",
]
