"""``okx-funding limits``: the built-in table, and where each number comes from."""

from __future__ import annotations

import argparse

from okx_funding.api.spec import RateLimit
from okx_funding.api.table import ENDPOINTS

from . import show

_COUNTED_BY = {"user": "User ID", "ip": "IP address", "ccy": "currency"}
_UNITS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "s"))


def counted_by(limit: RateLimit) -> str:
    """What OKX counts by, in words."""
    return " and ".join(
        _COUNTED_BY.get(name, f"pair of {name.replace('/', ' and ')}" if "/" in name else name)
        for name in limit.per
    )


def in_words(limit: RateLimit) -> str:
    """The limit in the largest unit that divides its period, such as ``20 per 30 days``."""
    for seconds, unit in _UNITS:
        number = limit.period / seconds
        if number >= 1 and number == int(number):
            many = f"{number:g} {unit}" if unit == "s" or number == 1 else f"{number:g} {unit}s"
            quota = ", a quota: never waited out" if limit.is_quota else ""
            return f"{limit.count} per {many}{quota}"
    return str(limit)


def limits(args: argparse.Namespace) -> None:
    """Show the limits that are in force where nobody says otherwise. Nothing is sent."""
    if args.buckets is not None:
        from .shared import shared_limits

        shared_limits(args)
        return
    if args.machine or args.folder is not None:
        from .machine import machine_limits

        machine_limits(args)
        return
    if args.json:
        show.print_json(
            [
                {
                    "name": endpoint.name,
                    "method": endpoint.method,
                    "path": endpoint.path,
                    "limits": [
                        {"count": limit.count, "period": limit.period, "per": limit.per}
                        for limit in endpoint.limits
                    ],
                    "permission": endpoint.permission,
                    "maxKeys": endpoint.batch_size,
                    "source": endpoint.docs,
                }
                for endpoint in ENDPOINTS.values()
            ]
        )
        return
    table = show.table_of("Method", "Request", "Limit", "Counted by", "Currencies", "Permission")
    for endpoint in ENDPOINTS.values():
        table.add_row(
            endpoint.name,
            str(endpoint),
            "\n".join(map(in_words, endpoint.limits)),
            "\n".join(map(counted_by, endpoint.limits)),
            f"up to {endpoint.batch_size}" if endpoint.batch_size > 1 else "-",
            endpoint.permission,
        )
    console = show.console()
    console.print(table)
    console.print("OKX's page of each: --json.")
    console.print(
        "\nSeveral API keys of one user share a limit, each sub-account has its own. To set\n"
        'others: FundingClient(rate_limits={"get_non_tradable_assets": RateLimit(5, 1.0)}).\n'
        "What the processes of this machine use of them now: --machine."
    )
