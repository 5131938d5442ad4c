"""What each endpoint answers to a user who may ask: a module for each section of OKX's pages."""

from . import account, assets, bills, convert, deposits, fiat, subaccounts, transfers, withdrawals
from .request import SERVICES, ServiceRequest

__all__ = [
    "SERVICES",
    "ServiceRequest",
    "account",
    "assets",
    "bills",
    "convert",
    "deposits",
    "fiat",
    "subaccounts",
    "transfers",
    "withdrawals",
]
