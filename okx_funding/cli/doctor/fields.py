"""``doctor --fields``: does OKX send what the structs say? Names, never values."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator

from okx_funding.auth.credentials import Credentials
from okx_funding.cli.connection import client_of
from okx_funding.errors import OKXError
from okx_funding.testing.fields import FieldReport, unknown_fields

from .finding import Finding


async def fields(args: argparse.Namespace, credentials: Credentials) -> AsyncIterator[Finding]:
    """A line for each read whose answer differs, and one for all others."""
    same = asked = empty = 0
    try:
        async with client_of(args) as client:
            async for report in unknown_fields(client, timeout=args.timeout):
                if report.not_asked:
                    text = f"{report.endpoint} wasn't looked at: {report.not_asked}"
                    yield Finding("Fields", "ok", credentials.redact(text))
                    continue
                asked += 1
                empty += not report.rows
                if report.unknown or report.missing:
                    yield _differs(report)
                else:
                    same += bool(report.rows)
    except OKXError as error:
        yield Finding("Fields", "problem", credentials.redact(str(error)))
        return
    yield Finding(
        "Fields",
        "ok",
        f"{asked} reads answered: {same} as documented, {empty} without a row to look at",
    )


def _differs(report: FieldReport) -> Finding:
    parts = []
    if report.unknown:
        parts.append(f"OKX sends what nobody knows here: {', '.join(report.unknown)}")
    if report.missing:
        parts.append(f"documented and missing: {', '.join(report.missing)}")
    return Finding(
        "Fields",
        "warning",
        f"{report.endpoint}, {report.rows} rows: {'; '.join(parts)}",
        "nothing breaks by it; report it, so that the struct can be brought up to date",
    )
