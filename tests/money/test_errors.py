"""The table of errors in the docs, row by row: what was sent, and whether to repeat it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import okx_funding.errors
from okx_funding.errors import OKXError
from okx_funding.money import NotDone, Unknown
from okx_funding.simulator import Fault
from tests.support import failure_of

from .world import World, convert, later, transfer, withdrawal

pytestmark = pytest.mark.looptime

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "unknown-outcome.md"
ROW = re.compile(r"^\| (`\w+Error`[^|]*) \| (yes|no) \| (yes|no|nobody knows) \| ", re.MULTILINE)
TABLE = {row[0]: row[1:] for row in ROW.findall(PAGE.read_text("utf-8"))}
REPEAT = {"yes": True, "no": False, "nobody knows": None}

Scenario = Callable[[World], Awaitable[OKXError]]


class Full:
    """A journal on a full disk."""

    async def record(self, intent: Any) -> None:
        raise OSError("no space left on the device")

    async def stamp(self, intent: Any, signed_at: int) -> None: ...

    async def settle(self, intent: Any, outcome: Any) -> None: ...

    async def open_intents(self) -> list[Any]:
        return []


async def ended(world: World, prepare: Any, *faults: Fault, **options: Any) -> OKXError:
    """The error of a submission whose POSTs meet these faults."""
    intent = await prepare(world)
    for fault in faults:
        world.fail_post(intent, fault)
    outcome = await world.client.submit(intent, check=False, **options)
    assert isinstance(outcome, NotDone | Unknown)
    return outcome.error


def refused(prepare: Any, code: str, times: int = 1) -> Scenario:
    return lambda world: ended(world, prepare, *[Fault.code(code).before_commit()] * times)


async def bad_argument(world: World) -> OKXError:
    return await failure_of(
        world.client.withdrawal(
            "USDT", "0.1", dest="4", to_addr=world.exchange.account().address, chain="USDT-ERC20"
        ),
        OKXError,
    )


async def used_client_id(world: World) -> OKXError:
    intent = await transfer(world)
    await world.client.submit(intent)
    return await failure_of(world.client.submit(intent), OKXError)


async def full_disk(world: World) -> OKXError:
    return await ended(world, transfer, journal=Full())


async def no_time(world: World) -> OKXError:
    for _ in range(2):  # two leave per second
        await world.client.submit(await transfer(world, 1))
    return await ended(world, transfer, timeout=0.1)


async def nobody_listens(world: World) -> OKXError:
    await world.exchange.stop_listening()
    return await ended(world, transfer)


async def closed(world: World) -> OKXError:
    await world.client.aclose()
    return await failure_of(world.client.submit(await transfer(world)), OKXError)


async def failed(world: World) -> OKXError:
    return await ended(world, transfer, Fault.pending(2, fails=True))


async def absent(world: World) -> OKXError:
    error: Any = await ended(world, transfer, Fault.reset().before_commit(), timeout=2)
    later(16 * 60)
    outcome = await world.client.resolve(error.intent)
    assert isinstance(outcome, NotDone)
    return outcome.error


async def lost(world: World) -> OKXError:
    return await ended(world, withdrawal, Fault.reset().before_commit(), timeout=2)


async def reused(world: World) -> OKXError:
    intent = await transfer(world)
    world.fail_post(intent, Fault.reset())
    world.fail_look_up(intent, Fault.other_amount())
    return await failure_of(world.client.submit(intent), OKXError)


SCENARIOS: dict[str, Scenario] = {
    "`InvalidArgumentError`": bad_argument,
    "`InvalidArgumentError` of a used client id": used_client_id,
    "`JournalError`": full_disk,
    "`DeadlineExceededError`": no_time,
    "`ConnectError`": nobody_listens,
    "`ClientClosedError`": closed,
    "`InsufficientFundsError`": refused(withdrawal, "58350"),
    "`AddressNotAllowedError`": refused(withdrawal, "58207"),
    "`QuotaExceededError`": refused(withdrawal, "58201"),
    "`ChainSuspendedError`": refused(withdrawal, "58214"),
    "`QuoteExpiredError`": refused(convert, "52922"),
    "`AccountRestrictedError`": refused(withdrawal, "58219"),
    "`InvalidParameterError`": refused(transfer, "51000"),
    "`AuthenticationError`": refused(transfer, "50111"),
    "`PermissionDeniedError`": refused(transfer, "50030"),
    "`RateLimitError`": refused(transfer, "50011", 2),
    "`ClockSkewError`": refused(transfer, "50102", 2),
    "`TransferFailedError`": failed,
    "`MovementAbsentError` (from `resolve`)": absent,
    "`OutcomeUnknownError`": lost,
    "`ClientIdReusedError`": reused,
}


def test_every_row_of_the_table_has_its_scenario():
    assert list(TABLE) == list(SCENARIOS)


@pytest.mark.parametrize("row", SCENARIOS)
async def test_the_table_of_errors_is_true(world: World, row: str):
    sent, repeat = TABLE[row]
    name = row.split("`")[1]

    error = await SCENARIOS[row](world)

    assert type(error) is getattr(okx_funding.errors, name)
    assert error.sent == (sent == "yes")
    assert error.repeat_is_safe is REPEAT[repeat]
    assert str(error)
