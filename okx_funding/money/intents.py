"""The methods of FundingClient that make intents, without any I/O."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from okx_funding.api.buy_sell import BuySellQuote
from okx_funding.api.convert import Quote
from okx_funding.api.spec import Caller

from . import prepare
from .checks import Amount
from .intent import Account, Intent
from .prepare import FundsAccount, TransferType
from .protocol import MoneyProtocol


class Intents(Caller):
    """Each ``prepare_...`` takes what the call of that name takes, and gives its `Intent`.

    All raise InvalidArgumentError, a ValueError, for what can't be sent.
    """

    __slots__ = ()

    def _money(self) -> MoneyProtocol:
        """The protocol of this client."""
        raise NotImplementedError

    def prepare_transfer(
        self,
        ccy: str,
        amt: Amount,
        *,
        from_: FundsAccount,
        to: FundsAccount,
        type: TransferType = "0",  # noqa: A002 - OKX's name
        sub_acct: str | None = None,
        loan_trans: bool | None = None,
        omit_pos_risk: bool | None = None,
        client_id: str | None = None,
    ) -> Intent:
        """The intent of a transfer, without any I/O; see `funds_transfer`.

        Raises InvalidArgumentError.
        """
        return prepare.prepare_transfer(
            *self._owner_and_now(), ccy, amt, from_=from_, to=to, type=type, sub_acct=sub_acct,
            loan_trans=loan_trans, omit_pos_risk=omit_pos_risk, client_id=client_id,
        )  # fmt: skip

    def prepare_withdrawal(
        self,
        ccy: str,
        amt: Amount,
        *,
        dest: Literal["3", "4"],
        to_addr: str,
        chain: str | None = None,
        to_addr_type: Literal["1", "2"] | None = None,
        area_code: str | None = None,
        rcvr_info: Mapping[str, str] | None = None,
        max_fee: Decimal | int | str | None = None,
        client_id: str | None = None,
    ) -> Intent:
        """The intent of a withdrawal, without any I/O; see `withdrawal`.

        Raises InvalidArgumentError.
        """
        return prepare.prepare_withdrawal(
            *self._owner_and_now(), ccy, amt, dest=dest, to_addr=to_addr, chain=chain,
            to_addr_type=to_addr_type, area_code=area_code, rcvr_info=rcvr_info, max_fee=max_fee,
            client_id=client_id,
        )  # fmt: skip

    def prepare_convert(
        self,
        quote: Quote,
        *,
        tag: str | None = None,
        convert_mode: Literal["0", "1"] | None = None,
        client_id: str | None = None,
    ) -> Intent:
        """The intent of a convert, without any I/O; see `convert_trade`."""
        return prepare.prepare_convert(
            *self._owner_and_now(), quote, tag=tag, convert_mode=convert_mode, client_id=client_id
        )

    def prepare_fiat_withdrawal(
        self,
        ccy: str,
        amt: Amount,
        *,
        payment_acct_id: str,
        payment_method: str,
        client_id: str | None = None,
    ) -> Intent:
        """The intent of a fiat withdrawal, without any I/O; see `create_fiat_withdrawal`."""
        return prepare.prepare_fiat_withdrawal(
            *self._owner_and_now(), ccy, amt, payment_acct_id=payment_acct_id,
            payment_method=payment_method, client_id=client_id,
        )  # fmt: skip

    def prepare_buy_sell(
        self,
        quote: BuySellQuote,
        *,
        side: Literal["buy", "sell"] | None = None,
        payment_method: Literal["balance"] = "balance",
        client_id: str | None = None,
    ) -> Intent:
        """The intent of a buy-sell trade, without any I/O; see `buy_sell_trade`."""
        return prepare.prepare_buy_sell(
            *self._owner_and_now(), quote, side=side, payment_method=payment_method,
            client_id=client_id,
        )  # fmt: skip

    def _owner_and_now(self) -> tuple[Account, int]:
        port = self._money().port
        return port.owner, round(port.now() * 1000)
