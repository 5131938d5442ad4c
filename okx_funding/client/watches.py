"""The methods of a client that tell of deposits and withdrawals as they happen."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Hashable
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeVar, cast, overload

import msgspec

from okx_funding.api.deposits import Deposit, Deposits
from okx_funding.api.params import count, currency, optional
from okx_funding.api.withdrawals import Withdrawal, Withdrawals
from okx_funding.errors import ClientClosedError, DecodeError, InvalidArgumentError
from okx_funding.scheduler.push import Listener
from okx_funding.wire.codec import codec_of

from .calls import Asking, Calls
from .watch import Gap, Source, Watch

BACKGROUND = -20
"""Priority of the reads that fill a gap: whoever asks for something goes first."""

_DEPOSIT_FINAL = frozenset({"2"})
_WITHDRAWAL_FINAL = frozenset({"-2", "-1", "2"})

R = TypeVar("R", bound=Any)


class Watches(Deposits, Withdrawals, Asking):
    """The methods that tell what happens."""

    __slots__ = ()

    _push_url: str | None

    @overload
    def watch_deposits(
        self,
        ccy: str | None = None,
        *,
        since: str | datetime | int | None = None,
        gaps: Literal[False] = False,
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncGenerator[Deposit, None]: ...
    @overload
    def watch_deposits(
        self,
        ccy: str | None = None,
        *,
        since: str | datetime | int | None = None,
        gaps: bool,
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncGenerator[Deposit | Gap, None]: ...
    def watch_deposits(
        self,
        ccy: str | None = None,
        *,
        since: str | datetime | int | None = None,
        gaps: bool = False,
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncGenerator[Any, None]:
        """Yield each state of each deposit as it comes, and what was missed meanwhile.

        ``async for deposit in client.watch_deposits(): ...`` doesn't end by itself. Every record
        and every final state is told once, over lost connections and, with ``since=`` the
        ``bookmark`` of the last event, over restarts; a state that came and went while nobody
        was connected can't be known. ``since`` is also a moment (an aware datetime or
        milliseconds); without it the watch begins now, and older records are told only when their
        state changes. ``details`` tells changes of confirmations and transaction id as well;
        ``gaps`` yields a `Gap` after each reconnect, for records of sub-accounts can't be read.

        Raises BacklogExceededError where more than ``max_backlog`` events wait for a slow
        consumer, and PushStoppedError where coming back can't help; both hold the ``bookmark``.

        https://www.okx.com/docs-v5/en/#funding-account-websocket-deposit-info-channel
        """
        ccy = optional(currency, "ccy", ccy)
        source: Source[Deposit] = Source(
            "deposit-info",
            _DEPOSIT_FINAL,
            identify=lambda row: row.dep_id,
            detail=lambda row: f"{row.tx_id} {row.actual_dep_blk_confirm}",
            decode=partial(_decode, Deposit),
            walk=lambda since, until: self.iter_deposit_history(
                ccy, since=since, until=until, priority=BACKGROUND
            ),
            read=lambda key: self.get_deposit_history(dep_id=key, priority=BACKGROUND),
        )
        return self._watch(source, ccy, since, gaps, details, max_backlog)

    @overload
    def watch_withdrawals(
        self,
        ccy: str | None = None,
        *,
        since: str | datetime | int | None = None,
        gaps: Literal[False] = False,
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncGenerator[Withdrawal, None]: ...
    @overload
    def watch_withdrawals(
        self,
        ccy: str | None = None,
        *,
        since: str | datetime | int | None = None,
        gaps: bool,
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncGenerator[Withdrawal | Gap, None]: ...
    def watch_withdrawals(
        self,
        ccy: str | None = None,
        *,
        since: str | datetime | int | None = None,
        gaps: bool = False,
        details: bool = False,
        max_backlog: int = 10_000,
    ) -> AsyncGenerator[Any, None]:
        """Yield each state of each withdrawal as it comes; see `watch_deposits`.

        https://www.okx.com/docs-v5/en/#funding-account-websocket-withdrawal-info-channel
        """
        ccy = optional(currency, "ccy", ccy)
        source: Source[Withdrawal] = Source(
            "withdrawal-info",
            _WITHDRAWAL_FINAL,
            identify=lambda row: row.wd_id,
            detail=lambda row: row.tx_id,
            decode=partial(_decode, Withdrawal),
            walk=lambda since, until: self.iter_withdrawal_history(
                ccy, since=since, until=until, priority=BACKGROUND
            ),
            read=lambda key: self.get_withdrawal_history(wd_id=key, priority=BACKGROUND),
        )
        return self._watch(source, ccy, since, gaps, details, max_backlog)

    def _watch(
        self,
        source: Source[R],
        ccy: str | None,
        since: str | datetime | int | None,
        gaps: bool,
        details: bool,
        max_backlog: int,
    ) -> AsyncGenerator[R | Gap, None]:
        count("max_backlog", max_backlog, 1)
        if self._push_url is None:
            raise InvalidArgumentError(
                f"OKX documents no WebSocket for {self._calls.context.origin}: give ws_url= or "
                f"OKX_WS_URL"
            )
        watch = Watch(
            source,
            partial(self._listen, self._push_url, source.channel, max_backlog),
            ServerClock(self._calls),
            ccy=ccy,
            since=since,
            gaps=gaps,
            details=details,
        )
        return watch.events()

    def _listen(self, url: str, channel: str, max_backlog: int) -> Listener:
        calls = self._calls
        push = calls.started().push(calls.context, url)
        listener = push.listen(channel, max_backlog, calls.context.observer)
        calls.listeners.add(listener)
        return listener

    def _close_watches(self) -> None:
        for listener in list(self._calls.listeners):
            listener.fail(ClientClosedError("the client was closed while it watched"))
            listener.close()


class ServerClock:
    """OKX's clock, as one client knows it."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def now(self) -> int:
        """Milliseconds since the epoch, as far as it is known."""
        return int((time.time() + self._calls.clock_offset()) * 1000)

    async def learn(self) -> None:
        """Ask OKX for it."""
        await self._calls.started().learn_clock(self._calls.context)


def _decode(row: type[R], rows: bytes) -> list[R]:
    """The rows of a push: the same structs as the history's."""
    try:
        found: list[R] = codec_of(cast(Hashable, row)).look(
            b'{"code":"0","msg":"","data":' + rows + b"}"
        )
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        problem = f"a push of {row.__name__} isn't what OKX documents: {error}"
    else:
        return found
    raise DecodeError(problem)
