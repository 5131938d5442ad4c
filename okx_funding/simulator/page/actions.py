"""What the page's buttons do: each is a call that a test could make just as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Protocol

from okx_funding.simulator.accounts import Account
from okx_funding.simulator.channels import WebSockets
from okx_funding.simulator.faults import Fault
from okx_funding.simulator.records import Deposit, Withdrawal

from .states import next_state

Wanted = Mapping[str, str]
_MOST_SECONDS = 400 * 86_400.0
_FROZEN, _FAILED = "12", "-1"


class ActionError(Exception):
    """An action that can't be done; the text says why, to whoever pressed the button."""


class Exchange(Protocol):
    """The part of a simulated exchange that the buttons need."""

    outage: bool

    @property
    def websockets(self) -> WebSockets: ...
    def account(self, user_id: str | None = None) -> Account: ...
    def fail_next(self, n: int, fault: Fault, endpoint: str | None = None) -> None: ...
    def calm(self) -> None: ...
    def advance(self, seconds: float = 0.0) -> None: ...
    def drop_connections(self) -> None: ...


class Actions:
    """The buttons, by name. Each gives a sentence that says what was done."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._by_name: dict[str, Callable[[Wanted], str]] = {
            "deposit": self._deposit,
            "next": self._next,
            "fail": self._fail,
            "chain": self._chain,
            "lose": self._lose,
            "drop": self._drop,
            "outage": self._outage,
            "calm": self._calm,
            "advance": self._advance,
        }

    def run(self, wanted: Wanted) -> str:
        """Do what ``wanted["do"]`` names. Raises ActionError where that can't be done."""
        action = self._by_name.get(wanted.get("do", ""))
        if action is None:
            raise ActionError(f"There is no action {wanted.get('do', '')!r}.")
        return action(wanted)

    # --- money ----------------------------------------------------------------------------------

    def _deposit(self, wanted: Wanted) -> str:
        account = self._account(wanted)
        amount = _amount(wanted.get("amt", ""))
        ccy, chain = wanted.get("ccy", ""), wanted.get("chain", "")
        pending = wanted.get("pending") == "true"
        try:
            record = account.deposit(ccy, f"{amount:f}", chain, pending=pending)
        except KeyError:
            raise ActionError(f"The exchange has no chain {chain!r} for {ccy!r}.") from None
        done = "is on its way" if pending else "is credited"
        return f"A deposit of {amount:f} {record.ccy} {done}."

    def _next(self, wanted: Wanted) -> str:
        record, account = self._record(wanted)
        step = next_state(record)
        if step is None:
            raise ActionError("It is at its end already.")
        account.set_state(record, step.state)
        return f"{_name(record)} is {step.then}."

    def _fail(self, wanted: Wanted) -> str:
        record, account = self._record(wanted)
        if isinstance(record, Withdrawal):
            if record.final:
                raise ActionError("It is at its end already.")
            account.set_state(record, _FAILED)
            return f"{_name(record)} has failed. The money is back."
        if record.credited:
            raise ActionError("It is credited already.")
        account.set_state(record, _FROZEN)
        return f"{_name(record)} is frozen: it isn't credited until you release it."

    def _account(self, wanted: Wanted) -> Account:
        user = wanted.get("user", "")
        try:
            return self._exchange.account(user)
        except KeyError:
            raise ActionError(f"The exchange doesn't know the user {user!r}.") from None

    def _record(self, wanted: Wanted) -> tuple[Deposit | Withdrawal, Account]:
        account = self._account(wanted)
        kind, serial = wanted.get("kind", ""), wanted.get("id", "")
        records = account.deposits if kind == "deposit" else account.withdrawals
        for record in records:
            if str(record.serial) == serial:
                return record, account
        raise ActionError(f"There is no {kind} {serial!r} of this account.")

    # --- chains, connections, time --------------------------------------------------------------

    def _chain(self, wanted: Wanted) -> str:
        chain, works = wanted.get("chain", ""), wanted.get("works") == "true"
        account = self._exchange.account()
        try:
            (account.resume_chain if works else account.suspend_chain)(chain)
        except KeyError:
            raise ActionError(f"The exchange has no chain {chain!r}.") from None
        return f"{chain} works again." if works else f"{chain} is suspended."

    def _lose(self, wanted: Wanted) -> str:
        carried_out = wanted.get("carried_out") == "true"
        fault = Fault.reset().after_commit() if carried_out else Fault.reset().before_commit()
        endpoint = wanted.get("endpoint") or None
        try:
            self._exchange.fail_next(1, fault, endpoint)
        except ValueError as error:
            raise ActionError(str(error)) from None
        of_what = f"The next answer of {endpoint}" if endpoint else "The next answer"
        carried = "is carried out" if carried_out else "isn't carried out"
        return f"{of_what} will be lost; an order {carried}."

    def _drop(self, wanted: Wanted) -> str:  # noqa: ARG002 (an action like the others)
        websockets = len(self._exchange.websockets)
        # After this turn, so that the answer to the button is written before its connection ends.
        loop = asyncio.get_running_loop()
        loop.call_soon(self._exchange.drop_connections)
        loop.call_soon(self._exchange.websockets.drop)
        return f"All connections are dropped, with {websockets} WebSockets among them."

    def _outage(self, wanted: Wanted) -> str:
        self._exchange.outage = on = wanted.get("on") == "true"
        return "An outage: every request is answered with 503." if on else "The outage is over."

    def _calm(self, wanted: Wanted) -> str:  # noqa: ARG002 (an action like the others)
        self._exchange.calm()
        return "No faults any more."

    def _advance(self, wanted: Wanted) -> str:
        try:
            seconds = float(wanted.get("seconds", ""))
        except ValueError:
            seconds = -1.0
        if not 0 < seconds <= _MOST_SECONDS:
            raise ActionError("Time can be advanced by more than 0 s and at most 400 days.")
        self._exchange.advance(seconds)
        return f"The exchange's clock went {seconds:g} s ahead."


def _amount(text: str) -> Decimal:
    """An amount above zero, as somebody types it. Raises ActionError."""
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        raise ActionError(f"{text!r} isn't an amount.") from None
    if not amount.is_finite() or not 0 < amount < 10**15:
        raise ActionError("An amount is above zero, and below 10 to the power of 15.")
    return amount


def _name(record: Deposit | Withdrawal) -> str:
    kind = "Deposit" if isinstance(record, Deposit) else "Withdrawal"
    return f"{kind} {record.serial} of {record.amt:f} {record.ccy}"
