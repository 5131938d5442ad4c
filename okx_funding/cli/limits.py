"""``okx-funding limits``: the built-in table, and where each number comes from."""

from __future__ import annotations

import argparse

from okx_funding.api.spec import RateLimit
from okx_funding.api.table import ENDPOINTS

from . import show

_COUNTED_BY = {"user": "User ID", "ip": "IP address", "ccy": "currency"}


def counted_by(limit: RateLimit) -> str:
    """What OKX counts by, in words."""
    return " and ".join(_COUNTED_BY.get(name, name) for name in limit.per)


def limits(args: argparse.Namespace) -> None:
    """Show the limits that are in force where nobody says otherwise. Nothing is sent."""
    if args.buckets is not None:
        from .shared import shared_limits

        shared_limits(args)
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
    table = show.table_of("Method", "Request", "Limit", "Counted by", "Currencies")
    for endpoint in ENDPOINTS.values():
        table.add_row(
            endpoint.name,
            str(endpoint),
            "\n".join(map(str, endpoint.limits)),
            "\n".join(map(counted_by, endpoint.limits)),
            f"up to {endpoint.batch_size}" if endpoint.batch_size > 1 else "-",
        )
    console = show.console()
    console.print(table)
    for endpoint in ENDPOINTS.values():
        console.print(f"{endpoint.name}: {endpoint.docs}", soft_wrap=True)
    console.print(
        "\nSeveral API keys of one user share a limit, each sub-account has its own. To set\n"
        'others: FundingClient(rate_limits={"get_non_tradable_assets": RateLimit(5, 1.0)}).'
    )
