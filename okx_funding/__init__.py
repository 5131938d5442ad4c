"""OKX's funding account for asyncio: batched, rate-limited, typed, and money that moves once.

async with FundingClient(Credentials("key", "secret", "passphrase")) as client:
    balances = await client.get_balances(["BTC", "USDT"])
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api.spec import RateLimit
    from .auth.credentials import Credentials
    from .client import AccountGroup, AccountResults, FundingClient, Gap, SubAccounts
    from .errors import (
        AccountRestrictedError,
        AddressNotAllowedError,
        APIError,
        AuthenticationError,
        BacklogExceededError,
        BucketsUnreachableError,
        ChainSuspendedError,
        ClientClosedError,
        ClientIdReusedError,
        ClockSkewError,
        ConnectError,
        DeadlineExceededError,
        DecodeError,
        HTTPStatusError,
        InsufficientFundsError,
        InvalidArgumentError,
        InvalidParameterError,
        JournalError,
        MovementAbsentError,
        NotFoundError,
        OKXError,
        OutcomeUnknownError,
        PagingStuckError,
        PermissionDeniedError,
        ProtocolError,
        PushStoppedError,
        QueueFullError,
        QuotaExceededError,
        QuoteExpiredError,
        RateLimitError,
        RequestTimeoutError,
        ResponseError,
        ResponseTooLargeError,
        ServiceUnavailableError,
        TransferFailedError,
        TransportError,
        WrongLoopError,
    )
    from .money import (
        Done,
        Intent,
        Journal,
        NotDone,
        Outcome,
        PostgresJournal,
        SQLiteJournal,
        Unknown,
        client_id_for,
    )
    from .ratelimit.machine import MachineLimits
    from .scheduler.context import Policy
    from .session import Session
    from .telemetry.events import BucketStatistics, Observer, Statistics

__version__ = "0.1.0"

__all__ = [
    "APIError",
    "AccountGroup",
    "AccountRestrictedError",
    "AccountResults",
    "AddressNotAllowedError",
    "AuthenticationError",
    "BacklogExceededError",
    "BucketStatistics",
    "BucketsUnreachableError",
    "ChainSuspendedError",
    "ClientClosedError",
    "ClientIdReusedError",
    "ClockSkewError",
    "ConnectError",
    "Credentials",
    "DeadlineExceededError",
    "DecodeError",
    "Done",
    "FundingClient",
    "Gap",
    "HTTPStatusError",
    "InsufficientFundsError",
    "Intent",
    "InvalidArgumentError",
    "InvalidParameterError",
    "Journal",
    "JournalError",
    "MachineLimits",
    "MovementAbsentError",
    "NotDone",
    "NotFoundError",
    "OKXError",
    "Observer",
    "Outcome",
    "OutcomeUnknownError",
    "PagingStuckError",
    "PermissionDeniedError",
    "Policy",
    "PostgresJournal",
    "ProtocolError",
    "PushStoppedError",
    "QueueFullError",
    "QuotaExceededError",
    "QuoteExpiredError",
    "RateLimit",
    "RateLimitError",
    "RequestTimeoutError",
    "ResponseError",
    "ResponseTooLargeError",
    "SQLiteJournal",
    "ServiceUnavailableError",
    "Session",
    "Statistics",
    "SubAccounts",
    "TransferFailedError",
    "TransportError",
    "Unknown",
    "WrongLoopError",
    "client_id_for",
]

_HOMES = {
    "errors": "APIError AccountRestrictedError AddressNotAllowedError AuthenticationError "
    "BacklogExceededError BucketsUnreachableError ChainSuspendedError ClientClosedError "
    "ClientIdReusedError ClockSkewError ConnectError DeadlineExceededError "
    "DecodeError HTTPStatusError InsufficientFundsError InvalidArgumentError "
    "InvalidParameterError JournalError MovementAbsentError NotFoundError "
    "OKXError OutcomeUnknownError PagingStuckError PermissionDeniedError "
    "ProtocolError PushStoppedError QueueFullError QuotaExceededError "
    "QuoteExpiredError RateLimitError RequestTimeoutError ResponseError "
    "ResponseTooLargeError ServiceUnavailableError TransferFailedError TransportError "
    "WrongLoopError",
    "api.spec": "RateLimit",
    "telemetry.events": "BucketStatistics Observer Statistics",
    "auth.credentials": "Credentials",
    "scheduler.context": "Policy",
    "money": "Done Intent Journal NotDone Outcome PostgresJournal SQLiteJournal "
    "Unknown client_id_for",
    "session": "Session",
    "ratelimit.machine": "MachineLimits",
    "client": "AccountGroup AccountResults FundingClient Gap SubAccounts",
}
"""Where the names live. They are loaded when they are asked for: the command line's help, the
pytest plugin and the simulated exchange do without aiohttp."""
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        home = _HOME_OF.get(name)
        if home is not None:
            module = importlib.import_module(f".{home}", __name__)
            return globals().setdefault(name, getattr(module, name))
        if name in ("api", "client", "errors", "money", "session"):
            return importlib.import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
