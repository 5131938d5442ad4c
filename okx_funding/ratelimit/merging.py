"""A bucket's history outlives its user's name and its event loop: merging and rebinding buckets."""

from __future__ import annotations

import time

from .bucket import TokenBucket
from .interface import Claim
from .slot import GUARD
from .slot_pool import STILL_ON_ITS_WAY


def merge(bucket: TokenBucket, into: TokenBucket, now: float) -> None:
    """Let all that ``bucket`` sent count in ``into``: both were the same user's all along."""
    for owner, claim in list(bucket.claims.items()):
        into.claims[owner] = claim
    bucket.claims.clear()
    into.reconsider()
    bucket.obey(Claim(into.limit, into.refusal_cooldown), into.slots.remember)
    into.slots.merge_from(bucket.slots)
    _inherit(bucket, into)
    bucket.merged_into = into
    into.touch(now)


def rebind(bucket: TokenBucket, now: float) -> TokenBucket:
    """Move the history into a bucket for another loop, whose clock shows ``now``."""
    heir = TokenBucket(Claim(bucket.limit, bucket.refusal_cooldown))
    last, then = bucket.touched
    shift = now - (last + (time.monotonic() - then))
    heir.slots = bucket.slots.rebind(last, shift)
    _inherit(bucket, heir, shift)
    heir.touch(now)
    return heir


def _inherit(old: TokenBucket, new: TokenBucket, shift: float = 0.0) -> None:
    """Heed in ``new`` what ``old`` saw by a clock ``shift`` seconds behind."""
    new.add_usage(old, shift)
    new.pacer.delay_until(old.pacer.free_at + shift)
    new.frozen_until = max(new.frozen_until, old.frozen_until + shift)
    new.backoff.merge_from(old.backoff, shift)


def assume_spent(bucket: TokenBucket, now: float) -> None:
    """Take the history as unknown: one silent window first."""
    bucket.slots.assume_spent(bucket.limit.count, now)
    bucket.touch(now)


def is_over(bucket: TokenBucket, now: float) -> bool:
    """Tell whether nothing of the history matters any more."""
    return not (bucket.claims or now < bucket.frozen_until or bucket.slots.busy(now))


def is_abandoned(bucket: TokenBucket) -> bool:
    """Tell whether that is so of a bucket whose loop is closed."""
    last, then = bucket.touched
    now = last + (time.monotonic() - then)
    if now > last + STILL_ON_ITS_WAY + bucket.limit.period + GUARD:
        bucket.slots.in_flight.clear()
    return is_over(bucket, now)
