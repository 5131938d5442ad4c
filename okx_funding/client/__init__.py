"""What a program calls: one account, a group of accounts, a master's sub-accounts."""

import importlib
from typing import TYPE_CHECKING, Any

from .funding import FundingClient

if TYPE_CHECKING:
    from .accounts import AccountGroup, AccountResults
    from .subaccounts import SubAccounts
    from .watch import Gap

__all__ = ["AccountGroup", "AccountResults", "FundingClient", "Gap", "SubAccounts"]

_HOMES = {"AccountGroup": "accounts", "AccountResults": "accounts", "SubAccounts": "subaccounts"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = importlib.import_module(f".{_HOMES.get(name, 'watch')}", __name__)
        return globals().setdefault(name, getattr(home, name))
