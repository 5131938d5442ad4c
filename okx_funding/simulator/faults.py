"""What may go wrong on the way back: small values that can be combined.

A fault changes the answer, or the way in which it is delivered, or both, and may take its time:

    exchange.fail_next(2, Fault.code("50001"))
    exchange.fail_next(1, Fault.slow(0.3) & Fault.reset())
    exchange.chaos(share=0.2)

Faults of the network in front of OKX (``swallowed``) happen before OKX has read the request, so
it counts against no limit. All others have been read, judged and charged as usual.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from . import answers
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


def _unchanged(answer: Answer) -> Answer:
    return answer


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave. ``a & b`` does both: the changes in turn, the delivery of the latter.

    ``change`` makes another answer of the right one. ``delivery`` puts it on the wire, in a task
    that is cancelled when the connection ends; None sends it whole. ``delay`` is in seconds.
    """

    name: str
    change: Callable[[Answer], Answer] = _unchanged
    delivery: Delivery | None = None
    delay: float = 0.0
    swallowed: bool = False

    def __repr__(self) -> str:
        return f"<Fault {self.name}>"

    def __and__(self, other: Fault) -> Fault:
        if not isinstance(other, Fault):
            return NotImplemented
        first, second = self.change, other.change
        return Fault(
            f"{self.name} & {other.name}",
            lambda answer: second(first(answer)),
            other.delivery or self.delivery,
            self.delay + other.delay,
            self.swallowed or other.swallowed,
        )

    # --- other answers --------------------------------------------------------------------------

    @classmethod
    def answer(cls, name: str, answer: Answer, *, swallowed: bool = False) -> Fault:
        """Say this instead."""
        return cls(name, lambda _: answer, swallowed=swallowed)

    @classmethod
    def status(cls, status: int, body: bytes = b"", content_type: str = "text/plain") -> Fault:
        """A bare HTTP status from in front of OKX."""
        answer = Answer(status, body, content_type=content_type)
        return cls.answer(f"status {status}", answer, swallowed=True)

    @classmethod
    def html(cls, status: int) -> Fault:
        """The HTML page of a CDN with this status."""
        return cls.answer(f"html {status}", answers.html(status), swallowed=True)

    @classmethod
    def too_many(cls, retry_after: str | float | None = None) -> Fault:
        """429 without OKX's body, from in front of it; ``retry_after`` is sent as it is given."""
        headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
        name = "bare 429" if retry_after is None else f"bare 429 after {retry_after}"
        return cls.answer(name, answers.html(429, headers), swallowed=True)

    @classmethod
    def code(
        cls, code: str, *, status: int | None = None, msg: str | None = None, as_int: bool = False
    ) -> Fault:
        """An error of OKX's, with the documented status unless another is given.

        It has the shape that was seen on the wire: without ``data`` where the gateway speaks.
        https://www.okx.com/docs-v5/en/#error-code-rest-api
        """
        answer = answers.error(code, status=status, msg=msg, as_int=as_int)
        return cls.answer(f"code {code} as {answer.status}{' int' * as_int}", answer)

    @classmethod
    def redirect(cls, location: str = "https://example.invalid/") -> Fault:
        """302 to another place, which nobody should follow with a signed request."""
        answer = Answer(302, b"", headers=(("Location", location),))
        return cls.answer("redirect", answer, swallowed=True)

    # --- damaged answers ------------------------------------------------------------------------

    @classmethod
    def empty(cls) -> Fault:
        """The right status without a body."""
        return cls("empty body", lambda answer: answer.with_body(b""))

    @classmethod
    def truncated(cls) -> Fault:
        """Half of the JSON, with the length of the half: whole for HTTP."""
        return cls("truncated", lambda answer: answer.with_body(_half(answer.body)))

    @classmethod
    def garbage(cls, body: bytes = b'\xff\xfe{"code":"0","data":[[[') -> Fault:
        """Bytes that are no JSON, called JSON."""
        return cls("garbage", lambda answer: answer.with_body(body))

    @classmethod
    def content_type(cls, content_type: str = "text/html") -> Fault:
        """The right answer under a wrong content type."""
        return cls("content type", lambda answer: replace(answer, content_type=content_type))

    @classmethod
    def huge(cls, size: int = 16 * 2**20) -> Fault:
        """The right answer, and after it blanks until there are ``size`` bytes."""
        return cls("huge body", lambda answer: answer.with_body(answer.body.ljust(size)), _pieces)

    @classmethod
    def gzip_bomb(cls, size: int = 32 * 2**20) -> Fault:
        """Some kilobytes of gzip that become ``size`` bytes."""
        headers = (("Content-Encoding", "gzip"),)
        return cls(
            "gzip bomb", lambda answer: replace(answer, body=_bomb(size), headers=headers), _pieces
        )

    # --- odd deliveries -------------------------------------------------------------------------

    @classmethod
    def slow(cls, seconds: float = 0.5) -> Fault:
        """The right answer, late."""
        return cls(f"slow {seconds:g} s", delay=seconds)

    @classmethod
    def reset(cls) -> Fault:
        """The connection is reset when the request has been read, before any answer."""
        return cls("reset", delivery=_reset)

    @classmethod
    def close(cls) -> Fault:
        """The connection is closed when the request has been read, before any answer."""
        return cls("close", delivery=_close)

    @classmethod
    def close_after(cls) -> Fault:
        """The right answer, then the end, unannounced: the next request finds a dead connection."""
        return cls("close after", delivery=_close_after)

    @classmethod
    def reset_mid_body(cls) -> Fault:
        """Half of the body, then a reset."""
        return cls("reset mid-body", delivery=_reset_mid_body)

    @classmethod
    def close_mid_body(cls) -> Fault:
        """Half of the body with the length of all of it, then the end."""
        return cls("close mid-body", delivery=_close_mid_body)

    @classmethod
    def close_without_length(cls) -> Fault:
        """Half of the body, no length, then the end: HTTP can't tell that something is missing."""
        return cls("close without length", delivery=_close_without_length)

    @classmethod
    def drip(cls, seconds: float = 1.0, pause: float = 0.05) -> Fault:
        """A byte per ``pause``; what is left after ``seconds`` comes in one go."""

        async def delivery(answer: Answer, wire: Wire) -> None:
            wire.write(answer.head())
            sent = min(int(seconds / pause), len(answer.body))
            for position in range(sent):
                wire.write(answer.body[position : position + 1])
                await asyncio.sleep(pause)
            wire.write(answer.body[sent:])
            wire.finish()

        return cls(f"drip {seconds:g} s", delivery=delivery)

    @classmethod
    def hang(cls, seconds: float = 60.0) -> Fault:
        """Nothing for so long, then a reset."""
        return cls(f"hang {seconds:g} s", delivery=_reset, delay=seconds)


