"""The structs that clients knew first; they live in `okx_funding.api` now."""

from okx_funding.api.account import AccountConfig, ServerTime
from okx_funding.api.assets import AssetValuation, NonTradableAsset, ValuationDetails
from okx_funding.api.spec import Row

__all__ = [
    "AccountConfig",
    "AssetValuation",
    "NonTradableAsset",
    "Row",
    "ServerTime",
    "ValuationDetails",
]
