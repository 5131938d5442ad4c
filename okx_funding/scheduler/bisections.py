"""All bisections of one lane: whose step is next, and who is held by them.

Their steps never overtake a higher priority, and an ordinary batch goes between two of them. A
key is in one bisection at a time, and until it is over nobody asks for that key elsewhere: a
newcomer joins it, or is held until the answer to the group on the wire.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain

from okx_funding.errors import InvalidParameterError

from .batch import Batch, Batches
from .bisection import Bisection
from .calls import Key
from .pending import DONE, HELD, SUSPECT, PendingKey
from .pending_keys import PendingKeys
from .resolve import Job, Resolver


class Bisections:
    """The bisections of one lane."""

    def __init__(self, keys: PendingKeys, batches: Batches, resolver: Resolver) -> None:
        self.suspects: dict[Key, PendingKey] = {}
        """Keys that are in a bisection."""
        self.ordinary_next: bool = False
        """Whether a bisection had its step, so that another batch goes before its next one."""
        self._idle: list[Bisection] = []
        """Those of which no group is on the wire."""
        self._keys = keys
        self._batches = batches
        self._resolver = resolver

    def start(self, batch: Batch, error: InvalidParameterError, now: float) -> bool:
        """Find the bad keys of a refused batch.

        False where some of its keys are in another bisection already: that may explain the
        refusal, so the others should be asked once more without them.
        """
        if not self.suspects.keys().isdisjoint(batch.pending):
            return False
        self._batches.discard(batch)
        bisection = Bisection(batch.pending.values(), error)
        self.suspects.update(bisection.pending)
        self._hold(bisection.pending.values(), now)
        self._idle.append(bisection)
        return True

    # -- steps -----------------------------------------------------------------------------

    def next(self) -> Bisection | None:
        """Give the first one that wants something asked; those that are over are dropped."""
        while self._idle:
            bisection = min(self._idle, key=lambda each: each.rank)
            unwanted = [
                key for key in bisection.suspects if not bisection.pending[key].has_waiters()
            ]
            if unwanted:
                self.forget(bisection, unwanted)
            if bisection.suspects:
                return bisection
            self._idle.remove(bisection)
        return None

    def choose(self) -> Bisection | None:
        """Tell whose step is next, if it isn't an ordinary batch's turn."""
        if not self._idle or (self.ordinary_next and self._keys):
            return None
        bisection, first = self.next(), self._keys.first()
        if bisection is None or (first is not None and first.rank < bisection.rank):
            return None
        return bisection

    def take_group(self, bisection: Bisection) -> Batch:
        """Take out the keys that ``bisection`` asks for next."""
        self._idle.remove(bisection)
        group = [bisection.pending[key] for key in bisection.next_group()]
        for pending in group:
            del self._keys.by_key[pending.key]
        return Batch(group, bisection)

    # -- outcomes --------------------------------------------------------------------------

    def passed(self, batch: Batch, now: float) -> None:
        """Note that OKX answered for all keys of a group."""
        bisection = _bisection_of(batch)
        bisection.passed(batch.keys)
        self._release(bisection, batch.keys, now)
        self._idle.append(bisection)

    def refused(self, batch: Batch, error: InvalidParameterError, now: float) -> Job:
        """Note that OKX refused a group. Gives the job that fails callers of invalid keys."""
        bisection = _bisection_of(batch)
        self._idle.append(bisection)
        job: Job = iter(())
        if bisection.refused(batch.keys, error.msg) is None:
            self._batches.discard(batch)
            self._hold(batch.pending.values(), now)
        else:
            job = self.mark_invalid(batch, error, now)
            self._release(bisection, batch.keys, now)
        if bisection.is_inconclusive:
            rest = Batch([bisection.pending[key] for key in bisection.suspects])
            self.forget(bisection, list(rest.pending), now)
            self._batches.add(rest)
            job = chain(job, self._resolver.rejecting(rest, bisection.error))
        return job

    def failed(self, batch: Batch, now: float) -> None:
        """Note that everybody who waited for a group got an error: its keys aren't asked more."""
        bisection = _bisection_of(batch)
        self.forget(bisection, batch.keys, now)
        self._idle.append(bisection)

    def take_back(self, batch: Batch, now: float) -> None:
        """Take back a group that is to be asked again, or of which nobody wants anything."""
        self._hold(batch.pending.values(), now)
        self._idle.append(_bisection_of(batch))

    def mark_invalid(self, batch: Batch, error: InvalidParameterError, now: float) -> Job:
        """Note that OKX refuses this one key, quarantine it, and give the job that says so."""
        (key,) = batch.pending
        if isinstance(key, str):
            self._keys.set_apart(key, now)
        return self._resolver.rejecting(batch, error, (key,))

    # -- who is held -----------------------------------------------------------------------

    def forget(self, bisection: Bisection, keys: Sequence[Key], now: float = -math.inf) -> None:
        """Drop keys that nobody wants any more."""
        bisection.forget(keys)
        self._release(bisection, keys, now)

    def _release(self, bisection: Bisection, keys: Iterable[Key], now: float) -> None:
        """End a bisection for these keys; who was held by it is queued."""
        by_key = self._keys.by_key
        for key in keys:
            pending = bisection.pending[key]
            self.suspects.pop(key, None)
            waiting = by_key.get(key)
            if pending.state is SUSPECT:
                pending.state = DONE
            if waiting is pending:
                del by_key[key]
            elif waiting is not None and waiting.state is HELD:
                self._keys.enqueue_by_rank(waiting, now)

    def _hold(self, suspects: Iterable[PendingKey], now: float) -> None:
        """Let suspects be joined until their bisection asks for them."""
        for pending in suspects:
            pending.prune_done()
            self._keys.replace(pending, now)
            pending.state = SUSPECT


def _bisection_of(batch: Batch) -> Bisection:
    assert batch.bisection is not None, "not a group of a bisection"
    return batch.bisection
