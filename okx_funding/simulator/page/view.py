"""What the page shows, as JSON: made when a browser asks, so that nobody pays who doesn't look."""

from __future__ import annotations

import heapq
import itertools
from decimal import Decimal
from typing import Any

from okx_funding.simulator import answers, params
from okx_funding.simulator.arrivals import Arrival, Log
from okx_funding.simulator.auth import Request
from okx_funding.simulator.books import Books
from okx_funding.simulator.catalogue import plain
from okx_funding.simulator.fault_injector import FaultInjector
from okx_funding.simulator.ledger import FUNDING, TRADING
from okx_funding.simulator.limits import Limits
from okx_funding.simulator.records import Deposit, Withdrawal
from okx_funding.simulator.table import BY_NAME, ROUTES
from okx_funding.simulator.users import User

from . import states

_ARRIVALS, _USERS, _OPEN, _CLOSED, _MOVEMENTS = 300, 24, 40, 8, 20
"""The most that one answer has of each."""
_LOOK_BACK = 500
"""How many deposits and withdrawals of each account are looked at, the last ones."""
_ZERO = Decimal(0)

Row = dict[str, Any]


class View:
    """Reads the exchange. Nothing secret is in what it gives: no keys, and no passphrases."""

    def __init__(self, books: Books, log: Log, limits: Limits, injector: FaultInjector) -> None:
        self._books = books
        self._log = log
        self._limits = limits
        self._injector = injector

    def state(self, now: float, since: int, epoch: int) -> Row:
        """All but the arrivals as it is now, and the arrivals after the first ``since``.

        ``epoch`` is what the last state said: where the log was cleared after it, arrivals are
        given from the start. ``now`` and ``at`` are in seconds of the loop's clock, ``time`` is in
        milliseconds since the epoch. Amounts are strings.
        """
        books, log = self._books, self._log
        books.agenda.run_due()
        if epoch != log.cleared:
            since = 0
        arrivals = log.since(since, _ARRIVALS)
        users = list(itertools.islice(books.users.by_uid.values(), _USERS))
        lanes: dict[str, Row] = {}
        return {
            "epoch": log.cleared,
            "next": log.requests,
            "now": now,
            "time": books.clock.stamp(),
            "advanced": books.clock.advanced,
            "judge": self._limits.judge,
            "requests": log.requests,
            "refused": log.refused,
            "faults": log.faults,
            "users": [self._user(user) for user in users],
            "more_users": len(books.users.by_uid) - len(users),
            **self._records(),
            "movements": self._movements(),
            "chains": [
                {"chain": it.chain, "ccy": it.ccy, "works": it.can_deposit or it.can_withdraw}
                for it in books.catalogue.chains
                if it.chain
            ],
            "ordered": [{"fault": name, "endpoint": only} for name, only in self._injector.ordered],
            "outage": self._injector.outage,
            "endpoints": [row.name for row in ROUTES],
            "arrivals": [
                self._arrival(it, number, lanes)
                for number, it in enumerate(arrivals, log.requests - len(arrivals) + 1)
            ],
            "lanes": lanes,
        }

    # --- money ----------------------------------------------------------------------------------

    def _user(self, user: User) -> Row:
        funding = self._books.account(user, FUNDING)
        trading = self._books.account(user, TRADING)
        return {
            "uid": user.uid,
            "name": user.name,
            "main": user.main.uid if user.main else None,
            "balances": [
                {
                    "ccy": ccy,
                    "funding": plain(funding.get(ccy, _ZERO)),
                    "trading": plain(trading.get(ccy, _ZERO)),
                }
                for ccy in sorted({*funding, *trading})
            ],
        }

    def _records(self) -> Row:
        """The deposits and withdrawals that have a step to go, and the last ones that have none."""
        books = self._books
        is_open: list[Deposit | Withdrawal] = []
        closed: list[Deposit | Withdrawal] = []
        histories: list[Any] = [*books.deposits.values(), *books.withdrawals.values()]
        for history in histories:
            for record in history.last(_LOOK_BACK):
                (is_open if states.is_open(record) else closed).append(record)
        return {
            "open": [_record(it) for it in heapq.nlargest(_OPEN, is_open, key=_serial)],
            "more_open": max(len(is_open) - _OPEN, 0),
            "closed": [_record(it) for it in heapq.nlargest(_CLOSED, closed, key=_serial)],
        }

    def _movements(self) -> list[Row]:
        return [
            {
                "kind": it.kind,
                "user": it.user_id,
                "id": it.id,
                "client_id": it.client_id,
                "ccy": it.ccy,
                "amount": plain(it.amount),
                "time": it.ts,
                "undone": it.undone,
            }
            for it in reversed(self._books.ledger.movements[-_MOVEMENTS:])
        ]

    # --- requests -------------------------------------------------------------------------------

    def _arrival(self, arrival: Arrival, number: int, lanes: dict[str, Row]) -> Row:
        return {
            "number": number,
            "at": arrival.at,
            "endpoint": arrival.endpoint,
            "user": arrival.user,
            "method": arrival.method,
            "target": arrival.target[:300],
            "status": arrival.status,
            "code": arrival.code,
            "refused": arrival.refused,
            "fault": arrival.fault,
            "reason": self._reason(arrival),
            "lanes": self._lanes_of(arrival, lanes) if arrival.counted else [],
        }

    def _reason(self, arrival: Arrival) -> str:
        """Why it was refused; empty where it wasn't."""
        if arrival.refused:
            limits = " and ".join(str(it) for it in self._limits.rules(arrival.endpoint))
            return f"above the limit of {limits}"
        if arrival.code in ("0", ""):
            return "" if arrival.status < 400 else "from in front of OKX"
        return answers.words(arrival.code) or "an error"

    def _lanes_of(self, arrival: Arrival, lanes: dict[str, Row]) -> list[str]:
        """The ids of the limits that counted the arrival, which are described in ``lanes``."""
        who = "address" if BY_NAME[arrival.endpoint].by_address else arrival.user or ""
        request = Request(arrival.method, arrival.target, {}, arrival.body, "")
        try:
            given = params.read(request)
        except answers.Refused:
            given = {}
        found = []
        for position, limit in enumerate(self._limits.rules(arrival.endpoint)):
            key = limit.key(who, given)
            lane = "|".join((arrival.endpoint, str(position), *key))
            lanes[lane] = {
                "endpoint": arrival.endpoint,
                "limit": str(limit),
                "count": limit.count,
                "period": limit.period,
                "who": who,
                "of": " ".join(key[1:]),
            }
            found.append(lane)
        return found


def _serial(record: Deposit | Withdrawal) -> int:
    return record.serial


def _record(record: Deposit | Withdrawal) -> Row:
    step = states.next_state(record)
    is_deposit = isinstance(record, Deposit)
    return {
        "kind": "deposit" if is_deposit else "withdrawal",
        "id": str(record.serial),
        "user": record.user_id,
        "client_id": record.client_id,
        "ccy": record.ccy,
        "chain": record.chain,
        "amt": plain(record.amt),
        "time": record.ts,
        "state": record.state,
        "words": states.words(record),
        "next": step.button if step else None,
        "can_fail": not (record.credited if isinstance(record, Deposit) else record.final)
        and record.state != "12",
    }
