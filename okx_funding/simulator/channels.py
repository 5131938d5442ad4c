"""The WebSocket service at ``/ws/v5/business``: login, channels, pushes, and how it fails.

https://www.okx.com/docs-v5/en/#overview-websocket-login
https://www.okx.com/docs-v5/en/#funding-account-websocket-deposit-info-channel
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from .auth import MAX_SKEW, signature
from .books import Books
from .counting import SlidingLog
from .messages import CLOSE_REASONS, ERRORS, NOTICE_TEXT, push_row, to_json
from .records import Deposit, Row, Withdrawal
from .websocket import WebSocket

PATHS = ("/ws/v5/business", "/ws/v5/private", "/ws/v5/public")
BUSINESS = PATHS[0]
CHANNELS: dict[str, type[Deposit | Withdrawal]] = {
    "deposit-info": Deposit,
    "withdrawal-info": Withdrawal,
}
SILENCE = 30.0
"""Seconds after which a connection is closed on which nothing was pushed or answered."""
NOTICE = 60.0
"""Seconds from the notice 64008 to the end of the connection."""
_CONNECTS_PER_SECOND = 3
_REQUESTS_PER_HOUR = 480
_LOGIN_TEXT = "GET/users/self/verify"


@dataclass(slots=True)
class Peer:
    """What the exchange knows of one connection."""

    path: str
    conn_id: str
    uid: str | None = None
    api_key: str = field(default="", repr=False)
    subscribed: set[tuple[str, str]] = field(default_factory=set)
    active: float = 0.0
    requests: SlidingLog = field(
        default_factory=lambda: SlidingLog(_REQUESTS_PER_HOUR, 3600.0), repr=False
    )


class WebSockets:
    """All WebSocket connections of a simulated exchange: ``exchange.websockets``.

    Settings that may be changed at any time:

    * ``push_delay``: seconds by which pushes come late.
    * ``doubled``: send each push twice.
    * ``lost_share``: the share of pushes that never comes, from 0 to 1.
    * ``refuse_status``: an HTTP status that refuses new connections; None lets them in.
    * ``login_errors``: codes that the next logins are answered with, such as "60009".
    * ``subscribe_errors``: the same for subscriptions.

    ``connects`` has the times of the loop's clock at which connections were asked for, and
    ``refused`` counts those that came too fast: at most 3 a second from one address.
    """

    def __init__(self, books: Books, seed: int) -> None:
        self.push_delay: float = 0.0
        self.doubled: bool = False
        self.lost_share: float = 0.0
        self.refuse_status: int | None = None
        self.login_errors: deque[str] = deque()
        self.subscribe_errors: deque[str] = deque()
        self.connects: list[float] = []
        self.refused: int = 0
        self.pushes: int = 0
        self._books = books
        self._open: dict[WebSocket, Peer] = {}
        self._by_address: dict[str, SlidingLog] = {}
        self._chance = random.Random(f"{seed}/websockets")
        self._loop: asyncio.AbstractEventLoop | None = None
        books.on_change.append(self._changed)

    def __repr__(self) -> str:
        return f"<WebSockets {len(self._open)} open, {self.pushes} pushes>"

    def __len__(self) -> int:
        return len(self._open)

    # --- what tests do --------------------------------------------------------------------------

    @property
    def open(self) -> list[WebSocket]:
        """The connections that are open, the oldest first."""
        return list(self._open)

    @property
    def peers(self) -> list[Peer]:
        """What is known of each: path, user id, subscriptions."""
        return list(self._open.values())

    def drop(self, code: int | None = None) -> None:
        """End all connections: without a word (1006), or with one of OKX's close codes."""
        for socket in self.open:
            if code is None:
                self._in_loop(socket.abort)
            else:
                self._in_loop(lambda socket=socket: socket.close(code, CLOSE_REASONS.get(code, "")))

    def freeze(self) -> None:
        """Let all connections stay open with nothing heard or said any more: half-dead."""
        for socket in self.open:
            socket.frozen = True

    def notice(self, close_after: float = NOTICE) -> None:
        """Send the notice 64008 now, and end the connections that have heard it a while later."""
        told = self.open
        for socket in told:
            row = {"event": "notice", "code": "64008", "msg": NOTICE_TEXT}
            row["connId"] = self._open[socket].conn_id
            self._in_loop(lambda socket=socket, row=row: socket.send(to_json(row)))

        def end() -> None:
            for socket in told:
                socket.abort()

        self._books.agenda.after(close_after, lambda: self._in_loop(end))

    def key_removed(self, api_key: str) -> None:
        """Close the connections of a key that was deleted or changed (4007)."""
        for socket, peer in list(self._open.items()):
            if peer.api_key == api_key:
                self._in_loop(lambda socket=socket: socket.close(4007, CLOSE_REASONS[4007]))

    # --- what the server does -------------------------------------------------------------------

    def run_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Push within this loop; None pushes nothing."""
        self._loop = loop

    def admit(self, address: str, now: float) -> int | None:
        """The HTTP status that refuses a new connection from an address; None lets it in."""
        self.connects.append(now)
        log = self._by_address.setdefault(address, SlidingLog(_CONNECTS_PER_SECOND, 1.0))
        if not log.admit(now):
            self.refused += 1
            return 429
        return self.refuse_status

    def accept(self, peer: str, path: str) -> WebSocket:
        """A connection that is about to open."""
        socket = WebSocket(self, peer)
        socket.data = Peer(path, f"{self._chance.getrandbits(32):08x}")
        return socket

    def opened(self, socket: WebSocket) -> None:
        """A connection has opened."""
        self._open[socket] = socket.data
        self._touch(socket.data)
        self._watch(socket)

    def lost(self, socket: WebSocket) -> None:
        """A connection is gone."""
        self._open.pop(socket, None)

    def received(self, socket: WebSocket, text: str) -> None:
        """Answer a message of a client."""
        peer = self._open[socket]
        if text == "ping":
            self._touch(peer)
            socket.send("pong")
            return
        try:
            message = json.loads(text)
            op, args, id_ = message["op"], message["args"], message.get("id")
            assert isinstance(args, list)
            assert args
            assert all(isinstance(arg, dict) for arg in args)
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
            self._error(socket, "60012", text=text)
            return
        if op not in ("login", "subscribe", "unsubscribe"):
            self._error(socket, "60012", text=text, id_=id_)
        elif not peer.requests.admit(self._now()):
            self._error(socket, "60014", id_=id_)
        elif op == "login":
            self._login(socket, peer, args[0])
        else:
            for arg in args:
                self._subscribe(socket, peer, op, arg, id_)

    def _login(self, socket: WebSocket, peer: Peer, arg: Row) -> None:
        code = self.login_errors.popleft() if self.login_errors else self._login_refusal(peer, arg)
        if code is None:
            peer.api_key = str(arg["apiKey"])
            peer.uid = self._books.users.keys[peer.api_key].user_id
            self._touch(peer)
            row = {"event": "login", "code": "0", "msg": "", "connId": peer.conn_id}
            socket.send(to_json(row))
            return
        self._error(socket, code)
        if code not in ("60031", "63999"):
            socket.close(4001, CLOSE_REASONS[4001])

    def _login_refusal(self, peer: Peer, arg: Row) -> str | None:
        if peer.uid is not None:
            return "60031"
        timestamp = str(arg.get("timestamp", ""))
        key = self._books.users.keys.get(str(arg.get("apiKey", "")))
        if not (timestamp.isascii() and timestamp.isdigit()):
            return "60004"
        if abs(self._books.clock.wall() - int(timestamp)) > MAX_SKEW:
            return "60006"
        if key is None:
            return "60005"
        if arg.get("passphrase") != key.passphrase:
            return "60024"
        if arg.get("sign") != signature(key.secret_key, timestamp, _LOGIN_TEXT, "", b""):
            return "60007"
        return None

    def _subscribe(self, socket: WebSocket, peer: Peer, op: str, arg: Row, id_: str | None) -> None:
        channel, ccy = str(arg.get("channel", "")), str(arg.get("ccy", ""))
        if op == "subscribe" and self.subscribe_errors:
            self._error(socket, self.subscribe_errors.popleft(), text=channel, id_=id_)
            return
        if channel not in CHANNELS or peer.path != BUSINESS:
            self._error(socket, "60018", text=f"channel:{channel}", id_=id_)
            return
        if peer.uid is None:
            self._error(socket, "60011", id_=id_)
            return
        change = peer.subscribed.add if op == "subscribe" else peer.subscribed.discard
        change((channel, ccy))
        self._touch(peer)
        echo = {"channel": channel} | ({"ccy": ccy} if ccy else {})
        answer = {"id": id_} if id_ is not None else {}
        answer |= {"event": op, "arg": echo, "connId": peer.conn_id}  # type: ignore[dict-item]
        socket.send(to_json(answer))

    def _error(
        self, socket: WebSocket, code: str, *, text: str = "", id_: str | None = None
    ) -> None:
        peer = self._open[socket]
        row = {"id": id_} if id_ is not None else {}
        msg = ERRORS.get(code, "Operation failed.").replace("{text}", text)
        row |= {"event": "error", "code": code, "msg": msg, "connId": peer.conn_id}
        socket.send(to_json(row))

    # --- pushes ---------------------------------------------------------------------------------

    def _changed(self, record: Deposit | Withdrawal) -> None:
        """Push the record as it is at this moment to whoever has subscribed to it."""
        if self._loop is None or not self._open:
            return
        user = self._books.users.by_uid[record.user_id]
        row = push_row(record, user.name, self._books.clock.stamp())
        channel = next(name for name, kind in CHANNELS.items() if isinstance(record, kind))
        receivers = {user.uid} | ({user.main.uid} if user.main else set())
        self._in_loop(lambda: self._push(channel, row, receivers))

    def _push(self, channel: str, row: Row, receivers: set[str]) -> None:
        for socket, peer in list(self._open.items()):
            if peer.uid not in receivers:
                continue
            for ccy in sorted({ccy for name, ccy in peer.subscribed if name == channel}):
                if ccy not in ("", row["ccy"]):
                    continue
                arg = {"channel": channel} | ({"ccy": ccy} if ccy else {}) | {"uid": peer.uid}
                self._deliver(socket, to_json({"arg": arg, "data": [row]}))

    def _deliver(self, socket: WebSocket, text: str) -> None:
        if self.lost_share and self._chance.random() < self.lost_share:
            return
        for _ in range(1 + self.doubled):
            self.pushes += 1
            if self.push_delay and self._loop is not None:
                self._loop.call_later(self.push_delay, self._send, socket, text)
            else:
                self._send(socket, text)

    def _send(self, socket: WebSocket, text: str) -> None:
        if socket in self._open:
            self._touch(self._open[socket])
            socket.send(text)

    # --- silence --------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._loop.time() if self._loop is not None else 0.0

    def _touch(self, peer: Peer) -> None:
        peer.active = self._now()

    def _watch(self, socket: WebSocket) -> None:
        """Close the connection when nothing has been said on it for too long."""
        peer = self._open.get(socket)
        if peer is None or self._loop is None or socket.frozen:
            return
        rest = peer.active + SILENCE - self._now()
        if rest <= 0:
            socket.close(4004, CLOSE_REASONS[4004])
        else:
            self._loop.call_later(rest, self._watch, socket)

    def _in_loop(self, step: Any) -> None:
        """Tests may call from another thread; a transport must not be written to from there."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(step)
