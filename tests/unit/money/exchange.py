"""An exchange in memory that counts movements, behind the money protocol's port.

Everything is scripted: what becomes of the n-th POST, how look-ups fail, how late a movement shows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from okx_funding.api.table import ENDPOINTS
from okx_funding.errors import (
    APIError,
    ClockSkewError,
    ConnectError,
    DeadlineExceededError,
    DecodeError,
    HTTPStatusError,
    OKXError,
    ProtocolError,
    RateLimitError,
    RequestTimeoutError,
)
from okx_funding.money import Account, Answer, BeforeSend, Money, MoneyProtocol

EPOCH = 1_700_000_000.0
HANDLES = {"convert_trade": "clTReqId", "buy_sell_trade": "clOrdId"}
REQUEST_TIMEOUT = 10.0

Script = Callable[["Request"], Awaitable[Answer]]


def okx_error(code: str, http_status: int = 200) -> APIError:
    kind = {"50011": RateLimitError, "58102": RateLimitError, "50102": ClockSkewError}
    return kind.get(code, APIError)(code, "as scripted", http_status, "POST somewhere")


@dataclass
class Movement:
    """Money that moved, or is about to."""

    endpoint: str
    ident: str
    body: dict[str, Any]
    at: float
    visible_at: float
    states: list[str]
    """What its look-ups say, one after the other; the last one stays."""
    signed_at: int

    @property
    def handle(self) -> str:
        return str(self.body.get(HANDLES.get(self.endpoint, "clientId"), ""))

    def state(self) -> str:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


@dataclass
class Request:
    """One POST as it arrived."""

    exchange: Exchange
    endpoint: str
    body: dict[str, Any]
    signed_at: int

    def commit(self) -> Movement:
        return self.exchange.move(self)

    def accepted(self, movement: Movement, **changes: Any) -> Answer:
        return Answer(200, [self.exchange.post_row(movement, **changes)])


@dataclass
class Exchange:
    """Holds what moved."""

    scripts: deque[Script] = field(default_factory=deque)
    """What becomes of the next POSTs; then they are accepted."""
    read_faults: deque[OKXError] = field(default_factory=deque)
    """How the next look-ups fail."""
    movements: list[Movement] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    reads: list[tuple[float, str, dict[str, str]]] = field(default_factory=list)
    states: dict[str, list[str]] = field(default_factory=dict)
    """The states of the next movements, by endpoint."""
    visible_after: float = 0.0
    tables: dict[str, list[Any]] = field(default_factory=dict)
    """Rows of currencies, balances and so on, by endpoint."""
    now: Callable[[], float] = field(
        default_factory=lambda: lambda: EPOCH + asyncio.get_running_loop().time()
    )
    bills: bool = True

    def move(self, request: Request) -> Movement:
        at = self.now()
        states = {
            "funds_transfer": ["success"],
            "subaccount_transfer": ["success"],
            "withdrawal": ["0"],
            "convert_trade": ["fullyFilled"],
            "create_fiat_withdrawal": ["processing"],
            "buy_sell_trade": ["completed"],
        }[request.endpoint]
        movement = Movement(
            request.endpoint,
            str(1000 + len(self.movements)),
            request.body,
            at,
            at + self.visible_after,
            list(self.states.get(request.endpoint, states)),
            request.signed_at,
        )
        self.movements.append(movement)
        return movement

    def post_row(self, movement: Movement, **changes: Any) -> Any:
        return self._row(movement.endpoint, movement, changes)

    def _row(self, endpoint: str, movement: Movement, changes: Mapping[str, Any]) -> Any:
        body = movement.body
        values: dict[str, Any] = {
            "trans_id": movement.ident,
            "wd_id": movement.ident,
            "ord_id": movement.ident,
            "trade_id": movement.ident,
            "client_id": movement.handle,
            "cl_t_req_id": movement.handle,
            "cl_ord_id": movement.handle,
            "ccy": body.get("ccy", ""),
            "amt": Decimal(body.get("amt", "0")),
            "from_": body.get("from", ""),
            "to": body.get("to", ""),
            "type": body.get("type", ""),
            "chain": body.get("chain", ""),
            "ts": round(movement.at * 1000),
            "c_time": round(movement.at * 1000),
            "side": body.get("side", ""),
            "from_ccy": body.get("fromCcy", ""),
            "to_ccy": body.get("toCcy", ""),
            "rfq_amt": Decimal(body.get("rfqAmt", "0")),
            "rfq_ccy": body.get("rfqCcy", ""),
            "base_ccy": body.get("baseCcy", ""),
            "quote_ccy": body.get("quoteCcy", ""),
            "fill_quote_sz": Decimal(body.get("sz", "0")),
            "fill_base_sz": Decimal("0.001"),
            "payment_acct_id": body.get("paymentAcctId", ""),
            "payment_method": body.get("paymentMethod", ""),
        }
        if endpoint not in ("funds_transfer", "withdrawal", "subaccount_transfer"):
            values["state"] = movement.state()
        if endpoint in ("convert_trade", "buy_sell_trade"):
            values["quote_id"] = body["quoteId"]
        values.update(changes)
        row = ENDPOINTS[endpoint].row
        return row(**{name: values[name] for name in row.__struct_fields__ if name in values})

    def read(self, endpoint: str, params: Mapping[str, str]) -> Sequence[Any]:
        self.reads.append((self.now(), endpoint, dict(params)))
        if endpoint in self.tables:
            return [row for row in self.tables[endpoint] if row.ccy == params.get("ccy")]
        if self.read_faults:
            raise self.read_faults.popleft()
        shown = [each for each in self.movements if each.visible_at <= self.now()]
        rows: Sequence[Any] = getattr(self, f"_{endpoint}")(shown, params)
        return rows

    def _transfer_state(self, shown: list[Movement], params: Mapping[str, str]) -> Sequence[Any]:
        for each in shown:
            mine = params.get("clientId") == each.handle or params.get("transId") == each.ident
            same_type = params.get("type", "0") == each.body.get("type", "0")
            if "transfer" in each.endpoint and mine and same_type:
                return [self._row("transfer_state", each, {})]
        raise okx_error("58129")

    def _get_withdrawal_history(
        self, shown: list[Movement], params: Mapping[str, str]
    ) -> Sequence[Any]:
        return [
            self._row("get_withdrawal_history", each, {})
            for each in shown
            if each.endpoint == "withdrawal" and each.handle == params["clientId"]
        ]

    def _get_convert_history(
        self, shown: list[Movement], params: Mapping[str, str]
    ) -> Sequence[Any]:
        return [
            self._row("get_convert_history", each, {})
            for each in shown
            if each.endpoint == "convert_trade"
            and each.handle == params["clTReqId"]
            and each.body.get("tag") == params.get("tag")
        ]

    def _get_buy_sell_history(
        self, shown: list[Movement], params: Mapping[str, str]
    ) -> Sequence[Any]:
        return [
            self._row("get_buy_sell_history", each, {})
            for each in shown
            if each.endpoint == "buy_sell_trade" and each.handle == params["clOrdId"]
        ]

    def _get_fiat_withdrawal_history(
        self, shown: list[Movement], params: Mapping[str, str]
    ) -> Sequence[Any]:
        rows = [
            self._row("get_fiat_withdrawal_history", each, {})
            for each in shown
            if each.endpoint == "create_fiat_withdrawal"
        ]
        begin, end = int(params["after"]), int(params.get("before", 10**15))
        rows = [row for row in rows if begin <= row.c_time <= end]
        return sorted(rows, key=lambda row: -row.c_time)[:100]

    def _get_bills(self, shown: list[Movement], params: Mapping[str, str]) -> Sequence[Any]:
        bill = ENDPOINTS["get_bills"].row
        return [
            bill(ts=0, bill_id="1", ccy="USDT", bal_chg=Decimal(-1), type="131", client_id=handle)
            for handle in [each.handle for each in self.movements]
            if self.bills and handle == params["clientId"]
        ]

    _get_bills_history = _get_bills

    def of(self, client_id: str) -> list[Movement]:
        """What moved under a client id."""
        return [each for each in self.movements if each.handle == client_id]


class Port:
    """One client's way to the exchange."""

    def __init__(
        self,
        exchange: Exchange,
        name: str = "user-1",
        *,
        host: str = "https://exchange.test",
        skew: float = 0.0,
        read_only: bool = False,
        learns: frozenset[str] = frozenset(),
    ) -> None:
        self.exchange = exchange
        self.owner = Account(name, host)
        self.names = frozenset({name})
        self.read_only = read_only
        self.skew = skew
        self.learned = 0
        self.slot: asyncio.Event | None = None
        """Nobody gets a slot before it is set."""
        self.latency = 0.001
        self._learns = learns
        self._lanes: dict[str, asyncio.Lock] = {}

    def now(self) -> float:
        return self.exchange.now() + self.skew

    async def learn_clock(self, timeout: float) -> None:
        await asyncio.sleep(self.latency)
        self.skew = 0.0
        self.learned += 1

    async def learn_names(self, timeout: float) -> None:
        await asyncio.sleep(self.latency)
        self.names |= self._learns

    async def post_once(
        self,
        endpoint: str,
        body: Mapping[str, Any],
        *,
        lane: str,
        timeout: float,
        before_send: BeforeSend,
    ) -> Answer:
        sent = False
        try:
            async with asyncio.timeout(timeout):
                async with self._lanes.setdefault(lane, asyncio.Lock()):
                    if self.slot is not None:
                        await self.slot.wait()
                    signed_at = round(self.now() * 1000)
                    await before_send(signed_at)
                    sent = True
                    async with asyncio.timeout(REQUEST_TIMEOUT):
                        await asyncio.sleep(self.latency)
                        request = Request(self.exchange, endpoint, dict(body), signed_at)
                        self.exchange.requests.append(request)
                        scripts = self.exchange.scripts
                        answer = await (scripts.popleft() if scripts else accept)(request)
                        await asyncio.sleep(self.latency)
                        return answer
        except TimeoutError as error:
            if isinstance(error, OKXError):
                raise
            if sent:
                raise RequestTimeoutError("no answer in time") from None
            raise DeadlineExceededError("no slot in time") from None

    async def read(
        self, endpoint: str, params: Mapping[str, str], *, timeout: float
    ) -> Sequence[Any]:
        await asyncio.sleep(self.latency)
        return self.exchange.read(endpoint, params)


