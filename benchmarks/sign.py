"""``sign``: stamp, sign and build the headers of one request."""

from __future__ import annotations

import time

from okx_funding import Credentials
from okx_funding.api.assets import GET_NON_TRADABLE_ASSETS
from okx_funding.auth.signing import timestamp

from .byhand import textbook_headers
from .harness import Benchmark, Options, Report, compare, cost_table
from .server import CURRENCIES

_TARGET = f"{GET_NON_TRADABLE_ASSETS.path}?ccy={','.join(CURRENCIES[:20])}"
_CREDENTIALS = Credentials("7c8d9e0f-key", "22582BD0CFF14C41EDBF1AB98506286D", "passphrase")


def run(options: Options) -> Report:
    """Microseconds of a request for 20 currencies."""
    parts = _CREDENTIALS.reveal()

    def ours(operations: int) -> None:
        for _ in range(operations):
            _CREDENTIALS.headers(timestamp(time.time()), "GET", _TARGET)

    def textbook(operations: int) -> None:
        for _ in range(operations):
            textbook_headers(parts, "GET", _TARGET)

    works = {"textbook: hmac, isoformat, base64": textbook, "okx_funding": ours}
    costs = compare(works, options.pick(20_000, 4_000), options.pick(31, 5))
    figures = {name: cost.figures() for name, cost in costs.items()}
    return Report(
        [cost_table("Stamp, sign, headers", costs)], {"a request for 20 currencies": figures}
    )


BENCHMARK = Benchmark("sign", "What do a timestamp, a signature and the headers cost?", run)
