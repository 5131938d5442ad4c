"""Children that are killed at every step of a money call: ``python -m tests.money.killed``.

Each child moves money once, over the real client and a real socket, and is killed (SIGKILL) at its
n-th step. Steps are the journal's methods and statements, the slot, the stamp, the signature, the
parts of the request as they leave, the answer as it comes, and each look-up, before and after.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio import selector_events
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aiohttp.client_proto import ResponseHandler

from okx_funding import Credentials, FundingClient
from okx_funding.client import port
from okx_funding.money import Intent, Outcome, SQLiteJournal
from okx_funding.scheduler import single
from okx_funding.session import Session

from .world import ALL


class Steps:
    """Counts steps, and kills the process at one of them."""

    def __init__(self, last: int) -> None:
        self.left = last
        self.begun = False

    def __call__(self) -> None:
        if not self.begun:
            return
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


class Journal(SQLiteJournal):
    step: Steps

    async def record(self, intent: Intent) -> None:
        self.step()
        await super().record(intent)
        self.step()

    async def stamp(self, intent: Intent, signed_at: int) -> None:
        self.step()
        await super().stamp(intent, signed_at)
        self.step()

    async def settle(self, intent: Intent, outcome: Outcome) -> None:
        self.step()
        await super().settle(intent, outcome)
        self.step()

    def _execute(self, statement: str, values: Sequence[Any]) -> Any:
        self.step()  # in the journal's own thread
        result = super()._execute(statement, values)
        self.step()
        return result


def around(owner: Any, name: str, step: Steps) -> None:
    """A step before and after each call of a method or function."""
    original: Callable[..., Any] = getattr(owner, name)
    if asyncio.iscoroutinefunction(original):

        async def stepping(*args: Any, **options: Any) -> Any:
            step()
            result = await original(*args, **options)
            step()
            return result

    else:

        def stepping(*args: Any, **options: Any) -> Any:  # type: ignore[misc]
            step()
            result = original(*args, **options)
            step()
            return result

    setattr(owner, name, stepping)


def in_parts(step: Steps) -> None:
    """Bytes leave in three parts, with a step between them."""
    transport = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    original = transport.write

    def write(self: Any, data: Any) -> None:
        third = max(len(data) // 3, 1)
        step()
        for begin in range(0, len(data), third):
            original(self, bytes(data[begin : begin + third]))
            step()

    transport.write = write
    transport.writelines = lambda self, parts: write(self, b"".join(parts))


def prepare(step: Steps) -> None:
    around(port.ClientPort, "post_once", step)
    around(port.ClientPort, "read", step)
    around(single.SingleRequest, "_win", step)
    around(single.SingleRequest, "_leaves", step)
    around(Session, "send_signed", step)
    around(single, "parse_response", step)
    around(ResponseHandler, "data_received", step)
    in_parts(step)


class Place:
    """What the moves need of a world."""

    def __init__(self, client: FundingClient, address: str) -> None:
        self.client = client
        self.exchange = self
        self.address = address

    def account(self) -> Place:
        return self


async def submit(folder: Path, kind: str, url: str, address: str, step: Steps) -> None:
    journal = Journal(folder / "money.db")
    journal.step = step
    credentials = Credentials("key-of-a-killed-one", "secret", "phrase", user_id="4711")
    async with FundingClient(credentials, base_url=url, journal=journal) as client:
        intent = await ALL[kind](Place(client, address))
        append(folder / "intents", intent.to_json())
        step.begun = True
        await client.submit(intent, check=False, timeout=10)


def append(path: Path, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (line + "\n").encode())
    os.close(descriptor)


def main(folder: Path, kind: str, url: str, address: str) -> None:
    steps = 0
    while True:
        child = os.fork()
        if child == 0:
            step = Steps(steps)
            prepare(step)
            asyncio.run(submit(folder, kind, url, address, step))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            if os.waitstatus_to_exitcode(status):
                raise SystemExit("a child failed")
            break
        steps += 1
    sys.stdout.write(f"{steps}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
