"""The journal in a file, with the real client: in real time, for it has a thread of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from okx_funding import Credentials, FundingClient
from okx_funding.money import Intent, Outcome, SQLiteJournal, client_id_for
from okx_funding.simulator import SimulatedExchange, in_thread

from .world import at_bank, unlimited, withdrawal

PAYER = """
import asyncio, sys
from okx_funding import Credentials, FundingClient
from okx_funding.errors import InvalidArgumentError
from okx_funding.money import SQLiteJournal, client_id_for

async def main(url, address, path):
    credentials = Credentials("key-of-two-payers", "secret", "phrase", user_id="4712")
    async with FundingClient(credentials, base_url=url, journal=SQLiteJournal(path)) as client:
        for number in range(8):
            try:
                await client.withdrawal(
                    "USDT", 10, dest="4", to_addr=address, chain="USDT-ERC20", check=False,
                    client_id=client_id_for(f"payout-{number}"),
                )
            except InvalidArgumentError as error:
                assert error.intent is not None and error.outcome is not None
                print("refused", flush=True)
            else:
                print("paid", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


class Watched(SQLiteJournal):
    """Tells which of its methods are called."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.called: list[str] = []

    async def record(self, intent: Intent) -> None:
        self.called.append("record")
        await super().record(intent)

    async def stamp(self, intent: Intent, signed_at: int) -> None:
        self.called.append("stamp")
        await super().stamp(intent, signed_at)

    async def settle(self, intent: Intent, outcome: Outcome) -> None:
        self.called.append("settle")
        await super().settle(intent, outcome)

    async def open_intents(self) -> list[Intent]:
        self.called.append("open_intents")
        return await super().open_intents()

    async def aclose(self) -> None:
        self.called.append("aclose")
        await super().aclose()


async def test_the_methods_of_a_subclass_are_called_on_the_way(tmp_path: Path):
    journal = Watched(tmp_path / "money.db")
    assert not journal.path.exists()
    async with at_bank(journal=journal) as world:
        await world.client.submit(await withdrawal(world))
        assert [outcome async for _, outcome in world.client.recover()] == []

    assert journal.called == ["record", "stamp", "settle", "open_intents", "aclose"]


def everything_in(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.iterdir())


async def test_a_client_id_stands_readable_in_the_file_before_the_answer_comes(tmp_path: Path):
    path = tmp_path / "money.db"
    async with at_bank(journal=SQLiteJournal(path)) as world:
        intent = await withdrawal(world)
        await world.client.submit(intent)
        found = await asyncio.to_thread(everything_in, tmp_path)

    assert intent.client_id.encode() in found


async def test_the_last_client_closes_the_journal_and_another_may_use_it_again(tmp_path: Path):
    journal = Watched(tmp_path / "money.db")
    async with at_bank(journal=journal) as world:
        other = FundingClient(
            world.exchange.credentials, base_url=world.exchange.base_url, journal=journal
        )
        await world.client.submit(await withdrawal(world))
        await other.submit(await withdrawal(world))
        await other.aclose()
        assert "aclose" not in journal.called
        await world.client.aclose()
        assert journal.called.count("aclose") == 1

        async with FundingClient(
            world.exchange.credentials, base_url=world.exchange.base_url, journal=journal
        ) as third:
            await third.submit(await withdrawal(world))
        assert len(world.exchange.movements) == 3
    assert journal.called.count("aclose") == 2


def test_two_processes_with_the_same_client_ids_and_journal_pay_once(tmp_path: Path):
    credentials = Credentials("key-of-two-payers", "secret", "phrase", user_id="4712")
    with in_thread(SimulatedExchange([credentials], judge=unlimited)) as exchange:
        arguments = [exchange.base_url, exchange.account().address, str(tmp_path / "money.db")]
        payers = [
            subprocess.Popen(
                [sys.executable, "-c", PAYER, *arguments], stdout=subprocess.PIPE, text=True,
                cwd=Path(__file__).parents[2],
            )
            for _ in range(2)
        ]  # fmt: skip
        first, second = [payer.communicate(timeout=50)[0].split() for payer in payers]
        moved = [each.client_id for each in exchange.movements]

    assert len(first) == len(second) == 8
    assert all({a, b} == {"paid", "refused"} for a, b in zip(first, second, strict=True))
    assert sorted(moved) == sorted(client_id_for(f"payout-{number}") for number in range(8))
