"""The methods of FundingClient that move money."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Literal, TypedDict, TypeVar, Unpack, cast

from okx_funding.api.buy_sell import BuySellQuote, BuySellTrade
from okx_funding.api.convert import ConvertTrade, Quote
from okx_funding.api.fiat import FiatOrder
from okx_funding.api.subaccounts import SubaccountTransfer
from okx_funding.api.transfers import Transfer
from okx_funding.api.withdrawals import WithdrawalReceipt
from okx_funding.errors import InvalidArgumentError

from . import withdrawal_check
from .checks import Amount
from .intent import Intent
from .intents import Intents
from .journal import Journal
from .outcome import Done, Outcome
from .prepare import FundsAccount, TransferType, prepare_subaccount_transfer
from .protocol import TIMEOUT
from .resolver import AbsenceRules

R = TypeVar("R")


class MoneyOptions(TypedDict, total=False):
    """What every call that moves money takes."""

    client_id: str | None
    """1 to 32 letters and digits, used once for ever; made where it isn't given. See
    `okx_funding.client_id_for`."""
    timeout: float
    """Seconds for the whole call: check, waiting, request and look-ups; 30 by default."""
    journal: Journal | None
    """Where it is written down before it is sent; the client's by default."""


class Money(Intents):
    """Moves money. Each call reaches the wire at most once, and ends in one of three ways: it
    returns OKX's row, raises the error that says why nothing moved, or raises
    `okx_funding.OutcomeUnknownError`, whose ``intent`` can be resolved later.

    Never call again to find out: call ``resolve(error.intent)``. ``error.repeat_is_safe`` says
    whether the same movement may be asked for again, with a client id of its own.
    """

    __slots__ = ()

    # -- with an intent --------------------------------------------------------------------

    async def submit(
        self,
        intent: Intent,
        *,
        check: bool = True,
        timeout: float = TIMEOUT,
        journal: Journal | None = None,
    ) -> Outcome:
        """Send ``intent``, once, and give Done(row), NotDone(reason, error) or Unknown(intent).

        ``check`` holds a withdrawal against OKX's tables first; see `check_withdrawal`. When the
        caller is cancelled after the first byte may have left, the request goes on without it,
        the outcome goes to the journal, and the CancelledError's ``__cause__`` names the intent.

        Raises InvalidArgumentError, with the first ``intent`` and its ``outcome``, where the client
        id was used before; ClientIdReusedError where OKX shows another movement under it.
        """
        return await self._money().submit(intent, check=check, timeout=timeout, journal=journal)

    async def resolve(
        self,
        intent: Intent,
        *,
        journal: Journal | None = None,
        absence_proves_after: float | AbsenceRules | None = None,
    ) -> Outcome:
        """Ask OKX by the client id what became of ``intent``; it is never sent. Ends within 8 s.

        A movement that OKX doesn't show is Unknown for the first minute, and for withdrawals and
        fiat orders for ever: then a person decides. A transfer is NotDone("absent") 15 minutes
        after its stamp, a convert a minute after its quote's end. ``absence_proves_after`` sets
        other seconds for this call, for all kinds or by kind.

        Raises InvalidArgumentError for an intent of another account, ClientIdReusedError where OKX
        shows another movement under the client id.
        """
        return await self._money().resolve(
            intent, journal=journal, absence_proves_after=absence_proves_after
        )

    def recover(self, journal: Journal | None = None) -> AsyncIterator[tuple[Intent, Outcome]]:
        """Resolve all open intents of this account in the journal, the client's by default.

        Run it after a start: ``async for intent, outcome in client.recover(): ...``. It is safe
        while other processes use the journal, and takes 25 s at most.
        """
        return self._money().recover(journal)

    async def check_withdrawal(self, intent: Intent, *, timeout: float = TIMEOUT) -> None:
        """Hold a withdrawal against fresh rows of currencies, non-tradable assets and balances.

        Raises InvalidArgumentError that names the broken rule, or the OKXError for which a row
        couldn't be had. `submit` does this by itself.
        """
        await withdrawal_check.check(self._money().port, intent, timeout)

    # -- in one call -----------------------------------------------------------------------

    async def funds_transfer(
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
        **options: Unpack[MoneyOptions],
    ) -> Transfer:
        """Transfer ``amt`` (Decimal, int or text) between funding and trading account.

        ``type``: "0" within the account, "1" master to sub-account, "2" sub-account to master
        (both by the master's key, with ``sub_acct``), "3" sub-account to master, "4" sub-account
        to sub-account (both by the sub-account's key). It returns after OKX's state says success.

        Raises an OKXError whose ``repeat_is_safe`` says whether to try again.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-funds-transfer
        """
        handle = options.pop("client_id", None)
        intent = self.prepare_transfer(
            ccy, amt, from_=from_, to=to, type=type, sub_acct=sub_acct, loan_trans=loan_trans,
            omit_pos_risk=omit_pos_risk, client_id=handle,
        )  # fmt: skip
        return await self._moved(Transfer, intent, options)

    async def withdrawal(
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
        check: bool = True,
        **options: Unpack[MoneyOptions],
    ) -> WithdrawalReceipt:
        """Withdraw ``amt``, the fee not included: "4" on chain, "3" to another user of OKX.

        ``to_addr`` is a verified address, with ``:tag`` behind it where the chain needs one.
        ``chain`` such as "USDT-ERC20" must be named on chain. ``max_fee`` is checked just before
        sending; a change in between remains possible. ``rcvr_info`` is OKX's nested object.
        ``check=False`` leaves `check_withdrawal` out. It returns when OKX accepted it: the
        withdrawal exists once, `iter_withdrawal_history` tells of its way.

        Raises an OKXError whose ``repeat_is_safe`` says whether to try again.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-withdrawal
        """
        handle = options.pop("client_id", None)
        intent = self.prepare_withdrawal(
            ccy, amt, dest=dest, to_addr=to_addr, chain=chain, to_addr_type=to_addr_type,
            area_code=area_code, rcvr_info=rcvr_info, max_fee=max_fee, client_id=handle,
        )  # fmt: skip
        return await self._moved(WithdrawalReceipt, intent, options, check=check)

    async def convert_trade(
        self,
        quote: Quote,
        *,
        tag: str | None = None,
        convert_mode: Literal["0", "1"] | None = None,
        **options: Unpack[MoneyOptions],
    ) -> ConvertTrade:
        """Trade a quote of `estimate_quote` at its size; a quote trades once and lives seconds.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-convert-trade
        """
        handle = options.pop("client_id", None)
        intent = self.prepare_convert(quote, tag=tag, convert_mode=convert_mode, client_id=handle)
        return await self._moved(ConvertTrade, intent, options)

    async def create_fiat_withdrawal(
        self,
        ccy: str,
        amt: Amount,
        *,
        payment_acct_id: str,
        payment_method: str,
        **options: Unpack[MoneyOptions],
    ) -> FiatOrder:
        """Withdraw fiat money to a bank account that OKX knows; it returns once the order exists.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-create-withdrawal-order
        """
        handle = options.pop("client_id", None)
        intent = self.prepare_fiat_withdrawal(
            ccy, amt, payment_acct_id=payment_acct_id, payment_method=payment_method,
            client_id=handle,
        )  # fmt: skip
        return await self._moved(FiatOrder, intent, options)

    async def buy_sell_trade(
        self,
        quote: BuySellQuote,
        *,
        side: Literal["buy", "sell"] | None = None,
        payment_method: Literal["balance"] = "balance",
        **options: Unpack[MoneyOptions],
    ) -> BuySellTrade:
        """Trade a quote of `buy_sell_quote`, from the balance.

        https://www.okx.com/docs-v5/en/#funding-account-rest-api-buy-sell-trade
        """
        handle = options.pop("client_id", None)
        intent = self.prepare_buy_sell(
            quote, side=side, payment_method=payment_method, client_id=handle
        )
        return await self._moved(BuySellTrade, intent, options)

    async def subaccount_transfer(
        self,
        ccy: str,
        amt: Amount,
        *,
        from_: FundsAccount,
        to: FundsAccount,
        from_sub_account: str,
        to_sub_account: str,
        acknowledge_no_handle: bool,
        loan_trans: bool | None = None,
        omit_pos_risk: bool | None = None,
        timeout: float = TIMEOUT,
        journal: Journal | None = None,
    ) -> SubaccountTransfer:
        """Transfer between two sub-accounts, by the master's key.

        OKX takes no client id here, so a lost answer can never be resolved: that is what
        ``acknowledge_no_handle=True`` says. Two legs that can be resolved do the same:
        `funds_transfer` of type "2" to the master, then of type "1" to the other sub-account.

        https://www.okx.com/docs-v5/en/#sub-account-rest-api-master-accounts-manage-the-transfers-between-sub-accounts
        """
        if acknowledge_no_handle is not True:
            raise InvalidArgumentError(
                "a lost answer of subaccount_transfer can't be resolved, for it has no client id: "
                "use two legs of funds_transfer (type '2', then '1'), or say "
                "acknowledge_no_handle=True"
            )
        intent = prepare_subaccount_transfer(
            *self._owner_and_now(), ccy, amt, from_=from_, to=to,
            from_sub_account=from_sub_account, to_sub_account=to_sub_account,
            loan_trans=loan_trans, omit_pos_risk=omit_pos_risk,
        )  # fmt: skip
        return await self._moved(
            SubaccountTransfer, intent, {"timeout": timeout, "journal": journal}
        )

    # -- behind them -----------------------------------------------------------------------

    async def _moved(
        self, _row: type[R], intent: Intent, options: MoneyOptions, *, check: bool = True
    ) -> R:
        """The row of a movement that is Done; else the error that says what became of it."""
        outcome = await self._money().submit(
            intent,
            check=check,
            timeout=options.get("timeout", TIMEOUT),
            journal=options.get("journal"),
        )
        if isinstance(outcome, Done):
            return cast(R, outcome.row)
        raise outcome.error
