"""What a program calls: one account, a group of accounts, a master's sub-accounts."""

from .funding import FundingClient

__all__ = ["FundingClient"]
