"""Children that are killed at every step of a money call: ``python -m tests.unit.money.killed``.

Each child submits one intent and is killed (SIGKILL) at its n-th step; what moved stands in the
file ``movements``, what was asked for in ``intents``, and the journal in ``money.db``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from okx_funding.money import Answer, Intent, Outcome, SQLiteJournal

from . import moves
from .exchange import (
    Client,
    Exchange,
    Movement,
    Port,
    Request,
    Script,
    accept,
    commits_then,
    resets,
)

ANSWERS: dict[str, Script] = {"accepted": accept, "lost": commits_then(resets)}


class Steps:
    """Counts steps, and kills the process at one of them."""

    def __init__(self, last: int) -> None:
        self.left = last

    def __call__(self) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


class Journal(SQLiteJournal):
    def __init__(self, path: Path, step: Steps) -> None:
        super().__init__(path)
        self.step = step

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


class LoggedExchange(Exchange):
    def move(self, request: Request) -> Movement:
        self.step()
        line = json.dumps([request.endpoint, request.body, request.signed_at])
        append(self.folder / "movements", line)
        movement = super().move(request)
        self.step()
        return movement

    def read(self, endpoint: str, params: Mapping[str, str]) -> Sequence[Any]:
        self.step()
        rows = super().read(endpoint, params)
        self.step()
        return rows

    step: Steps
    folder: Path


class SteppingPort(Port):
    step: Steps

    async def post_once(self, endpoint: str, body: Mapping[str, Any], **options: Any) -> Answer:
        self.step()
        before_send = options.pop("before_send")

        async def stepping(signed_at: int) -> None:
            self.step()
            await before_send(signed_at)
            self.step()

        answer = await super().post_once(endpoint, body, before_send=stepping, **options)
        self.step()
        return answer


def append(path: Path, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (line + "\n").encode())
    os.close(descriptor)


async def submit(folder: Path, kind: Any, script: Script, step: Steps) -> None:
    exchange = LoggedExchange(now=time.time)
    exchange.step, exchange.folder = step, folder
    exchange.scripts.append(script)
    port = SteppingPort(exchange)
    port.step = step
    client = Client(port, journal=Journal(folder / "money.db", step))
    intent = kind(client)
    append(folder / "intents", intent.to_json())
    await client.submit(intent, check=False, timeout=10)
    await client.protocol.aclose()


def main(folder: Path) -> None:
    for kind in moves.ALL:
        for name, script in ANSWERS.items():
            steps = 0
            while True:
                child = os.fork()
                if child == 0:
                    asyncio.run(submit(folder, kind, script, Steps(steps)))
                    os._exit(0)
                _, status = os.waitpid(child, 0)
                if not os.WIFSIGNALED(status):
                    break
                steps += 1
            sys.stdout.write(f"{kind.__name__} {name} {steps}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
