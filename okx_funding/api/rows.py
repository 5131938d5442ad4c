"""What rows have in common: moments as datetimes, and a row as a dict."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from okx_funding.auth.secret import Secret

from .spec import Row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_of(milliseconds: int) -> datetime:
    """Milliseconds since the epoch as an aware datetime in UTC, exact to the millisecond."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def moment_or_none(milliseconds: int | None) -> datetime | None:
    """`moment_of` for a moment that OKX may leave out."""
    return None if milliseconds is None else moment_of(milliseconds)


class TimedRow(Row, frozen=True):
    """A row with a moment."""

    ts: int
    """Milliseconds since the epoch."""

    @property
    def time(self) -> datetime:
        """``ts`` as an aware datetime in UTC."""
        return moment_of(self.ts)


def to_dict(row: Row) -> dict[str, Any]:
    """The fields of ``row`` by their names here, in their order, nested rows as dicts too.

    Amounts stay Decimal and moments int; a secret becomes ``***``, as in a ``repr``.
    """
    return {name: _plain(getattr(row, name)) for name in row.__struct_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
