"""``decode``: an answer's bytes to rows whose amounts are exact and checked."""

from __future__ import annotations

import json

import msgspec

from okx_funding.api.assets import GET_NON_TRADABLE_ASSETS
from okx_funding.wire.codec import Codec
from okx_funding.wire.response import Response, parse_response

from . import server
from .byhand import TextAnswer, decode_by_hand
from .harness import Benchmark, Options, Report, Work, compare, cost_table, missing, optional

_SIZES = (1, 20, 400)


def _works(body: bytes) -> dict[str, Work]:
    text = msgspec.json.Decoder(TextAnswer).decode
    response = Response(200, body)

    def ours(operations: int) -> None:
        for _ in range(operations):
            parse_response(GET_NON_TRADABLE_ASSETS, response)

    def by_hand(operations: int) -> None:
        for _ in range(operations):
            decode_by_hand(body)

    def strings(operations: int) -> None:
        for _ in range(operations):
            text(body)

    def plain(operations: int) -> None:
        for _ in range(operations):
            json.loads(body)

    added = _with_a_field_more(body)
    codec = Codec(GET_NON_TRADABLE_ASSETS.row)  # what it learns is nobody else's
    codec.look(added)

    def one_more(operations: int) -> None:
        for _ in range(operations):
            codec.rows(added)

    works: dict[str, Work] = {}
    if not missing("orjson"):
        works["orjson, Decimals by hand"] = by_hand
    works["okx_funding"] = ours
    works["okx_funding, a field that OKX added"] = one_more
    works["msgspec structs of text"] = strings
    works["json to dicts of text"] = plain
    if not missing("orjson"):
        loads = optional("orjson").loads

        def dicts(operations: int) -> None:
            for _ in range(operations):
                loads(body)

        works["orjson to dicts of text"] = dicts
    return works


def _with_a_field_more(body: bytes) -> bytes:
    answer = json.loads(body)
    for row in answer["data"]:
        row["color"] = "green"
    return json.dumps(answer, separators=(",", ":")).encode()


def run(options: Options) -> Report:
    """One row, a full request, and everything at once."""
    report = Report()
    if missing("orjson"):
        report.skipped.append("orjson isn't installed (the group benchmarks has it)")
    for size in _SIZES:
        body = server.body(f"{server.ASSETS}?ccy={','.join(server.CURRENCIES[:size])}")
        operations = max(20, options.pick(20_000, 4_000) // size)
        costs = compare(_works(body), operations, options.pick(31, 5))
        rows = f"{size} rows" if size > 1 else "1 row"
        report.tables.append(cost_table(f"Decode {rows}", costs))
        report.figures[rows] = {name: cost.figures() for name, cost in costs.items()}
    return report


BENCHMARK = Benchmark(
    "decode", "Are exact, checked amounts cheaper than by hand, and what would text cost?", run
)
