"""From arguments to intents: every check that needs no answer of OKX, and no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from okx_funding.api.buy_sell import BuySellQuote
from okx_funding.api.convert import Quote
from okx_funding.errors import InvalidArgumentError

from .checks import Amount, account, amount, currency, flag, one_of, receiver_info, text
from .intent import Account, Intent, IntentKind, client_id, dump

TransferType = Literal["0", "1", "2", "3", "4"]
FundsAccount = Literal["funding", "trading", "6", "18"]

_NAMES_SUB_ACCOUNT = ("1", "2", "4")
"""The types of transfer that name a sub-account."""
_PAYMENT_METHODS = ("TR_BANKS", "PIX", "SEPA", "XPULSE", "NPP", "US_WIRE")


def prepare_transfer(
    owner: Account,
    now: int,
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
    """A transfer between funding and trading account, or between master and sub-account.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-funds-transfer
    """
    one_of("type", type, ("0", "1", "2", "3", "4"))
    body: dict[str, Any] = {
        "type": type,
        "ccy": currency("ccy", ccy),
        "amt": amount("amt", amt),
        "from": account("from_", from_),
        "to": account("to", to),
    }
    if type == "0" and body["from"] == body["to"]:
        raise InvalidArgumentError(
            "from_ and to are the same account; between master and sub-account say so with "
            "type='1' (to the sub-account) or '2' (from it) and sub_acct="
        )
    if type in _NAMES_SUB_ACCOUNT:
        if sub_acct is None:
            raise InvalidArgumentError(f"type={type!r} needs sub_acct, the sub-account's name")
        body["subAcct"] = text("sub_acct", sub_acct)
    elif sub_acct is not None:
        raise InvalidArgumentError(f"type={type!r} takes no sub_acct; types 1, 2 and 4 do")
    if loan_trans is not None:
        body["loanTrans"] = flag("loan_trans", loan_trans)
    if omit_pos_risk is not None:
        body["omitPosRisk"] = "true" if flag("omit_pos_risk", omit_pos_risk) else "false"
    return _intent("transfer", owner, now, body, client_id)


def prepare_withdrawal(
    owner: Account,
    now: int,
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
    """A withdrawal on chain (``dest="4"``) or to another OKX user (``dest="3"``).

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-withdrawal
    """
    body: dict[str, Any] = {
        "ccy": currency("ccy", ccy),
        "amt": amount("amt", amt),
        "dest": one_of("dest", dest, ("3", "4")),
        "toAddr": text("to_addr", to_addr),
    }
    if chain is not None:
        body["chain"] = text("chain", chain)
    elif dest == "4":
        raise InvalidArgumentError(
            "chain is needed on chain, such as 'USDT-ERC20' (see get_currencies): without it OKX "
            "would take the currency's main chain"
        )
    if to_addr_type is not None:
        if one_of("to_addr_type", to_addr_type, ("1", "2")) == "2" and dest != "3":
            raise InvalidArgumentError("to_addr_type='2', a UID, goes with dest='3' only")
        body["toAddrType"] = to_addr_type
    if area_code is not None:
        if dest != "3":
            raise InvalidArgumentError("area_code goes with a phone number, hence dest='3' only")
        body["areaCode"] = text("area_code", area_code)
        if not (area_code.isascii() and area_code.isdigit()):
            raise InvalidArgumentError(f"area_code must be digits such as '86', not {area_code!r}")
    if rcvr_info is not None:
        body["rcvrInfo"] = receiver_info(rcvr_info)
    fee = None
    if max_fee is not None:
        fee = "0" if _is_zero(max_fee) else amount("max_fee", max_fee)
    return _intent("withdrawal", owner, now, body, client_id, max_fee=fee)


def prepare_convert(
    owner: Account,
    now: int,
    quote: Quote,
    *,
    tag: str | None = None,
    convert_mode: Literal["0", "1"] | None = None,
    client_id: str | None = None,
) -> Intent:
    """The trade of a quote, at its size.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-convert-trade
    """
    if not isinstance(quote, Quote):
        raise InvalidArgumentError("convert_trade needs a row of estimate_quote")
    body: dict[str, Any] = {
        "quoteId": text("quote.quote_id", quote.quote_id),
        "baseCcy": currency("quote.base_ccy", quote.base_ccy),
        "quoteCcy": currency("quote.quote_ccy", quote.quote_ccy),
        "side": one_of("quote.side", quote.side, ("buy", "sell")),
        "sz": amount("quote.rfq_sz", quote.rfq_sz),
        "szCcy": currency("quote.rfq_sz_ccy", quote.rfq_sz_ccy),
    }
    if tag is not None:
        body["tag"] = text("tag", tag)
    if convert_mode is not None:
        body["convertMode"] = one_of("convert_mode", convert_mode, ("0", "1"))
    return _intent(
        "convert", owner, now, body, client_id, field="clTReqId", quote_ends_at=_end_of(quote)
    )


def prepare_fiat_withdrawal(
    owner: Account,
    now: int,
    ccy: str,
    amt: Amount,
    *,
    payment_acct_id: str,
    payment_method: str,
    client_id: str | None = None,
) -> Intent:
    """A withdrawal of fiat money to a bank account known to OKX.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-create-withdrawal-order
    """
    body: dict[str, Any] = {
        "paymentAcctId": text("payment_acct_id", payment_acct_id),
        "ccy": currency("ccy", ccy),
        "amt": amount("amt", amt),
        "paymentMethod": one_of("payment_method", payment_method, _PAYMENT_METHODS),
    }
    if len(body["amt"].partition(".")[2]) > 2:
        raise InvalidArgumentError("amt may have two decimals at most")
    return _intent("fiat_withdrawal", owner, now, body, client_id)


def prepare_buy_sell(
    owner: Account,
    now: int,
    quote: BuySellQuote,
    *,
    side: Literal["buy", "sell"] | None = None,
    payment_method: Literal["balance"] = "balance",
    client_id: str | None = None,
) -> Intent:
    """The trade of a buy-sell quote. ``side`` is needed only where the quote doesn't name it.

    https://www.okx.com/docs-v5/en/#funding-account-rest-api-buy-sell-trade
    """
    if not isinstance(quote, BuySellQuote):
        raise InvalidArgumentError("buy_sell_trade needs a row of buy_sell_quote")
    body: dict[str, Any] = {
        "quoteId": text("quote.quote_id", quote.quote_id),
        "side": one_of("side", side if side is not None else quote.side, ("buy", "sell")),
        "fromCcy": currency("quote.from_ccy", quote.from_ccy),
        "toCcy": currency("quote.to_ccy", quote.to_ccy),
        "rfqAmt": amount("quote.rfq_amt", quote.rfq_amt),
        "rfqCcy": currency("quote.rfq_ccy", quote.rfq_ccy),
        "paymentMethod": one_of("payment_method", payment_method, ("balance",)),
    }
    return _intent(
        "buy_sell", owner, now, body, client_id, field="clOrdId", quote_ends_at=_end_of(quote)
    )


def prepare_subaccount_transfer(
    owner: Account,
    now: int,
    ccy: str,
    amt: Amount,
    *,
    from_: FundsAccount,
    to: FundsAccount,
    from_sub_account: str,
    to_sub_account: str,
    loan_trans: bool | None = None,
    omit_pos_risk: bool | None = None,
) -> Intent:
    """A transfer between two sub-accounts by the master; its client id is known here only.

    https://www.okx.com/docs-v5/en/#sub-account-rest-api-master-accounts-manage-the-transfers-between-sub-accounts
    """
    body: dict[str, Any] = {
        "ccy": currency("ccy", ccy),
        "amt": amount("amt", amt),
        "from": account("from_", from_),
        "to": account("to", to),
        "fromSubAccount": text("from_sub_account", from_sub_account),
        "toSubAccount": text("to_sub_account", to_sub_account),
    }
    if from_sub_account == to_sub_account:
        raise InvalidArgumentError("from_sub_account and to_sub_account are the same")
    if loan_trans is not None:
        body["loanTrans"] = flag("loan_trans", loan_trans)
    if omit_pos_risk is not None:
        body["omitPosRisk"] = "true" if flag("omit_pos_risk", omit_pos_risk) else "false"
    return _intent("subaccount_transfer", owner, now, body, None, field=None)


def _intent(
    kind: IntentKind,
    owner: Account,
    now: int,
    body: dict[str, Any],
    given: str | None,
    *,
    field: str | None = "clientId",
    quote_ends_at: int | None = None,
    max_fee: str | None = None,
) -> Intent:
    handle = client_id(given)
    if field is not None:
        body[field] = handle
    return Intent(
        kind=kind,
        client_id=handle,
        payload=dump(body),
        created_at=now,
        account=owner.name,
        host=owner.host,
        demo=owner.demo,
        quote_ends_at=quote_ends_at,
        max_fee=max_fee,
    )


def _end_of(quote: Quote | BuySellQuote) -> int:
    return quote.quote_time + quote.ttl_ms


def _is_zero(value: object) -> bool:
    return ((type(value) is int or isinstance(value, Decimal)) and value == 0) or value == "0"
