"""What may go wrong with a request or its answer: small values that can be combined.

A fault changes the answer, or the way in which it is delivered, or both, and may take its time:

    exchange.fail_next(2, Fault.code("50001"))
    exchange.fail_next(1, Fault.slow(0.3) & Fault.reset())
    exchange.chaos(share=0.2)

**What becomes of an order** (a POST) that meets a fault. By default it is carried out although the
answer is lost or damaged, which is the worst case; an answer that OKX gives when it refuses
(50011, 51000, ...) and a fault of the network in front of OKX (``before_okx``) leave it undone.
Say otherwise where a test needs it:

    Fault.reset().before_commit()              # lost on the way: it is never carried out
    Fault.html(504).after_commit()             # a CDN's 504, although OKX did it
    Fault.code("50004").commit_after(5)        # carried out five seconds after the answer
    Fault.reset().visible_after(40)            # carried out, but look-ups find it 40 s later
    Fault.arrives_late(29) & Fault.reset()     # on its way for 29 s
    Fault.in_progress(3, fails=True)           # 58124, pending for 3 s, then failed

``MONEY_FAULTS`` has what may happen to an order, for ``exchange.chaos``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import answers, deliveries
from .answers import Answer
from .books import Processing
from .deliveries import Delivery

_IN_DOUBT = frozenset(
    "1 2 50001 50004 50013 50026 50046 50062 50064 51054 52900 52907 52910 52911 52912 52923 52924 "
    "58007 58112 58124 58129 58400".split()
)
"""Codes that leave open whether an order was carried out."""


def _unchanged(answer: Answer) -> Answer:
    return answer


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave. ``a & b`` does both: the changes in turn, the delivery of the latter.

    ``change`` makes another answer of the right one. ``delivery`` puts it on the wire, in a task
    that is cancelled when the connection ends; None sends it whole. ``delay`` is in seconds.
    ``before_okx``: OKX never reads the request, so it counts against no limit. ``commits``: an
    order is carried out, ``commit_delay`` seconds later. ``arrival_delay``: seconds that the
    request spends on its way. ``processing``: how the order is carried out.
    """

    name: str
    change: Callable[[Answer], Answer] = _unchanged
    delivery: Delivery | None = None
    delay: float = 0.0
    before_okx: bool = False
    commits: bool = True
    commit_delay: float = 0.0
    arrival_delay: float = 0.0
    processing: Processing = Processing()

    def __repr__(self) -> str:
        return f"<Fault {self.name}>"

    def __and__(self, other: Fault) -> Fault:
        if not isinstance(other, Fault):
            return NotImplemented
        first, second = self.change, other.change
        one, two = self.processing, other.processing
        return Fault(
            f"{self.name} & {other.name}",
            lambda answer: second(first(answer)),
            other.delivery or self.delivery,
            self.delay + other.delay,
            self.before_okx or other.before_okx,
            self.commits and other.commits,
            self.commit_delay + other.commit_delay,
            self.arrival_delay + other.arrival_delay,
            Processing(
                one.pending if two.pending is None else two.pending,
                one.fails or two.fails,
                max(one.hidden, two.hidden),
            ),
        )

    # --- what becomes of an order ---------------------------------------------------------------

    def before_commit(self) -> Fault:
        """The same for an order that is never carried out.

        For faults that lose, damage or replace the answer: without one it says code 0 and no rows.
        """
        return replace(self, name=f"{self.name}, before commit", commits=False)

    def after_commit(self) -> Fault:
        """The same for an order that is carried out first, also where that isn't the default."""
        return replace(self, name=f"{self.name}, after commit", commits=True, before_okx=False)

    def commit_after(self, seconds: float) -> Fault:
        """The same for an order that is carried out this much later than it is answered."""
        name = f"{self.name}, {seconds:g} s before commit"
        return replace(self, name=name, commits=True, before_okx=False, commit_delay=seconds)

    def visible_after(self, seconds: float) -> Fault:
        """The same, and look-ups and bills don't show the order for so many seconds."""
        name = f"{self.name}, visible after {seconds:g} s"
        return replace(self, name=name, processing=replace(self.processing, hidden=seconds))

    @classmethod
    def arrives_late(cls, seconds: float) -> Fault:
        """The request is on its way for a while; its timestamp may have expired when it is there.

        https://www.okx.com/docs-v5/en/#overview-rest-authentication
        """
        return cls(f"arrives after {seconds:g} s", arrival_delay=seconds)

    @classmethod
    def pending(cls, seconds: float, *, fails: bool = False) -> Fault:
        """An order that is accepted and takes its time; in the end it may fail.

        A transfer is pending so long; a withdrawal or fiat order begins its way so much later.
        """
        name = f"pending {seconds:g} s{', then failed' * fails}"
        return cls(name, processing=Processing(pending=seconds, fails=fails))

    @classmethod
    def in_progress(cls, seconds: float, *, fails: bool = False) -> Fault:
        """58124 for a transfer: its id stands in the text only, transfer-state tells the rest."""
        return replace(
            cls.pending(seconds, fails=fails), name=f"58124 for {seconds:g} s", change=_in_progress
        )

    @classmethod
    def rows(cls, name: str, change: Callable[[list[Any]], list[Any]]) -> Fault:
        """The right answer with other rows: ``change`` gets them as they are and gives new ones."""

        def changed(answer: Answer) -> Answer:
            if answer.code != "0":
                return answer
            body = json.loads(answer.body)
            return answer.with_body(answers.compact({**body, "data": change(body["data"])}))

        return cls(name, changed)

    @classmethod
    def no_rows(cls) -> Fault:
        """Code 0 without data."""
        return cls.rows("no rows", lambda _: [])

    @classmethod
    def without_id(cls) -> Fault:
        """Code 0 with a row that has no id of OKX's."""
        ids: dict[str, str] = dict.fromkeys(("transId", "wdId", "tradeId", "ordId"), "")
        return cls.rows("no id", lambda rows: [_laid_over(row, ids) for row in rows])

    @classmethod
    def foreign_client_id(cls, client_id: str = "somebodyelses") -> Fault:
        """Code 0 with a row that has another client id."""
        ids: dict[str, str] = dict.fromkeys(("clientId", "clTReqId", "clOrdId"), client_id)
        return cls.rows("foreign client id", lambda rows: [_laid_over(row, ids) for row in rows])

    @classmethod
    def other_amount(cls, amount: str = "0.12345678") -> Fault:
        """Rows with another amount; for look-ups, too."""
        amounts: dict[str, str] = dict.fromkeys(("amt", "fillBaseSz", "fillFromAmt"), amount)
        return cls.rows("other amount", lambda rows: [_laid_over(row, amounts) for row in rows])

    # --- other answers --------------------------------------------------------------------------

    @classmethod
    def answer(cls, name: str, answer: Answer, *, before_okx: bool = False) -> Fault:
        """Say this instead."""
        return cls(name, lambda _: answer, before_okx=before_okx)

    @classmethod
    def status(cls, status: int, body: bytes = b"", content_type: str = "text/plain") -> Fault:
        """A bare HTTP status from in front of OKX."""
        answer = Answer(status, body, content_type=content_type)
        return cls.answer(f"status {status}", answer, before_okx=True)

    @classmethod
    def html(cls, status: int) -> Fault:
        """The HTML page of a CDN with this status."""
        return cls.answer(f"html {status}", answers.html(status), before_okx=True)

    @classmethod
    def too_many(cls, retry_after: str | float | None = None) -> Fault:
        """429 without OKX's body, from in front of it; ``retry_after`` is sent as it is given."""
        headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
        name = "bare 429" if retry_after is None else f"bare 429 after {retry_after}"
        return cls.answer(name, answers.html(429, headers), before_okx=True)

    @classmethod
    def code(
        cls, code: str, *, status: int | None = None, msg: str | None = None, as_int: bool = False
    ) -> Fault:
        """An error of OKX's, with the documented status unless another is given.

        It has the shape that was seen on the wire: without ``data`` where the gateway speaks.
        An order is carried out only where the code leaves that open, or is unknown.
        https://www.okx.com/docs-v5/en/#error-code-rest-api
        """
        answer = answers.error(code, status=status, msg=msg, as_int=as_int)
        name = f"code {code} as {answer.status}{' int' * as_int}"
        # A code that nobody knows proves nothing: carried out, as those that leave it open.
        open_ = code in _IN_DOUBT or not answers.is_known(code)
        return cls(name, lambda _: answer, commits=open_)

    @classmethod
    def redirect(cls, location: str = "https://example.invalid/") -> Fault:
        """302 to another place, which nobody should follow with a signed request."""
        answer = Answer(302, b"", headers=(("Location", location),))
        return cls.answer("redirect", answer, before_okx=True)

    # --- damaged answers ------------------------------------------------------------------------

    @classmethod
    def empty(cls) -> Fault:
        """The right status without a body."""
        return cls("empty body", lambda answer: answer.with_body(b""))

    @classmethod
    def truncated(cls) -> Fault:
        """Half of the JSON, with the length of the half: whole for HTTP."""
        return cls("truncated", lambda answer: answer.with_body(deliveries.half(answer.body)))

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
        return cls(
            "huge body", lambda answer: answer.with_body(answer.body.ljust(size)), deliveries.pieces
        )

    @classmethod
    def gzip_bomb(cls, size: int = 32 * 2**20) -> Fault:
        """Some kilobytes of gzip that become ``size`` bytes."""
        headers = (("Content-Encoding", "gzip"),)
        return cls(
            "gzip bomb",
            lambda answer: replace(answer, body=deliveries.bomb(size), headers=headers),
            deliveries.pieces,
        )

    # --- odd deliveries -------------------------------------------------------------------------

    @classmethod
    def slow(cls, seconds: float = 0.5) -> Fault:
        """The right answer, late."""
        return cls(f"slow {seconds:g} s", delay=seconds)

    @classmethod
    def reset(cls) -> Fault:
        """The connection is reset when the request has been read, before any answer."""
        return cls("reset", delivery=deliveries.reset)

    @classmethod
    def close(cls) -> Fault:
        """The connection is closed when the request has been read, before any answer."""
        return cls("close", delivery=deliveries.close)

    @classmethod
    def close_after(cls) -> Fault:
        """The right answer, then the end, unannounced: the next request finds a dead connection."""
        return cls("close after", delivery=deliveries.close_after)

    @classmethod
    def reset_mid_body(cls) -> Fault:
        """Half of the body, then a reset."""
        return cls("reset mid-body", delivery=deliveries.reset_mid_body)

    @classmethod
    def close_mid_body(cls) -> Fault:
        """Half of the body with the length of all of it, then the end."""
        return cls("close mid-body", delivery=deliveries.close_mid_body)

    @classmethod
    def close_without_length(cls) -> Fault:
        """Half of the body, no length, then the end: HTTP can't tell that something is missing."""
        return cls("close without length", delivery=deliveries.close_without_length)

    @classmethod
    def drip(cls, seconds: float = 1.0, pause: float = 0.05) -> Fault:
        """A byte per ``pause``; what is left after ``seconds`` comes in one go."""

        return cls(f"drip {seconds:g} s", delivery=deliveries.drip(seconds, pause))

    @classmethod
    def hang(cls, seconds: float = 60.0) -> Fault:
        """Nothing for so long, then a reset."""
        return cls(f"hang {seconds:g} s", delivery=deliveries.reset, delay=seconds)


def _laid_over(row: dict[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    return {name: values.get(name, value) for name, value in row.items()}


def _in_progress(answer: Answer) -> Answer:
    if answer.code != "0":
        return answer
    (row,) = json.loads(answer.body)["data"]
    return answers.error("58124", param=row["transId"])
