"""OKX's funding account for asyncio: batched, rate-limited, typed.

async with FundingClient(Credentials("key", "secret", "passphrase")) as client:
    assets = await client.get_non_tradable_assets(ccy=["CELT", "MEME"])
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .auth.credentials import Credentials
    from .client import FundingClient
    from .endpoints import RateLimit
    from .errors import (
        AccountRestrictedError,
        AddressNotAllowedError,
        APIError,
        AuthenticationError,
        BucketsUnreachableError,
        ChainSuspendedError,
        ClientClosedError,
        ClockSkewError,
        ConnectError,
        DeadlineExceededError,
        DecodeError,
        HTTPStatusError,
        InsufficientFundsError,
        InvalidArgumentError,
        InvalidParameterError,
        NotFoundError,
        OKXError,
        OutcomeUnknownError,
        PermissionDeniedError,
        ProtocolError,
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
    from .models import AssetValuation, NonTradableAsset, ValuationDetails
    from .session import Session
    from .telemetry.events import BucketStatistics, Observer, Statistics

__version__ = "0.1.0"

__all__ = [
    "APIError",
    "AccountRestrictedError",
    "AddressNotAllowedError",
    "AssetValuation",
    "AuthenticationError",
    "BucketStatistics",
    "BucketsUnreachableError",
    "ChainSuspendedError",
    "ClientClosedError",
    "ClockSkewError",
    "ConnectError",
    "Credentials",
    "DeadlineExceededError",
    "DecodeError",
    "FundingClient",
    "HTTPStatusError",
    "InsufficientFundsError",
    "InvalidArgumentError",
    "InvalidParameterError",
    "NonTradableAsset",
    "NotFoundError",
    "OKXError",
    "Observer",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "ProtocolError",
    "QueueFullError",
    "QuotaExceededError",
    "QuoteExpiredError",
    "RateLimit",
    "RateLimitError",
    "RequestTimeoutError",
    "ResponseError",
    "ResponseTooLargeError",
    "ServiceUnavailableError",
    "Session",
    "Statistics",
    "TransferFailedError",
    "TransportError",
    "ValuationDetails",
    "WrongLoopError",
]

_HOMES = (
    "errors",
    "endpoints",
    "models",
    "telemetry.events",
    "auth.credentials",
    "session",
    "client",
)
"""Where the names live, the lightest first. They are loaded when they are asked for: the command
line's help, the pytest plugin and the simulated exchange do without aiohttp."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return importlib.import_module(f".{name}", __name__)
        if name in __all__:
            for home in _HOMES:
                if hasattr(module := importlib.import_module(f".{home}", __name__), name):
                    return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
