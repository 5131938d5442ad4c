"""What a session needs of a place where limits are kept together with other processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from okx_funding.api.spec import RateLimit

from .interface import Claim
from .registry import BucketKey


class LimitStore(Protocol):
    """All shared buckets of one session."""

    longest_request: float
    """Seconds that a request of the session may take at most."""

    def check(self, limits: Mapping[str, RateLimit]) -> None:
        """Raises InvalidArgumentError for limits, by method name, that can't be kept."""

    def bucket(self, key: BucketKey, claim: Claim) -> Any:
        """The bucket of ``key``."""

    def keys_of(self, user: str) -> list[BucketKey]:
        """The keys of all buckets of ``user``."""

    def forget(self, key: BucketKey) -> Any:
        """The bucket of ``key``, which nobody takes from any more."""

    async def aclose(self) -> None:
        """Give back what is in hand, and part."""

    def abandon(self) -> None:
        """Part at once, where nobody may await."""
