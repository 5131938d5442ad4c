"""Transfers between funding and trading account. The POST itself is `okx_funding.money`'s."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, Unpack

from okx_funding.errors import InvalidArgumentError

from . import params as check
from .params import account_name, optional
from .spec import Caller, Endpoint, RateLimit, ReadOptions, Row, get, post

TransferType = Literal["0", "1", "2", "3", "4"]
"""0 within the account; 1 master to sub-account and 2 back, with the master's key; 3 sub-account
to master and 4 to another sub-account, with the sub-account's key."""


class Transfer(Row, frozen=True):
    """OKX accepted a transfer; `transfer_state` tells whether it is done.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-funds-transfer
    """

    trans_id: str
    ccy: str
    amt: Decimal
    """In ccy."""
    from_: str = ""
    """OKX's code of the account: 6 is funding, 18 trading."""
    to: str = ""
    """OKX's code of the account: 6 is funding, 18 trading."""
    client_id: str = ""
    """The caller's own id of it."""

    @property
    def from_account(self) -> str:
        """``from_`` by name: funding or trading, or OKX's code where it is another."""
        return account_name(self.from_)

    @property
    def to_account(self) -> str:
        """``to`` by name: funding or trading, or OKX's code where it is another."""
        return account_name(self.to)


class TransferState(Row, frozen=True):
    """What became of a transfer.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-funds-transfer-state
    """

    trans_id: str
    ccy: str
    amt: Decimal
    """In ccy."""
    state: str
    """success and failed are final, pending isn't."""
    from_: str = ""
    """OKX's code of the account: 6 is funding, 18 trading."""
    to: str = ""
    """OKX's code of the account: 6 is funding, 18 trading."""
    client_id: str = ""
    """The caller's own id of it."""
    type: str = ""
    """0 within the account, 1 to 4 with sub-accounts."""
    sub_acct: str = ""
    inst_id: str = ""
    """Deprecated by OKX."""
    to_inst_id: str = ""
    """Deprecated by OKX."""

    @property
    def from_account(self) -> str:
        """``from_`` by name: funding or trading, or OKX's code where it is another."""
        return account_name(self.from_)

    @property
    def to_account(self) -> str:
        """``to`` by name: funding or trading, or OKX's code where it is another."""
        return account_name(self.to)

    @property
    def is_final(self) -> bool:
        """Whether nothing more can become of it."""
        return self.state in ("success", "failed")


FUNDS_TRANSFER = post(
    "funds_transfer", "/api/v5/asset/transfer", Transfer, RateLimit(2, per=("user", "ccy")),
    docs="funding-account-rest-api-funds-transfer", group="transfers", permission="trade",
    moves_money=True,
)  # fmt: skip
TRANSFER_STATE = get(
    "transfer_state", "/api/v5/asset/transfer-state", TransferState, RateLimit(10),
    docs="funding-account-rest-api-get-funds-transfer-state", group="transfers",
)  # fmt: skip

ENDPOINTS: tuple[Endpoint[Any], ...] = (FUNDS_TRANSFER, TRANSFER_STATE)


class Transfers(Caller):
    """The methods of this section that move nothing."""

    __slots__ = ()

    async def transfer_state(
        self,
        *,
        trans_id: str | None = None,
        client_id: str | None = None,
        type: TransferType | str | None = None,
        **options: Unpack[ReadOptions],
    ) -> TransferState:
        """What became of a transfer of the last two weeks, by OKX's id or the caller's own.

        ``trans_id`` counts where both are given. ``type`` must be the transfer's own, 0 by
        default: OKX answers 58129 to a wrong one as to an id it doesn't know.
        https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-funds-transfer-state
        """
        if trans_id is None and client_id is None:
            raise InvalidArgumentError("give trans_id or client_id")
        params = {
            "transId": optional(check.identifier, "trans_id", trans_id),
            "clientId": optional(check.client_id, "client_id", client_id),
            "type": optional(check.code, "type", type),
        }
        return await self._row(TRANSFER_STATE, params, options)
