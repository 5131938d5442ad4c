"""Intents, a journal, an exchange and crashes in any order, against a plain model.

The model knows one law: what is Done moved once, what is NotDone didn't move, and whatever moved
is Done, or open in the journal with its stamp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from okx_funding.errors import ClientIdReusedError, InvalidArgumentError
from okx_funding.money import Done, Intent, NotDone, Outcome, Unknown
from okx_funding.money.accepted import ACCEPTED
from tests.support import virtual_loop

from . import moves
from .exchange import (
    Client,
    Exchange,
    Port,
    Script,
    accept,
    commits_after,
    commits_then,
    gateway_page,
    refuses,
    refuses_connection,
    resets,
    without_id,
)
from .memory import MemoryJournal

SCRIPTS: dict[str, Script] = {
    "accepted": accept,
    "lost before": resets,
    "lost after": commits_then(resets),
    "page after": commits_then(gateway_page),
    "without id": commits_then(without_id),
    "refused": refuses("58350"),
    "again": refuses("50011"),
    "clock": refuses("50102"),
    "unlisted": refuses("61234"),
    "duplicate": commits_then(refuses("58404")),
    "late": commits_after(20),
    "unconnected": refuses_connection,
}


class Machine(RuleBasedStateMachine):
    """Two processes, which crash and start again, on one journal."""

    intents = Bundle("intents")

    def __init__(self) -> None:
        super().__init__()
        self.loop = virtual_loop()
        self.exchange = Exchange(now=lambda: 1_700_000_000.0 + self.loop.time())
        self.journal = MemoryJournal()
        self.told: dict[str, list[Outcome]] = {}
        self.client = self.start()

    def start(self) -> Client:
        ACCEPTED._entries.clear()
        return Client(Port(self.exchange), journal=self.journal)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    @rule(target=intents, kind=st.sampled_from(moves.ALL))
    def prepare(self, kind: Any) -> Intent:
        intent: Intent = kind(self.client)
        return intent

    @rule(
        intent=intents,
        scripts=st.lists(st.sampled_from(sorted(SCRIPTS)), max_size=2),
        timeout=st.sampled_from([0.5, 5.0, 30.0]),
        visible_after=st.sampled_from([0.0, 3.0, 50.0]),
    )
    def submit(
        self, intent: Intent, scripts: list[str], timeout: float, visible_after: float
    ) -> None:
        self.exchange.scripts.extend(SCRIPTS[name] for name in scripts)
        self.exchange.visible_after = visible_after
        try:
            outcome = self.run(self.client.submit(intent, check=False, timeout=timeout))
            self.tell(intent, outcome)
        except InvalidArgumentError as error:
            self.tell(intent, error.outcome)
        finally:
            self.exchange.scripts.clear()

    @rule(intent=intents, step=st.sampled_from(["record", "stamp", "settle"]), after=st.booleans())
    def crash_at_the_journal(self, intent: Intent, step: str, after: bool) -> None:
        """The process ends at a step of the journal, before or after it was written."""

        async def submit() -> None:
            reached = asyncio.Event()

            async def stop(name: str) -> None:
                if name == step:
                    if after and step == "stamp":
                        record = self.journal.records[intent.client_id]
                        if record.outcome is None:
                            record.intent = record.intent.stamped(round(self.exchange.now() * 1000))
                    reached.set()
                    await asyncio.Event().wait()

            self.journal.before = stop
            task = asyncio.ensure_future(self.client.submit(intent, check=False))
            waiting = asyncio.ensure_future(reached.wait())
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
            self.journal.before = None
            for each in (*self.client.protocol._running, task, waiting):
                each.cancel()
            everything = [*self.client.protocol._running, task, waiting]
            await asyncio.gather(*everything, return_exceptions=True)

        self.run(submit())
        self.client = self.start()

    @rule()
    def crash(self) -> None:
        self.client = self.start()

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule(intent=intents)
    def resolve(self, intent: Intent) -> None:
        try:
            self.tell(intent, self.run(self.client.resolve(intent)))
        except ClientIdReusedError as error:
            raise AssertionError("nobody used a client id twice") from error

    @rule()
    def recover(self) -> None:
        async def recover() -> list[tuple[Intent, Outcome]]:
            return [each async for each in self.client.recover()]

        for intent, outcome in self.run(recover()):
            self.tell(intent, outcome)

    def tell(self, intent: Intent, outcome: Outcome | None) -> None:
        assert outcome is not None
        self.told.setdefault(intent.client_id, []).append(outcome)

    @invariant()
    def what_was_told_is_true(self) -> None:
        for client_id, outcomes in self.told.items():
            moved = self.exchange.of(client_id)
            assert len(moved) <= 1
            for outcome in outcomes:
                if isinstance(outcome, Done):
                    assert moved
                if isinstance(outcome, NotDone):
                    assert not moved

    @invariant()
    def what_moved_is_in_the_journal(self) -> None:
        for movement in self.exchange.movements:
            record = self.journal.records[movement.handle]
            assert isinstance(record.outcome, Done) or (
                record.outcome is None and record.intent.signed_at is not None
            )

    def teardown(self) -> None:
        async def finish() -> None:
            await asyncio.sleep(2 * 86_400)
            self.exchange.visible_after = 0
            for movement in self.exchange.movements:
                movement.visible_at = 0
            outcomes = [each async for each in self.client.recover()]
            for intent, outcome in outcomes:
                if self.exchange.of(intent.client_id):
                    assert isinstance(outcome, Done)
                else:
                    assert isinstance(outcome, NotDone | Unknown)

        self.run(finish())
        self.loop.close()


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=30,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
