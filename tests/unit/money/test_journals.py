"""The journals in SQL, against a file and against a real PostgreSQL server: one list of facts."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sqlite3
import stat
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest

from okx_funding.errors import (
    APIError,
    DeadlineExceededError,
    InvalidArgumentError,
    JournalError,
    OKXError,
    TransferFailedError,
)
from okx_funding.money import Done, NotDone, PostgresJournal, SQLiteJournal, Unknown
from okx_funding.money.journal import JournalHolds
from okx_funding.money.outcome import unknown
from okx_funding.money.stored import outcome_from_json, outcome_to_json
from tests.support import failure_of

from . import moves
from .exchange import Client, Exchange, Port

SQLJournal = SQLiteJournal | PostgresJournal

CHILD = """
import asyncio, sys
from okx_funding.money import Intent, PostgresJournal, SQLiteJournal
from okx_funding.errors import InvalidArgumentError

async def main(place, *texts):
    journal = PostgresJournal(place) if place.startswith("host=") else SQLiteJournal(place)
    for text in texts:
        try:
            await journal.record(Intent.from_json(text))
            print("accepted")
        except InvalidArgumentError as error:
            print("refused" if error.intent is not None else "?")
    await journal.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


def at(place: str) -> SQLJournal:
    return PostgresJournal(place) if place.startswith("host=") else SQLiteJournal(place)


@pytest.fixture
def client() -> Client:
    return Client(Port(Exchange(now=lambda: 1_700_000_000.0)))


@pytest.fixture
async def journal(journal_place: str) -> Any:
    journal = at(journal_place)
    yield journal
    await journal.aclose()


async def test_a_recorded_intent_is_open_and_whole(journal: SQLJournal, client: Client):
    intents = [prepare(client) for prepare in moves.ALL]
    for intent in intents:
        await journal.record(intent)

    assert await journal.open_intents() == intents


async def test_a_client_id_is_accepted_once_for_ever(journal: SQLJournal, client: Client):
    first = moves.transfer(client)
    await journal.record(first)
    await journal.stamp(first, 5)
    outcome = NotDone("never sent", DeadlineExceededError("too late"))
    await journal.settle(first.stamped(5), outcome)

    error = await failure_of(
        journal.record(moves.transfer(client, "2", client_id=first.client_id)),
        InvalidArgumentError,
    )

    assert error.intent == first
    assert error.intent is not None
    assert error.intent.signed_at == 5
    assert isinstance(error.outcome, NotDone)
    assert str(error.outcome.error) == "too late"


async def test_an_open_record_tells_a_second_one_that_the_first_is_unknown(
    journal: SQLJournal, client: Client
):
    intent = moves.transfer(client)
    await journal.record(intent)

    error = await failure_of(journal.record(intent), InvalidArgumentError)

    assert isinstance(error.outcome, Unknown)


async def test_a_stamp_is_kept_and_a_later_one_replaces_it(journal: SQLJournal, client: Client):
    intent = moves.transfer(client)
    await journal.record(intent)
    await journal.stamp(intent, 1_700_000_000_000)
    await journal.stamp(intent, 1_700_000_000_500)

    (found,) = await journal.open_intents()
    assert found.signed_at == 1_700_000_000_500


async def test_a_closed_record_takes_no_stamp(journal: SQLJournal, client: Client):
    intent = moves.transfer(client)
    await journal.record(intent)
    await journal.settle(intent, NotDone("never sent", OKXError("gone")))

    await failure_of(journal.stamp(intent, 1), JournalError)


async def test_an_unknown_client_id_takes_no_stamp(journal: SQLJournal, client: Client):
    await failure_of(journal.stamp(moves.transfer(client), 1), JournalError)


async def test_a_record_stamped_meanwhile_is_not_closed_as_never_sent(
    journal: SQLJournal, client: Client
):
    intent = moves.transfer(client)
    await journal.record(intent)
    await journal.stamp(intent, 7)

    await failure_of(journal.settle(intent, NotDone("never sent", OKXError("gone"))), JournalError)

    assert len(await journal.open_intents()) == 1


async def test_done_closes_whatever_was_known(journal: SQLJournal, client: Client):
    intent = moves.transfer(client)
    await journal.record(intent)
    await journal.stamp(intent, 7)
    done = await client_row(client)
    await journal.settle(intent, done)

    record = await journal.find(intent.client_id)
    assert record is not None
    assert record.outcome == done
    assert await journal.open_intents() == []


async def client_row(client: Client) -> Done[Any]:
    outcome = await client.submit(moves.transfer(client))
    assert isinstance(outcome, Done)
    return outcome


async def test_unknown_leaves_a_record_open(journal: SQLJournal, client: Client):
    intent = moves.transfer(client)
    await journal.record(intent)
    await journal.settle(intent, unknown(intent, "who knows"))

    assert await journal.open_intents() == [intent]


async def test_stamping_and_closing_at_once_agree(journal_place: str, client: Client):
    """Of a stamp and a close as never sent exactly one succeeds."""
    one, other = at(journal_place), at(journal_place)
    for _ in range(20):
        intent = moves.transfer(client)
        await one.record(intent)
        results = await asyncio.gather(
            one.stamp(intent, 7),
            other.settle(intent, NotDone("never sent", OKXError("gone"))),
            return_exceptions=True,
        )
        assert sum(isinstance(each, JournalError) for each in results) == 1
    await one.aclose()
    await other.aclose()


