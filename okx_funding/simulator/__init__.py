"""The simulated exchange: the other side of the wire, for tests, benchmarks and the demo."""

from .accounts import Account
from .answers import Answer
from .arrivals import Arrival
from .auth import Key
from .books import Rules
from .catalogue import Chain
from .channels import WebSockets
from .counting import (
    JUDGES,
    FixedWindow,
    Judge,
    SlidingLog,
    TokenBucketJudge,
    WeightedWindow,
    make_judge,
)
from .exchange import SimulatedExchange
from .fault_lists import ALL_FAULTS, MONEY_FAULTS
from .faults import Fault
from .ledger import InsufficientError, Ledger, Movement
from .threads import in_thread

__all__ = [
    "ALL_FAULTS",
    "JUDGES",
    "MONEY_FAULTS",
    "Account",
    "Answer",
    "Arrival",
    "Chain",
    "Fault",
    "FixedWindow",
    "InsufficientError",
    "Judge",
    "Key",
    "Ledger",
    "Movement",
    "Rules",
    "SimulatedExchange",
    "SlidingLog",
    "TokenBucketJudge",
    "WebSockets",
    "WeightedWindow",
    "in_thread",
    "make_judge",
]
