"""OKX's funding account for asyncio: batched, rate-limited, typed.

async with FundingClient(Credentials("key", "secret", "passphrase")) as client:
    assets = await client.get_non_tradable_assets(ccy=["CELT", "MEME"])
"""

from .client import FundingClient
from .credentials import Credentials
from .endpoints import RateLimit
from .errors import (
    APIError,
    AuthenticationError,
    BucketsUnreachableError,
    ClientClosedError,
    ClockSkewError,
    ConnectError,
    DeadlineExceededError,
    DecodeError,
    HTTPStatusError,
    InvalidArgumentError,
    InvalidParameterError,
    OKXError,
    OutcomeUnknownError,
    PermissionDeniedError,
    ProtocolError,
    QueueFullError,
    RateLimitError,
    RequestTimeoutError,
    ResponseError,
    ResponseTooLargeError,
    ServiceUnavailableError,
    TransportError,
    WrongLoopError,
)
from .events import BucketStatistics, Observer, Statistics
from .models import AssetValuation, NonTradableAsset, ValuationDetails
from .session import Session

__version__ = "0.1.0"

__all__ = [
    "APIError",
    "AssetValuation",
    "AuthenticationError",
    "BucketStatistics",
    "BucketsUnreachableError",
    "ClientClosedError",
    "ClockSkewError",
    "ConnectError",
    "Credentials",
    "DeadlineExceededError",
    "DecodeError",
    "FundingClient",
    "HTTPStatusError",
    "InvalidArgumentError",
    "InvalidParameterError",
    "NonTradableAsset",
    "OKXError",
    "Observer",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "ProtocolError",
    "QueueFullError",
    "RateLimit",
    "RateLimitError",
    "RequestTimeoutError",
    "ResponseError",
    "ResponseTooLargeError",
    "ServiceUnavailableError",
    "Session",
    "Statistics",
    "TransportError",
    "ValuationDetails",
    "WrongLoopError",
]
