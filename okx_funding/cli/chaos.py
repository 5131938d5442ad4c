"""``okx-funding demo --chaos``: an exchange that misbehaves in every way that it knows."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from okx_funding.auth.credentials import Credentials
from okx_funding.client import FundingClient
from okx_funding.errors import OKXError
from okx_funding.scheduler.context import Policy
from okx_funding.session import Session
from okx_funding.simulator import ALL_FAULTS, SimulatedExchange

SHARE = 0.2
"""Of the requests, those that something happens to."""
BOUND = 90.0
"""Seconds after which it has failed, whatever happened."""
_SEED = 11  # with it, ten thousand callers meet every fault there is
_Row = tuple[str, str, Decimal]
_ASSETS = "get_non_tradable_assets"
_UNITS = ("BTC", "USDT", "EUR")


@dataclass(frozen=True, slots=True)
class Chaos:
    """What happened. ``problems`` is empty when every promise was kept."""

    callers: int
    users: int
    answered: int
    """Callers who got exactly the rows they asked for."""
    left: int
    """Callers who were cancelled while they waited."""
    errors: dict[str, int]
    """Callers who got an error of okx_funding, by its name."""
    requests: int
    arrived: int
    retries: int
    refused: int
    faults: dict[str, int]
    """What happened to requests, and how often."""
    kinds: int
    """How many kinds of faults the exchange knows."""
    mishaps: tuple[str, ...]
    """What else happened to the exchange meanwhile."""
    busiest_window: int
    limit: str
    slots_free: int
    slots: int
    seconds: float
    problems: tuple[str, ...]


def lines(chaos: Chaos) -> list[tuple[str, str]]:
    """The same for people: names, and what there is to say of them."""
    wrong = sum(chaos.faults.values())
    errors = ", ".join(f"{name} {times}" for name, times in chaos.errors.items())
    return [
        ("Callers", f"{chaos.callers} of {chaos.users} users, {chaos.answered} answered rightly"),
        ("Errors with a name", errors or "none"),
        ("Cancelled", str(chaos.left)),
        (
            "Requests",
            f"{chaos.requests} sent, {chaos.arrived} arrived, {chaos.retries} repeated an earlier "
            f"one, {chaos.refused} met the limit",
        ),
        (
            "Faults",
            f"{wrong} in {len(chaos.faults)} of {chaos.kinds} ways: "
            + ", ".join(f"{name} {times}" for name, times in chaos.faults.items()),
        ),
        ("Besides", "; ".join(chaos.mishaps)),
        ("Limit", f"{chaos.limit}, never more than {chaos.busiest_window} in any such time"),
        ("Slots", f"{chaos.slots_free} of {chaos.slots} are free again"),
        ("Time", f"{chaos.seconds:.1f} s"),
    ]


async def run(
    callers: int,
    currencies: int,
    *,
    seed: int = _SEED,
    progress: Callable[[int], None] | None = None,
) -> Chaos:
    """Let ``callers`` ask while the exchange misbehaves; ends within ``BOUND`` seconds.

    ``progress`` is told from time to time how many of them are done.
    """
    scene = _Scene(callers, currencies, seed)

    async def report() -> None:
        while progress is not None:
            progress(callers - scene.unanswered())
            await asyncio.sleep(0.25)

    reporting = asyncio.create_task(report())
    try:
        async with asyncio.timeout(BOUND):
            return await scene.play()
    except TimeoutError:
        raise OKXError(f"it hung: {scene.unanswered()} callers waited for {BOUND:g} s") from None
    finally:
        reporting.cancel()


@dataclass
class _Scene:
    callers: int
    currencies: int
    seed: int
    answered: int = 0
    left: int = 0
    wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    mishaps: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    accounts: dict[str, dict[str, list[_Row]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.users = [
            Credentials(f"key-{n:08d}", f"secret-{n}", f"passphrase-{n}", user_id=f"user-{n}")
            for n in range(max(1, min(40, self.callers // 50)))
        ]

    def unanswered(self) -> int:
        """Callers of whom nothing is known yet."""
        return self.callers - self.answered - self.left - self.wrong - self.errors.total()

    async def play(self) -> Chaos:
        async with (
            SimulatedExchange(
                self.users, latency=0.02, jitter=0.01, currencies=self.currencies, seed=self.seed
            ) as exchange,
            Session() as session,
        ):
            clients = [
                FundingClient(
                    user,
                    session=session,
                    base_url=exchange.base_url,
                    demo=False,
                    request_timeout=1.5,
                    max_retries=3,
                    policy=Policy(refusal_cooldown=0),
                )
                for user in self.users
            ]
            user_ids = exchange.user_ids
            exchange.chaos(SHARE, ALL_FAULTS, seed=self.seed)
            began = time.perf_counter()
            director = asyncio.create_task(self._direct(exchange))
            await asyncio.gather(
                *(self._ask_units(client) for client in clients),
                *(
                    self._call(exchange, clients[n % len(clients)], user_ids[n % len(clients)])
                    for n in range(self.callers)
                ),
            )
            await director
            seconds = time.perf_counter() - began
            exchange.calm()
            slots_free, slots = await self._settled(clients)
            return self._report(exchange, session, clients, slots_free, slots, seconds)

    # -- the callers -----------------------------------------------------------------------

    async def _call(self, exchange: SimulatedExchange, client: FundingClient, user: str) -> None:
        """One caller: comes some time, asks for a few currencies, and may lose patience."""
        chance = self.chance
        wanted = chance.sample(exchange.currencies, min(self.currencies, chance.randint(1, 3)))
        come, patience = chance.random() * 3, chance.random() * 2
        impatient = chance.random() < 0.05
        await asyncio.sleep(come)
        try:
            async with asyncio.timeout(patience if impatient else None):
                rows = await client.get_non_tradable_assets(ccy=wanted)
        except OKXError as error:
            self.errors[type(error).__name__] += 1
        except TimeoutError:
            self.left += 1
        else:
            owned = self._owned(exchange, user)
            expected = [row for ccy in wanted for row in owned[ccy]]
            if [(row.ccy, row.chain, row.bal) for row in rows] == expected:
                self.answered += 1
            else:
                self.wrong += 1

    def _owned(self, exchange: SimulatedExchange, user: str) -> dict[str, list[_Row]]:
        """What a user's answers have to say, by currency."""
        if user not in self.accounts:
            mine = self.accounts[user] = {}
            for row in exchange.account(user).assets:
                entry = (row["ccy"], row["chain"], Decimal(row["bal"]))
                mine.setdefault(row["ccy"], []).append(entry)
        return self.accounts[user]

    async def _ask_units(self, client: FundingClient) -> None:
        for unit in _UNITS:
            with contextlib.suppress(OKXError):
                if (await client.get_asset_valuation(unit)).ccy != unit:
                    self.problems.append("a valuation came in another unit than it was asked for")

    # -- the exchange ----------------------------------------------------------------------

    async def _direct(self, exchange: SimulatedExchange) -> None:
        """What happens to an exchange in its life, beside the faults of single requests."""

        async def spend() -> None:
            for user in exchange.user_ids[::4]:
                exchange.spend(_ASSETS, user, 3)

        async def restart() -> None:
            await exchange.stop_listening()
            await asyncio.sleep(0.3)
            await exchange.resume()

        async def outage() -> None:
            exchange.outage = True
            await asyncio.sleep(0.1)
            exchange.outage = False

        async def drop() -> None:
            exchange.drop_connections()

        async def skew() -> None:
            exchange.clock_skew = 90.0

        for what, do in (
            ("another program spent the limit of every fourth user", spend),
            ("all connections were dropped", drop),
            ("the exchange's clock went 90 s ahead", skew),
            ("everything was answered with 503 for 0.1 s", outage),
            ("nobody listened for 0.3 s", restart),
        ):
            await asyncio.sleep(0.5)
            await do()
            self.mishaps.append(what)

    # -- the end ---------------------------------------------------------------------------

    async def _settled(self, clients: Sequence[FundingClient]) -> tuple[int, int]:
        """Slots that are free, and all there are, as soon as they are the same."""
        for _ in range(200):
            buckets = [bucket for client in clients for bucket in client.statistics().buckets]
            free, slots = sum(it.slots_free for it in buckets), sum(it.count for it in buckets)
            if free == slots:
                break
            await asyncio.sleep(0.1)
        return free, slots

    def _report(
        self,
        exchange: SimulatedExchange,
        session: Session,
        clients: Sequence[FundingClient],
        slots_free: int,
        slots: int,
        seconds: float,
    ) -> Chaos:
        complain = self.problems.append
        statistics = session.statistics()
        busiest = sent = arrived_in_all = 0
        for user, client in zip(exchange.user_ids, clients, strict=True):
            busiest = max(busiest, exchange.busiest_window(_ASSETS, user))
            for it in client.statistics().buckets:
                arrived = len(exchange.requests(it.endpoint, user))
                sent, arrived_in_all = sent + it.requests_sent, arrived_in_all + arrived
                if arrived > it.requests_sent:
                    complain(f"{arrived} requests arrived where {it.requests_sent} were sent")
                if exchange.busiest_window(it.endpoint, user) > it.count:
                    complain(f"more than {it.count} requests arrived within {it.period:g} s")
        if self.unanswered():
            complain(f"{self.unanswered()} callers heard nothing")
        if statistics.waiting:
            complain(f"{statistics.waiting} calls still wait")
        if self.wrong:
            complain(f"{self.wrong} callers got other rows than they asked for")
        if slots_free != slots:
            complain(f"{slots - slots_free} slots are missing")
        if self.callers and not self.answered:
            complain("nobody was answered")
        faults = Counter(arrival.fault for arrival in exchange.log if arrival.fault is not None)
        return Chaos(
            callers=self.callers,
            users=len(self.users),
            answered=self.answered,
            left=self.left,
            errors=dict(self.errors.most_common()),
            requests=sent,
            arrived=arrived_in_all,
            retries=statistics.retries,
            refused=statistics.refused,
            faults=dict(faults.most_common()),
            kinds=len(ALL_FAULTS),
            mishaps=tuple(self.mishaps),
            busiest_window=busiest,
            limit=str(exchange.limit(_ASSETS)),
            slots_free=slots_free,
            slots=slots,
            seconds=seconds,
            problems=tuple(self.problems),
        )
