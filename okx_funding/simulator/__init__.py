"""The simulated exchange: the other side of the wire, for tests, benchmarks and the demo."""

from .accounts import Account
from .answers import Answer
from .arrivals import Arrival
from .auth import Key
from .exchange import SimulatedExchange
from .faults import ALL_FAULTS, Fault
from .judge import (
    JUDGES,
    FixedWindow,
    Judge,
    SlidingLog,
    TokenBucketJudge,
    WeightedWindow,
    make_judge,
)
from .services import Rules
from .threads import in_thread

__all__ = [
    "ALL_FAULTS",
    "JUDGES",
    "Account",
    "Answer",
    "Arrival",
    "Fault",
    "FixedWindow",
    "Judge",
    "Key",
    "Rules",
    "SimulatedExchange",
    "SlidingLog",
    "TokenBucketJudge",
    "WeightedWindow",
    "in_thread",
    "make_judge",
]