async def _reset(_answer: Answer, wire: Wire) -> None:
    wire.reset()


async def _close(_answer: Answer, wire: Wire) -> None:
    wire.close()


async def _close_after(answer: Answer, wire: Wire) -> None:
    wire.write(answer.head() + answer.body)
    wire.close()


async def _reset_mid_body(answer: Answer, wire: Wire) -> None:
    wire.write(answer.head() + _half(answer.body))
    await asyncio.sleep(0)  # uvloop writes at the end of a turn; a reset throws away what is left
    wire.reset()


async def _close_mid_body(answer: Answer, wire: Wire) -> None:
    wire.write(answer.head() + _half(answer.body))
    wire.close()


async def _close_without_length(answer: Answer, wire: Wire) -> None:
    wire.write(answer.head(close=True, length=None) + _half(answer.body))
    wire.close()


async def _pieces(answer: Answer, wire: Wire) -> None:
    wire.write(answer.head())
    for start in range(0, len(answer.body), _PIECE):
        if wire.closed:
            return
        wire.write(answer.body[start : start + _PIECE])
        await wire.drain()
    wire.finish()


def _half(body: bytes) -> bytes:
    return body[: len(body) // 2]


@functools.lru_cache(maxsize=2)
def _bomb(size: int) -> bytes:
    return gzip.compress(bytes(size), compresslevel=1)


ALL_FAULTS: tuple[Fault, ...] = (
    *(Fault.html(status) for status in (403, 429, 502, 503)),
    Fault.too_many(),
    Fault.too_many(retry_after=1),
    Fault.status(503),
    Fault.code("50001"),
    Fault.code("50004"),
    Fault.code("50013"),
    Fault.code("50026"),
    Fault.code("50011"),
    Fault.code("50011", status=200),
    Fault.code("50011", as_int=True),
    Fault.redirect(),
    Fault.empty(),
    Fault.truncated(),
    Fault.garbage(),
    Fault.content_type(),
    Fault.huge(),
    Fault.gzip_bomb(),
    Fault.slow(),
    Fault.reset(),
    Fault.close(),
    Fault.close_after(),
    Fault.reset_mid_body(),
    Fault.close_mid_body(),
    Fault.close_without_length(),
    Fault.drip(),
    Fault.hang(2.0),
)
"""Every way that the exchange knows, each bounded in time: the faults of ``chaos``."""
