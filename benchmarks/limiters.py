"""Ways in which several processes may keep one limit in a Redis, each as its README shows it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from okx_funding import RateLimit

from .harness import missing

Acquire = Callable[[], Awaitable[object]]
"""Returns when a request may leave."""


async def limits_moving_window(url: str, limit: RateLimit) -> Acquire:
    """limits: a sliding log of the moments at which it was asked, by each client's clock."""
    from limits import RateLimitItemPerSecond
    from limits.aio.strategies import MovingWindowRateLimiter
    from limits.storage import storage_from_string

    storage = storage_from_string(f"async+{url}", implementation="redispy")
    limiter = MovingWindowRateLimiter(storage)
    item = RateLimitItemPerSecond(limit.count, round(limit.period) or 1)

    async def acquire() -> None:
        while not await limiter.hit(item, "somebody"):
            stats = await limiter.get_window_stats(item, "somebody")
            await asyncio.sleep(max(0.0, stats.reset_time - time.time()))

    return acquire


async def pyrate_limiter(url: str, limit: RateLimit) -> Acquire:
    """pyrate-limiter: a sliding log in a sorted set, and 50 ms to spare."""
    import redis.asyncio
    from pyrate_limiter import Limiter, Rate, RedisBucket

    rates = [Rate(limit.count, round(limit.period * 1000))]
    store = redis.asyncio.Redis.from_url(url)
    bucket = await RedisBucket.init(rates, store, "pyrate")
    limiter = Limiter(bucket)
    return lambda: limiter.try_acquire_async("somebody")


def _throttled(burst: int) -> Callable[[str, RateLimit], Awaitable[Acquire]]:
    async def make(url: str, limit: RateLimit) -> Acquire:
        from throttled.asyncio import RateLimiterType, Throttled, rate_limiter, store

        quota = rate_limiter.per_sec(limit.count, burst=min(burst, limit.count))
        limiter = Throttled(
            key=f"somebody-{burst}",
            using=RateLimiterType.GCRA.value,
            quota=quota,
            store=store.RedisStore(server=url),
            timeout=60,
        )
        acquire: Acquire = limiter.limit
        return acquire

    return make


_ALL: dict[str, tuple[str, Callable[[str, RateLimit], Awaitable[Acquire]]]] = {
    "limits, moving window": ("limits", limits_moving_window),
    "pyrate-limiter": ("pyrate_limiter", pyrate_limiter),
    "throttled-py, GCRA": ("throttled", _throttled(1_000_000)),
    "throttled-py, GCRA, burst 1": ("throttled", _throttled(1)),
}
LIMITERS = {name: make for name, (module, make) in _ALL.items() if not missing(module)}
PACKAGES = {"limits": "limits", "pyrate_limiter": "pyrate-limiter", "throttled": "throttled-py"}