class Client(Money):
    """The money methods alone, on a port."""

    def __init__(self, port: Port, **options: Any) -> None:
        self.port = port
        self.protocol = MoneyProtocol(port, **options)

    def _money(self) -> MoneyProtocol:
        return self.protocol


# -- what may become of a POST ----------------------------------------------------------------


async def accept(request: Request) -> Answer:
    if abs(request.exchange.now() - request.signed_at / 1000) > 30:
        return Answer(401, error=okx_error("50102", 401))
    return request.accepted(request.commit())


def refuses(code: str, http_status: int = 200) -> Script:
    async def script(request: Request) -> Answer:
        return Answer(http_status, error=okx_error(code, http_status))

    return script


def commits_then(script: Script) -> Script:
    async def both(request: Request) -> Answer:
        request.commit()
        return await script(request)

    return both


def commits_and(change: Callable[[Movement], None]) -> Script:
    """Its answer gets lost, and something else happens to what moved."""

    async def script(request: Request) -> Answer:
        change(request.commit())
        raise ProtocolError("the connection broke")

    return script


def fails(error: OKXError) -> Script:
    async def script(request: Request) -> Answer:
        raise error

    return script


async def resets(request: Request) -> Answer:
    raise ProtocolError("the connection broke")


async def hangs(request: Request) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


async def gateway_page(request: Request) -> Answer:
    raise HTTPStatusError("HTML", http_status=504, endpoint=request.endpoint)


async def cut(request: Request) -> Answer:
    raise DecodeError("cut short")


async def refuses_connection(request: Request) -> Answer:
    raise ConnectError("connection refused")


async def no_rows(request: Request) -> Answer:
    return Answer(200, [])


async def without_id(request: Request) -> Answer:
    empty = {"trans_id": "", "wd_id": "", "ord_id": "", "trade_id": ""}
    return request.accepted(request.exchange.movements[-1], **empty)


async def for_another_client_id(request: Request) -> Answer:
    other = {"client_id": "other", "cl_t_req_id": "other", "cl_ord_id": "other"}
    return request.accepted(request.exchange.movements[-1], **other)


def commits_after(seconds: float) -> Script:
    """The request is on its way for so long, and its answer gets lost."""

    async def script(request: Request) -> Answer:
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, _arrive, request)
        raise ProtocolError("the connection broke")

    return script


def _arrive(request: Request) -> None:
    if request.exchange.now() - request.signed_at / 1000 <= 30:
        request.commit()
