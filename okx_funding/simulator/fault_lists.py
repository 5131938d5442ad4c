"""All that may go wrong, for chaos: with any request, and with orders."""

from __future__ import annotations

from .faults import Fault

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

_LOST: tuple[Fault, ...] = (
    Fault.reset(),
    Fault.close(),
    Fault.reset_mid_body(),
    Fault.close_mid_body(),
    Fault.truncated(),
    Fault.empty(),
    Fault.hang(2.0),
    Fault.html(502),
    Fault.html(504),
    Fault.code("50001"),
    Fault.code("50004"),
    Fault.code("50013"),
    Fault.code("50026"),
    Fault.code("59999"),
)

MONEY_FAULTS: tuple[Fault, ...] = (
    *(fault.before_commit() for fault in _LOST),
    *(fault.after_commit() for fault in _LOST),
    *(fault.commit_after(1.0) for fault in _LOST[::3]),
    *(fault.after_commit().visible_after(1.0) for fault in _LOST[::3]),
    Fault.no_rows(),
    Fault.without_id(),
    Fault.foreign_client_id(),
    Fault.code("50011"),
    Fault.code("50102"),
)
"""What may happen to an order: its answer lost, before or after it was carried out, or odd."""
