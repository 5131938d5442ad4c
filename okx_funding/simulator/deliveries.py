"""How an answer may reach the wire wrongly: functions that write a piece of it, or nothing."""

from __future__ import annotations

import asyncio
import functools
import gzip
from collections.abc import Awaitable, Callable
from typing import Protocol

from .answers import Answer

_PIECE = 65_536


class Wire(Protocol):
    """What a delivery writes to. A delivery ends with ``finish``, ``close`` or ``reset``."""

    @property
    def closed(self) -> bool: ...
    def write(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...
    def respond(self, answer: Answer) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...
    def reset(self) -> None: ...


Delivery = Callable[[Answer, Wire], Awaitable[None]]


async def reset(_answer: Answer, wire: Wire) -> None:
    wire.reset()


async def close(_answer: Answer, wire: Wire) -> None:
    wire.close()


async def close_after(answer: Answer, wire: Wire) -> None:
    wire.write(answer.head() + answer.body)
    wire.close()


async def reset_mid_body(answer: Answer, wire: Wire) -> None:
    wire.write(answer.head() + half(answer.body))
    await asyncio.sleep(0)  # uvloop writes at the end of a turn; a reset throws away what is left
    wire.reset()


async def close_mid_body(answer: Answer, wire: Wire) -> None:
    wire.write(answer.head() + half(answer.body))
    wire.close()


async def close_without_length(answer: Answer, wire: Wire) -> None:
    wire.write(answer.head(close=True, length=None) + half(answer.body))
    wire.close()


async def pieces(answer: Answer, wire: Wire) -> None:
    wire.write(answer.head())
    for start in range(0, len(answer.body), _PIECE):
        if wire.closed:
            return
        wire.write(answer.body[start : start + _PIECE])
        await wire.drain()
    wire.finish()


def half(body: bytes) -> bytes:
    return body[: len(body) // 2]


@functools.lru_cache(maxsize=2)
def bomb(size: int) -> bytes:
    return gzip.compress(bytes(size), compresslevel=1)


def drip(seconds: float, pause: float) -> Delivery:
    """A byte per ``pause``; what is left after ``seconds`` comes in one go."""

    async def delivery(answer: Answer, wire: Wire) -> None:
        wire.write(answer.head())
        sent = min(int(seconds / pause), len(answer.body))
        for position in range(sent):
            wire.write(answer.body[position : position + 1])
            await asyncio.sleep(pause)
        wire.write(answer.body[sent:])
        wire.finish()

    return delivery