async def test_it_may_be_used_again_after_it_was_closed(journal: SQLJournal, client: Client):
    intent = moves.transfer(client)
    await journal.record(intent)
    await journal.aclose()
    await journal.aclose()

    assert await journal.open_intents() == [intent]


async def test_client_ids_stand_readable_in_the_file(tmp_path: Path, client: Client):
    journal = SQLiteJournal(tmp_path / "money.db")
    intent = moves.transfer(client, client_id="payout4711")
    await journal.record(intent)
    await journal.aclose()

    assert b"payout4711" in (tmp_path / "money.db").read_bytes()
    assert stat.S_IMODE((tmp_path / "money.db").stat().st_mode) == 0o600


async def test_what_is_recorded_is_on_the_disk_with_full_sync(tmp_path: Path, client: Client):
    journal = SQLiteJournal(tmp_path / "money.db")
    await journal.record(moves.transfer(client))

    assert await journal._in_thread(
        lambda: [
            journal._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]
    ) == ["wal", 2]
    await journal.aclose()


def test_threads_with_loops_of_their_own_share_one_journal(tmp_path: Path, client: Client):
    journal = SQLiteJournal(tmp_path / "money.db")
    intents = [moves.transfer(client) for _ in range(8)]
    threads = [
        threading.Thread(target=lambda one=intent: asyncio.run(journal.record(one)))
        for intent in intents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = asyncio.run(journal.open_intents())
    assert {each.client_id for each in found} == {each.client_id for each in intents}
    asyncio.run(journal.aclose())


def test_of_two_processes_one_gets_each_client_id(journal_place: str, client: Client):
    texts = [moves.transfer(client).to_json() for _ in range(25)]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, journal_place, *texts], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    first, second = [child.communicate(timeout=50)[0].split() for child in children]

    assert len(first) == len(second) == len(texts)
    assert all({a, b} == {"accepted", "refused"} for a, b in zip(first, second, strict=True))


async def test_an_error_while_closing_is_logged(caplog: pytest.LogCaptureFixture):
    class Broken(SQLiteJournal):
        async def aclose(self) -> None:
            raise sqlite3.OperationalError("no")

    holds = JournalHolds()
    holds.hold(Broken("nowhere"))
    with caplog.at_level(logging.ERROR):
        await holds.release()

    assert "closing Broken failed" in caplog.text


async def test_a_file_that_cannot_be_opened_is_an_error_of_the_call(client: Client):
    journal = SQLiteJournal("/nowhere/at/all.db")

    await failure_of(journal.record(moves.transfer(client)), OSError)
    await journal.aclose()


async def test_it_can_be_subclassed(tmp_path: Path):
    steps = []

    class Watched(SQLiteJournal):
        async def record(self, intent: Any) -> None:
            steps.append("record")
            await super().record(intent)

        async def stamp(self, intent: Any, signed_at: int) -> None:
            steps.append("stamp")
            await super().stamp(intent, signed_at)

        async def settle(self, intent: Any, outcome: Any) -> None:
            steps.append("settle")
            await super().settle(intent, outcome)

    client = Client(Port(Exchange()), journal=Watched(tmp_path / "money.db"))

    assert isinstance(await client.submit(moves.transfer(client)), Done)

    assert steps == ["record", "stamp", "settle"]
    await client.protocol.aclose()
    gc.collect()


@pytest.mark.parametrize(
    "error",
    [
        TransferFailedError("58112", "no", 200, "POST /x"),
        APIError("58350", "no", 400, "POST /x"),
        DeadlineExceededError("late"),
        JournalError("full"),
    ],
)
def test_an_outcome_survives_the_journal(error: OKXError, client: Client):
    intent = moves.transfer(client)

    text = outcome_to_json(NotDone("refused", error))
    again = outcome_from_json(intent, text)

    assert isinstance(again, NotDone)
    assert type(again.error) is type(error)
    assert str(again.error) == str(error)
    assert again.error.sent == error.sent
    assert again.error.repeat_is_safe == error.repeat_is_safe
    assert json.loads(text)["not done"] == "refused"


def test_a_postgres_journal_shows_no_password():
    journal = PostgresJournal("host=db password=canary-4711")

    assert "canary" not in repr(journal)
    with pytest.raises(TypeError):
        __import__("pickle").dumps(journal)


async def test_a_postgres_that_cannot_be_reached_lets_nothing_be_sent_and_shows_no_password():
    pytest.importorskip("psycopg")
    exchange = Exchange()
    journal = PostgresJournal("host=127.0.0.1 port=1 user=u password=canary-4711")
    client = Client(Port(exchange), journal=journal)

    outcome = await client.submit(moves.transfer(client))

    assert isinstance(outcome, NotDone)
    assert isinstance(outcome.error, JournalError)
    assert "canary" not in "".join(traceback.format_exception(outcome.error))
    assert not exchange.requests
    await client.protocol.aclose()
