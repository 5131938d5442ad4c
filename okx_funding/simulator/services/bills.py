"""Bills: of the last month by time, and all of them by time or by id."""

from __future__ import annotations

from collections.abc import Callable

from okx_funding.simulator.answers import Refused
from okx_funding.simulator.ledger import Bill

from .request import Row, ServiceRequest, service


def _filter(request: ServiceRequest) -> Callable[[Bill], bool]:
    return request.matches(ccy="ccy", type="type", clientId="client_id")


@service("get_bills")
def bills(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-asset-bills-details"""
    mine = request.books.ledger.bills(request.user.uid)
    depth = request.books.rules.bills_depth
    page = request.page(mine, accept=_filter(request), depth=depth, named="clientId")
    return [bill.row() for bill in page]


@service("get_bills_history")
def bills_history(request: ServiceRequest) -> list[Row]:
    """https://www.okx.com/docs-v5/en/#funding-account-rest-api-asset-bills-history"""
    mine = request.books.ledger.bills(request.user.uid)
    agrees = _filter(request)
    newest = request.books.clock.stamp() - int(request.books.rules.bills_history_lag * 1000)

    def accept(bill: Bill) -> bool:
        return bill.ts <= newest and agrees(bill)

    if request.text("pagingType", "1") == "1":
        if "before" in request.params:
            raise Refused("50039")
        return [bill.row() for bill in request.page(mine, accept=accept)]
    after, before = request.params.get("after"), request.params.get("before")
    found = mine.page_by_serial(
        int(after) if after else float("inf"),
        limit=request.limit(),
        accept=lambda bill: accept(bill) and (not before or bill.bill_id > int(before)),
    )
    return [bill.row() for bill in found]
